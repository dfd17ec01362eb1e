"""Settings of a training process: kept memory, open files, number format."""

import platform
import resource
import subprocess
import sys

import pytest
import torch

from data_cache.base.devices import allow_many_files, autocast

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these options of malloc")
STEPS = """
import resource, torch
from data_cache.base.devices import keep_freed_memory
if {kept}: assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    tensors = [torch.ones(16, 2**20) for _ in range(4)]  # 64 MiB each: more than malloc keeps by default
for _ in range(8): step()  # until the addresses have settled
before = faults()
for _ in range(3): step()
print(faults() - before)
"""


def faults_of_three_steps(*, kept: bool) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS.format(kept=kept)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc_only
def test_kept_memory_causes_no_page_faults() -> None:
    pages = 3 * 4 * 2**26 // 2**21  # even with huge pages
    assert faults_of_three_steps(kept=False) >= pages
    assert faults_of_three_steps(kept=True) < pages // 10


THREADS = """
import resource, threading, torch
from data_cache.base.devices import share_freed_memory
if {shared}: assert share_freed_memory()
lasting, done = [], threading.Event()
def work(finished):
    tensors = [torch.ones(1024, 16) for _ in range(1024)]  # 64 MiB in small tensors
    lasting.append(tensors.pop())  # the newest: without it the heap would shrink
    del tensors
    finished.set()
    done.wait()  # a thread that ends leaves its heap to the next
for _ in range(8):
    finished = threading.Event()
    threading.Thread(target=work, args=[finished]).start()
    finished.wait()
done.set()
pages = int(open("/proc/self/statm").read().split()[1])
print(pages * resource.getpagesize())
"""


def memory_after_eight_threads(*, shared: bool) -> int:
    """Return the resident bytes of a process whose threads, one after the other, have used and freed 64 MiB each."""
    done = subprocess.run([sys.executable, "-c", THREADS.format(shared=shared)], capture_output=True, check=True)
    return int(done.stdout)


@glibc_only
def test_threads_use_what_others_have_freed() -> None:
    assert memory_after_eight_threads(shared=False) - memory_after_eight_threads(shared=True) > 4 * 2**26


def test_training_uses_float32_without_bfloat16_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.nn.Linear(2, 2)
    for capabilities, wanted in ({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        with autocast("cpu"):
            assert product(torch.ones(1, 2)).dtype is wanted


def test_the_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_set: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: limits_set.append(limits))
    unlimited = resource.RLIM_INFINITY
    for limits in ((1024, 4096), (1024, unlimited), (4096, 4096), (unlimited, unlimited), (100_000, 200_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limits=limits: limits)
        allow_many_files()
    assert limits_set == [(4096, 4096), (65_536, unlimited)]
