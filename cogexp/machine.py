"""What this machine has: a GPU and its memory, and which checkpoints are already on disk. Costs no torch."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPINS = 1000  # some 10 microseconds


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The first CUDA device: its name, its total memory in GiB and its compute capability, where known."""

    name: str
    total_gib: float
    capability: tuple[int, int] | None = None


class _NvmlMemory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def before_torch() -> None:
    """What torch reads once, when it is loaded."""
    wait_briefly()
    huge_pages()
    reproducible_sums()


def wait_briefly() -> None:
    """Call before torch is loaded: an OpenMP thread that waits for another gives its core away soon.

    GNU's OpenMP otherwise turns in circles for milliseconds first, which takes the core from who has work:
    on two cores beside three busy processes, a clip of 256x144 took eight to thirteen times as long.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def huge_pages() -> None:
    """Call before torch is loaded: its large tensors on a CPU ask Linux for pages of 2 MiB.

    Fewer page faults: on two cores the embedded model denoises in 0.92 and decodes in 0.78 of the time.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def reproducible_sums() -> None:
    """Call before torch is loaded: MKL's products are the same to the bit on any number of threads.

    On a CPU with AVX-512 it otherwise splits the sums of a convolution among them.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Around the first import of the large libraries: no search for garbage among what is there to stay.

    Loading torch and diffusers makes hundreds of thousands of such objects, and looking through them again
    and again took a quarter of the time; they are left out of later searches, too.
    Where all was loaded before nothing is: what a run left behind, and memory with it, must still be found.
    """
    was, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
            # At the end they must be found: libraries (triton's binding) warn of what is left over.
            atexit.unregister(gc.unfreeze)
            atexit.register(gc.unfreeze)
        if was:
            gc.enable()


def device_of(asked: str) -> str:
    """The device that "auto" means here; another one as it was asked for."""
    return asked if asked != "auto" else ("cuda" if gpu() else "cpu")


@functools.lru_cache(maxsize=1)
def gpu() -> Gpu | None:
    """The first visible NVIDIA GPU, asked of the driver's NVML (torch takes seconds to import), or None."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible in ("", "-1"):
        return None
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        handle, memory, name = ctypes.c_void_p(), _NvmlMemory(), ctypes.create_string_buffer(96)
        if visible.isdigit():
            found = nvml.nvmlDeviceGetHandleByIndex_v2(int(visible), ctypes.byref(handle)) == 0
        else:
            found = nvml.nvmlDeviceGetHandleByUUID(visible.encode(), ctypes.byref(handle)) == 0
        if not found or nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
            return None
        nvml.nvmlDeviceGetName(handle, name, len(name))
        major, minor = ctypes.c_int(), ctypes.c_int()
        told = nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)) == 0
        return Gpu(
            name=name.value.decode(errors="replace"),
            total_gib=memory.total / 2**30,
            capability=(major.value, minor.value) if told else None,
        )
    finally:
        nvml.nvmlShutdown()


def hub_cache() -> Path:
    """The folder in which huggingface_hub keeps checkpoints, by its own environment variables."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{base}/huggingface")).expanduser() / "hub"


def checkpoint_is_here(hub_id: str) -> bool:
    """True when some snapshot of this pipeline is in the hub cache with the weights of its transformer."""
    snapshots = hub_cache() / f"models--{hub_id.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/transformer/*.safetensors")) if snapshots.is_dir() else False
