"""What the machine can do: only that there are such figures, and what they refuse. Times are no tests."""

from __future__ import annotations

import pytest

from pyane._core import base
from pyane.errors import ShapeError


@pytest.mark.parametrize("threads", [1, 2])
def test_ceilings_are_positive(threads):
    assert base.measure_fma_gflops(threads) > 0
    assert base.measure_int8_gops(threads) >= 0
    for measure in (base.measure_conversion_gbps, base.measure_copy_gbps, base.measure_triad_gbps):
        assert measure(1 << 16, threads) > 0


def test_no_threads():
    with pytest.raises(ShapeError, match="threads must be at least 1, got 0"):
        base.measure_fma_gflops(0)
    with pytest.raises(ShapeError, match="threads must be at least 1, got -2"):
        base.measure_copy_gbps(1024, -2)
