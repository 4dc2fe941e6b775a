"""What looks on while a run trains: progress or dashboard, JSON lines, TensorBoard."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..train.trainer import OnStep, StepReport

if TYPE_CHECKING:
    from ..train.efficiency import Device
    from ..train.session import Session


@dataclasses.dataclass(frozen=True)
class Watching:
    """Flags of `pyane train` that change nothing about the run.

    Attributes:
        jsonl: File for records in upstream's form.
        tensorboard: Write curves to the run folder.
        dashboard: Show the run live, where there is a terminal.
    """

    jsonl: Path | None
    tensorboard: bool
    dashboard: bool

    def check(self) -> None:
        """Refuse now what would fail after the preparations.

        Raises:
            ConfigError: A package is missing.
            CheckpointError: The JSON lines cannot be written.
        """
        if self.jsonl and not os.access(
            self.jsonl if self.jsonl.exists() else self.jsonl.parent, os.W_OK
        ):
            reason = "no permission" if self.jsonl.parent.is_dir() else "no such folder"
            msg = f"--jsonl {self.jsonl}: could not be opened ({reason})"
            raise CheckpointError(msg)
        if self.tensorboard:
            from ..train.tensorboard import check_installed

            check_installed()

    def flags(self) -> list[str]:
        """As on the command line."""
        flags = ["--jsonl", str(self.jsonl)] if self.jsonl else []
        flags += ["--tensorboard"] * self.tensorboard
        return flags + ["--dashboard"] * self.dashboard

    @contextlib.contextmanager
    def open(self, session: Session, device: Device) -> Iterator[OnStep]:
        """A function to give to `Trainer.train`, with a display while inside the block.

        Raises:
            CheckpointError: A file could not be opened.
        """
        with contextlib.ExitStack() as stack:
            watchers: list[OnStep] = []
            if self.jsonl:
                from ..train.step_log import StepLog

                log = StepLog(self.jsonl, device)
                stack.callback(log.close)
                watchers.append(log.on_step)
            if self.tensorboard:
                from ..train.tensorboard import TensorBoardLog

                board = TensorBoardLog(session.run.path / "tensorboard", session.trainer.step)
                stack.callback(board.close)
                watchers.append(board.on_step)
            watchers.append(stack.enter_context(self._display(session)))

            def on_step(report: StepReport) -> None:
                for watcher in watchers:
                    watcher(report)

            yield on_step

    def _display(self, session: Session) -> contextlib.AbstractContextManager[OnStep]:
        from .progress import show_progress

        if self.dashboard and sys.stdout.isatty():
            from .dashboard import show_dashboard

            return show_dashboard(session)
        return show_progress(session)
