import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's allocator is told")
def test_maps_come_back_without_new_pages() -> None:
    # Five maps that live together, as those of a network do. Above 32 MB glibc gives each one back
    # by itself; smaller ones only while nothing that is still used lies above them.
    program = """
import resource, sys, torch
from hwnas.networks.freed_memory import keep_freed_memory
assert not int(sys.argv[1]) or keep_freed_memory()
def faults():
    for _ in range(3):
        [torch.ones(10_000_000) for _ in range(5)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(-faults() + faults())
"""
    found = [
        int(subprocess.run([sys.executable, "-c", program, keep], capture_output=True).stdout)
        for keep in "01"
    ]
    assert found[1] < found[0] / 10
