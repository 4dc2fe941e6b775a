from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyane
from pyane import ane


def reason(environment: dict[str, str], before: str = "", **variables: str) -> str:
    """What a process of its own says when it asks for the engine."""
    code = before + "\nimport pyane\nprint(pyane.device().name)\npyane.device('ane')\n"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "emulator\n", result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("pyane.errors.AneUnavailableError: "), result.stderr
    assert last.endswith('Use device="emulator"')
    return last


def test_framework_missing(fake: Any, environment: dict[str, str]) -> None:
    assert fake.path
    text = reason(environment, PYANE_ANE_FRAMEWORK="/nonexistent/AppleNeuralEngine")
    assert "AppleNeuralEngine.framework did not load (/nonexistent/AppleNeuralEngine: " in text


def test_classes_missing(fake: Any, environment: dict[str, str]) -> None:
    other = str(Path(fake.path).with_name("libfake_iosurface.so"))
    text = reason(environment, PYANE_ANE_FRAMEWORK=other)
    assert f"{other} has no class _ANEInMemoryModelDescriptor" in text


def test_virtual_machine(fake: Any, environment: dict[str, str]) -> None:
    before = f"import ctypes; ctypes.CDLL({fake.path!r}).fake_ane_set_machine(1, 1)"
    assert "this is a virtual machine" in reason(environment, before)


def test_no_engine(fake: Any, environment: dict[str, str]) -> None:
    before = f"import ctypes; ctypes.CDLL({fake.path!r}).fake_ane_set_machine(0, 0)"
    assert "_ANEDeviceInfo says this machine has none" in reason(environment, before)


def test_the_default_is_the_engine_where_there_is_one(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYANE_DEVICE", raising=False)
    assert pyane.device().name == "ane"
    fake.set_machine(1, 1)
    assert pyane.device().name == "emulator"
    monkeypatch.setenv("PYANE_DEVICE", "ane")
    with pytest.raises(pyane.AneUnavailableError, match="virtual machine"):
        pyane.device()


@pytest.mark.skipif(sys.platform == "darwin", reason="there the framework may be present")
def test_other_builds_say_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    if ane.device_info() is not None:
        pytest.skip("this build has the stand-in")
    assert "this build of pyane is not for macOS" in ane.unavailable_reason()
    monkeypatch.setenv("PYANE_DEVICE", "ane")
    with pytest.raises(pyane.AneUnavailableError, match="not for macOS"):
        pyane.device()
