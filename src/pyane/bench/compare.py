"""Whether one result is slower than another, beyond noise.

For every figure that both have: the change of the medians, and the one-sided Mann-Whitney U test of
their samples (Mann & Whitney 1947). A regression is a change above the threshold that chance would
give less often than `ALPHA`. Deterministic: nothing is drawn.

The test knows the noise within each run. It does not know that of the machine between runs (clock,
temperature, neighbours): the threshold is there for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from .result import Case, Metric, Result

ALPHA: Final = 0.01
DEFAULT_THRESHOLD: Final = 0.05
#: Samples of both sides together up to which probabilities are counted, not approximated.
MAX_EXACT: Final = 40

#: worse, broken: regressions. unsure: changed, but of too few samples to tell. noise: changed, but
#: chance may do that. missing: measured only by one.
VERDICTS: Final = ("worse", "broken", "unsure", "missing", "better", "fixed", "noise", "same")


@dataclass(frozen=True)
class Row:
    """One figure in both results.

    Attributes:
        benchmark: Name.
        case: Name.
        metric: Name; empty when the case as a whole is meant.
        unit: Of the medians.
        before: Median in the first result; None when there is none.
        after: Likewise in the second.
        change: How much worse: 1.0 is twice the time, or half the rate; negative is better.
        p: Probability that chance makes it look as much worse (better if `change` is negative).
        verdict: One of `VERDICTS`.
        note: More in words.
    """

    benchmark: str
    case: str
    metric: str
    unit: str
    before: float | None
    after: float | None
    change: float | None
    p: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All figures, and what makes the results hard to compare.

    Attributes:
        rows: In the first result's order.
        threshold: Fraction of change that is looked at.
        differences: Between devices, computers or settings, when forced.
    """

    rows: tuple[Row, ...]
    threshold: float
    differences: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[Row, ...]:
        """Figures that got worse beyond noise, and cases that no longer run."""
        return tuple(row for row in self.rows if row.verdict in {"worse", "broken"})

    def count(self, verdict: str) -> int:
        """Rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def asdict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "threshold": self.threshold,
            "alpha": ALPHA,
            "differences": list(self.differences),
            "regressions": len(self.regressions),
            "counts": {verdict: self.count(verdict) for verdict in VERDICTS},
            "rows": [asdict(row) for row in self.rows],
        }


def differences(a: Result, b: Result) -> list[str]:
    """Why figures of two results must not be compared; empty when they may."""
    found = []
    for name in ("kind", "chip", "numerics", "strict", "faithful"):
        one, other = getattr(a.device, name), getattr(b.device, name)
        if one != other:
            found.append(f"device {name}: {_told(one)} and {_told(other)}")
    if a.device.kind != "ane" or b.device.kind != "ane":
        # The CPU is what is measured.
        for name in ("cpu", "threads", "isa"):
            one, other = getattr(a.host, name), getattr(b.host, name)
            if one != other:
                found.append(f"host {name}: {_told(one)} and {_told(other)}")
    if a.origin != b.origin:
        found.append(f"measured by {a.origin} and {b.origin}")
    for name in dict.fromkeys([*a.settings, *b.settings]):
        one, other = a.settings.get(name), b.settings.get(name)
        if one != other:
            found.append(f"settings {name}: {_told(one)} and {_told(other)}")
    return found


def _told(value: object) -> str:
    return "none" if value is None else str(value)


def compare(
    a: Result, b: Result, threshold: float = DEFAULT_THRESHOLD, *, force: bool = False
) -> Comparison:
    """Compare `b` with `a`, figure by figure.

    Args:
        a: Before.
        b: After.
        threshold: Change that counts, as a fraction.
        force: Compare what should not be compared.

    Raises:
        ConfigError: Device, computer or settings differ and `force` is not given; nothing is in
            both; or the threshold is not in [0, 10].
    """
    if not 0 <= threshold <= 10:
        msg = f"compare: threshold must be from 0 to 10 (1000%), got {threshold:g}"
        raise ConfigError(msg)
    found = differences(a, b)
    if found and not force:
        msg = (
            f"compare: the results differ in {'; '.join(found)}. --force compares them all the same"
        )
        raise ConfigError(msg)
    rows = tuple(_rows(a, b, threshold))
    if not any(row.before is not None and row.after is not None for row in rows):
        msg = (
            "compare: no figure is in both results; they hold "
            f"{_names(a) or 'nothing'} and {_names(b) or 'nothing'}"
        )
        raise ConfigError(msg)
    return Comparison(rows, threshold, tuple(found))


def _names(result: Result) -> str:
    return ", ".join(benchmark.name for benchmark in result.benchmarks)


def _rows(a: Result, b: Result, threshold: float) -> Iterator[Row]:
    for name in dict.fromkeys(x.name for x in (*a.benchmarks, *b.benchmarks)):
        sides = [result.benchmark(name) for result in (a, b)]
        cases = [side.cases if side is not None else () for side in sides]
        for case in dict.fromkeys(c.name for side in cases for c in side):
            one, other = (next((c for c in side if c.name == case), None) for side in cases)
            yield from _case_rows(name, case, one, other, threshold)


def _case_rows(
    benchmark: str, name: str, a: Case | None, b: Case | None, threshold: float
) -> Iterator[Row]:
    def as_a_whole(verdict: str, note: str) -> Row:
        return Row(benchmark, name, "", "", None, None, None, None, verdict, note)

    if a is None or b is None:
        yield as_a_whole("missing", f"only in the {'second' if a is None else 'first'} result")
    elif dict(a.parameters) != dict(b.parameters):
        yield as_a_whole("missing", "other parameters under the same name")
    elif a.status == b.status == "ok":
        for metric in dict.fromkeys([*a.metrics, *b.metrics]):
            one, other = a.metrics.get(metric), b.metrics.get(metric)
            if one is None or other is None or (one.unit, one.better) != (other.unit, other.better):
                yield as_a_whole("missing", f"'{metric}' is not the same figure in both")
            else:
                yield _row(benchmark, name, metric, one, other, threshold)
    elif a.status == "ok":
        verdict = "missing" if b.status == "skipped" else "broken"
        yield as_a_whole(verdict, f"ok before, now {b.status}: {b.reason}")
    elif b.status == "ok":
        yield as_a_whole("fixed", f"{a.status} before: {a.reason}")
    elif a.status != b.status:
        yield as_a_whole("missing", f"{a.status} before, now {b.status}")


def _row(benchmark: str, case: str, name: str, a: Metric, b: Metric, threshold: float) -> Row:
    before, after = a.median, b.median
    is_lower = a.better == "lower"
    change = _ratio(after, before) - 1 if is_lower else _ratio(before, after) - 1
    # As much the other way: half the time is as much better as twice is worse.
    gain = _ratio(before, after) - 1 if is_lower else _ratio(after, before) - 1
    high, low = (b, a) if (change > 0) == is_lower else (a, b)
    p = mann_whitney(high.samples, low.samples)
    if max(change, gain) <= threshold:
        verdict = "same"
    elif p <= ALPHA:
        verdict = "worse" if change > 0 else "better"
    elif smallest_p(a.runs, b.runs) > ALPHA:
        verdict = "unsure"
    else:
        verdict = "noise"
    return Row(benchmark, case, name, a.unit, before, after, change, p, verdict)


def _ratio(x: float, y: float) -> float:
    if x == y:
        return 1.0
    return x / y if y else math.inf


def smallest_p(n: int, m: int) -> float:
    """The least that `mann_whitney` can give for so many samples."""
    return 1 / math.comb(n + m, n)


def mann_whitney(high: Sequence[float], low: Sequence[float]) -> float:
    """Probability, were both of one distribution, of `high` lying as far above `low` as it does.

    Counted exactly up to 40 samples without ties, else by the normal approximation with corrections
    for ties and continuity.
    """
    n, m = len(high), len(low)
    ordered = sorted([*((v, 0) for v in high), *((v, 1) for v in low)])
    # Mid-ranks, and the sizes of groups of equal values.
    rank_sum, ties, i = 0.0, 0, 0
    while i < n + m:
        j = i
        while j < n + m and ordered[j][0] == ordered[i][0]:
            j += 1
        size = j - i
        rank_sum += (i + j + 1) / 2 * sum(side == 0 for _, side in ordered[i:j])
        ties += size**3 - size
        i = j
    u = rank_sum - n * (n + 1) / 2  # Pairs in which high is above low; ties count half.
    if not ties and n + m <= MAX_EXACT:
        ways = _ways(n, m)
        return sum(ways[round(u) :]) / math.comb(n + m, n)
    mean = n * m / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:  # All values are equal.
        return 1.0
    return 0.5 * math.erfc((u - mean - 0.5) / math.sqrt(2 * variance))


@cache
def _ways(n: int, m: int) -> tuple[int, ...]:
    """Orders of n and m samples by U, from 0 to n m: the coefficients of a Gaussian binomial."""
    if n == 0 or m == 0:
        return (1,)
    counts = [0] * (n * m + 1)
    # The largest of all is one of the n (above all m), or one of the m.
    for u, ways in enumerate(_ways(n - 1, m)):
        counts[u + m] += ways
    for u, ways in enumerate(_ways(n, m - 1)):
        counts[u] += ways
    return tuple(counts)
