"""The training step of stories110m on two and four threads, beside one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from pyane._core import base

from .harness import Row, Settings, seconds, take_turns
from .training import WORK
from .worker import Worker

TARGETS = {2: 1.85, 4: 3.4}


def rows(settings: Settings) -> Iterator[Row]:
    counts = [n for n in (1, *TARGETS) if n <= base.usable_cores()]
    with ExitStack() as stack:
        workers = {
            n: stack.enter_context(Worker("training_steps", "pyane-dynamic", n)) for n in counts
        }
        found = take_turns({str(n): worker for n, worker in workers.items()}, settings.rounds(9))
    one = seconds(found["1"]).as_rate(1, "steps/s")
    for n in counts[1:]:
        mine = seconds(found[str(n)]).as_rate(1, "steps/s")
        yield Row(f"{WORK}, dynamic", n, mine, "one thread", one, TARGETS[n], at_most=False)
