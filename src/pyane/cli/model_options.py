"""What the commands that take a model share: finding it, its shapes and weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model import Model

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A .mil, .mlmodelc, .mlpackage or .mlmodel; - reads MIL text."
    ),
]
FunctionOption = Annotated[
    str, typer.Option("--function", help="Function of the program. Default: its own, or main.")
]
ShapeOption = Annotated[
    list[str],
    typer.Option("--shape", help="Shape of an input that is open: NAME=1,3,224,224. Repeatable."),
]
WeightsOption = Annotated[
    list[str],
    typer.Option(
        "--weights",
        help="Weight file to take: FILE, or PATH=FILE where the program names several.",
    ),
]
LinksOption = Annotated[
    bool, typer.Option("--allow-links", help="Follow links that lead out of the model's folder.")
]


def load_model(
    model: str,
    *,
    function: str = "",
    shapes: Sequence[str] = (),
    weights: Sequence[str] = (),
    allow_links: bool = False,
) -> Model:
    """The model that a command's arguments mean.

    Raises:
        ConfigError: An option that makes no sense; and all that `pyane.load` raises.
    """
    from .. import mil
    from ..model import Model, load
    from ..model.files import map_file

    asked = dict(parse_shape(text) for text in shapes)
    if model == "-":
        text = read_stdin("MODEL")
        program = mil.parse(text, "<stdin>")
        files = dict(weight_file(option, program.weight_paths) for option in weights)
        program.weights.update((path, map_file(Path(file))) for path, file in files.items())
        return Model(
            program, text=text.decode(), source="<stdin>", function=function or None, shapes=asked
        )
    if not weights:
        return load(model, function=function or None, shapes=asked, allow_links=allow_links)
    names = load(model, allow_links=allow_links).program.weight_paths
    return load(
        model,
        function=function or None,
        shapes=asked,
        weights=dict(weight_file(text, names) for text in weights),
        allow_links=allow_links,
    )


def read_stdin(argument: str, limit: int = -1) -> bytes:
    """What comes over standard input, at most `limit` bytes of it; -1: all.

    Raises:
        ConfigError: It is closed.
    """
    if sys.stdin is None:
        msg = f"{argument} - reads standard input, which is closed"
        raise ConfigError(msg)
    return sys.stdin.buffer.read(limit)


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Name and dimensions in "x=1,3".

    Raises:
        ConfigError: Not of that form.
    """
    name, equals, dims = text.partition("=")
    try:
        shape = tuple(int(dim) for dim in dims.replace("x", ",").split(",")) if dims else ()
    except ValueError:
        equals = ""
    if not name or not equals:
        msg = f"--shape must be NAME=1,3,224,224, got '{text}'"
        raise ConfigError(msg)
    return name, shape


def weight_file(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Path of the program and file in "PATH=FILE"; the path may be missing where there is one only.

    Raises:
        ConfigError: It is missing, and the program names several, or none.
    """
    for name in names:
        if text.startswith(name + "="):
            return name, text[len(name) + 1 :]
    if len(names) == 1:
        return names[0], text
    msg = (
        f"--weights must be PATH=FILE with a path of the program "
        f"({', '.join(names) or 'it names no weight files'}), got '{text}'"
    )
    raise ConfigError(msg)


def parse_pair(option: str, text: str) -> tuple[str, Path]:
    """Name and file in "x=file.npy"; the name is "" when there is none.

    Raises:
        ConfigError: No file.
    """
    name, equals, file = text.partition("=")
    if not equals:
        name, file = "", text
    if not file:
        msg = f"{option} must be NAME=FILE.npy or FILE.npz, got '{text}'"
        raise ConfigError(msg)
    return name, Path(file)


def check_format(value: str, formats: Sequence[str]) -> None:
    """Raises ConfigError for a --format that there is not."""
    if value not in formats:
        msg = f"--format must be one of {', '.join(formats)}, got '{value}'"
        raise ConfigError(msg)


def human_bytes(n: int | None) -> str:
    """For people: "1.5 MB"; powers of 1000, as file sizes are told."""
    if n is None:
        return "unknown (open shapes)"
    size = float(n)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{n:,} bytes" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return ""


def human_flops(flops: float | None) -> str:
    """For people: "1.23 GFLOP"."""
    if flops is None:
        return "unknown (open shapes)"
    for unit, scale in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6), ("kFLOP", 1e3)):
        if flops >= scale:
            return f"{flops / scale:.3g} {unit}"
    return f"{flops:.0f} FLOP"
