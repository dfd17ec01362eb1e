"""What a process chooses for its training: memory that it keeps, files that it may open, its numbers."""

import platform
import resource
import subprocess
import sys

import pytest
import torch

from data_cache.base.devices import allow_many_files, autocast

STEPS = """
import resource, torch
from data_cache.base.devices import keep_freed_memory
if {kept}: assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    tensors = [torch.ones(16, 2**20) for _ in range(4)]  # 64 MiB each: more than malloc keeps of itself
for _ in range(8): step()  # until their places have settled
before = faults()
for _ in range(3): step()
print(faults() - before)
"""


def faults_of_three_steps(*, kept: bool) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS.format(kept=kept)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its malloc alone can be told to keep what is freed")
def test_memory_that_is_kept_is_not_paged_in_again() -> None:
    pages = 3 * 4 * 2**26 // 2**21  # even if the system hands out huge ones
    assert faults_of_three_steps(kept=False) >= pages
    assert faults_of_three_steps(kept=True) < pages // 10


def test_without_instructions_for_bfloat16_training_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.nn.Linear(2, 2)
    for able, wanted in ({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        with autocast("cpu"):
            assert product(torch.ones(1, 2)).dtype is wanted


def test_a_process_may_open_as_many_files_as_the_system_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: chosen.append(limits))
    endless = resource.RLIM_INFINITY
    for limits in ((1024, 4096), (1024, endless), (4096, 4096), (endless, endless), (100_000, 200_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limits=limits: limits)
        allow_many_files()
    assert chosen == [(4096, 4096), (65_536, endless)]
