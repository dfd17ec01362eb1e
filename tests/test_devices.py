"""What a process chooses for its training: memory that it keeps."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from data_cache.devices import keep_freed_memory
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
