"""The community's cross-generation report as data: community.json, read.

Source: the benchmark report of maderix/ANE, compiled 2026-03-04 from submissions to its issue 3. Every
figure is as its contributors posted it; nobody here has measured any of them.

    >>> from pyane.report import community
    >>> [str(row.ms_per_step) for row in community.load().training if row.chip == "m4pro"]
    ['69-73']
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from .quantity import Quantity
from .rows import PeakRow, SustainedRow, TrainingRow


@dataclasses.dataclass(frozen=True)
class Claim:
    """One thing that the report's authors say, in our words.

    Attributes:
        id: Its name.
        text: The sentence, its figures filled in; code between backticks.
        values: The figures by name.
    """

    id: str
    text: str
    values: Mapping[str, Quantity]


@dataclasses.dataclass(frozen=True)
class ClaimGroup:
    """Claims about some chips."""

    title: str
    chips: tuple[str, ...]
    claims: tuple[Claim, ...]


@dataclasses.dataclass(frozen=True)
class Feature:
    """A row of the compatibility matrix.

    Attributes:
        id: Its name.
        name: The first column.
        cells: What the community found, by chip: YES, FAIL, PARTIAL, FLEX, ch=512 or ?.
    """

    id: str
    name: str
    cells: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class PlatformIssue:
    """What to know about versions of macOS; code between backticks."""

    versions: str
    text: str


@dataclasses.dataclass(frozen=True)
class ChartAxis:
    """What a chart of the report shows.

    Attributes:
        ticks: Numbers on its axis.
        products: Rows, in order.
    """

    ticks: tuple[float, ...]
    products: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Community:
    """The report.

    Attributes:
        title: Headline.
        compiled: Date on which its authors compiled it.
        source: What it comes from, a sentence.
        model: Sections of the model's configuration, as in the file.
        pipeline: Of the training table.
        training, peak, sustained: The tables.
        peak_configuration: depth, channels and spatial of the peak table.
        peak_notes, sustained_notes: Sentences below them.
        charts: By name: training, peak, sustained.
        findings: The authors' findings.
        compatibility: The matrix of MIL features.
        platform_issues: Of macOS.
        contribute_where: Where the authors want results.
        contribute_commands: Their commands.
        contribute_include: What they ask for.
        contributors: Handles, as listed at its end.
    """

    title: str
    compiled: str
    source: str
    model: Mapping[str, Any]
    pipeline: str
    training: tuple[TrainingRow, ...]
    peak: tuple[PeakRow, ...]
    sustained: tuple[SustainedRow, ...]
    peak_configuration: Mapping[str, int]
    peak_notes: tuple[str, ...]
    sustained_notes: tuple[str, ...]
    charts: Mapping[str, ChartAxis]
    findings: tuple[ClaimGroup, ...]
    compatibility: tuple[Feature, ...]
    platform_issues: tuple[PlatformIssue, ...]
    contribute_where: str
    contribute_commands: tuple[str, ...]
    contribute_include: tuple[str, ...]
    contributors: tuple[str, ...]

    def rates(self) -> dict[str, dict[tuple[int, int, int], Quantity]]:
        """TFLOPS by product and configuration (depth, channels, spatial) of the peak benchmark."""
        table = self.peak_configuration
        place = (table["depth"], table["channels"], table["spatial"])
        found = {row.product: {place: row.tflops} for row in self.peak if row.tflops}
        best = self.claim("m3-peak").values
        widest = (int(best["depth"].low), int(best["channels"].low), int(best["spatial"].low))
        (product,) = (row.product for row in self.peak if row.chip == "m3pro")
        found[product][widest] = best["tflops"]
        return found

    def claim(self, name: str) -> Claim:
        """The claim with this id.

        Raises:
            KeyError: There is none.
        """
        for group in self.findings:
            for claim in group.claims:
                if claim.id == name:
                    return claim
        raise KeyError(name)


@functools.cache
def load() -> Community:
    """Read community.json of the package."""
    text = resources.files(__package__).joinpath("community.json").read_text("utf-8")
    data = json.loads(text)
    peak, sustained, contribute = data["peak"], data["sustained"], data["contribute"]
    return Community(
        title=data["title"],
        compiled=data["compiled"],
        source=data["source"]["description"],
        model=data["model"],
        pipeline=data["training"]["pipeline"],
        training=tuple(_training(row) for row in data["training"]["rows"]),
        peak=tuple(_peak(row) for row in peak["rows"]),
        sustained=tuple(_sustained(row, sustained["window_seconds"]) for row in sustained["rows"]),
        peak_configuration=peak["configuration"],
        peak_notes=tuple(note.format(**peak["note_values"]) for note in peak["notes"]),
        sustained_notes=tuple(sustained["notes"]),
        charts={
            chart["id"]: ChartAxis(tuple(chart["ticks"]), tuple(chart["products"]))
            for chart in data["charts"]
        },
        findings=tuple(_claims(group) for group in data["findings"]),
        compatibility=_features(data["compatibility"]),
        platform_issues=tuple(
            PlatformIssue(issue["versions"], issue["text"].format(**issue["values"]))
            for issue in data["macos"]
        ),
        contribute_where=contribute["where"],
        contribute_commands=tuple(contribute["commands"]),
        contribute_include=tuple(contribute["include"]),
        contributors=tuple(data["contributors"]),
    )


def _training(row: Mapping[str, Any]) -> TrainingRow:
    return TrainingRow(
        chip=row["chip"],
        product=row["product"],
        ms_per_step=Quantity.of(row["ms_per_step"]),
        ane_ms=Quantity.of(row["ane_ms"]),
        compile_seconds_per_10=Quantity.of(row["compile_seconds_per_10"]),
        ane_tflops=Quantity.of(row["ane_tflops"]),
        utilisation_percent=Quantity.of(row["utilisation_percent"]),
        contributors=(row["contributor"],) if row["contributor"] else (),
        note=row.get("note", ""),
        footnote=row.get("footnote", ""),
    )


def _peak(row: Mapping[str, Any]) -> PeakRow:
    return PeakRow(
        chip=row["chip"],
        product=row["product"],
        ne_cores=row["ne_cores"],
        status=row["status"],
        tflops=None if row["tflops"] is None else Quantity.of(row["tflops"]),
        rated_tops=row["rated_tops"],
        rated_note=row.get("rated_note", ""),
        note=row.get("note", ""),
    )


def _sustained(row: Mapping[str, Any], window_seconds: float) -> SustainedRow:
    return SustainedRow(
        chip=row["chip"],
        product=row["product"],
        tflops=Quantity.of(row["tflops"]),
        percent=Quantity.of(row["percent_of_rated"]),
        percent_of="rated",
        window_seconds=window_seconds,
    )


def _claims(group: Mapping[str, Any]) -> ClaimGroup:
    claims = []
    for claim in group["claims"]:
        values = {name: Quantity.of(value) for name, value in claim.get("values", {}).items()}
        claims.append(Claim(claim["id"], claim["text"].format(**values), values))
    return ClaimGroup(group["title"], tuple(group["chips"]), tuple(claims))


def _features(matrix: Mapping[str, Any]) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            feature["id"],
            feature["name"],
            dict(zip(matrix["chips"], feature["cells"], strict=True)),
        )
        for feature in matrix["features"]
    )
