"""The compatibility matrix of the community's report, out of the chip profiles by mechanism.

maderix/ANE's benchmarks write weight records by hand: sentinel, type, and 0x08 in byte 10, so that the
size reads 524288, right for 512 x 512 matrices of fp16 alone, and the data offset 0, never right. Its
trainer writes whole records, one file for each matrix. The report reads as a rule about channels and
files; what a profile checks of a record (size and offset, size, or neither) gives the same table. The
linter (`pyane.check`) is asked about the same programs.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Callable, Mapping
from typing import Final

from .. import check
from ..chips import find

CHIPS: Final = ("m1", "m2", "m3", "m4", "m5")
"""The base product of each generation."""
CHANNELS: Final = (64, 128, 256, 384, 512, 640, 768, 1024)
"""What is tried for the row about channels."""

_SENTINEL = 0xDEADBEEF
_FP16 = 1  # in a weight record
_FILE_HEADER_BYTES = _RECORD_BYTES = 64
_HEAD = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]
{
"""


@dataclasses.dataclass(frozen=True)
class MatrixRow:
    """A feature and what the profiles make of it.

    Attributes:
        id: As in community.json.
        cells: By chip: YES, FAIL, PARTIAL, FLEX, "ch=512", or "none" where no channel count works.
    """

    id: str
    cells: Mapping[str, str]


@functools.cache
def matrix(chips: tuple[str, ...] = CHIPS) -> tuple[MatrixRow, ...]:
    """The rows of the report's matrix for chips.

    Raises:
        ConfigError: There is no such chip.
    """
    return tuple(
        MatrixRow(name, {chip: verdict(chip) for chip in chips})
        for name, verdict in _FEATURES.items()
    )


def products(chips: tuple[str, ...] = CHIPS) -> dict[str, str]:
    """What Apple calls them, by name."""
    return {chip: find(chip).product for chip in chips}


@functools.cache
def takes_every_count(chip: str) -> bool:
    """Whether matrices of all CHANNELS compile from files whose records are right."""
    return all(takes_whole_records(chip, channels) for channels in CHANNELS)


def takes_whole_records(chip: str, channels: int) -> bool:
    """Whether matrices of so many channels compile from one file whose records are right."""
    step = _RECORD_BYTES + 2 * channels * channels
    places = [("w.bin", _FILE_HEADER_BYTES + i * step) for i in range(3)]
    file = weight_file(3, channels, official_record)
    return compiles(chip, convolutions(channels, places), {"w.bin": file})


def official_record(n_bytes: int, offset: int) -> bytes:
    """A record as Apple documents it, at this offset of its file."""
    return struct.pack("<IIQQ40x", _SENTINEL, _FP16, n_bytes, offset + _RECORD_BYTES)


def hand_made_record(_n_bytes: int, _offset: int) -> bytes:
    """A record as maderix/ANE's benchmarks write it, whatever follows."""
    record = bytearray(struct.pack("<II56x", _SENTINEL, _FP16))
    record[10] = 0x08
    return bytes(record)


def weight_file(n_matrices: int, channels: int, record: Callable[[int, int], bytes]) -> bytes:
    """Square matrices of zeros behind records."""
    n_bytes = 2 * channels * channels
    file = bytearray(struct.pack("<II56x", n_matrices, 2))
    for _ in range(n_matrices):
        file += record(n_bytes, len(file)) + bytes(n_bytes)
    return bytes(file)


def convolutions(channels: int, places: list[tuple[str, int]], *, io: str = "fp16") -> str:
    """A chain of 1x1 convolutions over [1, channels, 1, 64] with weights at these places.

    Args:
        channels: Of the input and of every convolution.
        places: File and offset of each weight.
        io: Type of input and output; the convolutions are fp16.
    """
    shape, kernel = f"[1, {channels}, 1, 64]", f"[{channels}, {channels}, 1, 1]"
    lines = [f"  func main<ios18>(tensor<{io}, {shape}> x) {{"]
    last = "x"
    if io != "fp16":
        lines.append(f'    tensor<fp16, {shape}> c = cast(dtype = string("fp16"), x = x);')
        last = "c"
    for i, (path, offset) in enumerate(places):
        weight = (
            f"    tensor<fp16, {kernel}> w{i} = const()[val = tensor<fp16, {kernel}>(BLOBFILE("
            f'path = string("@model_path/weights/{path}"), offset = uint64({offset})))];'
        )
        convolution = (
            f"    tensor<fp16, {shape}> y{i} = conv(dilations = tensor<int32, [2]>([1, 1]), "
            "groups = int32(1), pad = tensor<int32, [4]>([0, 0, 0, 0]), "
            'pad_type = string("valid"), strides = tensor<int32, [2]>([1, 1]), '
            f"weight = w{i}, x = {last});"
        )
        lines += [weight, convolution]
        last = f"y{i}"
    if io != "fp16":
        lines.append(f'    tensor<{io}, {shape}> out = cast(dtype = string("{io}"), x = {last});')
        last = "out"
    return _HEAD + "\n".join(lines) + f"\n  }} -> ({last});\n}}\n"


def compiles(chip: str, text: str, weights: Mapping[str, bytes]) -> bool:
    """Whether a chip takes a program, as far as its profile says; contested rules left out."""
    files = {f"@model_path/weights/{name}": data for name, data in weights.items()}
    return not any(
        finding.severity == "refused-at-compile" and not finding.is_contested
        for finding in check(text, chip, weights=files)
    )


def benchmark_compiles(chip: str, channels: int, n_matrices: int) -> bool:
    """As the upstream benchmarks do it: one file, hand-made records."""
    step = _RECORD_BYTES + 2 * channels * channels
    places = [("w.bin", _FILE_HEADER_BYTES + i * step) for i in range(n_matrices)]
    file = weight_file(n_matrices, channels, hand_made_record)
    return compiles(chip, convolutions(channels, places), {"w.bin": file})


def trainer_compiles(chip: str, channels: int, *, io: str = "fp16") -> bool:
    """As the upstream trainer does it: a file for each matrix, whole records."""
    names = ["wq.bin", "wk.bin", "wv.bin"]
    file = weight_file(1, channels, official_record)
    text = convolutions(channels, [(name, _FILE_HEADER_BYTES) for name in names], io=io)
    return compiles(chip, text, dict.fromkeys(names, file))


def _yes(value: bool) -> str:
    return "YES" if value else "FAIL"


def _program(chip: str) -> str:
    # The benchmarks take fp32 and cast inside; the trainer takes fp16.
    outcomes = [trainer_compiles(chip, 512), trainer_compiles(chip, 512, io="fp32")]
    return _yes(all(outcomes)) if len(set(outcomes)) == 1 else "PARTIAL"


def _channels(chip: str) -> str:
    accepted = [channels for channels in CHANNELS if benchmark_compiles(chip, channels, 1)]
    if not accepted:
        return "none"
    return "FLEX" if accepted == list(CHANNELS) else f"ch={','.join(map(str, accepted))}"


_FEATURES: Final[Mapping[str, Callable[[str], str]]] = {
    "program": _program,
    "single-blob": lambda chip: _yes(benchmark_compiles(chip, 512, 1)),
    "per-matrix": lambda chip: _yes(trainer_compiles(chip, 512) and trainer_compiles(chip, 768)),
    "channels": _channels,
    "offsets": lambda chip: _yes(benchmark_compiles(chip, 512, 2)),
}
