from __future__ import annotations

import json

import numpy as np
import pytest

import backend
import pyane
from pyane import doctor
from pyane.cli import main


def test_every_check_passes() -> None:
    outcomes = list(doctor.examine(backend.device()))
    assert [outcome.name for outcome in outcomes] == [check.name for check in doctor.CHECKS]
    for outcome in outcomes:
        assert outcome.status == "ok", outcome
        assert outcome.evaluate_us is not None


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    name = backend.device().name
    assert main(["doctor", "--device", name]) == 0
    out = capsys.readouterr().out
    assert f"pyane doctor: device {name}" in out
    assert f"all {len(doctor.CHECKS)} work on {name}" in out
    assert main(["doctor", "--device", name, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["device"] == name
    assert report["info"]["pyane"] == pyane.__version__
    assert {check["status"] for check in report["checks"]} == {"ok"}


def test_wrong_numbers_and_errors_are_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = doctor.CHECKS[0]

    def off(rng: np.random.Generator) -> object:
        program, inputs, expected, bounds = good.make(rng)
        return program, inputs, {"y": expected["y"] + 1}, bounds

    def refused(rng: np.random.Generator) -> object:
        return (str(good.make(rng)[0]).replace("add(", "frobnicate("), *good.make(rng)[1:])

    checks = (
        doctor.Check("off", "", off),  # type: ignore[arg-type]
        doctor.Check("refused", "", refused),  # type: ignore[arg-type]
        good,
    )
    monkeypatch.setattr(doctor, "CHECKS", checks)
    monkeypatch.setattr(doctor.examine, "__defaults__", (checks,))
    wrong, error, ok = doctor.examine(backend.device())
    assert wrong.status == "wrong"
    assert "should be" in wrong.detail
    assert "of 1024 values are wrong" in wrong.detail
    assert error.status == "error"
    assert "frobnicate" in error.detail or "ANECCompile" in error.detail
    assert ok.status == "ok"
    assert main(["doctor", "--device", backend.device().name]) == 1
    assert "2 of 3 failed. Please open an issue" in capsys.readouterr().out


def test_compile_limit_of_the_emulator() -> None:
    outcome = doctor.compile_limit(pyane.device("emulator"))
    assert (outcome.status, outcome.detail) == ("ok", "emulator has none")
