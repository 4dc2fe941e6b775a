"""Every benchmark gives right numbers. How fast they come is in the result, and nothing asserts it."""

from __future__ import annotations

import pytest

from pyane.bench.registry import BENCHMARKS
from pyane.bench.runner import Runner


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_benchmark(name: str, runner: Runner) -> None:
    benchmark = runner.run([name]).benchmark(name)
    assert benchmark is not None
    assert benchmark.cases
    failed = [f"{case.name}: {case.reason}" for case in benchmark.cases if case.status == "failed"]
    assert not failed, "\n".join(failed)
    if not any(case.status == "ok" for case in benchmark.cases):
        pytest.skip(benchmark.cases[0].reason or "nothing was measured")
