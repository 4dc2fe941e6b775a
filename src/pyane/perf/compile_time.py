"""How long Apple's compiler takes, cold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import chips
from .constants import fitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .program_work import Workload


def compile_seconds(
    work: Workload, chip: str, *, programs: int = 1, fit: Mapping[str, Any] | None = None
) -> float:
    """Seconds of compiling `programs` programs like this one, nothing of them cached.

    A fixed cost each, and bytes of weights that are converted and written. The fixed cost is fitted
    for M1 and for M3 and later; M2's lies between.

    Raises:
        ConfigError: There is no such chip.
    """
    known = (fitted() if fit is None else fit)["compile"]
    generation = chips.find(chip).generation
    first, later = known["program_ms_m1"], known["program_ms_m3"]
    fixed = first if generation == 1 else later if generation > 2 else math.sqrt(first * later)
    dense = sum(weight.dense_bytes for weight in work.weights)
    return float(programs * (fixed * 1e-3 + dense * known["ms_per_mb"] * 1e-9))
