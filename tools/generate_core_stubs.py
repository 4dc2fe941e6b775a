"""Writes the type stubs of the native module, src/pyane/_core/*.pyi, from the installed pyane.

    python tools/generate_core_stubs.py [FOLDER]

Run it after a change of the bindings; tests/test_stubs.py says when it was forgotten.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src" / "pyane" / "_core"


def generate() -> dict[str, str]:
    """Text of every stub by its file name."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "pyane._core", "-o", folder]
        subprocess.run(command, check=True, capture_output=True)
        made = Path(folder, "pyane", "_core").glob("*.pyi")
        # pybind11-stubgen takes our class Literal for typing's.
        return {
            path.name: path.read_text().replace("typing.Literal", "Literal")
            for path in sorted(made)
        }


def main() -> None:
    """Writes them all."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.mkdir(parents=True, exist_ok=True)
    for name, text in generate().items():
        target.joinpath(name).write_text(text)


if __name__ == "__main__":
    main()
