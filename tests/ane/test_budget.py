from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# In processes of their own: the budget is the process's.
HEADER = """
import sys
sys.path.insert(0, {tests!r})
import mil_text, numpy as np, pyane
from pyane import ane
FP16 = "tensor<fp16, [1, 4, 1, 16]>"
def scaled(i):
    line = mil_text.operation("add", "y", FP16, {{"x": "%x", "y": np.float16(i)}})
    return mil_text.program({{"x": FP16}}, [line], ["y"])
device = pyane.device("ane")
"""


def run(code: str, environment: dict[str, str], **variables: str) -> str:
    header = HEADER.format(tests=str(Path(__file__).parents[1]))
    result = subprocess.run(
        [sys.executable, "-c", header + code],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_compiles_are_counted_and_refused_before_the_engine_fails(
    fake: Any, environment: dict[str, str]
) -> None:
    out = run(
        f"""
import ctypes
for i in range(119):
    device.compile(scaled(i)).unload()
try:
    device.compile(scaled(119))
except pyane.CompileBudgetError as e:
    print(e)
print(ctypes.CDLL({fake.path!r}).fake_ane_compiles(), ane.budget().compiles)
device.compile(scaled(118)).unload()  # compiled already: not counted
""",
        environment,
    )
    assert "this process has compiled 119 programs" in out
    assert "PYANE_ANE_COMPILE_LIMIT" in out
    assert "119 119" in out


def test_the_stand_in_would_have_failed(fake: Any, environment: dict[str, str]) -> None:
    out = run(
        """
for i in range(119):
    device.compile(scaled(i)).unload()
try:
    device.compile(scaled(119))
except pyane.CompileError as e:
    print(type(e).__name__, e)
""",
        environment,
        PYANE_ANE_COMPILE_LIMIT="1000",
    )
    assert fake.path
    assert "CompileError ANE compile failed" in out
    assert "the compile limit of this process" in out


def test_loaded_programs(fake: Any, environment: dict[str, str]) -> None:
    out = run(
        """
kernels = [device.compile(scaled(1)) for _ in range(128)]
try:
    device.compile(scaled(1))
except pyane.CompileBudgetError as e:
    print(e)
kernels.pop().unload()
device.compile(scaled(1)).unload()
kernels.clear()
print(ane.budget())
""",
        environment,
    )
    assert fake.path
    assert "128 programs are loaded" in out
    assert "Unload kernels" in out
    assert "compiles=1, compile_limit=119, loaded=0, load_limit=128" in out


@pytest.mark.parametrize("value", ["0", "-5", "many", "12x", ""])
def test_limits_must_be_numbers(fake: Any, environment: dict[str, str], value: str) -> None:
    out = run(
        """
try:
    device.compile(scaled(1))
except pyane.Error as e:
    print(e)
""",
        environment,
        PYANE_ANE_LOAD_LIMIT=value,
    )
    assert fake.path
    assert f"PYANE_ANE_LOAD_LIMIT must be a positive number, got '{value}'" in out
