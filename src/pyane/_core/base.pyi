"""
Threads and fp16 conversion.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['MAX_THREADS', 'available_isas', 'float_to_half', 'float_to_half_transposed', 'half_to_float', 'isa', 'measure_conversion_gbps', 'measure_copy_gbps', 'measure_fma_gflops', 'measure_int8_gops', 'measure_triad_gbps', 'memory_of_machine', 'num_threads', 'parallel_for', 'set_isa', 'set_num_threads', 'usable_cores']
def available_isas() -> list[str]:
    """
    Names of the instruction sets that this CPU has, the best last.
    """
def float_to_half(source: numpy.typing.NDArray[numpy.float32], target: numpy.ndarray) -> None:
    """
    Converts float32 to float16 (or its bits as uint16), rounding half to even; too large becomes infinity. C-contiguous arrays of equal size that do not overlap.
    
    Raises ShapeError for other sizes or dtypes.
    """
def float_to_half_transposed(source: numpy.typing.NDArray[numpy.float32], target: numpy.ndarray) -> None:
    """
    Converts float32 [R, C] to float16 [C, R], rounding as float_to_half. C-contiguous arrays that do not overlap.
    
    Raises ShapeError for other sizes or dtypes.
    """
def half_to_float(source: numpy.ndarray, target: numpy.typing.NDArray[numpy.float32]) -> None:
    """
    Converts float16 (or its bits as uint16) to float32, exactly. C-contiguous arrays of equal size that do not overlap.
    
    Raises ShapeError for other sizes or dtypes.
    """
def isa() -> str:
    """
    Instruction set of the hot loops: 'avx512', 'avx2', 'neon' or 'scalar'. PYANE_ISA lowers it. Raises Error when PYANE_ISA is not one that this CPU has.
    """
def measure_conversion_gbps(n_bytes: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex = 1) -> float:
    """
    Ceiling of reading float16, converting to float32 and back, and writing: GB/s read and written, over n_bytes of memory in all, shared among the threads.
    """
def measure_copy_gbps(n_bytes: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex = 1) -> float:
    """
    memcpy: GB/s read and written, over n_bytes of memory in all.
    """
def measure_fma_gflops(threads: typing.SupportsInt | typing.SupportsIndex = 1) -> float:
    """
    Ceiling of fp32 multiply-adds of `threads` threads together, measured on registers alone, in GFLOP/s (a multiply-add is 2). Takes about 50 ms.
    """
def measure_int8_gops(threads: typing.SupportsInt | typing.SupportsIndex = 1) -> float:
    """
    Ceiling of products of 8-bit integers summed in 32 bits (VNNI, dot-product instructions), in 1e9 operations a second; 0 where there are no such instructions.
    """
def measure_triad_gbps(n_bytes: typing.SupportsInt | typing.SupportsIndex, threads: typing.SupportsInt | typing.SupportsIndex = 1) -> float:
    """
    a = b + 3 c in float32 past the caches: GB/s of the three streams, over n_bytes of memory in all; give several times the last cache's size.
    """
def memory_of_machine() -> int | None:
    """
    Bytes of main memory; None when the system does not say.
    """
def num_threads() -> int:
    """
    Threads used for evaluation: PYANE_NUM_THREADS, else the physical cores this process may use. Raises Error when PYANE_NUM_THREADS is no such number.
    """
def parallel_for(n: typing.SupportsInt | typing.SupportsIndex, body: collections.abc.Callable[[int], None]) -> None:
    """
    Calls body(i) for every i in range(n) on the thread pool; for tests. The first exception is raised again here.
    """
def set_isa(name: str) -> None:
    """
    Chooses the instruction set for what is compiled from now on; for tests. Raises Error when this CPU does not have it.
    """
def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Sets the number of threads for evaluation. Raises ShapeError when n is not in [1, MAX_THREADS].
    """
def usable_cores() -> int:
    """
    Physical cores that this process may use, by its affinity and a container's quota; on Apple silicon performance cores.
    """
MAX_THREADS: int = 1024
