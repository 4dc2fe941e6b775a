"""docs/benchmarks.md names every benchmark, field and verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyane.bench.compare import VERDICTS
from pyane.bench.registry import BENCHMARKS
from pyane.bench.result import schema

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.exists():
        pytest.skip("needs the checkout's docs")
    return PAGE.read_text()


def test_every_benchmark_has_its_row(page: str) -> None:
    table = page.partition("## What there is")[2].partition("\n- ")[0]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE) == list(BENCHMARKS)


def test_every_field_is_explained(page: str) -> None:
    told = set(re.findall(r"`([a-z0-9_]+)`", page.partition("## The file")[2]))
    published = schema()
    places = [published, *(published["properties"][name] for name in ("pyane", "device", "host"))]
    places += [published["$defs"][name] for name in ("benchmark", "case", "metric")]
    assert {name for place in places for name in place["properties"]} <= told


def test_every_verdict_is_explained(page: str) -> None:
    table = page.partition("| verdict | when |")[2].partition("\n\n")[0]
    told = {
        word
        for row in table.splitlines()
        for word in row.split("|")[1:2]
        for word in word.split(", ")
    }
    assert set(VERDICTS) <= {word.strip() for word in told}
