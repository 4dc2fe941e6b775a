from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import pyane
from mil_text import operation, program, tensor_type
from pyane import mil
from pyane._core import engine

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "tools" / "generate_mil_subset.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(generator: ModuleType) -> None:
    page = (ROOT / "docs" / "mil_subset.md").read_text()
    assert page == generator.page(), "run tools/generate_mil_subset.py"


def test_every_operation_has_a_row(generator: ModuleType) -> None:
    rows = [line for line in generator.page().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == [record.name for record in mil.op_set()]
    for row in rows:
        assert row.count("|") - row.count("\\|") == 10


def test_what_is_executed_is_known() -> None:
    assert set(engine.emulated_ops()) <= {record.name for record in mil.op_set()}


def test_what_is_unknown_is_refused_with_its_place() -> None:
    x = tensor_type("float16", [2])
    text = program({"x": x}, [operation("frobnicate", "y", x, {"x": "%x"})], ["y"])
    with pytest.raises(pyane.UnsupportedOpError, match=r"<text>:5:9: frobnicate 'y'") as caught:
        pyane.device("emulator").compile(text)
    assert (caught.value.op, caught.value.line, caught.value.column) == ("frobnicate", 5, 9)
