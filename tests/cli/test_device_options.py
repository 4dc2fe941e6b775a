"""--chip, --numerics, --strict and --faithful."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mil_text
from pyane.cli import main

pytestmark = pytest.mark.emulator


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x = np.zeros((1, 1, 1, 32), np.float16)
    (tmp_path / "log.mil").write_text(
        mil_text.single("log", {"x": x}, "float16", x.shape, epsilon=np.float16(0))
    )
    (tmp_path / "sin.mil").write_text(mil_text.single("sin", {"x": x}, "float16", x.shape))
    np.savez(tmp_path / "zeros.npz", x=x)
    return tmp_path


def test_run_with_a_chips_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "log.mil", "--input", "zeros.npz", "--output", "out.npz"]
    chosen = ["--chip", "m1", "--numerics", "hardware"]
    assert main([*given, *chosen, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["device"] == "emulator (m1, numerics=hardware)"
    assert (np.load("out.npz")["result"] == -45440).all()
    assert main([*given, "--device", "emulator"]) == 0
    assert (np.load("out.npz")["result"] == -np.inf).all()


def test_strict_run(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "sin.mil", "--input", "zeros.npz"]
    assert main([*given, "--chip", "m1", "--strict"]) == 1
    assert "m1 refuses this program" in capsys.readouterr().err
    assert main([*given, "--device", "emulator:m3:strict"]) == 0


def test_info_says_what_is_imitated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYANE_DEVICE", "emulator:m4:hardware")
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "emulator (m4, numerics=hardware)"


def test_an_unknown_arithmetic_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", "log.mil", "--input", "zeros.npz", "--numerics", "fast"])
    assert code != 0
    assert "'fast'" in capsys.readouterr().err
