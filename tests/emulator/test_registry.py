from __future__ import annotations

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
