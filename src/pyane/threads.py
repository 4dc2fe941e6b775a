"""How many threads evaluate."""

from __future__ import annotations

from ._core import base
from .arguments import as_int

num_threads = base.num_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads for evaluation, the calling one included.

    Args:
        n: From 1 to 1024. Takes effect for the next evaluation.

    Raises:
        TypeError: `n` is no integer.
        ShapeError: It is out of range.
    """
    base.set_num_threads(as_int("set_num_threads", "n", n, 1, base.MAX_THREADS))
