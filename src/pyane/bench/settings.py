"""What decides sizes of benchmarks and how long they measure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError

if TYPE_CHECKING:
    from .result import Scalar

RECORDS: Final = ("official", "hand-made")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run. Results of different settings are not compared.

    Attributes:
        quick: Smaller sizes and less time a case: all benchmarks within five minutes on two cores
            of an emulator.
        seconds: For which a case is sampled; None: 0.25 if quick, else 2. A case of the sustained
            benchmark takes five in any case.
        min_runs: Samples of a case at least, however long they take. With fewer than five a side
            no difference can be told from noise (`compare`).
        max_runs: Samples of a case at most.
        limit: Seconds that a case may take. One that would take longer, by the rate of the one
            before it, is skipped; one that does ends with fewer samples. None: 60 if quick, else 600.
        seed: Of inputs and weights.
        weight_records: How weight files are written where a benchmark does not try both: "official"
            (Apple's layout) or "hand-made" (as the community's benchmark programs do: size and
            offset are wrong, which some chips refuse).

    Raises:
        ConfigError: A value out of range.
    """

    quick: bool = False
    seconds: float | None = None
    min_runs: int = 5
    max_runs: int = 500
    limit: float | None = None
    seed: int = 1
    weight_records: str = "official"

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 <= self.seconds <= 3600:
            msg = f"seconds must be from 0 to 3600, got {self.seconds}"
            raise ConfigError(msg)
        if self.limit is not None and not 0 < self.limit <= 86400:
            msg = f"limit must be positive and at most 86400 seconds, got {self.limit}"
            raise ConfigError(msg)
        if not 1 <= self.min_runs <= self.max_runs <= 100_000:
            msg = (
                "min_runs and max_runs must be 1 <= min_runs <= max_runs <= 100000, "
                f"got {self.min_runs} and {self.max_runs}"
            )
            raise ConfigError(msg)
        if self.weight_records not in RECORDS:
            msg = f"weight_records must be one of {', '.join(RECORDS)}, got '{self.weight_records}'"
            raise ConfigError(msg)

    @property
    def seconds_per_case(self) -> float:
        """`seconds`, or its default."""
        return self.seconds if self.seconds is not None else 0.25 if self.quick else 2.0

    @property
    def seconds_at_most(self) -> float:
        """`limit`, or its default."""
        return self.limit if self.limit is not None else 60.0 if self.quick else 600.0

    def asdict(self) -> dict[str, Scalar]:
        """For a result."""
        return {
            **asdict(self),
            "seconds": self.seconds_per_case,
            "limit": self.seconds_at_most,
        }
