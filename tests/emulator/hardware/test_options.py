"""How an emulator of a chip is asked for."""

from __future__ import annotations

import math

import pytest

import pyane

pytestmark = pytest.mark.emulator


def test_one_device_per_set_of_options():
    assert pyane.device("emulator") is pyane.device("emulator", numerics="ieee")
    m1 = pyane.device(chip="m1", numerics="hardware")
    assert m1 is pyane.device("emulator", chip="M1", numerics=pyane.HardwareNumerics())
    assert m1 is not pyane.device("emulator")
    assert m1 is not pyane.device(chip="m2", numerics="hardware")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("emulator:m4", {"chip": "m4"}),
        ("emulator:m4max:hardware", {"chip": "m4max", "numerics": "hardware"}),
        ("emulator:hardware", {"chip": "m1", "numerics": "hardware"}),
        ("emulator:m1:strict:faithful", {"chip": "m1", "strict": True, "faithful": True}),
    ],
)
def test_options_in_the_name(name, options):
    assert pyane.device(name) is pyane.device("emulator", **options)


def test_environment(monkeypatch):
    monkeypatch.setenv("PYANE_CHIP", "m2")
    monkeypatch.setenv("PYANE_NUMERICS", "hardware")
    assert pyane.device("emulator") is pyane.device("emulator:m2:hardware")
    assert pyane.device("emulator", chip="m5").emulation.chip == "m5"
    monkeypatch.setenv("PYANE_NUMERICS", "exact")
    with pytest.raises(pyane.ConfigError, match=r"PYANE_NUMERICS: numerics must be .* 'exact'"):
        pyane.device("emulator")
    monkeypatch.delenv("PYANE_NUMERICS")
    monkeypatch.setenv("PYANE_DEVICE", "emulator:m3:hardware")
    assert pyane.device().emulation.chip == "m3"


def test_a_device_says_what_it_imitates():
    assert str(pyane.device("emulator")) == "emulator"
    device = pyane.device("emulator:m1:hardware:strict")
    assert repr(device) == "Device('emulator (m1, numerics=hardware, strict)')"
    numerics = pyane.HardwareNumerics(accumulator_bits=14)
    assert "accumulator_bits=14" in str(pyane.device(chip="m1", numerics=numerics))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chip": "m11"}, "'m11'"),
        ({"numerics": "fast"}, "numerics must be 'ieee' or 'hardware', got 'fast'"),
        ({"name": "emulator:m1:fast"}, "'fast'"),
        (
            {"name": "emulator:m1", "chip": "m2"},
            "chip is 'm1' in the device's name and 'm2' beside",
        ),
        ({"name": "emulator:m1:hardware", "numerics": "ieee"}, "'hardware' .* and 'ieee' beside"),
        ({"numerics": pyane.HardwareNumerics(accumulator="fp32")}, "accumulator .* got 'fp32'"),
        ({"numerics": pyane.HardwareNumerics(alignment="up")}, "alignment .* got 'up'"),
        ({"numerics": pyane.HardwareNumerics(accumulator_bits=53)}, "from 0 to 52, got 53"),
        ({"numerics": pyane.HardwareNumerics(mac_ceiling=0.0)}, "mac_ceiling .* got 0.0"),
        ({"numerics": pyane.HardwareNumerics(mac_ceiling=math.nan)}, "mac_ceiling .* got nan"),
        ({"name": "ane", "chip": "m1"}, "chip is for the emulator"),
    ],
    ids=str,
)
def test_impossible_options(options, message):
    with pytest.raises(pyane.ConfigError, match=message):
        pyane.device(**options)
