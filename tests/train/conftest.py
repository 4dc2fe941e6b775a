from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyane._core import base


@pytest.fixture
def keep_num_threads() -> Iterator[None]:
    """Puts the number of threads back."""
    before = base.num_threads()
    yield
    base.set_num_threads(before)
