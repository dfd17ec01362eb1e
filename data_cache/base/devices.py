"""Which device a run uses, how its name reads to a person, and how its algorithms and its memory are chosen."""

import ctypes
import functools
import os
import resource
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from data_cache.base.errors import UserError

if TYPE_CHECKING:
    import torch

TRIM_THRESHOLD, MOST_MAPPINGS = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
NEVER = 2**31 - 1
MANY_FILES = 65_536


def choose_device(name: str) -> str:
    """Return "cuda" or "cpu" for auto | cpu | cuda. Raises UserError where a GPU is asked for and none is there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu, or see `python cli.py doctor`")
    return name


def describe_device(device: str) -> str:
    """Return the device's name for a log line, such as "NVIDIA H100 80GB HBM3" or "CPU, 2 threads"."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def has_bfloat16(device: str) -> bool:
    """Whether "cpu" or "cuda" has instructions for bfloat16; emulated it is many times slower than float32.

    Of its CPU torch tells from version 2.11 on; before, it counts as one without.
    """
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _cpu_has_bfloat16(getattr(torch.cpu, "get_capabilities", dict))


@functools.cache
def _cpu_has_bfloat16(ask: Callable[[], Mapping[str, Any]]) -> bool:
    able = ask()  # takes a millisecond, which every step of a training would wait for
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def autocast(device: str) -> "torch.autocast":
    """Return the context in which networks of stage two, and any training, compute: bfloat16, or float32 without it."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device))


def choose_algorithms(*, deterministic: bool) -> None:
    """Let a GPU take algorithms that give the same bits every time, or those that are fastest for the sizes at hand.

    To be called before the GPU is first used. On a CPU it changes nothing.
    """
    import torch

    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not deterministic


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones; return whether its C library can, as glibc.

    Otherwise every step of a training on a CPU gives its large tensors back to the system, and the next has the same
    pages given anew, one fault a page.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return choose is not None and all(choose(*option) for option in ((TRIM_THRESHOLD, NEVER), (MOST_MAPPINGS, 0)))


def allow_many_files() -> None:
    """Let this process hold as many open files as it may, up to 65,536, in place of the usual 1,024.

    Every tensor that a loader's process hands over is one until it is used.
    """
    held, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(most, MANY_FILES)
    if held != resource.RLIM_INFINITY and held < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
