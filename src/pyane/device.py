"""Devices, which compile programs."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from . import strictness
from ._core import chip as _chip
from ._core import engine as _engine
from .emulation import Emulation, HardwareNumerics, parse_device_name
from .errors import (
    AneUnavailableError,
    BlobError,
    BlobWarning,
    ConfigError,
)
from .kernel import Kernel
from .model import Model, as_model, is_path, load

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICE_NAMES = ("ane", "emulator")
MAX_WARNINGS = 10  # A wrong writer is wrong in every record.


class ProgramLike(Protocol):
    """What can be compiled besides text and paths: `pyane.mil.Program` and the like."""

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Budget:
    """Compilations and loaded programs of this process on a device.

    Attributes:
        compiles: Compilations so far.
        compile_limit: Beyond it, `Device.compile` raises CompileBudgetError.
        loaded: Programs loaded now.
        load_limit: Beyond it, likewise.
    """

    compiles: int
    compile_limit: int
    loaded: int
    load_limit: int


class Device:
    """Where programs are compiled: the Apple Neural Engine, or its emulator. See `device`."""

    __slots__ = ("_native", "emulation")

    def __init__(self, native: Any, emulation: Emulation | None = None) -> None:
        self._native = native
        #: What the emulator imitates; None on the engine.
        self.emulation = emulation

    @property
    def name(self) -> str:
        """Either "ane" or "emulator"."""
        return str(self._native.name)

    def budget(self) -> Budget | None:
        """What this process has used, and may use, of the device.

        None for the emulator, which compiles without end, unless it is strict (then as often as
        its chip) or the environment variable PYANE_COMPILE_BUDGET names a number.

        Raises:
            Error: That variable is no positive number.
        """
        facts = self._native.budget()
        return None if facts is None else Budget(**facts)

    def compile(
        self,
        program: str | os.PathLike[str] | ProgramLike,
        weights: Mapping[str, Any] | None = None,
        *,
        function: str = "",
        source_name: str | None = None,
    ) -> Kernel:
        """Compile and load one function of a program.

        Args:
            program: A model (`pyane.load`), its path, MIL text, or a program whose `str()` is its
                text. Weights that it carries (its attribute `weights`) are used where `weights`
                does not name the same file. A `str` is a path when it is one line that ends in
                .mil, .mlmodelc, .mlpackage or .mlmodel.
            weights: Weight files, bytes-like, by the path that the text uses, e.g.
                "@model_path/weights/weight.bin". Baked in: later changes have no effect.
            function: Name of the function; empty for the model's own, the only one, or "main".
            source_name: What messages call the text; None: the model's file name, or "<text>".

        Raises:
            MilSyntaxError: The text does not follow the grammar.
            MilVerifyError: The program breaks a rule of MIL.
            UnsupportedOpError: An operation that the device does not evaluate.
            BlobError: A weight file is missing or does not hold what the text says.
            ShapeError: The model has inputs of unknown shape (`pyane.load(..., shapes=...)`).
            CompileError: The device refused.
            ModelError, OSError: A path at which there is no model; as `pyane.load`.

        Warns:
            BlobWarning: A weight file has wrong fields that could be done without. The texts are
                in `Kernel.warnings`, too.
        """
        if isinstance(program, bytes):
            msg = "compile: program must be text (str) or a Program, got bytes; decode them first"
            raise TypeError(msg)
        if is_path(program):
            program = load(program)
        files: dict[str, Any] = dict(getattr(program, "weights", None) or {})
        files.update(weights or {})
        for path in files:
            if not isinstance(path, str):
                msg = f"compile: paths in weights must be str, got {type(path).__name__} {path!r}"
                raise TypeError(msg)
        name = source_name or "<text>"
        if isinstance(program, Model):
            if function and function != program.function:
                program = as_model(program, function=function)  # With its own default shapes.
            name = source_name or program.source
            function = function or program.chosen_function
            program.check_shapes(function)
        text = str(program)
        findings = self._refusals(text, files, function, name)
        try:
            native, messages = self._native.compile(text, files, function, name)
        except BlobError as e:
            if isinstance(program, Model):
                raise program.explain_missing(e) from None
            raise
        for message in messages[:MAX_WARNINGS]:
            warnings.warn(message, BlobWarning, stacklevel=2)
        if len(messages) > MAX_WARNINGS:
            more = f"{len(messages) - MAX_WARNINGS} more such warnings: see Kernel.warnings"
            warnings.warn(more, BlobWarning, stacklevel=2)
        kernel = Kernel(native, self, text, function, messages)
        kernel._findings = findings
        return kernel

    def _refusals(
        self, text: str, weights: Mapping[str, Any], function: str, source_name: str
    ) -> list[Any]:
        if self.emulation is None or not self.emulation.strict:
            return []
        return strictness.refusals_at_evaluate(
            self.emulation.chip, text, weights, function, source_name
        )

    def __str__(self) -> str:
        """The name, and what the emulator imitates: "emulator (m1, numerics=hardware)"."""
        return f"{self.name} ({self.emulation})" if str(self.emulation or "") else self.name

    def __repr__(self) -> str:
        return f"Device('{self}')"


_emulators: dict[Emulation, Device] = {}
_ane: dict[tuple[int | None, bool], Device] = {}


def _refuse_contradiction(options: dict[str, Any], in_name: dict[str, Any]) -> None:
    """Arguments and the parts of a device's name say the same, or one of them is missing."""
    for key, value in in_name.items():
        argument = options[key]
        if key == "chip" and argument:
            argument = _chip.find_profile(argument).name
        if argument and argument != value:
            msg = f"device: {key} is '{value}' in the device's name and '{argument}' beside it; "
            raise ConfigError(msg + "say it once")


