"""Every rule against its two programs in rules/: one that it finds fault with, one that it does not.

No comments in MIL: what is expected stands here. Lines count from 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import pyane
from pyane import chips
from pyane.check import SEVERITIES, rules

FOLDER = Path(__file__).parent / "rules"


def of(*generations: int) -> list[str]:
    return [chip.name for chip in chips.all_chips() if chip.generation in generations]


ALL = of(1, 2, 3, 4, 5)
# Advice that small programs cannot avoid: sizes of surfaces, sums without a proven bound, results
# of neighbouring rules (topk on M1 is contested; concat, where it is the subject of another rule).
BYSTANDERS = {
    "ANE003": {"ANE018", "ANE019", "ANE021", "ANE022", "ANE023", "ANE024", "ANE025", "ANE026"},
    "ANE011": {"ANE041"},
    "ANE021": {"ANE017", "ANE026"},
    "ANE051": {"ANE060", "ANE063", "ANE071"},
    "ANE072": {"ANE034", "ANE073", "ANE090", "ANE092"},
    "ANE096": {"ANE073"},
    "ANE026": {"ANE021"},
    "ANE100": {"ANE017", "ANE021", "ANE026", "ANE033", "ANE061", "ANE101"},
    "ANE101": {"ANE021", "ANE026", "ANE061"},
    "ANE103": {"ANE017"},
    "ANE104": {"ANE020"},
    "ANE110": {"ANE018", "ANE041", "ANE011"},
    "ANE102": {
        *(
            "ANE001",
            "ANE017",
            "ANE019",
            "ANE026",
            "ANE020",
            "ANE033",
            "ANE041",
            "ANE060",
            "ANE061",
            "ANE074",
        ),
        *("ANE084", "ANE090", "ANE091", "ANE092"),
    },
}


class Expected(NamedTuple):
    line: int
    chips: list[str]
    severity: str
    contested: list[str]
    message: str


COMPILE, EVALUATE, WRONG, SLOW, ADVICE = SEVERITIES
EXPECTED = {
    "ANE001": Expected(4, ALL, COMPILE, [], "reduce_prod does not run"),
    "ANE002": Expected(4, of(1, 2), COMPILE, [], "sin needs an M3 or newer"),
    "ANE003": Expected(4, ALL, COMPILE, ALL, "disagree whether cumsum runs"),
    "ANE004": Expected(4, ALL, ADVICE, [], "frobnicate"),
    "ANE010": Expected(4, ALL, COMPILE, [], "at most 5 dimensions, got 6"),
    "ANE011": Expected(3, of(1, 2, 3), COMPILE, [], "axis 3 must be at most 16384, got 32768"),
    "ANE012": Expected(3, ALL, COMPILE, [], r"\[\?, 64, 8, 64\]"),
    "ANE013": Expected(3, ALL, COMPILE, of(2, 3, 4, 5), "'cache' is a state"),
    "ANE014": Expected(4, ALL, COMPILE, [], "pads axis 1"),
    "ANE015": Expected(4, of(1), COMPILE, of(1), 'mode "reflect"'),
    "ANE016": Expected(4, of(1), ADVICE, [], "upsample_nearest_neighbor"),
    "ANE017": Expected(4, of(1), COMPILE, [], "begin must be constant"),
    "ANE018": Expected(4, ALL, COMPILE, [], "at most 2048, got 2049"),
    "ANE019": Expected(4, ALL, COMPILE, [], "got 3"),
    "ANE020": Expected(4, ALL, COMPILE, ALL, "a window of 32"),
    "ANE021": Expected(3, ALL, COMPILE, [], "'index' .int32 "),
    "ANE022": Expected(3, of(1, 2), COMPILE, [], "'x' .fp32"),
    "ANE023": Expected(5, ALL, COMPILE, [], "relu computes in fp32"),
    "ANE024": Expected(4, ALL, COMPILE, [], r"int32 .and 1 more"),
    "ANE025": Expected(5, ALL, COMPILE, [], "add computes in int32"),
    "ANE026": Expected(4, ALL, COMPILE, of(1, 2, 3, 5), "indices of int32"),
    "ANE027": Expected(4, ALL, COMPILE, ALL, "pixel_shuffle by 5"),
    "ANE028": Expected(4, ALL, COMPILE, ALL, "first of five"),
    "ANE030": Expected(6, ALL, COMPILE, [], "at most 1[35], got 31"),
    "ANE031": Expected(6, ALL, COMPILE, [], "at most (29|32), got 33"),
    "ANE032": Expected(6, ALL, COMPILE, of(4), "three axes"),
    "ANE034": Expected(6, of(4), COMPILE, of(4), "at most 16384, got 32000"),
    "ANE040": Expected(5, ALL, COMPILE, [], "at most four dimensions, got 5"),
    "ANE041": Expected(5, of(4, 5), COMPILE, [], "at most 32768, got 40000"),
    "ANE042": Expected(5, of(1), WRONG, of(1), "over 48 terms"),
    "ANE050": Expected(1, ALL, COMPILE, [], "buildInfo"),
    "ANE051": Expected(4, of(1, 3, 4), COMPILE, of(1, 3, 4), "concat"),
    "ANE052": Expected(4, ALL, COMPILE, ALL, "mode"),
    "ANE053": Expected(7, of(4), COMPILE, of(4), "rsqrt of a reduction"),
    "ANE055": Expected(4, ALL, COMPILE, of(1, 2, 3, 4), "a width of 96"),
    "ANE056": Expected(3, ALL, COMPILE, [], "'x' is returned as it came"),
    "ANE057": Expected(5, of(5), COMPILE, [], "multiplied by 0"),
    "ANE058": Expected(5, of(1, 2), COMPILE, of(1, 2), "gamma"),
    "ANE059": Expected(131, ALL, EVALUATE, ALL, "here are 129"),
    "ANE060": Expected(16, of(1), SLOW, [], "12 branches meet in one concat"),
    "ANE061": Expected(4, of(4), WRONG, of(4), "attn_mask"),
    "ANE062": Expected(4, of(1, 5), WRONG, of(1, 5), "a batch of 2"),
    "ANE063": Expected(4, ALL, COMPILE, [], "two operands or more, got 1"),
    "ANE070": Expected(4, of(1, 2, 3), WRONG, of(3), "above 4094 .* no bound"),
    "ANE071": Expected(7, of(1, 2, 3), WRONG, [], "2 of its operands"),
    "ANE072": Expected(5, ALL, WRONG, [], "at least 50176"),  # 64 * 28 * 28
    "ANE073": Expected(6, ALL, WRONG, [], "above 4094"),
    "ANE074": Expected(5, ALL, ADVICE, ALL, "over 4096 .* 0.027"),
    "ANE075": Expected(4, ALL, ADVICE, [], "512 terms"),
    "ANE080": Expected(5, ALL, ADVICE, [], "1 of 64 elements infinite"),
    "ANE081": Expected(4, ALL, WRONG, [], "'x' compared with itself"),
    "ANE082": Expected(5, ALL, WRONG, of(1, 2, 3, 4), "factor after rounding"),
    "ANE083": Expected(5, ALL, ADVICE, [], "-45440"),
    "ANE084": Expected(6, of(1, 2), ADVICE, [], "2048 of 2048 weights"),
    "ANE085": Expected(4, ALL, ADVICE, [], "y is -0"),
    "ANE086": Expected(5, ALL, ADVICE, [], "of .inf softplus is 0"),
    "ANE090": Expected(5, ALL, COMPILE, [], "offset 128: there is no record"),
    "ANE093": Expected(3, ALL, COMPILE, [], str(7 * 2**29)),
    "ANE094": Expected(4, of(1), COMPILE, [], "zero_point must be 0"),
    "ANE095": Expected(4, of(1), COMPILE, [], "got 2"),
    "ANE096": Expected(4, of(1), SLOW, [], "constexpr_affine_dequantize becomes fp16"),
    "ANE100": Expected(3, ALL, ADVICE, of(1, 2, 3, 5), "at least 131072 bytes"),
    "ANE101": Expected(3, of(1), ADVICE, of(1), "'p' .* comes before 'q'"),
    "ANE102": Expected(3, of(4), ADVICE, of(4), "takes 16384 bytes"),
    "ANE104": Expected(3, ALL, SLOW, [], "no multiple of 64 bytes"),
    "ANE105": Expected(3, ALL, ADVICE, [], "in the order left, right"),
    "ANE110": Expected(3, of(1, 2, 3), SLOW, [], "takes 4194304 bytes"),
}
# Rules whose severity depends on the chip: id -> line, severity by chip.
BY_CHIP = {
    "ANE033": (
        7,
        dict.fromkeys(of(1, 2, 5), COMPILE) | dict.fromkeys(of(3, 4), WRONG),
        {"m3", "m3pro", "m3ultra", *of(4)},
    ),
    "ANE054": (4, dict.fromkeys(of(1, 2, 4, 5), ADVICE) | dict.fromkeys(of(3), EVALUATE), set(ALL)),
    "ANE091": (5, dict.fromkeys(of(1, 2, 3), COMPILE) | dict.fromkeys(of(4, 5), ADVICE), set()),
    "ANE092": (5, dict.fromkeys(of(1, 2), COMPILE) | dict.fromkeys(of(3, 4, 5), ADVICE), set()),
    "ANE103": (3, dict.fromkeys(of(1, 3, 4), WRONG), set(of(1, 3, 4)) - {"m3max"}),
}


def findings(name: str) -> list[pyane.Diagnostic]:
    """All that is found in a program of the folder; its weight file lies beside it, if any."""
    path = FOLDER / f"{name}.mil"
    file = path.with_suffix(".bin")
    text, weights = path.read_text(), {}
    if file.exists():
        weights["@model_path/w.bin"] = file.read_bytes()
    return pyane.check(text, "all", weights=weights, source_name=name)


def assert_only_bystanders(found: list[pyane.Diagnostic], subject: str) -> None:
    for finding in found:
        assert finding.rule == subject or subject in BYSTANDERS.get(finding.rule, ()), str(finding)


def test_every_rule_has_its_programs_and_expectations() -> None:
    ids = {rule.id for rule in rules()}
    assert ids == EXPECTED.keys() | BY_CHIP.keys()
    assert {path.stem for path in FOLDER.glob("*.mil")} == {
        f"{i}_{k}" for i in ids for k in ("bad", "good")
    }


@pytest.mark.parametrize("rule", EXPECTED)
def test_bad_program(rule: str) -> None:
    expected = EXPECTED[rule]
    found = findings(f"{rule}_bad")
    assert_only_bystanders(found, rule)
    own = [finding for finding in found if finding.rule == rule]
    assert list(dict.fromkeys(finding.chip for finding in own)) == expected.chips
    for finding in own:
        assert finding.severity == expected.severity, str(finding)
        assert finding.is_contested == (finding.chip in expected.contested), str(finding)
    assert own[0].line == expected.line
    for finding in own:
        assert re.search(expected.message, finding.message), finding.message


@pytest.mark.parametrize("rule", BY_CHIP)
def test_bad_program_by_chip(rule: str) -> None:
    line, severities, contested = BY_CHIP[rule]
    found = findings(f"{rule}_bad")
    assert_only_bystanders(found, rule)
    own = {finding.chip: finding for finding in found if finding.rule == rule}
    assert {chip: finding.severity for chip, finding in own.items()} == severities
    assert {chip for chip, finding in own.items() if finding.is_contested} == contested
    assert {finding.line for finding in own.values()} == {line}


@pytest.mark.parametrize("rule", [rule.id for rule in rules()])
def test_good_program(rule: str) -> None:
    found = findings(f"{rule}_good")
    assert [str(finding) for finding in found if finding.rule == rule] == []
    assert_only_bystanders(found, rule)


def test_records_are_whole() -> None:
    for rule in rules():
        assert rule.severity in SEVERITIES
        for text in (rule.name, rule.title, rule.why, rule.instead, rule.evidence):
            assert text, rule.id
        assert rule.why.endswith(".")
        assert rule.instead.endswith(".")
        assert rule.evidence.endswith(".")
        assert rule.name == rule.name.lower().replace(" ", "-")
    assert len({rule.name for rule in rules()}) == len(rules())
