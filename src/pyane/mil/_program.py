"""MIL programs in Python: text, parts, and the weight files that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import mil as _mil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer


class Program:
    """A MIL program with its weight files. Immutable; `str(program)` is its text.

    Attributes:
        native: The program as the core has it.
        weights: Weight files by the path that the text uses (`@model_path/weights/weight.bin`).
            Any object with the buffer protocol; not copied.
    """

    __slots__ = ("native", "weights")

    native: _mil.Program
    weights: dict[str, Buffer]

    def __init__(self, native: _mil.Program, weights: Mapping[str, Buffer] | None = None) -> None:
        self.native = native
        self.weights = dict(weights or {})

    @classmethod
    def parse(
        cls,
        text: str | bytes,
        source_name: str = "<text>",
        weights: Mapping[str, Buffer] | None = None,
    ) -> Program:
        """Parses MIL text.

        Args:
            text: The program; bytes must be UTF-8.
            source_name: What to call the text in messages, e.g. its file name.
            weights: Its weight files, if it is to be compiled.

        Raises:
            MilSyntaxError: The text does not follow the grammar of docs/mil_text.md.
        """
        return cls(_mil.parse(text, source_name), weights)

    @property
    def version(self) -> str:
        """Version of the language: "1.0", "1.3"."""
        return self.native.version

    @property
    def attributes(self) -> dict[str, _mil.Literal]:
        """Attributes of the program, e.g. `buildInfo`."""
        return self.native.attributes

    @property
    def functions(self) -> tuple[_mil.Function, ...]:
        """Its functions, in the order of the text."""
        return self.native.functions

    @property
    def source_name(self) -> str:
        """What messages call the text."""
        return self.native.source_name

    @property
    def weight_paths(self) -> tuple[str, ...]:
        """Paths of the weight files that the text refers to, sorted."""
        return self.native.weight_paths

    def __str__(self) -> str:
        return str(self.native)

    def __repr__(self) -> str:
        functions = ", ".join(
            f"{function.name}: {len(function.operations)} operations" for function in self.functions
        )
        return f"<MIL program {self.version}, {functions or 'no functions'}>"

    def __eq__(self, other: object) -> bool:
        """Same text but for layout, and the same bytes in every weight file."""
        if not isinstance(other, Program):
            return NotImplemented
        return self.native == other.native and {
            path: memoryview(data).cast("B") for path, data in self.weights.items()
        } == {path: memoryview(data).cast("B") for path, data in other.weights.items()}

    __hash__ = None  # type: ignore[assignment]  # As for any container of buffers.

    def __reduce__(self) -> tuple[object, ...]:
        weights = {path: bytes(memoryview(data)) for path, data in self.weights.items()}
        return (Program.parse, (str(self), self.source_name, weights))


def parse(
    text: str | bytes,
    source_name: str = "<text>",
    weights: Mapping[str, Buffer] | None = None,
) -> Program:
    """Parses MIL text: `Program.parse`."""
    return Program.parse(text, source_name, weights)


def verify(program: Program) -> None:
    """Checks every function of a program: names, arguments, types of all results.

    Weight files are not read; compiling does that.

    Raises:
        MilVerifyError: The first rule that is broken, with its place.
        UnsupportedOpError: An operation that pyane does not know.
    """
    _mil.verify(program.native)
