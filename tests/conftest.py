from __future__ import annotations

import signal
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pyane._core import base

# Shells start background jobs with SIGINT ignored, nohup does so with SIGHUP, and the commands under
# test would inherit that.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _emulator_only(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests marked `emulator` are about the emulator, on whatever device the suite runs."""
    # Not the fixture monkeypatch, which would then outlive those that count what a test leaves.
    with pytest.MonkeyPatch.context() as environment:
        if request.node.get_closest_marker("emulator"):
            environment.setenv("PYANE_DEVICE", "emulator")
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded from the test's id: every test has its own numbers, and always the same."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real third-party inputs kept beside the checkout; tests that use them skip without."""
    path = Path(__file__).parents[1] / ".." / "shared" / "data"
    if not path.is_dir():
        pytest.skip("real inputs not found at ../shared/data")
    return path.resolve()


@pytest.fixture
def full_device() -> str:
    """A device on which every write fails, as on a full disk."""
    path = "/dev/full"
    if sys.platform != "linux":
        pytest.skip("only Linux has /dev/full")
    assert Path(path).is_char_device()
    return path


@pytest.fixture(params=base.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set that this CPU has, in turn, for what is compiled in the test."""
    before = base.isa()
    base.set_isa(request.param)
    yield request.param
    base.set_isa(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was skipped and why, one line a reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, n in reasons.most_common():
        terminalreporter.write_line(f"skipped {n}: {reason}")
