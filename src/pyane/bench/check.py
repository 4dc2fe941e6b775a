"""Whether a result is right: fp64 from the formula, and bounds from the arithmetic.

On the emulator's plain arithmetic (fp32 sums, one rounding to fp16) the bound of one product is the
worst case. In deep chains the worst case is of no use, as it adds up over hundreds of layers; errors
are taken to be independent (Higham & Mary 2019, doi:10.1137/18M1226312), and four times the size
expected then is allowed. Of an engine's arithmetic, and of its imitation, no worst case is known;
there the relative error of a product may be three times what has been published of M1 Max and M5 Pro
(ane-guide ch. 11, 14: 1.2e-2 at K = 2048, growing as K ** 1.19).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .measure import WrongResult

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_HALF_UNIT_16 = 2.0**-11
_UNIT_32 = 2.0**-23
_SMALLEST_16 = 2.0**-24
_TAIL = 6.0


def published_error(k: int) -> float:
    """Relative error, in the 2-norm, of a product of inner dimension k that an engine may make."""
    return 3 * 1.2e-2 * float((k / 2048) ** 1.19) + 2.0**-9


def check_products(
    got: Array, exact: Array, magnitude: Array, k: int, numerics: str, what: str = "output"
) -> None:
    """Compare sums of `k` products.

    Args:
        got: What the device gave.
        exact: In fp64.
        magnitude: The same sums of absolute values.
        k: Products in a sum.
        numerics: As in `DeviceFacts`.
        what: For the message.

    Raises:
        WrongResult: They differ by more than they may.
    """
    got = np.asarray(got, np.float64)
    error = np.abs(got - exact)
    if numerics == "ieee":
        in_sum = k * _UNIT_32 * magnitude
        bound = in_sum + _HALF_UNIT_16 * (np.abs(exact) + in_sum) + _SMALLEST_16
        _raise_unless(np.asarray(error <= bound), got, exact, what)
        return
    check_norm(got, exact, published_error(k), what)


def check_norm(got: Array, exact: Array, bound: float, what: str = "output") -> None:
    """Compare in the 2-norm, relative to `exact`, and element by element.

    Errors of this size that are independent stay in every element below `_TAIL` times their mean.

    Raises:
        WrongResult: Further apart than `bound`, or not finite.
    """
    got = np.asarray(got, np.float64)
    _raise_unless(np.isfinite(got), got, exact, what)
    size = float(np.linalg.norm(exact))
    found = float(np.linalg.norm(got - exact))
    if not found <= bound * size:
        zeros = " (every value is zero)" if not got.any() else ""
        relative = found / size if size else math.inf
        msg = f"{what}: relative error must be at most {bound:.2g}, got {relative:.2g}{zeros}"
        raise WrongResult(msg)
    mean = bound * size / math.sqrt(exact.size)
    _raise_unless(np.asarray(np.abs(got - exact) <= _TAIL * mean), got, exact, what)


def chain_bound(k: int, depth: int, norm: float, numerics: str) -> float:
    """Bound on the relative error, in the 2-norm, of `depth` products by orthogonal matrices.

    Args:
        k: Rows and columns of the matrices.
        depth: Number of layers.
        norm: Bound on the 2-norm of each as it is in fp16, close to 1.
        numerics: As in `DeviceFacts`.
    """
    growth = norm**depth
    if numerics != "ieee":
        return math.sqrt(depth) * published_error(k) * growth
    # In fp32 a sum's k errors are relative to partial sums, which are no larger than the whole.
    layer = _HALF_UNIT_16 + math.sqrt(k) * _UNIT_32
    return min(float(depth), 4 * math.sqrt(depth)) * layer * growth


def _raise_unless(right: Array, got: Array, exact: Array, what: str) -> None:
    if right.all():
        return
    at = np.unravel_index(int(np.argmin(right)), right.shape)
    place = ", ".join(str(int(i)) for i in at)
    zeros = " (every value is zero)" if not got.any() else ""
    msg = (
        f"{what}[{place}] should be {exact[at]:.6g}, got {got[at]:.6g}; "
        f"{int((~right).sum())} of {right.size} sampled values are wrong{zeros}"
    )
    raise WrongResult(msg)
