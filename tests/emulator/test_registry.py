from __future__ import annotations

from pyane._core import engine, mil


def test_every_operation_is_evaluated():
    known = {record.name for record in mil.op_set()}
    evaluated = set(engine.emulated_ops())
    assert evaluated <= known
    assert known - evaluated == {"const"}  # A value of the plan, not a step.
