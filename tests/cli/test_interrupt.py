"""Ctrl-C while the command is still loading."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from pyane.cli import app

# What the installed script does, after a sign of life.
SCRIPT = "import sys; from _pyane_command import main; print(flush=True); sys.exit(main())"


@pytest.mark.parametrize("delay_ms", [30, 100, 200, 300])
def test_no_traceback(delay_ms: int) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "train", "--story-bytes", "30000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(delay_ms / 1e3)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "pyane: interrupted\n")


def test_interrupt_that_is_ignored_stays_so() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "import sys; sys.argv = ['pyane', '--version']\n"
    code += "from _pyane_command import main; main()\n"
    code += "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_interrupt_while_arguments_are_parsed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer's exit code without a word, seen when Ctrl-C comes before the command is entered."""
    monkeypatch.setattr(app, "app", lambda *_, **__: 130)
    assert app.main(["info"]) == 130
    assert capsys.readouterr().err == "pyane: interrupted\n"
