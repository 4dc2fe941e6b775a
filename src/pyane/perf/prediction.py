"""What a prediction says."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Term:
    """A part of the predicted time.

    Attributes:
        name: "dispatch", "boundary", "arithmetic", "weights", "weight reuse", "spill", "rows"; of a
            training step "engine", "matrix products", "memory passes".
        seconds: How long it takes by itself.
        counts: Whether it is part of the sum; else something slower hides it.
        detail: What it is of: "4.3 GFLOP at 19.4 TFLOP/s".
    """

    name: str
    seconds: float
    counts: bool
    detail: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A predicted time on one chip. Nothing ran on an engine to make it.

    Attributes:
        chip: As in `pyane.chips`.
        what: "one evaluate", "evaluate in a loop" or "training step".
        seconds: The time.
        low, high: Where it should lie four times out of five: the spread of the points that the
            model was fitted to, and what is not known of this chip's constants.
        terms: What it consists of, and what hides behind.
        basis: "measured", "sibling" or "between": how close the fit's points are to this chip.
        notes: What to know about it.
        extra: Further figures by name. compile_seconds: cold, not part of `seconds`. Of a program
            dense_weight_seconds: reading those weights that are fp16. Of a training step
            engine_seconds, and engine_tflops, the engine's operations over the whole step.
    """

    chip: str
    what: str
    seconds: float
    low: float
    high: float
    terms: tuple[Term, ...]
    basis: str
    notes: tuple[str, ...] = ()
    extra: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def dominant(self) -> Term:
        """The largest part of the time."""
        return max((term for term in self.terms if term.counts), key=lambda term: term.seconds)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "chip": self.chip,
            "what": self.what,
            "seconds": self.seconds,
            "low": self.low,
            "high": self.high,
            "dominant": self.dominant.name,
            "basis": self.basis,
            "terms": [dataclasses.asdict(term) for term in self.terms],
            "extra": dict(self.extra),
            "notes": list(self.notes),
        }
