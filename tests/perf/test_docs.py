"""docs/performance_model.md is current, and fitted.json is what the fit finds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pyane.perf import accuracy
from pyane.perf.constants import fitted

ROOT = Path(__file__).parents[2]


def tool(name: str) -> ModuleType:
    """A script of tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_that_of_the_model() -> None:
    generator = tool("generate_performance_model")
    committed = generator.TARGET.read_text()
    stale = "stale: run python tools/generate_performance_model.py"
    assert generator.generate() == committed, stale


def test_every_miss_has_a_reason_and_every_reason_a_miss() -> None:
    generator = tool("generate_performance_model")
    everything = (*accuracy.programs(), *accuracy.training(), *accuracy.compiling())
    missed = {judged.id for judged in everything if abs(judged.error) > generator.MISS}
    assert set(generator.REASONS) >= missed
    assert {judged.id for judged in everything} >= set(generator.REASONS)


@pytest.mark.slow
def test_fit_finds_the_committed_constants() -> None:
    pytest.importorskip("scipy")
    found = tool("fit_performance_model").fit_all()

    def same(a: Any, b: Any) -> None:
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            for key in a:
                same(a[key], b[key])
        else:
            # Four digits are written; another SciPy may stop a little elsewhere.
            assert a == pytest.approx(b, rel=0.01)

    same(found, dict(fitted()))


def test_fit_does_not_see_the_held_out_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out points made absurd change nothing that the fit minimises."""
    pytest.importorskip("scipy")
    module = tool("fit_performance_model")
    seen: list[str] = []

    class Watched:
        def __init__(self, point: Any) -> None:
            self._point = point

        def __getattr__(self, name: str) -> Any:
            if name == "seconds" and self._point.held_out:
                seen.append(self._point.id)
            return getattr(self._point, name)

    points = [Watched(point) for point in module.points.load()]
    monkeypatch.setattr(module.points, "load", lambda: points)
    monkeypatch.setattr(module, "least_squares", _evaluate_once)
    module.fit_rates()
    assert seen == []


def _evaluate_once(residuals: Any, start: Any, **_: Any) -> Any:
    class Found:
        x = start
        cost = float((residuals(start) ** 2).sum())

    return Found
