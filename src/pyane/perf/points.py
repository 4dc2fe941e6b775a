"""Published timings: what the model is fitted to, and what it is judged by."""

from __future__ import annotations

import dataclasses
import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from . import programs
from .program_reader import workload
from .program_work import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..report.rows import TrainingRow


@dataclasses.dataclass(frozen=True)
class Point:
    """A published timing of a program.

    Attributes:
        id: Its number.
        series: Points of a series alternate between the halves.
        chip: As in `pyane.chips`.
        program: What ran: `kind` and the parameters of `programs.build`.
        mode: "single", "loop" or "compile".
        figure, unit: As published: us, ms, s, GFLOP/s.
        source: The original.
        held_out: In the half that is judged by; else in that which is fitted to.
        n_programs: Of a compilation.
        note: Assumptions, and what is odd about it.
    """

    id: str
    series: str
    chip: str
    program: Mapping[str, Any]
    mode: str
    figure: float
    unit: str
    source: str
    held_out: bool
    n_programs: int = 1
    note: str = ""

    @property
    def kind(self) -> str:
        """Of the program; of matrix products their form of weights as well."""
        form = self.program.get("form", "dense")
        kind = str(self.program["kind"])
        if kind == "matmul" and self.program["rows"] == 1:
            kind = "matrix by vector"
        return kind if form == "dense" else f"{kind}, {form} weights"

    @property
    def label(self) -> str:
        """What ran, for people."""
        return ", ".join(
            f"{value}" if key == "kind" else f"{key} {value}" for key, value in self.program.items()
        )

    @functools.cached_property
    def work(self) -> Workload:
        """What the program asks for."""
        parameters = {k: v for k, v in self.program.items() if k != "kind"}
        return workload(programs.build(self.program["kind"], parameters))

    @property
    def seconds(self) -> float:
        """The figure as a time."""
        scale = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
        if self.unit in scale:
            return self.figure * scale[self.unit]
        return self.work.matrix_flops / (self.figure * 1e9)


def _file() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("points.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@functools.cache
def load() -> tuple[Point, ...]:
    """points.json of the package."""
    made: list[Point] = []
    seen: dict[str, int] = {}
    for row in _file()["points"]:
        place = seen[row["series"]] = seen.get(row["series"], 0) + 1
        made.append(_point(row, held_out=place % 2 == 0))
    return tuple(made)


@functools.cache
def networks() -> tuple[Point, ...]:
    """Whole networks: none is fitted to, and too few to judge by."""
    return tuple(_point(row, held_out=True) for row in _file()["networks"])


def _point(row: dict[str, Any], *, held_out: bool) -> Point:
    return Point(
        id=row["id"],
        series=row["series"],
        chip=row["chip"],
        program=row["program"],
        mode=row["mode"],
        figure=row["figure"],
        unit=row["unit"],
        source=row["source"],
        held_out=held_out,
        n_programs=row.get("programs", 1),
        note=row.get("note", ""),
    )


def excluded() -> tuple[tuple[str, str], ...]:
    """Published figures that are no points: which, and why."""
    return tuple((what, why) for what, why in _file()["excluded"])


@dataclasses.dataclass(frozen=True)
class OtherStep:
    """A training step published elsewhere, of which not enough is known to fit or to judge by."""

    chip: str
    preset: str
    pipeline: str
    ms: float
    source: str
    note: str


def other_steps() -> tuple[OtherStep, ...]:
    """Of points.json; shown, and in neither half."""
    return tuple(OtherStep(**row) for row in _file()["other_steps"])


def training_rows() -> tuple[tuple[TrainingRow, bool], ...]:
    """Rows of the community's training table, and whether each is held out."""
    from ..report import community  # noqa: PLC0415 -- the report may show predictions

    return tuple((row, place % 2 == 1) for place, row in enumerate(community.load().training))
