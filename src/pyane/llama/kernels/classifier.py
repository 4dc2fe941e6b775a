"""The classifier on the device. Shape letters: building_blocks.py; V' a part of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import mil
from . import building_blocks as blocks
from .definition import KernelDefinition
from .matrices import ConstantMatrix, TransposedMatrix

if TYPE_CHECKING:
    from ...mil import Var
    from .definition import KernelShape
    from .matrices import Matrix


def classifier_forward(_shape: KernelShape, *, wcls: Matrix, xncls: Var) -> tuple[Var, ...]:
    """`logits` [B, 1, S, V'] = (Wcls xncls)^T: a position's logits side by side, as the loss reads."""
    if isinstance(wcls, ConstantMatrix):
        logits = wcls.product(xncls, transpose=False, name=None)  # [B, V', 1, S]
        return (mil.transpose(x=logits, perm=[0, 2, 3, 1], name="logits"),)
    weight, is_transposed = _value(wcls)
    batch, channels, _, positions = blocks.dims(xncls)
    columns = mil.reshape(x=xncls, shape=[batch, 1, channels, positions])
    return (
        mil.matmul(
            x=columns, y=weight, transpose_x=True, transpose_y=not is_transposed, name="logits"
        ),
    )


def classifier_backward(shape: KernelShape, *, dlogits: Var, wcls: Matrix) -> tuple[Var, ...]:
    """`dxncls` = Wcls^T dlogits, the part of these rows."""
    if isinstance(wcls, ConstantMatrix):
        # No convolution: those of 32000 input channels are refused (maderix/ANE, on M4).
        wcls = mil.const(val=wcls.values[None, None], name=wcls.name)
    weight, is_transposed = _value(wcls)
    dx = mil.matmul(x=weight, y=dlogits, transpose_x=not is_transposed, transpose_y=True)
    dims = shape.tensor_shapes()["dxncls"]
    return (mil.reshape(x=dx, shape=list(dims), name="dxncls"),)


def _value(weight: Var | TransposedMatrix) -> tuple[Var, bool]:
    """[1, 1, V', C], or [1, 1, C, V'] and True."""
    if isinstance(weight, TransposedMatrix):
        return weight.value, True
    return weight, False


CLASSIFIER_FORWARD = KernelDefinition(
    name="clsFwd",
    body=classifier_forward,
    inputs=("xncls",),
    weights=("wcls",),
    outputs=("logits",),
)
CLASSIFIER_BACKWARD = KernelDefinition(
    name="clsBwd",
    body=classifier_backward,
    inputs=("dlogits",),
    weights=("wcls",),
    outputs=("dxncls",),
)
