"""A disk that fails: the n-th writing operation below a folder, inside this process, gives an error."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

WRITING = frozenset("wax+")


class FailingDisk:
    """Counts writing operations below `folder`; the `at`-th gives errno `number`, with `stays` all after.

    Seen are what Python opens, writes, renames, makes and flushes, and the files that PyAV and safetensors
    open by themselves. `failed` says whether it came to that.
    """

    def __init__(self, folder: Path, *, at: int, number: int, stays: bool) -> None:
        self._folder, self._at, self._number, self._stays = str(folder), at, number, stays
        self.operations = 0
        self.failed: list[str] = []

    def check(self, name: str, path: object) -> None:
        """Count an operation on `path`.

        Raises:
            OSError: it is the one that fails.
        """
        if not isinstance(path, (str, os.PathLike)) or not os.path.abspath(path).startswith(self._folder):
            return
        self.operations += 1
        if self.operations == self._at or (self._stays and self.operations > self._at):
            self.failed.append(f"{name} {os.path.relpath(path, self._folder)}")
            raise OSError(self._number, os.strerror(self._number), str(path))

    @contextmanager
    def injected(self) -> Iterator[FailingDisk]:
        """The disk is this process's inside the block."""
        import av
        import safetensors.torch

        with ExitStack() as stack:

            def replace(owner: Any, name: str, by: Callable[..., Any]) -> None:
                stack.enter_context(patch.object(owner, name, by))

            opened = self._opener(builtins.open)
            replace(builtins, "open", opened)
            replace(io, "open", opened)
            for name, place in (("replace", 1), ("rename", 1), ("mkdir", 0), ("utime", 0), ("chmod", 0)):
                replace(os, name, self._checked(name, getattr(os, name), place))
            replace(os, "fsync", self._synced(os.fsync))
            replace(safetensors.torch, "save_file", self._checked("save", safetensors.torch.save_file, 1))
            replace(av, "open", self._container(av.open))
            yield self

    def _checked(self, name: str, call: Callable[..., Any], place: int) -> Callable[..., Any]:
        def checked(*words: Any, **options: Any) -> Any:
            self.check(name, words[place] if len(words) > place else None)
            return call(*words, **options)

        return checked

    def _container(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str | None = None, *words: Any, **options: Any) -> Any:
            if mode == "w":
                self.check("encode", file)
            return call(file, mode, *words, **options)

        return opened

    def _synced(self, call: Callable[[Any], None]) -> Callable[[Any], None]:
        def synced(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            link = Path(f"/proc/self/fd/{number}")
            self.check("fsync", os.readlink(link) if link.exists() else None)
            call(descriptor)

        return synced

    def _opener(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *words: Any, **options: Any) -> Any:
            if not WRITING & set(mode):
                return call(file, mode, *words, **options)
            self.check("open", file)
            return Written(call(file, mode, *words, **options), lambda: self.check("write", file))

        return opened


class Written:
    """An open file whose writing is counted; everything else is the file's own."""

    def __init__(self, file: Any, before: Callable[[], None]) -> None:
        self._file, self._before = file, before

    def write(self, content: Any) -> Any:
        """Count, then write."""
        self._before()
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *words: Any) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)
