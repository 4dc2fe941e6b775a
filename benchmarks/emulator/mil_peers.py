"""MIL programs as ONNX models and as PyTorch functions, in fp32: what benchmarks compare with.

Only the operations that the vision models of these benchmarks are made of; anything else is an
error. Padding must be given ("custom") or none ("valid").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyane._core import mil

Weights = Mapping[int, np.ndarray]  # By offset in the one weight file.


def blobs(program: mil.Program) -> dict[int, tuple[str, mil.Type]]:
    """Name and type of every tensor in the weight file, by offset."""
    found = {}
    for operation in program.functions[0].operations:
        value = operation.attributes["val"].value if operation.type == "const" else None
        if isinstance(value, mil.BlobReference):
            found[value.offset] = (operation.outputs[0].name, operation.outputs[0].type)
    return found


def random_weights(program: mil.Program, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """fp16 numbers as fp32, such that signals keep their size from layer to layer."""
    weights = {}
    for offset, (name, kind) in sorted(blobs(program).items()):
        shape = tuple(int(n) for n in kind.shape)
        array = rng.normal(size=shape)
        if len(shape) > 1 and "weight" in name:
            array *= np.sqrt(2 / np.prod(shape[1:]))
        else:
            array *= 0.1
        weights[offset] = array.astype(np.float16).astype(np.float32)
    return weights


def _constant(literal: mil.Literal, weights: Weights) -> Any:
    if isinstance(literal.value, mil.BlobReference):
        return weights[literal.value.offset]
    return literal.value


def _constants(program: mil.Program, weights: Weights) -> dict[str, Any]:
    return {
        operation.outputs[0].name: _constant(operation.attributes["val"], weights)
        for operation in program.functions[0].operations
        if operation.type == "const"
    }


def _ints(values: Any) -> list[int]:
    return [int(n) for n in np.ravel(values)]


def _pads(given: Mapping[str, Any]) -> list[int]:
    """Before and after height and width."""
    if given["pad_type"] == "valid":
        return [0, 0, 0, 0]
    if given["pad_type"] != "custom":
        msg = f"pad_type must be 'valid' or 'custom', got {given['pad_type']!r}"
        raise ValueError(msg)
    return _ints(given["pad"])


# ---- ONNX


class _OnnxGraph:
    """A graph under construction."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper  # noqa: PLC0415 -- optional

        self.make_node, self.from_array = helper.make_node, numpy_helper.from_array
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, array: Any, dtype: np.typing.DTypeLike = np.float32) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(self.from_array(np.asarray(array, dtype), name))
        return name

    def add(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(self.make_node(op, inputs, outputs, **attributes))


def _onnx_conv(graph: _OnnxGraph, given: dict[str, Any], outputs: list[str]) -> None:
    top, bottom, left, right = _pads(given)
    inputs = [given["x"], graph.constant(given["weight"])]
    if "bias" in given:
        inputs.append(graph.constant(given["bias"]))
    graph.add(
        "Conv",
        inputs,
        outputs,
        strides=_ints(given["strides"]),
        dilations=_ints(given["dilations"]),
        group=int(given["groups"]),
        pads=[top, left, bottom, right],
    )


def _onnx_max_pool(graph: _OnnxGraph, given: dict[str, Any], outputs: list[str]) -> None:
    top, bottom, left, right = _pads(given)
    graph.add(
        "MaxPool",
        [given["x"]],
        outputs,
        kernel_shape=_ints(given["kernel_sizes"]),
        strides=_ints(given["strides"]),
        pads=[top, left, bottom, right],
    )


def _onnx_silu(graph: _OnnxGraph, given: dict[str, Any], outputs: list[str]) -> None:
    graph.add("Sigmoid", [given["x"]], [f"{outputs[0]}_gate"])
    graph.add("Mul", [given["x"], f"{outputs[0]}_gate"], outputs)


def _onnx_upsample(graph: _OnnxGraph, given: dict[str, Any], outputs: list[str]) -> None:
    scales = [1.0, 1.0, float(given["scale_factor_height"]), float(given["scale_factor_width"])]
    graph.add(
        "Resize",
        [given["x"], "", graph.constant(scales)],
        outputs,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _onnx_binary(op: str) -> Callable[[_OnnxGraph, dict[str, Any], list[str]], None]:
    def add(graph: _OnnxGraph, given: dict[str, Any], outputs: list[str]) -> None:
        operands = [
            value if isinstance(value, str) else graph.constant(value)
            for value in (given["x"], given["y"])
        ]
        graph.add(op, operands, outputs)

    return add


_ONNX: dict[str, Callable[[_OnnxGraph, dict[str, Any], list[str]], None]] = {
    "add": _onnx_binary("Add"),
    "concat": lambda g, a, out: g.add("Concat", a["values"], out, axis=int(a["axis"])),
    "conv": _onnx_conv,
    "max_pool": _onnx_max_pool,
    "mul": _onnx_binary("Mul"),
    "reshape": lambda g, a, out: g.add("Reshape", [a["x"], g.constant(a["shape"], np.int64)], out),
    "sigmoid": lambda g, a, out: g.add("Sigmoid", [a["x"]], out),
    "silu": _onnx_silu,
    "softmax": lambda g, a, out: g.add("Softmax", [a["x"]], out, axis=int(a["axis"])),
    "split": lambda g, a, out: g.add(
        "Split", [a["x"], g.constant(a["split_sizes"], np.int64)], out, axis=int(a["axis"])
    ),
    "sub": _onnx_binary("Sub"),
    "transpose": lambda g, a, out: g.add("Transpose", [a["x"]], out, perm=_ints(a["perm"])),
    "upsample_nearest_neighbor": _onnx_upsample,
}


def to_onnx(program: mil.Program, weights: Weights) -> bytes:
    """The program's first function as a serialised ONNX model, everything in fp32."""
    from onnx import TensorProto, helper  # noqa: PLC0415 -- optional

    function = program.functions[0]
    constants = _constants(program, weights)
    graph = _OnnxGraph()

    def operand(value: Any) -> Any:
        if isinstance(value, tuple):
            return [operand(item) for item in value]
        if isinstance(value, str):
            return constants.get(value, value)
        return _constant(value, weights)

    for operation in function.operations:
        if operation.type == "const":
            continue
        given = {name: operand(value) for name, value in operation.arguments.items()}
        _ONNX[operation.type](graph, given, [output.name for output in operation.outputs])
    fp32 = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info(p.name, fp32, _ints(p.type.shape))
        for p in function.parameters
    ]
    outputs = [helper.make_tensor_value_info(name, fp32, None) for name in function.outputs]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "mil", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


# ---- PyTorch


def to_torch(program: mil.Program, weights: Weights) -> Callable[..., Any]:
    """The program's first function on fp32 tensors, in the order of its parameters."""
    import torch  # noqa: PLC0415 -- optional
    from torch.nn import functional as F  # noqa: PLC0415

    def conv(a: dict[str, Any]) -> Any:
        top, bottom, left, right = _pads(a)
        x, padding = a["x"], (top, left)
        if (top, left) != (bottom, right):
            x, padding = F.pad(x, [left, right, top, bottom]), (0, 0)
        options = (_ints(a["strides"]), padding, _ints(a["dilations"]), int(a["groups"]))
        return F.conv2d(x, a["weight"], a.get("bias"), *options)

    def max_pool(a: dict[str, Any]) -> Any:
        top, bottom, left, right = _pads(a)
        if (top, left) != (bottom, right):
            msg = f"max_pool: padding must be the same on both sides, got {_pads(a)}"
            raise ValueError(msg)
        return F.max_pool2d(a["x"], _ints(a["kernel_sizes"]), _ints(a["strides"]), (top, left))

    def upsample(a: dict[str, Any]) -> Any:
        scales = (float(a["scale_factor_height"]), float(a["scale_factor_width"]))
        return F.interpolate(a["x"], scale_factor=scales, mode="nearest")

    operations: dict[str, Callable[[dict[str, Any]], Any]] = {
        "add": lambda a: a["x"] + a["y"],
        "concat": lambda a: torch.cat(a["values"], int(a["axis"])),
        "conv": conv,
        "max_pool": max_pool,
        "mul": lambda a: a["x"] * a["y"],
        "reshape": lambda a: a["x"].reshape(_ints(a["shape"])),
        "sigmoid": lambda a: torch.sigmoid(a["x"]),
        "silu": lambda a: F.silu(a["x"]),
        "softmax": lambda a: torch.softmax(a["x"], int(a["axis"])),
        "split": lambda a: torch.split(a["x"], _ints(a["split_sizes"]), int(a["axis"])),
        "sub": lambda a: a["x"] - a["y"],
        "transpose": lambda a: a["x"].permute(_ints(a["perm"])),
        "upsample_nearest_neighbor": upsample,
    }

    def tensor(value: Any) -> Any:
        is_float = isinstance(value, float | np.floating) or (
            isinstance(value, np.ndarray) and value.dtype.kind == "f"
        )
        return torch.from_numpy(np.array(value, np.float32)) if is_float else value

    constants = {k: tensor(v) for k, v in _constants(program, weights).items()}
    function = program.functions[0]
    steps = []
    for operation in function.operations:
        if operation.type != "const":
            outputs = [output.name for output in operation.outputs]
            steps.append((operations[operation.type], dict(operation.arguments), outputs))

    def operand(value: Any, values: dict[str, Any]) -> Any:
        if isinstance(value, tuple):
            return [operand(item, values) for item in value]
        if isinstance(value, str):
            return values[value] if value in values else constants[value]
        return tensor(_constant(value, weights))

    @torch.inference_mode()
    def run(*inputs: Any) -> dict[str, Any]:
        values = dict(zip((p.name for p in function.parameters), inputs, strict=True))
        for call, arguments, outputs in steps:
            results = call({name: operand(value, values) for name, value in arguments.items()})
            values.update(zip(outputs, results if len(outputs) > 1 else [results], strict=True))
        return {name: values[name] for name in function.outputs}

    return run
