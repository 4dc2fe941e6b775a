"""Where the community's report says one thing in its tables and another in its findings."""

from __future__ import annotations

from collections.abc import Iterator

from .community import Community
from .quantity import Quantity, merged
from .rows import TrainingRow


def disagreements(report: Community) -> tuple[str, ...]:
    """Sentences about figures of the findings that do not follow from the tables."""
    return (*_m1_range(report), *_gain(report), *_single_figures(report))


def agrees(claimed: Quantity, found: Quantity) -> bool:
    """Whether a claim says the same as a table, to the decimals of the claim.

    A single figure agrees with a range that holds it.
    """
    if claimed.is_range or claimed.approximate:
        return _rounded_like(claimed, found) == (claimed.low, claimed.high)
    low, high = _rounded_like(claimed, found)
    return low <= claimed.low <= high


def _rounded_like(claimed: Quantity, found: Quantity) -> tuple[float, float]:
    decimals = len(str(claimed).rpartition("-")[2].partition(".")[2])
    return round(found.low, decimals), round(found.high, decimals)


def spatial_gain(report: Community) -> Quantity:
    """Throughput at the claim's widest extent over that in the peak table."""
    best = report.claim("m3-peak").values["tflops"]
    (chip,) = next(group.chips for group in report.findings if "m3pro" in group.chips)
    (table,) = (row.tflops for row in report.peak if row.chip == chip and row.tflops)
    return best / table


def _m1_range(report: Community) -> Iterator[str]:
    claimed = report.claim("m1-training-speed").values["ms_per_step"]
    found = merged(row.ms_per_step for row in _rows(report, "m1pro", "m1max"))
    if found and not agrees(claimed, found):
        yield (
            f"Training on M1 chips: {claimed} ms a step in the findings, {found} in the table's rows."
        )


def _gain(report: Community) -> Iterator[str]:
    values = report.claim("m3-spatial").values
    gain = spatial_gain(report).rounded()
    if not agrees(values["gain"], gain) or str(gain) != str(values["gain"]):
        yield (
            f"Gain of M3 Pro from spatial {values['spatial_from']} to {values['spatial_to']}: a factor "
            f"of {values['gain']} in the findings, {gain} by the figures."
        )


def _single_figures(report: Community) -> Iterator[str]:
    for name, chip in (("m4pro-speed", "m4pro"), ("m4max-speed", "m4max")):
        claimed = report.claim(name).values["ms_per_step"]
        for row in _rows(report, chip):
            if not agrees(claimed, row.ms_per_step):
                yield (
                    f"Training on {row.product}: {claimed} ms a step in the findings, "
                    f"{row.ms_per_step} in the table."
                )
    like = {row.chip: row.ms_per_step for row in report.training}
    ratio = (like["m5"] / like["m3ultra"]).rounded(3)
    if ratio.low > 1:
        yield (
            "M5 is called comparable to M3 Ultra in training; by the table it takes "
            f"{ratio} times as long."
        )


def _rows(report: Community, *chips: str) -> list[TrainingRow]:
    return [row for row in report.training if row.chip in chips]
