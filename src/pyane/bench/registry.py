"""All the benchmarks there are, in the order in which `all` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError
from . import (
    channels,
    compile,
    conv_vs_matmul,
    dispatch,
    int8,
    io,
    peak,
    qos,
    sram,
    sustained,
    training,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .measure import Benchmark

BENCHMARKS: Final[Mapping[str, Benchmark]] = MappingProxyType(
    {
        module.BENCHMARK.name: module.BENCHMARK
        for module in (
            peak,
            sustained,
            channels,
            sram,
            dispatch,
            compile,
            io,
            conv_vs_matmul,
            int8,
            training,
            qos,
        )
    }
)


def select(names: Sequence[str]) -> list[Benchmark]:
    """Benchmarks by name, each once; "all" is all of them.

    Raises:
        ConfigError: There is none of that name, or no name.
    """
    wanted = [n for name in names for n in (BENCHMARKS if name == "all" else [name])]
    unknown = next((name for name in wanted if name not in BENCHMARKS), None)
    if unknown is not None or not wanted:
        got = f"'{unknown}'" if unknown is not None else "none"
        msg = f"bench: name must be all or one of {', '.join(BENCHMARKS)}, got {got}"
        raise ConfigError(msg)
    return [BENCHMARKS[name] for name in dict.fromkeys(wanted)]
