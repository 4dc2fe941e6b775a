"""Compiles all of cpp/ for arm64 macOS and links the extension, from Linux.

    python cpp/tests/macos_stub/check.py WORK_DIR

Needs the wheels `ziglang`, `pybind11`, `cmake` and `ninja`. The compiler is zig's clang, the
frameworks are the stubs beside this file: headers and link stubs with what pyane uses, written from
Apple's public documentation. CMake runs as it does on a Mac, so its lists and flags are checked too.
The link allows no symbol that neither the stubs nor CPython have. It is a check, not a build:
nothing of it can be run here, and wheels for macOS are made on macOS.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
TARGET = "aarch64-macos.13.3"  # 13.3 is the first with Accelerate's new LAPACK interface
FRAMEWORKS = ("Accelerate", "CoreFoundation", "Foundation", "IOSurface")
LIBRARIES = ("-L", str(HERE / "lib"), "-F", str(HERE / "Frameworks"), "-lobjc")

# What the check must refuse, or it checks nothing: an unknown method, an unknown symbol.
WRONG_SELECTOR = """
#import <Foundation/Foundation.h>
NSUInteger f(NSArray* a) { return [a numberOfThings]; }
"""
WRONG_SYMBOL = """
extern "C" int IOSurfaceDoesNotExist(void);
int f() { return IOSurfaceDoesNotExist(); }
"""


def zig() -> Path:
    try:
        import ziglang  # noqa: PLC0415
    except ImportError:
        sys.exit("check.py: needs the wheel ziglang (pip install ziglang)")
    return Path(ziglang.__file__).parent / "zig"


def run(*command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )


def must(what: str, *command: object, cwd: Path | None = None) -> None:
    result = run(*command, cwd=cwd)
    if result.returncode != 0:
        print(result.stdout[-8000:], result.stderr[-8000:], sep="\n")
        sys.exit(f"check.py: {what} failed")


def write_tools(folder: Path) -> Path:
    """Compiler and archiver as CMake wants them: single programs."""
    folder.mkdir(parents=True, exist_ok=True)
    tools = {
        "c++": f'exec "{zig()}" c++ -target {TARGET} -fno-sanitize=all -iframework "{HERE / "Frameworks"}" "$@"',
        "ar": f'exec "{zig()}" ar "$@"',
        "ranlib": f'exec "{zig()}" ranlib "$@"',
        "unused": "exit 0",
    }
    for name, line in tools.items():
        tool = folder / name
        tool.write_text(f"#!/bin/sh\n{line}\n")
        tool.chmod(0o755)
    return folder / "c++"


def configure(work: Path) -> Path:
    build = work / "build"
    must(
        "cmake",
        *("cmake", "-S", PROJECT, "-B", build, "-G", "Ninja"),
        f"-DCMAKE_TOOLCHAIN_FILE={HERE / 'toolchain.cmake'}",
        f"-DPYANE_MACOS_TOOLS={work / 'tools'}",
        f"-DPython_EXECUTABLE={sys.executable}",
        # A build type without flags: the quickest, and nothing of it is run.
        *("-DPYANE_WERROR=ON", "-DSKBUILD_PROJECT_VERSION=0.0.0", "-DCMAKE_BUILD_TYPE=None"),
        # Every command of the list is compiled and linked; a precompiled header is not an object,
        # and without one a file that forgets an include is found.
        "-DPYANE_PRECOMPILED_HEADERS=OFF",
    )
    return build


def compile_all(build: Path) -> list[Path]:
    commands = json.loads((build / "compile_commands.json").read_text())
    objects = [Path(os.path.relpath(build / entry["output"], build)) for entry in commands]
    must("compiling", "ninja", "-k", "0", *objects, cwd=build)
    sources = {Path(entry["file"]).name for entry in commands}
    for needed in ("ane_device.mm", "surface_iosurface.mm", "gemm.cpp", "bind_engine.cpp"):
        if needed not in sources:
            sys.exit(f"check.py: {needed} is not among the sources that CMake chose for macOS")
    print(f"compiled {len(objects)} files for {TARGET}")
    return [build / path for path in objects]


def write_python_stub(objects: list[Path], folder: Path) -> None:
    """A link stub with the names of CPython's API that the objects mention and CPython has."""
    mentioned = {
        name.decode()
        for path in objects
        for name in re.findall(rb"\x00_(_?Py[A-Za-z_0-9]+)(?=\x00)", path.read_bytes())
    }
    known = sorted(name for name in mentioned if hasattr(ctypes.pythonapi, name))
    quoted = ", ".join(f"'_{name}'" for name in known)
    (folder / "libpython_stub.tbd").write_text(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\n"
        "install-name: '@rpath/libpython_stub.dylib'\nexports:\n"
        f"  - targets: [ arm64-macos ]\n    symbols: [ {quoted} ]\n...\n"
    )


def link(compiler: Path, objects: list[Path], work: Path) -> subprocess.CompletedProcess[str]:
    frameworks = [part for name in FRAMEWORKS for part in ("-framework", name)]
    python = ("-L", work, "-lpython_stub")
    output = work / "_core.so"
    return run(compiler, "-shared", *objects, *LIBRARIES, *python, *frameworks, "-o", output)


def check_refusals(compiler: Path, objects: list[Path], work: Path) -> None:
    wrong = work / "wrong_selector.mm"
    wrong.write_text(WRONG_SELECTOR)
    result = run(compiler, "-Werror", "-c", wrong, "-o", work / "wrong.o")
    if result.returncode == 0 or "numberOfThings" not in result.stderr:
        sys.exit("check.py: an unknown selector was not refused; the check is worthless")
    wrong = work / "wrong_symbol.cpp"
    wrong.write_text(WRONG_SYMBOL)
    must("compiling wrong_symbol.cpp", compiler, "-c", wrong, "-o", work / "wrong.o")
    result = link(compiler, [*objects, work / "wrong.o"], work)
    if result.returncode == 0 or "IOSurfaceDoesNotExist" not in result.stderr:
        sys.exit("check.py: an unknown symbol was not refused; the check is worthless")
    print("an unknown selector and an unknown symbol are refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for tools, objects and the link's result")
    work = parser.parse_args().work.resolve()
    os.environ.pop("CXX", None)
    compiler = write_tools(work / "tools")
    objects = compile_all(configure(work))
    write_python_stub(objects, work)
    result = link(compiler, objects, work)
    if result.returncode != 0:
        sys.exit(f"check.py: the link failed\n{result.stderr[-8000:]}")
    print(f"linked {work / '_core.so'} ({(work / '_core.so').stat().st_size} bytes)")
    check_refusals(compiler, objects, work)


if __name__ == "__main__":
    main()
