"""Exceptions raised by pyane. The native core raises these same classes.

Every text names the place, the rule, the value and, where there is one, the way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._core.chip import Diagnostic


class Error(Exception):
    """Base of every failure pyane reports on purpose."""


class MilSyntaxError(Error, ValueError):
    """MIL text that does not follow the grammar.

    Attributes:
        line: Line of the first offending character, from 1.
        column: Column of the first offending character, from 1.
    """

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class MilVerifyError(Error, ValueError):
    """A well-formed program that breaks a rule of MIL: names, types, shapes.

    Attributes:
        op: MIL operation at fault, e.g. "conv"; empty when the fault is not in one.
        line: Its line in the text, from 1; 0 for a program that was not parsed.
        column: Its column.
    """

    def __init__(self, message: str, op: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.op = op
        self.line = line
        self.column = column


class UnsupportedOpError(Error, NotImplementedError):
    """Valid MIL that pyane does not execute.

    Attributes:
        op: The operation, e.g. "lstm".
        line: Its line in the text, from 1; 0 for a program that was not parsed.
        column: Its column.
    """

    def __init__(self, message: str, op: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.op = op
        self.line = line
        self.column = column


class ShapeError(Error, ValueError):
    """An argument whose shape, dtype or range does not fit."""


class BlobError(Error, ValueError):
    """A weight file that is truncated, lies about its contents, or is missing."""


class BlobWarning(UserWarning):
    """A weight file with a wrong field that a lenient reader could do without."""


class ModelError(Error, ValueError):
    """A model file or folder that cannot be loaded: of another kind, broken, or unsafe."""


class CheckpointError(Error, ValueError):
    """A checkpoint or training state that is truncated, corrupt, or of another model."""


class DataError(Error, ValueError):
    """Training data that cannot be used: empty, unreadable, tokens out of range."""


class ConfigError(Error, ValueError):
    """A model or training configuration that does not fit together."""


class DivergenceError(Error, ArithmeticError):
    """Training left the range of numbers: the loss or the weights are no longer finite."""


class CompileError(Error, RuntimeError):
    """The device refused to compile or load a program.

    Attributes:
        diagnostics: What a strict emulator found (`pyane.check`); empty otherwise.
    """

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)


class CompileBudgetError(CompileError):
    """The process has spent its budget of compilations or loaded programs on the engine."""


class EvaluateError(Error, RuntimeError):
    """The device failed to evaluate a request.

    Attributes:
        status: The engine's code (0x1d, ...); 0 when it gave none.
        diagnostics: What a strict emulator found (`pyane.check`); empty otherwise.
    """

    def __init__(
        self, message: str, status: int = 0, diagnostics: Sequence[Diagnostic] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.diagnostics = tuple(diagnostics)


class AneUnavailableError(Error, RuntimeError):
    """No Apple Neural Engine can be reached from this process."""


class AneError(Error, RuntimeError):
    """The engine's framework reported a failure.

    Attributes:
        stage: "descriptor", "compile", "load", "evaluate" or "unload".
        domain: NSError domain.
        code: NSError code.
    """

    def __init__(self, message: str, stage: str = "", domain: str = "", code: int = 0) -> None:
        super().__init__(message)
        self.stage = stage
        self.domain = domain
        self.code = code
