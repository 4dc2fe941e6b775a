from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pyane.check import rules

ROOT = Path(__file__).parents[2]


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of tools/, which may import its neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["generate_ane_constraints", "generate_chips"])
def test_page_is_that_of_the_tables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tool(name, monkeypatch)
    committed = generator.TARGET.read_text()
    assert generator.generate() == committed, f"stale: run python tools/{name}.py"


def test_every_claim_has_an_answer_and_every_rule_a_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claims = tool("published_claims", monkeypatch).CLAIMS
    named = [re.findall(r"ANE\d{3}", claim.answer) for claim in claims]
    assert {rule for some in named for rule in some} == {rule.id for rule in rules()}
    for claim, some in zip(claims, named, strict=True):
        assert claim.weight in ("H", "M", "L", "?"), claim
        # A claim that more than one remark supports is a rule, or stands elsewhere.
        is_answered = some or "](" in claim.answer or "every verifier" in claim.answer
        has_a_reason = claim.answer.startswith("none: ")
        assert is_answered or has_a_reason, claim
        if has_a_reason:
            assert claim.weight == "L" or "MIL has no operation" in claim.answer, claim
