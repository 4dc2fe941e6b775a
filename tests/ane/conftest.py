from __future__ import annotations

import ctypes
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyane
from pyane import ane

# Tests of the real Objective-C++ path, against the stand-in for Apple's framework
# (cpp/tests/fake_ane). They need the build with -DPYANE_ANE=gnustep (CONTRIBUTING.md, .ci/ane).


class StandIn:
    """The stand-in's C interface (cpp/tests/fake_ane/fake_ane.h, iosurface_shim.h)."""

    FULL, ABSENT, REVERSED, LIVE_ONLY, STRANGE = range(5)

    def __init__(self, framework: str) -> None:
        self.path = framework
        self._framework = ctypes.CDLL(framework)
        self._surfaces = ctypes.CDLL(str(Path(framework).with_name("libfake_iosurface.so")))
        self._framework.fake_ane_temporary_folder.restype = ctypes.c_char_p
        self.lost_slots = 0  # programs that a test left loaded on purpose

    def __getattr__(self, name: str) -> object:
        library = self._surfaces if name.startswith("iosurface") else self._framework
        prefix = "fake_" if name.startswith("iosurface") else "fake_ane_"
        function = getattr(library, prefix + name)
        if name != "temporary_folder":
            function.restype = ctypes.c_int64
            return lambda *args: function(*map(ctypes.c_int64, args))
        return function

    def folder(self) -> Path:
        return Path(self._framework.fake_ane_temporary_folder().decode())

    def leftovers(self) -> set[str]:
        """Model folders and their locks; other processes' tests have other identifiers."""
        return {p.name for p in self.folder().iterdir() if re.match(r"[0-9A-F]{16}_", p.name)}


def _framework() -> str:
    info = ane.device_info()
    path = "" if info is None else info.framework_path
    if not path or not hasattr(ctypes.CDLL(path), "fake_ane_reset"):
        pytest.skip(
            "needs the stand-in for the engine: build with -DPYANE_ANE=gnustep (.ci/ane; Debian: "
            "clang-19 libgnustep-base-dev gobjc++)"
        )
    return path


@pytest.fixture(scope="session")
def _stand_in() -> StandIn:
    return StandIn(_framework())


@pytest.fixture
def fake(_stand_in: StandIn) -> Iterator[StandIn]:
    """The stand-in, without faults; after the test nothing may be left of it."""
    _stand_in.reset()
    _stand_in.lost_slots = 0
    before = _stand_in.live_objects(), _stand_in.iosurface_live(), ane.budget().loaded
    folders = _stand_in.leftovers()
    yield _stand_in
    gc.collect()  # an exception that a test caught holds its frame, and so its kernels
    forfeited = ane.budget().loaded - before[2]
    _stand_in.reset()
    assert _stand_in.iosurface_locks() == 0, "surfaces left locked"
    assert _stand_in.live_objects() == before[0], "objects of the framework left alive"
    assert _stand_in.iosurface_live() == before[1], "surfaces left alive"
    assert forfeited == _stand_in.lost_slots, "programs left loaded"
    assert _stand_in.leftovers() <= folders, "model folders left behind"


@pytest.fixture
def device(fake: StandIn) -> pyane.Device:  # noqa: ARG001
    return pyane.device("ane")


@pytest.fixture
def environment() -> dict[str, str]:
    """For child processes: the limits as they are on an engine."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("COMPILE_LIMIT", "LOAD_LIMIT"))}
    kept.pop("PYANE_DEVICE", None)
    return kept
