from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pyane.bench.compare import ALPHA, compare, differences, mann_whitney, smallest_p
from pyane.bench.result import Benchmark, Case, DeviceFacts, HostFacts, Metric, Result, Software
from pyane.errors import ConfigError

ENGINE = DeviceFacts("ane", "m4", "M4", "engine")
EMULATOR = DeviceFacts("emulator", None, None, "ieee")


def metric(samples: Sequence[float], better: str = "lower") -> Metric:
    return Metric("ms" if better == "lower" else "TFLOP/s", better, tuple(samples))


def result(*cases: Case, device: DeviceFacts = ENGINE, **settings: Any) -> Result:
    return Result(
        created="2026-11-22T14:00:00Z",
        pyane=Software("0.1.0", None),
        device=device,
        host=HostFacts(cpu="c", threads=4, isa="neon"),
        settings={"quick": True, **settings},
        benchmarks=(Benchmark("peak", cases),),
    )


def timed(*samples: float, name: str = "case") -> Case:
    return Case(name, {"n": 1}, metrics={"time": metric(samples)})


def verdict(a: Sequence[float], b: Sequence[float], better: str = "lower", **options: Any) -> str:
    cases = [Case("case", {}, metrics={"figure": metric(s, better)}) for s in (a, b)]
    (row,) = compare(result(cases[0]), result(cases[1]), **options).rows
    return row.verdict


FIVE = (10.0, 10.1, 10.2, 10.3, 10.4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (FIVE, FIVE, "same"),
        (FIVE, [x * 1.04 for x in FIVE], "same"),  # Beyond noise, but below the threshold.
        (FIVE, [x * 1.2 for x in FIVE], "worse"),
        (FIVE, [x / 1.2 for x in FIVE], "better"),
        (FIVE, [x * 1.2 for x in FIVE[:3]], "unsure"),  # 3 of 8: p cannot get below 1/56.
        ((10.0,), (20.0,), "unsure"),
        # Twice the median, but the ranges are the same.
        ((1.0, 1.0, 1.0, 4.0, 4.0), (1.0, 1.0, 2.0, 4.0, 4.0), "noise"),
        ((0.0, 0.0), (0.0, 0.0), "same"),
        ((0.0,) * 6, (1.0,) * 6, "worse"),
        ((1.0,) * 6, (0.0,) * 6, "better"),
    ],
)
def test_verdicts(a: Sequence[float], b: Sequence[float], expected: str) -> None:
    assert verdict(a, b) == expected


def test_rates_are_better_when_higher() -> None:
    assert verdict(FIVE, [x * 1.2 for x in FIVE], "higher") == "better"
    assert verdict(FIVE, [x / 1.2 for x in FIVE], "higher") == "worse"


def test_time_and_rate_change_by_the_same() -> None:
    times = Case("c", {}, metrics={"t": metric((2.0,)), "r": metric((8.0,), "higher")})
    slower = Case("c", {}, metrics={"t": metric((3.0,)), "r": metric((8 / 1.5,), "higher")})
    one, other = compare(result(times), result(slower)).rows
    assert one.change == pytest.approx(0.5)
    assert other.change == pytest.approx(0.5)


def test_the_threshold_decides() -> None:
    slower = [x * 1.2 for x in FIVE]
    assert verdict(FIVE, slower, threshold=0.19) == "worse"
    assert verdict(FIVE, slower, threshold=0.21) == "same"
    assert verdict(FIVE, [x + 1e-3 for x in FIVE], threshold=0.0) == "noise"
    with pytest.raises(ConfigError, match=r"threshold must be from 0 to 10 .*, got -1"):
        verdict(FIVE, FIVE, threshold=-1)


def test_cases_that_no_longer_run() -> None:
    refused = Case("case", {"n": 1}, "refused", "ANECCompile() FAILED")
    skipped = Case("case", {"n": 1}, "skipped", "interrupted")
    other = timed(*FIVE, name="other")
    ok = timed(*FIVE)
    broken = compare(result(ok, other), result(refused, other))
    assert [row.verdict for row in broken.rows] == ["broken", "same"]
    assert len(broken.regressions) == 1
    assert "now refused: ANECCompile() FAILED" in broken.rows[0].note
    fixed = compare(result(refused, other), result(ok, other))
    assert [row.verdict for row in fixed.rows] == ["fixed", "same"]
    assert not fixed.regressions
    for a, b in ((result(ok, other), result(skipped, other)), (result(ok, other), result(other))):
        compared = compare(a, b)
        assert compared.rows[0].verdict == "missing"
        assert not compared.regressions
    same = compare(result(refused, other), result(refused, other))
    assert [row.case for row in same.rows] == ["other"]


def test_other_parameters_are_another_case() -> None:
    one, other = timed(*FIVE), replace(timed(*FIVE), parameters={"n": 2})
    both = timed(*FIVE, name="both")
    rows = compare(result(one, both), result(other, both)).rows
    assert rows[0].verdict == "missing"
    assert "other parameters" in rows[0].note


