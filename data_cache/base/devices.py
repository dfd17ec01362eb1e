"""The device of a run: its choice, name, number format, algorithms, memory and file limits."""

import ctypes
import functools
import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command

if TYPE_CHECKING:
    import torch

TRIM_THRESHOLD, MOST_MAPPINGS, MOST_HEAPS = -1, -4, -8  # M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX of malloc.h
NEVER = 2**31 - 1
MANY_FILES = 65_536


@dataclass(frozen=True)
class Compute:
    """Where a run computes: "cpu" or "cuda", the number of worker processes that read images, and the engine.

    With the engine "ray", `workers` are those of a Ray that is started on this machine, and each reads its own images.
    """

    device: str
    workers: int
    engine: str = "process"


def choose_device(name: str) -> str:
    """Return "cuda" or "cpu" for auto | cpu | cuda. Raises UserError if a GPU is requested but missing."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device cuda: torch finds no GPU; use --device cpu, or run {remedy_command('doctor')}")
    return name


def describe_device(device: str) -> str:
    """Return the device's name for a log line, such as "NVIDIA H100 80GB HBM3" or "CPU, 2 threads"."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def describe_memory(device: str) -> str:
    """Return the most memory that this process has used so far, such as "2.1 GiB memory, 14.0 GiB on the GPU"."""
    own = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB memory"
    if device != "cuda":
        return own
    import torch

    return f"{own}, {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"


def has_bfloat16(device: str) -> bool:
    """Return whether "cpu" or "cuda" has bfloat16 instructions; emulation is many times slower than float32.

    torch reports it for CPUs from version 2.11 on; with older versions the answer is no.
    """
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _cpu_has_bfloat16(getattr(torch.cpu, "get_capabilities", dict))


@functools.cache
def _cpu_has_bfloat16(get_capabilities: Callable[[], Mapping[str, Any]]) -> bool:
    found = get_capabilities()  # takes a millisecond: cached, because every training step asks
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def autocast(device: str) -> "torch.autocast":
    """Return the autocast context of training and of stage two: bfloat16 if the device has it, otherwise float32."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device))


def choose_algorithms(*, deterministic: bool) -> None:
    """Make a GPU use deterministic algorithms, or else benchmark for the fastest. Call it before the GPU is used.

    It has no effect on a CPU.
    """
    import torch

    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not deterministic


def keep_freed_memory() -> bool:
    """Keep the memory of freed tensors in this process; return whether the C library supports it, as glibc does.

    Otherwise every training step on a CPU returns its large tensors to the system and the next step takes a page
    fault for each page again.
    """
    return _choose_malloc((TRIM_THRESHOLD, NEVER), (MOST_MAPPINGS, 0))


def share_freed_memory() -> bool:
    """Let all threads use what one of them has freed; return whether the C library supports it, as glibc does.

    Otherwise a server grows: each thread frees into a heap of its own (mallopt(3), M_ARENA_MAX), and batches of other
    sizes leave holes in it that no other thread can use. Call it before there are threads.
    """
    return _choose_malloc((MOST_HEAPS, 1))


def _choose_malloc(*options: tuple[int, int]) -> bool:
    """Set options of mallopt(3), and return whether the C library has them all."""
    choose = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return choose is not None and all(choose(*option) for option in options)


def allow_many_files() -> None:
    """Raise the limit of open files to at most 65,536, from the usual 1,024.

    Every tensor that a loader worker sends is an open file until it is used.
    """
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(most, MANY_FILES)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
