"""Memory of weights, gradients and moments."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pyane.llama import Config, Parameters
from pyane.llama.aligned import aligned_zeros

SMAPS = Path("/proc/self/smaps")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (17,), (2, 3, 1, 5), (1000, 1001)])
def test_zeros_begin_a_cache_line(shape: tuple[int, ...]) -> None:
    for _ in range(5):  # Wherever NumPy puts them.
        array = aligned_zeros(shape)
        assert array.shape == shape
        assert array.dtype == np.float32
        assert array.ctypes.data % 64 == 0 or not array.size
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not array.any()
        array += 1


def test_parameters_begin_a_cache_line() -> None:
    config = Config(
        dim=6, hidden_dim=5, n_layers=1, n_heads=1, n_kv_heads=1, vocab_size=3, seq_len=4
    )
    parameters = Parameters(config)
    assert parameters.flat.ctypes.data % 64 == 0
    assert parameters.zeros_like().flat.ctypes.data % 64 == 0


def flags_of_mapping(address: int) -> list[str]:
    """What the kernel has been told of the memory around an address."""
    inside = False
    for line in SMAPS.read_text().splitlines():
        first, *rest = line.split()
        begin, dash, end = first.partition("-")
        if dash and not first.endswith(":"):
            inside = int(begin, 16) <= address < int(end, 16)
        elif inside and first == "VmFlags:":
            return rest
    return []


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text() or not SMAPS.exists(),
    reason="this system has no huge pages for programs",
)
@pytest.mark.skipif("NUMPY_MADVISE_HUGEPAGE" in os.environ, reason="NumPy was told otherwise")
def test_large_ones_ask_for_huge_pages() -> None:
    """NumPy does so for arrays of 4 MB and more; Adam walks four of a gigabyte."""
    array = aligned_zeros((1 << 24,))
    assert "hg" in flags_of_mapping(array.ctypes.data + array.nbytes // 2)


@pytest.mark.skipif(not SMAPS.exists(), reason="this system does not tell of single mappings")
def test_large_ones_have_no_memory_until_somebody_writes() -> None:
    """So that each part comes to lie near the thread that updates it."""
    array = aligned_zeros((1 << 24,))
    assert resident_bytes(array) <= 4096  # Of NumPy's own, beside the array.
    array[: 1 << 23] = 1
    assert resident_bytes(array) >= array.nbytes // 2 - 4096


def resident_bytes(array: np.ndarray) -> int:
    """Of an array's whole pages, those that are there: all that differs from zero has been written."""
    page = os.sysconf("SC_PAGESIZE")
    first = -(-array.ctypes.data // page)
    last = (array.ctypes.data + array.nbytes) // page
    with Path("/proc/self/pagemap").open("rb") as file:
        file.seek(8 * first)
        entries = np.frombuffer(file.read(8 * (last - first)), np.uint64)
    return int((entries >> np.uint64(63)).sum()) * page
