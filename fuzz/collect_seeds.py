"""A pytest plugin that keeps every small program the tests compile: raw material for fuzz/seeds.

    PYTHONPATH=fuzz pytest -p collect_seeds --seeds-to RAW tests/emulator tests/mil
    build/fuzz/fuzz/fuzz_emulator -set_cover_merge=1 -use_counters=0 fuzz/seeds/programs RAW

The second command adds those that reach code no other seed reaches.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest

MAX_BYTES = 3000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the programs go."""
    parser.addoption("--seeds-to", type=Path, required=True, help="folder for the programs")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is handed to Device.compile from now on."""
    folder: Path = config.getoption("seeds_to")
    folder.mkdir(parents=True, exist_ok=True)
    device = importlib.import_module("pyane.device").Device
    compile_program = device.compile

    def keep(self: Any, program: Any, weights: Any = None, **options: Any) -> Any:
        files = weights if weights is not None else getattr(program, "weights", {})
        # The form of fuzz/mil_input.h: text, a zero byte, one weight file.
        parts = [str(program).encode(errors="replace")]
        parts += [bytes(memoryview(file)) for file in list((files or {}).values())[:1]]
        seed = b"\0".join(parts)
        if len(seed) <= MAX_BYTES:
            (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        return compile_program(self, program, weights, **options)

    device.compile = keep
