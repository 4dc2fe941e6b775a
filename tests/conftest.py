from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded from the test's id: every test has its own numbers, and always the same."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real third-party inputs kept beside the checkout; tests that use them skip without."""
    path = Path(__file__).parents[1] / ".." / "shared" / "data"
    if not path.is_dir():
        pytest.skip("real inputs not found at ../shared/data")
    return path.resolve()
