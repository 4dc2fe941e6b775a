from __future__ import annotations

import getpass
import json
import platform
import socket
from pathlib import Path
from typing import Any

import pytest

import backend
import pyane
from pyane import ane
from pyane.bench import host
from pyane.bench.runner import Runner


def test_an_emulator_says_what_it_imitates() -> None:
    facts = host.device_facts(pyane.device("emulator:m4max:hardware:strict:faithful"))
    assert (facts.kind, facts.chip, facts.product) == ("emulator", "m4max", "M4 Max")
    assert (facts.numerics, facts.strict, facts.faithful) == ("hardware", True, True)
    assert str(facts) == (
        "emulator (CPU; not an ANE), as M4 Max, hardware arithmetic, strict, faithful"
    )
    plain = host.device_facts(pyane.device("emulator"))
    assert (plain.kind, plain.chip, plain.numerics, plain.strict) == (
        "emulator",
        None,
        "ieee",
        False,
    )


def test_the_stand_in_is_not_taken_for_an_engine() -> None:
    if backend.device().name != "ane":
        pytest.skip("needs the stand-in for the engine")
    info = ane.device_info()
    assert info is not None
    facts = host.device_facts(backend.device())
    expected = "ane" if info.framework_path.startswith("/System/Library/") else "stand-in"
    assert facts.kind == expected
    assert facts.numerics == ("engine" if expected == "ane" else "ieee")


@pytest.mark.parametrize(
    ("framework", "kind"),
    [
        ("/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/AppleNeuralEngine", "ane"),
        ("/tmp/libfake_ane.so", "stand-in"),
    ],
)
@pytest.mark.parametrize(
    ("cpu", "chip"), [("Apple M4 Pro", "m4pro"), ("Apple M9 Ultra", "m4"), ("VirtualApple", "m4")]
)
def test_chip_of_an_engine(
    framework: str, kind: str, cpu: str, chip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU's name tells M4 Pro from M4; the engine's architecture only the generation."""
    info = ane.DeviceInfo(framework, True, False, 1, 16, "h16g", "", 0, "macOS", "25A1")
    monkeypatch.setattr(ane, "device_info", lambda: info)
    monkeypatch.setattr(host, "cpu_name", lambda: cpu)

    class Engine:
        name, emulation = "ane", None

    device: Any = Engine()
    facts = host.device_facts(device)
    assert (facts.kind, facts.chip, facts.architecture) == (kind, chip, "h16g")
    assert str(facts).startswith("ANE, " if kind == "ane" else "stand-in (CPU; not an ANE)")


def test_results_tell_nothing_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "6.1.0-janes-laptop-1")
    text = json.dumps(Runner(pyane.device("emulator")).result().to_dict())
    assert "janes" not in text
    secrets = {socket.gethostname(), str(Path.home()), str(Path.cwd())}
    if len(getpass.getuser()) > 4:  # "root" is part of other words
        secrets.add(getpass.getuser())
    assert not [secret for secret in secrets if len(secret) > 4 and secret in text]


def test_host() -> None:
    facts = host.host_facts()
    assert facts.threads == pyane.num_threads()
    assert facts.python == platform.python_version()
    assert facts.cores is not None
    assert facts.cores >= 1
    assert facts.memory_gb is not None
    assert 0.1 < facts.memory_gb < 1e5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see /tmp/x/y.mil.", "see <path>"),
        ("@model_path/weights/w.bin: 12 GB/s, 1/2", "@model_path/weights/w.bin: 12 GB/s, 1/2"),
        ("'/var/folders/ab/T/f' failed", "'<path>' failed"),
        ("a line\n  /Users/me/a.mil:3:4: no", "a line\n  <path>:3:4: no"),
    ],
)
def test_without_paths(text: str, expected: str) -> None:
    assert host.without_paths(text) == expected
