from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["generate_ane_constraints", "generate_chips"])
def test_page_is_that_of_the_tables(name: str) -> None:
    path = ROOT / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    committed = generator.TARGET.read_text()
    assert generator.generate() == committed, f"stale: run python tools/{name}.py"