def device(
    name: str | None = None,
    *,
    chip: str | None = None,
    numerics: str | HardwareNumerics | None = None,
    strict: bool = False,
    faithful: bool = False,
    qos: int | None = None,
    perf_stats: bool = False,
) -> Device:
    """The device to compile for.

    Args:
        name: "ane" or "emulator", the latter also with what it should imitate, as in
            "emulator:m1:hardware:strict". None takes the environment variable PYANE_DEVICE; if that
            is not set, the Apple Neural Engine where one can be reached, else the emulator.
        chip: What the emulator imitates, e.g. "m1" or "M4 Max" (`pyane.chips`). Says nothing by
            itself: it is what `numerics`, `strict` and `faithful` refer to. None takes PYANE_CHIP,
            or "m1" where a chip is needed.
        numerics: The emulator's arithmetic. "ieee": fp16 storage, fp32 accumulation, one rounding
            per operation. "hardware": the chip's own, as far as it is known (docs/numerics.md);
            slow. A `HardwareNumerics` changes single choices of it. None takes PYANE_NUMERICS, or
            "ieee".
        strict: The emulator refuses what the chip refuses.
        faithful: The emulator reproduces the chip's silent errors, as far as they can be defined.
        qos: Quality of service of every call to the engine, from 0 to 63; None: 21, as other
            programs use. The emulator takes no notice.
        perf_stats: Ask the engine for its own times (`Request.device_time_ns`). The emulator takes
            no notice.

    Raises:
        AneUnavailableError: "ane" was asked for and there is none; says why. Never falls back.
        ShapeError: `qos` is out of range.
        ConfigError: No such device, chip or arithmetic; `name` says otherwise than an argument; or
            the engine itself was asked to imitate.
    """
    source = "device"
    if name is None and os.environ.get("PYANE_DEVICE"):
        name, source = os.environ["PYANE_DEVICE"], "PYANE_DEVICE"
    options: dict[str, Any] = {"chip": chip, "numerics": numerics}
    options |= {"strict": strict, "faithful": faithful}
    given = [key for key, value in options.items() if value]
    if name is None:
        wants_ane = not given and not _engine.ane_unavailable_reason()
        name = "ane" if wants_ane else "emulator"
    else:
        name, in_name = parse_device_name(name)
        given += list(in_name)
        if source == "device":
            _refuse_contradiction(options, in_name)
        options |= {key: options[key] or value for key, value in in_name.items()}
    if name not in DEVICE_NAMES:
        msg = f"{source}: must be one of {', '.join(map(repr, DEVICE_NAMES))}, got '{name}'"
        raise ConfigError(msg)
    if name == "emulator":
        # One of each per process: kernels of one emulator share the memory for intermediate tensors.
        emulation = Emulation.resolve(**options)
        if emulation not in _emulators:
            _emulators[emulation] = Device(emulation.create(), emulation)
        return _emulators[emulation]
    if given:
        msg = f"{source}: {given[0]} is for the emulator; the engine is what it is"
        raise ConfigError(msg)
    reason = _engine.ane_unavailable_reason()
    if reason:
        raise AneUnavailableError(reason)
    key = (qos, perf_stats)
    if key not in _ane:
        quality = {} if qos is None else {"qos": qos}
        _ane[key] = Device(_engine.create_ane(perf_stats=perf_stats, **quality))
    return _ane[key]
