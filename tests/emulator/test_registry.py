from __future__ import annotations

import pytest

import mil_text
import pyane
from pyane._core import engine, mil

# Operations of the registry that the emulator does not evaluate. One that gets a kernel must leave
# this list, one that is new to the registry must enter it or get a kernel.
NOT_EVALUATED = {
    "tensor_buffer_to_tensor", "tensor_to_tensor_buffer",
}  # fmt: skip
CONSTANTS = {"const"}  # Values of the plan, not steps.


def test_operations_without_a_kernel_are_listed():
    known = {record.name for record in mil.op_set()}
    evaluated = set(engine.emulated_ops())
    assert evaluated <= known
    assert known - evaluated == NOT_EVALUATED | CONSTANTS


X = "tensor<fp16, [4]>"
BUFFER = "tensor_buffer<fp16, shape=[4], strides=[1], interleave_factors=[1]>"
# Inputs and a line that makes y, for operations that may be refused.
LINES = {
    "tensor_buffer_to_tensor": (
        {"b": BUFFER},
        f"{X} y = tensor_buffer_to_tensor(input = b);",
    ),
}


@pytest.mark.parametrize("op", sorted(LINES))
def test_what_is_not_evaluated_is_refused_with_its_place(emulator, op):
    if op in engine.emulated_ops():
        pytest.skip("evaluated")
    inputs, line = LINES[op]
    with pytest.raises(pyane.UnsupportedOpError, match=rf"<text>:5:\d+: {op} 'y'") as caught:
        emulator.compile(mil_text.program(inputs, [line], ["y"]))
    assert (caught.value.op, caught.value.line) == (op, 5)
