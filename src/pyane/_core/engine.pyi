"""
Devices, kernels, requests, surfaces.
"""
from __future__ import annotations
import collections.abc
import numpy
import typing
__all__: list[str] = ['Device', 'Kernel', 'Numerics', 'Profile', 'ProfileGroup', 'Request', 'Surface', 'TensorSpec', 'activation_knots', 'ane_budget', 'ane_device_info', 'ane_unavailable_reason', 'create_ane', 'create_emulator', 'create_surface', 'emulated_ops', 'evaluate', 'open_surface', 'signature', 'surface_kind', 'wrap_surface']
class Surface:
    """
    Memory shared with a device. Use pyane.Surface.
    """
    def array(self, shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], dtype: numpy.dtype[typing.Any], offset: typing.SupportsInt | typing.SupportsIndex) -> numpy.ndarray:
        """
        A zero-copy view. Raises ShapeError when it does not fit.
        """
    def lock(self, read_only: bool) -> None:
        """
        Locks count.
        """
    def read_floats(self, out: numpy.ndarray, offset: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        The reverse, into a dense, writeable float32 array.
        """
    def unlock(self, read_only: bool) -> None:
        """
        Undoes one lock of the same mode.
        """
    def unshare(self) -> None:
        """
        In a forked child: memory of its own at the same address. Linux only.
        """
    def write_floats(self, values: numpy.ndarray, offset: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        Stores a dense float32 array as float16. False, and nothing done, when it is anything else, does not fit, or lies in the surface itself.
        """
    @property
    def lock_count(self) -> int:
        """
        Locks held now.
        """
    @property
    def n_bytes(self) -> int:
        """
        Allocated bytes.
        """
    @property
    def native_id(self) -> int:
        """
        Linux: the file descriptor, owned by the surface. macOS: the IOSurface id.
        """
class ProfileGroup:
    """
    What a device evaluates at once.
    """
    @property
    def flops(self) -> float | None:
        """
        Of one run; None: not known.
        """
    @property
    def line(self) -> int:
        """
        Of the first operation, in the text.
        """
    @property
    def n_bytes(self) -> int | None:
        """
        Of the tensors that one run reads and writes; None: of its blocks.
        """
    @property
    def operations(self) -> list[str]:
        """
        MIL names; none: copies.
        """
    @property
    def output(self) -> str:
        """
        Name of the first value made.
        """
    @property
    def parent(self) -> int | None:
        """
        Index of the cond or while_loop in whose block it is, or None.
        """
    @property
    def runs(self) -> int:
        ...
    @property
    def total_ns(self) -> int:
        """
        Of all runs, blocks included.
        """
class Profile:
    """
    Where the time of one evaluation went.
    """
    @property
    def groups(self) -> list[ProfileGroup]:
        """
        Those that ran, parents first.
        """
    @property
    def spans(self) -> list:
        """
        (thread, group, begin_ns, end_ns); thread 0 evaluates, others help.
        """
    @property
    def total_ns(self) -> int:
        ...
class TensorSpec:
    """
    One input or output of a kernel.
    """
    @property
    def dtype(self) -> numpy.dtype[typing.Any]:
        """
        As a numpy.dtype; element types that NumPy lacks as unsigned integers of their bits.
        """
    @property
    def n_bytes(self) -> int:
        """
        Packed size.
        """
    @property
    def name(self) -> str:
        ...
    @property
    def shape(self) -> tuple:
        ...
class Request:
    """
    Surfaces bound to a kernel. Use pyane.Request.
    """
    def evaluate(self) -> None:
        """
        Runs the kernel once, without the GIL. Raises EvaluateError.
        """
    def profile(self) -> Profile | None:
        """
        Runs the kernel once and tells where the time went; None, without running it, on devices that cannot. Raises EvaluateError.
        """
    @property
    def device_time_ns(self) -> int | None:
        """
        The device's own time for the last evaluate; None if not told.
        """
    @property
    def states(self) -> list[Surface]:
        """
        Memory of the states, in the order of the kernel's.
        """
class Kernel:
    """
    A compiled function. Use pyane.Kernel.
    """
    def bind(self, inputs: collections.abc.Sequence[Surface], outputs: collections.abc.Sequence[Surface], states: collections.abc.Sequence[Surface] = []) -> Request:
        """
        Binds surfaces in the order of inputs, outputs and states (none: zero-filled ones of the request's own). Raises ShapeError.
        """
    def unload(self) -> None:
        """
        Frees what the device holds.
        """
    @property
    def details(self) -> list[tuple[str, str]]:
        """
        What the device tells of the kernel: (key, value) pairs.
        """
    @property
    def device_name(self) -> str:
        ...
    @property
    def inputs(self) -> list[TensorSpec]:
        """
        In alphabetical order.
        """
    @property
    def is_loaded(self) -> bool:
        ...
    @property
    def outputs(self) -> list[TensorSpec]:
        """
        In alphabetical order.
        """
    @property
    def states(self) -> list[TensorSpec]:
        """
        In alphabetical order.
        """
    @property
    def surface_bytes(self) -> int:
        """
        Allocation that every surface of a request should have.
        """
class Device:
    """
    Where programs are compiled. Use pyane.device().
    """
    def budget(self) -> typing.Any:
        """
        Compilations and loaded programs of this process, and their limits; None: no limits.
        """
    def compile(self, text: str, weights: dict, function: str, source_name: str) -> tuple[Kernel, list[str]]:
        """
        Compiles MIL text, without the GIL. Returns the kernel and warnings.
        """
    @property
    def name(self) -> str:
        ...
class Numerics:
    """
    A chip's arithmetic. Use pyane.HardwareNumerics.
    """
    flushes_mac_denormals: bool
    reduces_by_lanes: bool
    rounds_products: bool
    rounds_ties_away: bool
    uses_tables: bool
    def __init__(self, chip: str) -> None:
        ...
    def set_accumulator(self, name: str) -> None:
        ...
    def set_alignment(self, name: str) -> None:
        ...
    @property
    def accumulator_bits(self) -> int:
        ...
    @accumulator_bits.setter
    def accumulator_bits(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def int8_activation_ceiling(self) -> float:
        ...
    @int8_activation_ceiling.setter
    def int8_activation_ceiling(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def mac_ceiling(self) -> float:
        ...
    @mac_ceiling.setter
    def mac_ceiling(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    @property
    def width_slice_ceiling(self) -> float:
        ...
    @width_slice_ceiling.setter
    def width_slice_ceiling(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
def activation_knots(op: str) -> typing.Annotated[list[float], "FixedSize(33)"]:
    """
    The 33 knots of gelu, sigmoid, silu or tanh in hardware arithmetic.
    """
def ane_budget() -> dict:
    """
    Compilations and loaded programs of this process, and their limits.
    """
def ane_device_info() -> typing.Any:
    """
    What the framework says of the machine; None where it cannot be loaded.
    """
def ane_unavailable_reason() -> str:
    """
    Empty when an Apple Neural Engine can be reached from here.
    """
def create_ane(qos: typing.SupportsInt | typing.SupportsIndex = 21, perf_stats: bool = False) -> Device:
    """
    The Apple Neural Engine. Raises AneUnavailableError.
    """
def create_emulator(chip: str = '', numerics: Numerics | None = None, is_faithful: bool = False, is_strict: bool = False) -> Device:
    """
    A new emulator. Raises ConfigError for an unknown chip.
    """
def create_surface(n_bytes: typing.SupportsInt | typing.SupportsIndex) -> Surface:
    """
    A new surface of at least n_bytes, zero-filled.
    """
def emulated_ops() -> list[str]:
    """
    Names of the operations that the emulator evaluates.
    """
def evaluate(requests: collections.abc.Sequence[Request]) -> None:
    """
    Evaluates the requests as if in order, without returning to Python; small ones that need not wait for each other at the same time.
    """
def open_surface(native_id: typing.SupportsInt | typing.SupportsIndex) -> Surface:
    """
    The surface behind a file descriptor (Linux; duplicated) or an IOSurface id.
    """
def signature(text: str, function: str) -> tuple[list[str], list[str]]:
    """
    Names of a function's parameters and results as declared.
    """
def surface_kind() -> str:
    """
    What surfaces are here: iosurface or memfd.
    """
def wrap_surface(handle: typing.SupportsInt | typing.SupportsIndex) -> Surface:
    """
    The surface behind an IOSurfaceRef, given as a number; retained.
    """
