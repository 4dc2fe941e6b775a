"""Prints the paths of OpenBLAS' shared library and of its licence, as a CMake list.

Both come from the `scipy-openblas32` wheel. Run at configure time by CMakeLists.txt.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path


def main() -> None:
    """Finds both files or exits with the reason."""
    import scipy_openblas32  # noqa: PLC0415  a failed import is reported by its traceback

    library = Path(scipy_openblas32.get_lib_dir()) / scipy_openblas32.get_library(fullname=True)
    files = importlib.metadata.files("scipy-openblas32") or []
    licences = [Path(f.locate()) for f in files if f.name.startswith("LICENSE")]
    for path in (library, *licences[:1]):
        if not path.is_file():
            sys.exit(f"{path} is missing from the scipy-openblas32 wheel")
    if not licences:
        sys.exit("the scipy-openblas32 wheel has no LICENSE file")
    sys.stdout.write(f"{library.as_posix()};{licences[0].as_posix()}\n")


if __name__ == "__main__":
    main()
