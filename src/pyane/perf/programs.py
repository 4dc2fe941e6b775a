"""MIL programs of the kinds that measurements were published for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import ConfigError
from .networks import resnet18

_HEADER: Final = (
    'program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]\n{\n'
)
_PATH: Final = "@model_path/weights/weight.bin"


def build(kind: str, parameters: Mapping[str, Any]) -> str:
    """MIL text of a published program; weights are named, not there.

    Args:
        kind: A key of `KINDS`.
        parameters: As the function of that name takes them.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in KINDS:
        msg = f"kind of a program must be one of {', '.join(KINDS)}, got '{kind}'"
        raise ConfigError(msg)
    return KINDS[kind](**parameters)


class _Text:
    """Lines of a function main with one input and one output."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.lines: list[str] = []
        self.offset = 64

    def blob(self, dtype: str, shape: tuple[int, ...], offset: int | None = None) -> str:
        if offset is None:
            offset, self.offset = self.offset, self.offset + 64
        return (
            f'{_type(shape, dtype)}(BLOBFILE(path = string("{_PATH}"), offset = uint64({offset})))'
        )

    def const(self, name: str, shape: tuple[int, ...], offset: int | None = None) -> None:
        value = self.blob("fp16", shape, offset)
        self.lines.append(
            f'{_type(shape)} {name} = const()[name = string("{name}"), val = {value}];'
        )

    def op(self, name: str, shape: tuple[int, ...], op: str, arguments: str) -> None:
        self.lines.append(f'{_type(shape)} {name} = {op}({arguments})[name = string("{name}")];')

    def text(self, outputs: str) -> str:
        body = "\n".join(f"    {line}" for line in self.lines)
        return f"{_HEADER}  func main<ios18>({_type(self.shape)} x) {{\n{body}\n  }} -> ({outputs});\n}}\n"


def _type(shape: tuple[int, ...], dtype: str = "fp16") -> str:
    return f"tensor<{dtype}, [{', '.join(map(str, shape))}]>"


def _ints(*values: int) -> str:
    return f"tensor<int32, [{len(values)}]>([{', '.join(map(str, values))}])"


def conv(
    channels: int,
    height: int,
    width: int,
    kernel: int,
    *,
    out: int = 0,
    stride: int = 1,
    pad: str = "same",
    depth: int = 1,
    shared: bool = False,
    relu: bool = False,
) -> str:
    """`depth` convolutions one after the other, of one weight if `shared`."""
    text = _Text((1, channels, height, width))
    name, out = "x", out or channels
    for i in range(depth):
        weight = (out, channels if i == 0 else out, kernel, kernel)
        text.const(f"w{i}", weight, 64 if shared else None)
        if pad == "valid":
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        else:
            height, width = -(-height // stride), -(-width // stride)
        text.op(
            f"c{i}",
            (1, out, height, width),
            "conv",
            f'x = {name}, weight = w{i}, pad_type = string("{pad}"), pad = {_ints(0, 0, 0, 0)}, '
            f"strides = {_ints(stride, stride)}, dilations = {_ints(1, 1)}, groups = int32(1)",
        )
        name = f"c{i}"
        if relu:
            text.op(f"r{i}", (1, out, height, width), "relu", f"x = {name}")
            name = f"r{i}"
    return text.text(name)


def matmul(
    rows: int, inner: int, columns: int, *, depth: int = 1, form: str = "dense", kept: float = 1.0
) -> str:
    """`depth` products of [rows, inner] by constants [inner, columns].

    Args:
        rows: Of the input.
        inner: Contracted extent.
        columns: Of the constants.
        depth: Products one after the other.
        form: How constants are stored: dense, int8, lut (16 entries) or sparse.
        kept: Fraction of elements that are not zero, for sparse.
    """
    text = _Text((rows, inner))
    name = "x"
    for i in range(depth):
        shape = (inner if i == 0 else columns, columns)
        _weight(text, f"w{i}", shape, form, kept)
        text.op(
            f"y{i}",
            (rows, columns),
            "matmul",
            f"x = {name}, y = w{i}, transpose_x = bool(false), transpose_y = bool(false)",
        )
        name = f"y{i}"
    return text.text(name)


def _weight(text: _Text, name: str, shape: tuple[int, int], form: str, kept: float) -> None:
    count = shape[0] * shape[1]
    if form == "dense":
        text.const(name, shape)
        return
    label = f'[name = string("{name}")];'
    dims = f"tensor<uint32, [2]>([{shape[0]}, {shape[1]}])"
    if form == "int8":
        text.lines.append(
            f"{_type(shape)} {name} = constexpr_affine_dequantize()[axis = int32(1), "
            f'name = string("{name}"), quantized_data = {text.blob("int8", shape)}, '
            f"scale = {text.blob('fp16', (shape[1],))}, "
            f"zero_point = {text.blob('int8', (shape[1],))}];"
        )
    elif form == "lut":
        text.lines.append(
            f"{_type(shape)} {name} = constexpr_lut_to_dense()"
            f"[indices = {text.blob('uint8', (count // 2,))}, lut = {text.blob('fp16', (16,))}, "
            f"shape = {dims}, " + label[1:]
        )
    else:
        text.lines.append(
            f"{_type(shape)} {name} = constexpr_sparse_to_dense()"
            f"[mask = {text.blob('uint8', (-(-count // 8),))}, "
            f"nonzero_data = {text.blob('fp16', (int(count * kept),))}, shape = {dims}, "
            + label[1:]
        )


def elementwise(shape: list[int], op: str) -> str:
    """One operation on every element."""
    dims = tuple(shape)
    text = _Text(dims)
    arguments = 'x = x, mode = string("EXACT")' if op == "gelu" else "x = x"
    if op == "softmax":
        arguments = "x = x, axis = int32(-1)"
    text.op("y", dims, op, arguments)
    return text.text("y")


def layer_norm(shape: list[int]) -> str:
    """Over the last axis."""
    dims = tuple(shape)
    text = _Text(dims)
    text.op("y", dims, "layer_norm", f"x = x, axes = {_ints(-1)}, epsilon = fp16(0x1.5p-17)")
    return text.text("y")


def rms_norm(shape: list[int]) -> str:
    """Over the last axis, in the operations that MIL has."""
    dims, row = tuple(shape), (*shape[:-1], 1)
    text = _Text(dims)
    text.op("square", dims, "mul", "x = x, y = x")
    text.op("mean", row, "reduce_mean", f"x = square, axes = {_ints(-1)}, keep_dims = bool(true)")
    text.op("shifted", row, "add", "x = mean, y = fp16(0x1.5p-17)")
    text.op("factor", row, "rsqrt", "x = shifted, epsilon = fp16(0x1.5p-17)")
    text.op("y", dims, "mul", "x = x, y = factor")
    return text.text("y")


def group_norm(shape: list[int], groups: int) -> str:
    """As a layer_norm of [N, groups, C / groups * H * W]."""
    dims = tuple(shape)
    n, channels, height, width = dims
    inner = (n, groups, channels // groups * height * width)
    text = _Text(dims)
    text.op("grouped", inner, "reshape", f"x = x, shape = {_ints(*inner)}")
    text.op(
        "normed", inner, "layer_norm", f"x = grouped, axes = {_ints(-1)}, epsilon = fp16(0x1.5p-17)"
    )
    text.op("y", dims, "reshape", f"x = normed, shape = {_ints(*dims)}")
    return text.text("y")


def pool(shape: list[int], op: str, kernel: int = 2, stride: int = 2) -> str:
    """max_pool or avg_pool."""
    n, channels, height, width = shape
    text = _Text(tuple(shape))
    out = (n, channels, height // stride, width // stride)
    extra = ", exclude_padding_from_average = bool(false)" if op == "avg_pool" else ""
    text.op(
        "y",
        out,
        op,
        f"x = x, kernel_sizes = {_ints(kernel, kernel)}, strides = {_ints(stride, stride)}, "
        f'pad_type = string("valid"), pad = {_ints(0, 0, 0, 0)}, ceil_mode = bool(false){extra}',
    )
    return text.text("y")


def pixel_shuffle(shape: list[int], factor: int = 2) -> str:
    """Channels to space."""
    n, channels, height, width = shape
    text = _Text(tuple(shape))
    out = (n, channels // factor**2, height * factor, width * factor)
    text.op("y", out, "pixel_shuffle", f"x = x, upscale_factor = int32({factor})")
    return text.text("y")


def attention(heads: int, positions: int, head_dim: int) -> str:
    """scaled_dot_product_attention of three inputs [1, heads, positions, head_dim]."""
    shape = (1, heads, positions, head_dim)
    parameters = ", ".join(f"{_type(shape)} {name}" for name in ("key", "query", "value"))
    return (
        f"{_HEADER}  func main<ios18>({parameters}) {{\n"
        f"    {_type(shape)} y = scaled_dot_product_attention(query = query, key = key, "
        'value = value)[name = string("y")];\n  } -> (y);\n}\n'
    )


def mul_reduce(rows: int, inner: int) -> str:
    """A matrix by a vector as a product of elements and a sum."""
    dims = (1, 1, rows, inner)
    text = _Text((1, 1, 1, inner))
    text.const("w", dims)
    text.op("product", dims, "mul", "x = x, y = w")
    text.op(
        "y",
        (1, 1, rows, 1),
        "reduce_sum",
        f"x = product, axes = {_ints(-1)}, keep_dims = bool(true)",
    )
    return text.text("y")


def tiny(channels: int = 8, side: int = 16) -> str:
    """A convolution, relu and a mean: the smallest program somebody timed."""
    text = _Text((1, channels, side, side))
    dims = (1, channels, side, side)
    text.const("w", (channels, channels, 1, 1))
    text.op(
        "c",
        dims,
        "conv",
        f'x = x, weight = w, pad_type = string("valid"), pad = {_ints(0, 0, 0, 0)}, '
        f"strides = {_ints(1, 1)}, dilations = {_ints(1, 1)}, groups = int32(1)",
    )
    text.op("r", dims, "relu", "x = c")
    text.op(
        "y",
        (1, channels, 1, 1),
        "reduce_mean",
        f"x = r, axes = {_ints(2, 3)}, keep_dims = bool(true)",
    )
    return text.text("y")


KINDS: Final[Mapping[str, Callable[..., str]]] = {
    "conv": conv,
    "matmul": matmul,
    "elementwise": elementwise,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "pool": pool,
    "pixel_shuffle": pixel_shuffle,
    "attention": attention,
    "mul_reduce": mul_reduce,
    "tiny": tiny,
    "resnet18": resnet18,
}
