"""Running benchmarks one case after the other, and keeping what was measured whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import CompileBudgetError, CompileError, Error, UnsupportedOpError
from . import host
from .measure import Bench, Plan, Skip, WrongResult
from .registry import select
from .result import Benchmark, Case, Result
from .settings import Settings

if TYPE_CHECKING:
    from ..device import Device
    from . import measure

MAX_REASON = 2000


class Watcher(Protocol):
    """Who looks on; every method may do nothing."""

    def begin(self, benchmark: measure.Benchmark, n_cases: int) -> None:
        """A benchmark begins."""

    def begin_case(self, name: str) -> None:
        """A case begins."""

    def end_case(self, case: Case) -> None:
        """A case has ended, well or not."""

    def end(self, benchmark: Benchmark) -> None:
        """A benchmark has ended."""


class Runner:
    """Runs benchmarks on a device. `result` is right at any time, also after an interrupt.

    Args:
        device: Where programs run.
        settings: Sizes and durations; None: the defaults.
        contributor: Handle that goes into the result.
        notes: Text that goes into the result.
    """

    def __init__(
        self,
        device: Device,
        settings: Settings | None = None,
        *,
        contributor: str | None = None,
        notes: str | None = None,
    ) -> None:
        self._created = host.now()
        self._software = host.software()
        self._host = host.host_facts()
        self._contributor = contributor
        self._notes = notes
        self._done: list[Benchmark] = []
        self._bench = Bench(device, host.device_facts(device), settings or Settings())

    def result(self) -> Result:
        """All that has been measured so far."""
        return Result(
            created=self._created,
            pyane=self._software,
            device=self._bench.facts,
            host=self._host,
            settings=self._bench.settings.asdict(),
            benchmarks=tuple(self._done),
            contributor=self._contributor,
            notes=self._notes,
        )

    def run(self, names: Sequence[str], watcher: Watcher | None = None) -> Result:
        """Run benchmarks by name; "all" is all of them.

        A case that the device refuses, that gives wrong numbers or fails is told as such, and does
        not keep others from running.

        Raises:
            ConfigError: There is no such benchmark.
            KeyboardInterrupt: `result` has what was measured before.
        """
        for benchmark in select(names):
            self._run(benchmark, watcher)
        return self.result()

    def add(self, benchmark: Benchmark) -> None:
        """Take over what another process has measured."""
        self._done.append(benchmark)

    def _run(self, benchmark: measure.Benchmark, watcher: Watcher | None) -> None:
        plans = list(benchmark.plans(self._bench))
        if watcher is not None:
            watcher.begin(benchmark, len(plans))
        cases: list[Case] = []
        try:
            for plan in plans:
                if watcher is not None:
                    watcher.begin_case(plan.name)
                try:
                    cases.append(_measure(plan))
                except KeyboardInterrupt:
                    cases.append(_not(plan, "skipped", "interrupted"))
                    raise
                if watcher is not None:
                    watcher.end_case(cases[-1])
        finally:
            findings = tuple(benchmark.findings(self._bench, cases))
            self._done.append(Benchmark(benchmark.name, tuple(cases), findings))
        if watcher is not None:
            watcher.end(self._done[-1])


def _measure(plan: Plan) -> Case:
    try:
        return Case(plan.name, plan.parameters, metrics=plan.measure())
    except (Skip, CompileBudgetError) as e:
        return _not(plan, "skipped", str(e))
    except (CompileError, UnsupportedOpError) as e:
        return _not(plan, "refused", str(e))
    except (WrongResult, Error) as e:
        return _not(plan, "failed", str(e))
    except MemoryError:
        return _not(plan, "failed", "out of memory")


def _not(plan: Plan, status: str, why: str) -> Case:
    told = host.without_paths(why).strip() or "no reason given"
    if len(told) > MAX_REASON:
        told = told[: MAX_REASON - 4] + " ..."
    return Case(plan.name, plan.parameters, status, told)
