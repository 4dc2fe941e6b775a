"""The classifier on the device. Shape letters: building_blocks.py; V' a part of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import mil
from . import building_blocks as blocks
from .definition import KernelDefinition

if TYPE_CHECKING:
    from ...mil import Var
    from .definition import KernelShape
    from .matrices import Matrix


def classifier_forward(_shape: KernelShape, *, wcls: Matrix, xncls: Var) -> tuple[Var, ...]:
    """`logits` [B, 1, S, V'] = (Wcls xncls)^T: a position's logits side by side, as the loss reads."""
    logits = blocks.linear(wcls, xncls)  # [B, V', 1, S]
    return (mil.transpose(x=logits, perm=[0, 2, 3, 1], name="logits"),)


def classifier_backward(_shape: KernelShape, *, dlogits: Var, wcls: Matrix) -> tuple[Var, ...]:
    """`dxncls` = Wcls^T dlogits, the part of these rows."""
    columns = mil.transpose(x=dlogits, perm=[0, 3, 1, 2])
    return (blocks.linear_transposed(wcls, columns, name="dxncls"),)


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
