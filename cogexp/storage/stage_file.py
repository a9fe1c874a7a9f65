"""One stage result as a safetensors file that is known again: its tensors and its costs under one digest.

A digest makes a torn write, a bad block or a foreign file visible when it is read, so that saving needs no
fsync. SHA-256, because it is the fastest digest of the standard library on processors with its instructions
(0.7 GB/s where blake2b makes 0.3). Files of earlier versions have no digest: see `Stage.verified`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogexp.storage.durable import staged_name
from cogexp.system.faults import one_line

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = "digest"


class DamagedStage(ValueError):
    """A file that is no whole stage result. One line: why."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Tensors by name and what they cost. verified: a digest says that both are as they were saved."""

    tensors: dict[str, Tensor]
    cost: dict[str, Any]
    verified: bool


def read(file: Path, kind: str, key: str) -> Stage:
    """The result of stage `kind` with `key` in `file`, in memory of its own: the file may go meanwhile.

    Raises:
        DamagedStage: it is none, or not the one that was saved.
        OSError: it cannot be read, which says nothing about what is in it.
    """
    content = file.read_bytes()  # not mapped: another process may remove it, a bad block be an OSError
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length])["__metadata__"]
        cost = json.loads(about["cost"])
    except (SafetensorError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise DamagedStage(f"it is no stage result ({one_line(error, 120)})") from None
    if not isinstance(cost, dict):
        raise DamagedStage("its costs are no mapping")
    kept = about.get(DIGEST)
    if kept is not None and kept != _digest(kind, key, about["cost"], tensors):
        raise DamagedStage("its content is not what was saved (the digest differs)")
    return Stage(tensors=tensors, cost=cost, verified=kept is not None)


def write(file: Path, kind: str, key: str, tensors: Mapping[str, Tensor], cost: Mapping[str, Any]) -> None:
    """Save the result under a name of its own beside `file`, then rename it. Its folder is made.

    The file and new folders have the permissions of the folder that they are in: a shared store stays shared.

    Raises:
        OSError: nothing of this attempt is left.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    text = json.dumps(dict(cost))
    make_shared_folder(file.parent)
    staged = staged_name(file)
    try:
        save_file(plain, staged, {"cost": text, DIGEST: _digest(kind, key, text, plain)})
        with contextlib.suppress(OSError):  # safetensors leaves it readable for its owner alone
            os.chmod(staged, stat.S_IMODE(file.parent.stat().st_mode) & 0o666)
        os.replace(staged, file)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def make_shared_folder(folder: Path) -> None:
    """Make `folder` and its parents, each with the permissions of the one that it is made in."""
    if folder.is_dir():
        return
    make_shared_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))


def _digest(kind: str, key: str, cost: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of everything that a reader takes from the file, and of what it was saved as."""
    import torch

    found = hashlib.sha256(json.dumps([kind, key, cost]).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
