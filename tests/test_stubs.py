from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("pybind11_stubgen")
ROOT = Path(__file__).parents[1]


def test_stubs_are_those_of_the_built_module() -> None:
    path = ROOT / "tools" / "generate_core_stubs.py"
    spec = importlib.util.spec_from_file_location("generate_core_stubs", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    made = generator.generate()
    committed = {file.name: file.read_text() for file in generator.TARGET.glob("*.pyi")}
    assert set(made) == set(committed)
    for name, text in made.items():
        assert text == committed[name], f"{name} is stale: run python tools/generate_core_stubs.py"