def test_emulator_and_engine_are_not_compared() -> None:
    a, b = result(timed(*FIVE)), result(timed(*FIVE), device=EMULATOR)
    with pytest.raises(ConfigError, match=r"device kind: ane and emulator; .*--force"):
        compare(a, b)
    forced = compare(a, b, force=True)
    assert forced.differences[0] == "device kind: ane and emulator"
    assert forced.rows[0].verdict == "same"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"device": replace(ENGINE, chip="m5")}, "device chip: m4 and m5"),
        ({"device": replace(ENGINE, kind="stand-in")}, "device kind: ane and stand-in"),
        ({"settings": {"quick": False}}, "settings quick: True and False"),
        ({"settings": {"quick": True, "seed": 2}}, "settings seed: none and 2"),
        ({"origin": "maderix/ANE"}, "measured by pyane and maderix/ANE"),
    ],
)
def test_what_keeps_results_apart(change: dict[str, Any], told: str) -> None:
    a = result(timed(*FIVE))
    assert differences(a, a) == []
    assert differences(a, replace(a, **change)) == [told]


def test_the_cpu_matters_to_an_emulator_only() -> None:
    for device, expected in ((ENGINE, []), (EMULATOR, ["host threads: 4 and 2"])):
        a = result(timed(*FIVE), device=device)
        assert differences(a, replace(a, host=replace(a.host, threads=2))) == expected


def test_nothing_in_common() -> None:
    with pytest.raises(ConfigError, match="no figure is in both results; they hold peak and peak"):
        compare(result(timed(*FIVE, name="a")), result(timed(*FIVE, name="b")))
    empty = replace(result(), benchmarks=())
    with pytest.raises(ConfigError, match="they hold nothing and nothing"):
        compare(empty, empty)


def test_it_is_deterministic() -> None:
    a, b = result(timed(*FIVE)), result(timed(*(x * 1.1 for x in FIVE)))
    assert compare(a, b) == compare(a, b)


# -- the test


def by_counting(high: Sequence[float], low: Sequence[float]) -> float:
    """Of all ways to call n of the values high, how many lie as far up."""

    def pairs(one: Sequence[float], other: Sequence[float]) -> int:
        return sum(x > y for x in one for y in other)

    values = [*high, *low]
    ways = list(itertools.combinations(range(len(values)), len(high)))
    as_far = 0
    for chosen in ways:
        ups = [values[i] for i in chosen]
        downs = [value for i, value in enumerate(values) if i not in chosen]
        as_far += pairs(ups, downs) >= pairs(high, low)
    return as_far / len(ways)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (2, 3), (4, 4), (5, 6)])
def test_probability_is_a_count(n: int, m: int, rng: np.random.Generator) -> None:
    for _ in range(5):
        high, low = rng.normal(0.3, 1, n).tolist(), rng.normal(0, 1, m).tolist()
        assert mann_whitney(high, low) == pytest.approx(by_counting(high, low), abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (10, 12), (20, 20), (25, 30), (200, 7)])
@pytest.mark.parametrize("decimals", [1, 12])
def test_as_scipy(n: int, m: int, decimals: int, rng: np.random.Generator) -> None:
    stats = pytest.importorskip("scipy.stats")
    high = rng.normal(0.3, 1, n).round(decimals).tolist()
    low = rng.normal(0, 1, m).round(decimals).tolist()
    has_ties = len(set(high + low)) < n + m
    method = "exact" if not has_ties and n + m <= 40 else "asymptotic"
    expected = stats.mannwhitneyu(high, low, alternative="greater", method=method).pvalue
    assert mann_whitney(high, low) == pytest.approx(expected, rel=1e-9)


def test_extremes() -> None:
    assert mann_whitney([2, 3], [0, 1]) == pytest.approx(1 / 6)
    assert smallest_p(2, 2) == pytest.approx(1 / 6)
    assert mann_whitney([0, 1], [2, 3]) == 1.0
    assert mann_whitney([1.0] * 50, [1.0] * 50) == 1.0
    # Five a side is the least that can tell anything.
    assert smallest_p(5, 5) <= ALPHA < smallest_p(4, 4)


def test_false_alarms_are_as_rare_as_they_should_be(rng: np.random.Generator) -> None:
    """Of runs that are the same, one in a hundred looks worse; the threshold is not met at all."""
    n_trials, n_worse = 2000, 0
    for _ in range(n_trials):
        a, b = rng.lognormal(0, 0.3, 12), rng.lognormal(0, 0.3, 12)
        n_worse += mann_whitney(b.tolist(), a.tolist()) <= ALPHA
    # Binomial: 20 expected, standard deviation 4.5.
    assert n_worse <= n_trials * ALPHA + 4 * math.sqrt(n_trials * ALPHA)
