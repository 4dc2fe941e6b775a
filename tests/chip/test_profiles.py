from __future__ import annotations

import pytest

import pyane
from pyane import chips

STATUSES = {"measured", "decompiled", "published", "predicted", "inferred", "contested"}


def test_every_product_is_there_once() -> None:
    names = [chip.name for chip in chips.all_chips()]
    assert names == [
        *("m1", "m1pro", "m1max", "m1ultra", "m2", "m2pro", "m2max", "m2ultra"),
        *("m3", "m3pro", "m3max", "m3ultra", "m4", "m4pro", "m4max", "m5", "m5pro", "m5max"),
    ]


@pytest.mark.parametrize("chip", chips.all_chips(), ids=lambda chip: chip.name)
def test_every_fact_says_how_it_is_known(chip: chips.Chip) -> None:
    for group in (chip.identity, chip.limits, chip.quirks, chip.numerics, chip.rates):
        assert group
        for fact in group.values():
            assert fact.status in STATUSES, fact.name
            assert fact.source, f"{chip.name}: {fact.name} has no source"
            assert fact.description
            # "measured" is said of the product itself only.
            if fact.status == "measured":
                assert chip.name in fact.measured_on.split(), fact.name


@pytest.mark.parametrize("name", ["m1max", "M1 Max", "m1-max", "M1_MAX", "m1 max"])
def test_spellings_of_a_name(name: str) -> None:
    assert chips.find(name).name == "m1max"


def test_unknown_name() -> None:
    with pytest.raises(pyane.ConfigError, match=r"got 'm1mac'; did you mean 'm1max'\?"):
        chips.find("m1mac")
    with pytest.raises(pyane.ConfigError, match="chip: must be one of m1, m1pro"):
        chips.find("")


def test_measured_on_one_product_is_inferred_on_its_sibling() -> None:
    assert chips.find("m1max").numerics["mac_ceiling"].status == "measured"
    assert chips.find("m1").numerics["mac_ceiling"].status == "inferred"
    assert chips.find("m1").numerics["mac_ceiling"].value == 32768.0


# ANE_FACTS' published numbers, one per kind of difference between generations.
@pytest.mark.parametrize(
    ("group", "name", "values"),
    [
        ("identity", "architecture", ["h13", "h14", "h15", "h16", "h17"]),
        ("limits", "max_width", [16384, 16384, 16384, 65536, 65536]),
        ("limits", "max_kernel_width", [13, 15, 15, 15, 15]),
        ("quirks", "has_texture_unit", [False, True, True, True, True]),
        ("quirks", "has_trigonometry", [False, False, True, True, True]),
        ("quirks", "streams_int8", [False, True, True, True, True]),
        ("quirks", "checks_blob_size", [True, True, True, False, False]),
        ("quirks", "checks_blob_data_offset", [True, True, False, False, False]),
        ("numerics", "width_slice_saturates", [True, True, False, False, False]),
        ("numerics", "w_slice_concat_wrong", [True, True, True, False, False]),
        ("numerics", "rounds_ties_away", [False, False, True, True, True]),
        ("numerics", "flush_mac_denormals", [True, True, False, False, False]),
    ],
)
def test_generations(group: str, name: str, values: list[object]) -> None:
    bases = ["m1", "m2", "m3", "m4", "m5"]
    assert [getattr(chips.find(base), group)[name].value for base in bases] == values


def test_peak_follows_the_clock() -> None:
    # ane-guide ch.9: 12 TFLOP/s on M1 Max, 19.6 on M5 Pro; Apple: 15.8 on M2.
    assert chips.find("m1max").rates["peak_fp16_tflops"].value == pytest.approx(12.0, rel=0.01)
    assert chips.find("m2").rates["peak_fp16_tflops"].value == pytest.approx(15.8, rel=0.01)
    assert chips.find("m5pro").rates["peak_fp16_tflops"].value == 19.6


def test_text_of_a_chip() -> None:
    chip = chips.find("m4")
    assert repr(chip) == "Chip('m4', h16)"
    assert "max_width = 65536  (measured: 751K-ANE" in str(chip)
