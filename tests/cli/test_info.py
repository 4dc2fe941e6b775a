from __future__ import annotations

import json

import pytest

import backend
import pyane
from pyane import ane
from pyane.cli import main


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["info", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_a_report_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYANE_DEVICE", backend.device().name)
    told = facts(capsys)
    assert told["pyane"] == pyane.__version__
    assert told["device"] == backend.device().name
    assert told["limits"]["compile_limit"] > 0
    info = ane.device_info()
    if info is None:
        assert told["engine"] == {"unavailable": ane.unavailable_reason()}
    else:
        assert told["engine"]["architecture"] == info.architecture
        assert told["engine"]["chip_profile"] == info.chip_profile
        assert told["engine"]["n_cores"] == info.n_cores
    assert {"threads", "machine", "macOS", "python", "packages"} <= set(told)


def test_a_device_that_is_not_there_is_told_not_fatal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYANE_DEVICE", "abacus")
    assert facts(capsys)["device"].startswith("none: PYANE_DEVICE: must be one of")
    if ane.unavailable_reason():
        monkeypatch.setenv("PYANE_DEVICE", "ane")
        assert facts(capsys)["device"] == f"none: {ane.unavailable_reason()}"


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"pyane            {pyane.__version__}" in out
    assert "compile_limit" in out
