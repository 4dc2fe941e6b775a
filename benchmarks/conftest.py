"""`pytest benchmarks/`: the benchmarks of `pyane bench`, results as JSON with `--bench-json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pyane
from pyane.bench.runner import Runner
from pyane.bench.settings import Settings
from pyane.cli.output_file import check_output
from pyane.errors import ConfigError


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pyane")
    group.addoption("--bench-json", type=Path, metavar="FILE", help="Write the results there.")
    group.addoption("--bench-device", metavar="NAME", help="As pyane.device; default: its own.")
    group.addoption("--bench-full", action="store_true", help="Full sizes, not the quick ones.")
    group.addoption("--bench-seconds", type=float, help="For which a case is sampled.")


def pytest_configure(config: pytest.Config) -> None:
    """Refuses now what could not be written after minutes."""
    path = config.getoption("--bench-json")
    try:
        if path is not None:
            check_output("--bench-json", path)
    except ConfigError as e:
        raise pytest.UsageError(str(e)) from e


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """One for all benchmarks, so that their results go into one file, however the run ends."""
    option = request.config.getoption
    settings = Settings(quick=not option("--bench-full"), seconds=option("--bench-seconds"))
    made = Runner(pyane.device(option("--bench-device")), settings)
    yield made
    path = option("--bench-json")
    if path is not None and made.result().benchmarks:
        made.result().save(path)
