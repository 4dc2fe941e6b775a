"""Benchmarks in processes of their own: an engine counts what a process compiles."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError
from .result import Benchmark, load


def run(name: str, options: Sequence[str]) -> Benchmark | None:
    """Run `pyane bench NAME` with these options in another process, which prints its own table.

    Returns:
        What it measured; None when it ended before it had measured anything.

    Raises:
        KeyboardInterrupt: After the process was told, and has ended; what it measured is lost
            unless the caller catches `Interrupted`.
    """
    with tempfile.TemporaryDirectory(prefix="pyane-bench-") as folder:
        file = Path(folder) / "part.json"
        command = [
            sys.executable,
            "-m",
            "pyane",
            "bench",
            name,
            "--part",
            "-o",
            str(file),
            *options,
        ]
        # A session of its own: Ctrl-C reaches this process, which passes it on once.
        process = subprocess.Popen(command, start_new_session=True)
        interrupted = False
        while True:
            try:
                process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                process.send_signal(signal.SIGINT)
        found: Benchmark | None = None
        with suppress(OSError, ConfigError):
            found = load(file).benchmark(name)
    if interrupted:
        raise Interrupted(found)
    return found


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while another process measured.

    Attributes:
        benchmark: What it had measured by then.
    """

    def __init__(self, benchmark: Benchmark | None) -> None:
        super().__init__()
        self.benchmark = benchmark
