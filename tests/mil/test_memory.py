"""A program in memory takes less than 20 times its text, of which 2.5 MB are the largest seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import sys
from pyane._core import mil

def peak():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))

text = open(sys.argv[1], "rb").read()
before = peak()
program = mil.parse(text)
print((peak() - before) / len(text))
"""
RELU = """tensor<fp16, [1, 8]> v{n} = relu(x = v{i})[name = string("v{n}")];
"""
CONST = """tensor<int32, [4]> c{n} = const()[name = string("c{n}"), val = tensor<int32, [4]>([0, 1, 2, 3])];
tensor<fp16, [1, 8]> v{n} = relu(x = v{i})[name = string("v{n}")];
"""
SLICE = """tensor<fp16, [1, 8]> v{n} = slice_by_index(begin = tensor<int32, [2]>([0, 0]), \
end = tensor<int32, [2]>([1, 8]), x = v{i})[name = string("v{n}")];
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' /proc")
@pytest.mark.parametrize("line", [RELU, CONST, SLICE], ids=["relu", "const", "slice"])
def test_memory_of_a_program(line: str, tmp_path: Path) -> None:
    lines, size = [], 0
    while size < 2_500_000:
        lines.append(line.format(i=len(lines), n=len(lines) + 1))
        size += len(lines[-1])
    head = "program(1.3)\n[buildInfo = dict<string, string>({})]\n{\nfunc main<ios18>"
    body = "(tensor<fp16, [1, 8]> v0) {\n" + "".join(lines)
    path = tmp_path / "long.mil"
    path.write_text(f"{head}{body}}} -> (v{len(lines)});\n}}\n")
    command = [sys.executable, "-c", MEASURE, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 20
