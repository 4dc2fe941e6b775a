"""MIL text of small programs, for tests of what evaluates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

HEADER = (
    'program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}})]\n'
)

NAMES = {
    "float16": "fp16",
    "float32": "fp32",
    "bool": "bool",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
}


def tensor_type(dtype: Any, shape: Sequence[int]) -> str:
    return f"tensor<{NAMES[np.dtype(dtype).name]}, [{', '.join(map(str, shape))}]>"


def scalar(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return "nan"
        if np.isinf(value):
            return "inf" if value > 0 else "-inf"
        return float(value).hex()
    return str(int(value))


def literal(value: Any) -> str:
    """Inline constant of a bool, int (int32), string, list of them, or NumPy array."""
    if isinstance(value, str):
        return f'string("{value}")'
    if isinstance(value, (bool, np.bool_)):
        return f"bool({scalar(value)})"
    if isinstance(value, int):
        return f"int32({value})"
    array = np.asarray(value)
    if array.dtype == np.int64:
        array = array.astype(np.int32)
    name = NAMES[array.dtype.name]
    if array.ndim == 0:
        return f"{name}({scalar(array[()])})"
    shape = ", ".join(map(str, array.shape))
    return f"tensor<{name}, [{shape}]>({nested(array)})"


def nested(array: np.ndarray) -> str:
    """Brackets for every dimension, as MIL writes tensors."""
    if array.ndim == 0:
        return scalar(array[()])
    return "[" + ", ".join(nested(item) for item in array) + "]"


def operation(op: str, result: str, result_type: str, arguments: Mapping[str, Any]) -> str:
    """One line. Arguments that are strings starting with '%' name values, tuples hold several."""

    def operand(value: Any) -> str:
        if isinstance(value, tuple):
            return "(" + ", ".join(operand(item) for item in value) + ")"
        if isinstance(value, str) and value.startswith("%"):
            return value[1:]
        return literal(value)

    given = ", ".join(f"{name} = {operand(value)}" for name, value in arguments.items())
    return f'{result_type} {result} = {op}({given})[name = string("{result}")];'


def program(inputs: Mapping[str, str], lines: Sequence[str], outputs: Sequence[str]) -> str:
    parameters = ", ".join(f"{kind} {name}" for name, kind in inputs.items())
    body = "\n".join(f"        {line}" for line in lines)
    return (
        f"{HEADER}{{\n    func main<ios18>({parameters}) {{\n{body}\n"
        f"    }} -> ({', '.join(outputs)});\n}}\n"
    )


def single(
    op: str,
    arrays: Mapping[str, np.ndarray],
    result_dtype: Any,
    result_shape: Sequence[int],
    /,
    **attributes: Any,
) -> str:
    """A program of one operation whose operands are the function's inputs."""
    arguments = {name: f"%{name}" for name in arrays} | attributes
    return program(
        {name: tensor_type(array.dtype, array.shape) for name, array in arrays.items()},
        [operation(op, "result", tensor_type(result_dtype, result_shape), arguments)],
        ["result"],
    )


def counting_loop(n: int, shape: Sequence[int], body: Sequence[str], result: str) -> str:
    """A program that turns x into y by `n` turns of a while_loop, each of which makes `result` of v."""
    kind = tensor_type(np.float16, shape)
    less = operation("less", "go", "bool", {"x": "%ci", "y": n})
    count = operation("add", "next", "int32", {"x": "%i", "y": 1})
    line = (
        f"int32 turns, {kind} last = while_loop(loop_vars = (int32(0), x))"
        f'[name = string("loop")] test(int32 ci, {kind} cv) {{ {less} }} -> (go), '
        f"turn(int32 i, {kind} v) {{ {count} {' '.join(body)} }} -> (next, {result});"
    )
    return program({"x": kind}, [line, operation("relu", "y", kind, {"x": "%last"})], ["y"])
