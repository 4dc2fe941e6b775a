from __future__ import annotations

import pytest

import mil_text
import pyane
from pyane._core import engine, mil

# Operations of the registry that the emulator does not evaluate. One that gets a kernel must leave
# this list, one that is new to the registry must enter it or get a kernel.
NOT_EVALUATED = {
    "coreml_update_state", "gru", "lstm", "read_state", "rnn", "tensor_buffer_to_tensor",
    "tensor_to_tensor_buffer", "write_state",
}  # fmt: skip
CONSTANTS = {"const"}  # Values of the plan, not steps.
CONTROL_FLOW = {"cond", "while_loop"}  # Not evaluated yet.
# Results of the verifier: constants made of compressed ones. Not unpacked yet.
NOT_UNPACKED = {
    "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale", "constexpr_cast",
    "constexpr_lut_to_dense", "constexpr_lut_to_sparse", "constexpr_sparse_blockwise_shift_scale",
    "constexpr_sparse_to_dense",
}  # fmt: skip


def test_operations_without_a_kernel_are_listed():
    known = {record.name for record in mil.op_set()}
    evaluated = set(engine.emulated_ops())
    assert evaluated <= known
    assert known - evaluated == NOT_EVALUATED | CONSTANTS | CONTROL_FLOW | NOT_UNPACKED


X = "tensor<fp16, [4]>"
BUFFER = "tensor_buffer<fp16, shape=[4], strides=[1], interleave_factors=[1]>"
SEQUENCE = {
    "x": "tensor<fp16, [2, 1, 3]>",
    "h": "tensor<fp16, [1, 2]>",
    "c": "tensor<fp16, [1, 2]>",
}


def recurrent(op: str, gates: int, results: int) -> tuple[dict[str, str], str]:
    kinds = ["tensor<fp16, [1, 1, 2]>"] + ["tensor<fp16, [1, 2]>"] * (results - 1)
    names = ", ".join(f"{kind} y{i or ''}" for i, kind in enumerate(kinds))
    weights = ", ".join(
        f"weight_{side}h = tensor<fp16, [{2 * gates}, {n}]>({[[0] * n] * (2 * gates)})"
        for side, n in (("i", 3), ("h", 2))
    )
    cell = "initial_c = c, " if op == "lstm" else ""
    return SEQUENCE, f"{names} = {op}(x = x, initial_h = h, {cell}{weights});"


# Inputs and a line that makes y, for operations that may be refused.
LINES = {
    "cond": (
        {"x": X, "p": "bool"},
        f"{X} y = cond(pred = p) true () {{ {X} a = exp(x = x); }} -> (a), "
        f"false () {{ {X} b = abs(x = x); }} -> (b);",
    ),
    "coreml_update_state": (
        {"x": X, "s": f"state<{X}>"}, f"{X} y = coreml_update_state(state = s, value = x);"
    ),
    "gru": recurrent("gru", 3, 2),
    "lstm": recurrent("lstm", 4, 3),
    "read_state": ({"x": X, "s": f"state<{X}>"}, f"{X} y = read_state(input = s);"),
    "rnn": recurrent("rnn", 1, 2),
    "tensor_buffer_to_tensor": (
        {"b": BUFFER}, f"{X} y = tensor_buffer_to_tensor(input = b);"
    ),
    "while_loop": (
        {"x": X},
        f"{X} y = while_loop(loop_vars = (x)) condition ({X} i) {{ fp16 s = reduce_sum(x = i, "
        f"axes = tensor<int32, [1]>([0]), keep_dims = bool(false)); bool t = less(x = s, y = fp16(1)); }} "
        f"-> (t), body ({X} j) {{ {X} k = exp(x = j); }} -> (k);",
    ),
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(LINES))
def test_what_is_not_evaluated_is_refused_with_its_place(emulator, op):
    if op in engine.emulated_ops():
        pytest.skip("evaluated")
    inputs, line = LINES[op]
    with pytest.raises(pyane.UnsupportedOpError, match=rf"<text>:5:\d+: {op} 'y'") as caught:
        emulator.compile(mil_text.program(inputs, [line], ["y"]))
    assert (caught.value.op, caught.value.line) == (op, 5)
