"""Compiled kernels, and requests that bind surfaces to them."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import strictness
from ._core import engine as _engine
from .errors import (
    Error,
    EvaluateError,
    ShapeError,
)
from .surface import Surface, check_range, convert_into

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike

    from .device import Device
    from .profile import Profile

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a kernel.

    Attributes:
        name: As in the program.
        dtype: Element type. Those that NumPy lacks appear as unsigned integers of their bits.
        shape: Dimensions.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Packed size."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Request:
    """Surfaces bound to a kernel's inputs and outputs. Made by `Kernel.bind`.

    Keeps kernel and surfaces alive. Different requests may be evaluated by different threads at
    once; a second evaluation of the same request waits for the first.
    """

    __slots__ = ("_native", "_refusal", "evaluate", "states")

    def __init__(
        self,
        native: Any,
        states: Mapping[str, Surface] | None = None,
        refusal: EvaluateError | None = None,
    ) -> None:
        self._native = native
        self._refusal = refusal  # A strict emulator's.
        #: Memory of the kernel's states by name. Evaluations change it.
        self.states: Mapping[str, Surface] = MappingProxyType(dict(states or {}))
        #: Runs the kernel once, without the GIL. Raises EvaluateError.
        self.evaluate = native.evaluate if refusal is None else self._refuse

    def _refuse(self) -> None:
        assert self._refusal is not None
        raise self._refusal

    @property
    def device_time_ns(self) -> int | None:
        """The engine's own time for the last evaluation, in nanoseconds.

        None unless asked for (`device("ane", perf_stats=True)`) and told by the engine.
        """
        time: int | None = self._native.device_time_ns
        return time


def evaluate(requests: Iterable[Request]) -> None:
    """Evaluate requests as if one after the other, without returning to Python in between.

    On the emulator, small ones next to each other run on the thread pool, each as soon as those
    before it are done whose surfaces or states it shares, unless both only read them. Results are the
    same.

    Raises:
        TypeError: Something that is no request; nothing has been evaluated.
        EvaluateError: Of the first request in the list that fails, whose outputs are then undefined.
            All before it have been evaluated; of those after it none that shares with it what one of
            the two writes, and of the others perhaps some.
        Error: Called by a signal handler that interrupted an evaluation or compilation.
    """
    natives: list[Any] = []
    refusal = None
    if not isinstance(requests, Iterable):
        msg = f"evaluate: requests must be a list of Request, got {type(requests).__name__}"
        raise TypeError(msg)
    for request in requests:
        if not isinstance(request, Request):
            msg = (
                f"evaluate: requests[{len(natives)}] must be a Request (Kernel.bind), "
                f"got {type(request).__name__}"
            )
            raise TypeError(msg)
        refusal = request._refusal
        if refusal is not None:
            break
        natives.append(request._native)
    _engine.evaluate(natives)
    if refusal is not None:
        raise refusal


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _specs(native: Iterable[Any]) -> dict[str, TensorSpec]:
    return {spec.name: TensorSpec(spec.name, spec.dtype, spec.shape) for spec in native}


# Native surfaces that nobody asked for, and the kernels that made them. A forked child has copies: what it
# computes is nobody else's, and a thread of the parent's that held a lock does not exist in it.
_unasked: weakref.WeakSet[Any] = weakref.WeakSet()
_owners: weakref.WeakSet[Kernel] = weakref.WeakSet()


def _after_fork() -> None:
    for kernel in _owners:
        kernel._own_lock = threading.RLock()
    failure = None
    for surface in _unasked:
        try:
            surface.unshare()
        except Error as e:  # Still shared; the others need not be.
            failure = e
    if failure is not None:
        raise failure  # Python prints it.


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Kernel:
    """A program's function, compiled and loaded on a device. Made by `Device.compile`.

    Usable as a context manager, which unloads it. Two ways to run it, and both may be mixed::

        y = kernel(x)  # arrays in, arrays out

        kernel.inputs["x"][...] = x  # without copies: the arrays are the surfaces
        kernel.evaluate()
        kernel.outputs["y"]

    For several sets of surfaces see `bind`. A forked child has the kernel with copies of its own
    surfaces; those given to `bind` it shares with its parent.
    """

    def __init__(
        self, native: Any, device: Device, text: str, function: str, warnings: Sequence[str] = ()
    ) -> None:
        self._native = native
        self._device = device
        self._text = text
        self._function = function
        self._warnings = tuple(warnings)
        self._input_specs = _specs(native.inputs)
        self._output_specs = _specs(native.outputs)
        self._state_specs = _specs(native.states)
        self._findings: list[Any] = []  # Because of which a strict emulator does not evaluate.
        self._declared: tuple[list[str], list[str]] | None = None
        self._request: Request | None = None
        self._own_lock = threading.RLock()  # Of the kernel's own surfaces.
        self._inputs: Mapping[str, Array] = {}
        self._outputs: Mapping[str, Array] = {}
        self._states: Mapping[str, Array] = {}

    @property
    def device(self) -> Device:
        """Where it was compiled."""
        return self._device

    @property
    def input_specs(self) -> dict[str, TensorSpec]:
        """Inputs by name, in alphabetical order, as the engine orders them."""
        return dict(self._input_specs)

    @property
    def output_specs(self) -> dict[str, TensorSpec]:
        """Outputs by name, in alphabetical order."""
        return dict(self._output_specs)

    @property
    def state_specs(self) -> dict[str, TensorSpec]:
        """States by name: parameters of type `state<tensor<...>>`, in alphabetical order."""
        return dict(self._state_specs)

    @property
    def surface_bytes(self) -> int:
        """Bytes that every surface bound to the kernel should have."""
        return int(self._native.surface_bytes)

    @property
    def is_loaded(self) -> bool:
        """False after `unload`."""
        return bool(self._native.is_loaded)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the weight files, though they could be read: see `BlobWarning`."""
        return self._warnings

    @property
    def details(self) -> list[tuple[str, str]]:
        """What the device tells of the compiled kernel, for people and reports."""
        return list(self._native.details)

    # -- the kernel's own surfaces

    def _own_request(self) -> Request:
        with self._own_lock:
            if self._request is None:
                inputs = {name: Surface(self.surface_bytes) for name in self._input_specs}
                outputs = {name: Surface(self.surface_bytes) for name in self._output_specs}
                request = self.bind(inputs, outputs)
                self._inputs = self._views(inputs, self._input_specs)
                self._outputs = self._views(outputs, self._output_specs)
                self._states = self._views(request.states, self._state_specs)
                self._request = request
                _unasked.update(s._native for s in (*inputs.values(), *outputs.values()))
                _owners.add(self)
            return self._request

    @staticmethod
    def _views(
        surfaces: Mapping[str, Surface], specs: Mapping[str, TensorSpec]
    ) -> Mapping[str, Array]:
        return MappingProxyType(
            {
                name: surface.array(specs[name].shape, specs[name].dtype)
                for name, surface in surfaces.items()
            }
        )

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Zero-copy arrays on the kernel's own input surfaces; write with `inputs["x"][...] = x`.

        The surfaces are made at first use. The arrays stay valid after the kernel is gone.
        """
        self._own_request()
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, Array]:
        """Zero-copy arrays on the kernel's own output surfaces, overwritten by `evaluate`."""
        self._own_request()
        return self._outputs

    @property
    def states(self) -> Mapping[str, Array]:
        """Zero-copy arrays on the kernel's own states: zero at first, kept between evaluations.

        Read them, or write them with `states["kv"][...] = kv`.
        """
        self._own_request()
        return self._states

    def reset_states(self) -> None:
        """Fill the kernel's own states with zeros, as they were when it was loaded."""
        with self._own_lock:
            for array in self.states.values():
                array[...] = 0

    def evaluate(self) -> None:
        """Run once on the kernel's own surfaces, without the GIL.

        Raises:
            EvaluateError: The device failed, a value was impossible (a gather index outside its
                tensor), or the kernel has been unloaded.
        """
        self._own_request().evaluate()

    def profile(self, *, repeat: int = 10) -> Profile:
        """Evaluate on the kernel's own surfaces, and tell where the time goes.

        Time, GFLOP/s, bytes and percent of this machine's roof per group of operations. Uses what is in `inputs`; states are put back afterwards. See `pyane.profile.Profile`.

        Args:
            repeat: Evaluations with, and as many without profiling; that of median time is shown.

        Raises:
            ConfigError: `repeat` is below 1, or the device is not the emulator.
            EvaluateError: As `evaluate`.
        """
        from .profile import profile  # noqa: PLC0415 - it needs this module

        return profile(self, repeat=repeat)

    # -- arrays in, arrays out

    def _signature(self) -> tuple[list[str], list[str]]:
        if self._declared is None:
            self._declared = _engine.signature(self._text, self._function)
        return self._declared

    def __call__(self, /, *args: ArrayLike, **kwargs: ArrayLike) -> Array | dict[str, Array]:
        """Copy arrays in, evaluate, copy results out.

        Args:
            *args: Inputs in the order in which the program's function declares them.
            **kwargs: Inputs by name.

        Shapes must match exactly. Element types are converted within their kind (float64 to
        float16 rounds half to even, int64 to int32 if the values fit), but not across kinds. Calls
        from several threads take turns, as there is one set of surfaces; `bind` more to evaluate at
        once.

        Returns:
            The output; a dict by name, in the order in which the function returns them, when there
            are several. The arrays are the caller's own.

        Raises:
            ShapeError: A missing, unknown or ill-fitting input, or an integer out of its range.
            EvaluateError: As `evaluate`.
        """
        given: dict[str, ArrayLike] = dict(kwargs)
        if args:
            declared = self._signature()[0]
            if len(args) > len(declared):
                msg = (
                    f"kernel takes {len(declared)} inputs ({_names(declared)}), "
                    f"got {len(args)} positional ones"
                )
                raise ShapeError(msg)
            for name, value in zip(declared, args, strict=False):
                if name in given:
                    msg = f"kernel: input '{name}' is given by position and by name"
                    raise ShapeError(msg)
                given[name] = value
        self._check_names("input", given, self._input_specs)
        arrays = {name: self._checked(name, value) for name, value in given.items()}
        with self._own_lock:
            request = self._own_request()
            for name, array in arrays.items():
                convert_into(self._inputs[name], array)
            request.evaluate()
            if len(self._outputs) == 1:
                return next(iter(self._outputs.values())).copy()
            return {name: self._outputs[name].copy() for name in self._signature()[1]}

    def _checked(self, name: str, value: ArrayLike) -> Array:
        spec = self._input_specs[name]
        array = np.asarray(value)
        if array.shape != spec.shape:
            msg = (
                f"kernel: input '{name}' must have shape {list(spec.shape)}, "
                f"got {list(array.shape)}"
            )
            raise ShapeError(msg)
        if not np.can_cast(array.dtype, spec.dtype, casting="same_kind"):
            msg = f"kernel: input '{name}' must be {spec.dtype}, got {array.dtype}"
            raise ShapeError(msg)
        check_range(f"kernel: input '{name}'", array, spec.dtype)
        return array

    @staticmethod
    def _check_names(kind: str, given: Iterable[str], specs: Mapping[str, TensorSpec]) -> None:
        given = set(given)
        unknown = sorted(given - set(specs))
        missing = [name for name in specs if name not in given]
        if unknown or missing:
            problem = (
                f"has no {kind} {_names(unknown)}" if unknown else f"needs {kind} {_names(missing)}"
            )
            msg = f"kernel {problem}; its {kind}s are {_names(specs)}"
            raise ShapeError(msg)

    # -- other surfaces

    def bind(
        self,
        inputs: Mapping[str, Surface],
        outputs: Mapping[str, Surface],
        states: Mapping[str, Surface] | None = None,
    ) -> Request:
        """Bind surfaces by name; a kernel can have any number of requests.

        An output may be bound to the surface of an input: it is written after all inputs have been
        read.

        Args:
            inputs: One surface per input. One surface may serve several inputs.
            outputs: One surface per output, all different.
            states: One surface per state, at least of its `n_bytes`, zero or what an earlier
                evaluation left. Requests, of other kernels too (a prompt's and a token's function
                of one model), share a state by sharing its surface, as with Core ML's MLState;
                they must not be evaluated at the same time. None: the request gets states of its
                own, which are zero and found in `Request.states`.

        Raises:
            ShapeError: A missing or unknown name, or a surface that is too small.
            EvaluateError: The kernel has been unloaded.
        """
        self._check_names("input", inputs, self._input_specs)
        self._check_names("output", outputs, self._output_specs)
        if states is None:
            states = {name: Surface(spec.n_bytes) for name, spec in self._state_specs.items()}
            _unasked.update(surface._native for surface in states.values())
        self._check_names("state", states, self._state_specs)
        for name, surface in (*inputs.items(), *outputs.items(), *states.items()):
            if not isinstance(surface, Surface):
                msg = f"bind: '{name}' must be a pyane.Surface, got {type(surface).__name__}"
                raise TypeError(msg)
        native = self._native.bind(
            [inputs[name]._native for name in self._input_specs],
            [outputs[name]._native for name in self._output_specs],
            [states[name]._native for name in self._state_specs],
        )
        return Request(native, states, self._refusal_of(inputs, outputs))

    def _refusal_of(
        self, inputs: Mapping[str, Surface], outputs: Mapping[str, Surface]
    ) -> EvaluateError | None:
        emulation = self._device.emulation
        if emulation is None or not emulation.strict:
            return None
        if self._findings:
            return strictness.refuse_evaluation(emulation.chip, self._findings)
        sizes = [
            {name: surfaces[name].n_bytes for name in specs}
            for surfaces, specs in ((inputs, self._input_specs), (outputs, self._output_specs))
        ]
        problem = strictness.surface_problem(emulation.chip, *sizes)
        status = strictness.PROGRAM_INFERENCE_ERROR
        return EvaluateError(problem, status) if problem else None

    def unload(self) -> None:
        """Free what the device holds. Surfaces and arrays stay; evaluating raises EvaluateError."""
        self._native.unload()

    def __enter__(self) -> Kernel:  # noqa: PYI034 -- typing.Self needs Python 3.11
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unload()

    def __repr__(self) -> str:
        def side(specs: Mapping[str, TensorSpec]) -> str:
            return ", ".join(
                f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in specs.values()
            )

        state = "" if self.is_loaded else ", unloaded"
        return (
            f"Kernel({side(self._input_specs)} -> {side(self._output_specs)} "
            f"on {self._device.name}{state})"
        )
