"""Time and peak memory of calls, and the rows of the table; calls are timed in turn because a shared machine drifts."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]
Result = TypeVar("Result")


class Row(NamedTuple):
    """A row of the table: what was measured, our value, the value it is compared with, their ratio, and its target."""

    what: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""


def best_seconds(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Return the shortest time of each call; every round runs all of them once, after one to warm up."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def peak_bytes(call: Call, device: str = "cpu") -> int:
    """Return the peak memory of the tensors allocated during `call` on that device."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return int(torch.cuda.max_memory_allocated() - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    allocated = peak = 0
    for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            allocated += event.nbytes()
            peak = max(peak, allocated)
    return peak


def own_peak_bytes() -> int:
    """Return the most memory that this process has had."""
    words = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()  # `ru_maxrss` is inherited
    return int(words[0]) * 1024  # from kB


def in_new_process(call: Callable[..., Result], *arguments: object) -> Result:
    """Return what a call returns in a process of its own, which shares no memory with this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(call, *arguments).result()


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_bfloat16(call: Call) -> Call:
    """Return `call` under autocast to bfloat16 on the CPU."""
    run: Call = torch.autocast("cpu", dtype=torch.bfloat16)(call)
    return run
