"""The community's cross-generation report (maderix/ANE, issue 3), out of the profiles by mechanism.

The report reads as a rule about channels and files; checking size and offset (M1), size (M3) or neither
(M4, M5) of weight records gives the same table. pyane.report.compatibility has the programs.
"""

from __future__ import annotations

import pytest

import pyane
from pyane.errors import ConfigError
from pyane.report.compatibility import (
    convolutions,
    hand_made_record,
    matrix,
    takes_every_count,
    takes_whole_records,
    weight_file,
)

REPORT = """
program      PARTIAL  YES      YES    YES
single-blob  FAIL     YES      YES    YES
per-matrix   YES      YES      YES    YES
channels     none     ch=512   FLEX   FLEX
offsets      FAIL     YES      YES    YES
"""  # the report has "?" where channels are "none": nothing compiled, so it could not say


def test_the_report_is_regenerated() -> None:
    rows = matrix(("m1", "m3", "m4", "m5"))
    assert [[row.id, *row.cells.values()] for row in rows] == [
        line.split() for line in REPORT.strip().splitlines()
    ]


@pytest.mark.parametrize("chip", ["m1", "m1max", "m2", "m3", "m3ultra", "m4", "m5", "m5pro"])
def test_whole_records_compile_everywhere(chip: str) -> None:
    # Neither the number of matrices in a file nor the channels matter: only the fields do.
    assert takes_whole_records(chip, 768)


def test_every_count() -> None:
    assert takes_every_count("m1")


def test_unknown_chip() -> None:
    with pytest.raises(ConfigError, match="m9"):
        matrix(("m9",))


def test_finding_names_the_wrong_field() -> None:
    text = convolutions(768, [("w.bin", 64)])
    files = {"@model_path/weights/w.bin": weight_file(1, 768, hand_made_record)}
    found = {f.rule: f for f in pyane.check(text, "m1", weights=files)}
    assert "size must be 1179648 bytes, got 524288" in found["ANE091"].message
    assert "data offset must be 128, got 0" in found["ANE092"].message
    assert found["ANE091"].line == 5
