"""The community's cross-generation report (maderix/ANE, issue 3), out of the profiles by mechanism.

Its benchmarks write weight records by hand: sentinel, type, and 0x08 in byte 10, so that the size
reads 524288, right for 512 x 512 matrices of fp16 alone, and the data offset 0, never right. Its
trainer writes whole records, one file for each matrix. The report reads as a rule about channels and
files; checking size and offset (M1), size (M3) or neither (M4, M5) gives the same table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

import pyane

REPORT = """
Feature                       M1       M3       M4     M5
program(1.3) / ios18          PARTIAL  YES      YES    YES
Single-blob weights           FAIL     YES      YES    YES
Per-matrix weight blobs       YES      YES      YES    YES
Channel flexibility           ?        ch=512   FLEX   FLEX
BLOBFILE offset refs          FAIL     YES      YES    YES
"""
HEAD = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]
{
"""
CHANNELS = (64, 128, 256, 384, 512, 640, 768, 1024)


def official_record(n_bytes: int, offset: int) -> bytes:
    return struct.pack("<IIQQ40x", 0xDEADBEEF, 1, n_bytes, offset + 64)


def hand_made_record(_n_bytes: int, _offset: int) -> bytes:
    record = bytearray(struct.pack("<II56x", 0xDEADBEEF, 1))
    record[10] = 0x08
    return bytes(record)


def weight_file(n_matrices: int, channels: int, record: Callable[[int, int], bytes]) -> bytes:
    n_bytes = 2 * channels * channels
    file = struct.pack("<II56x", n_matrices, 2)
    for _ in range(n_matrices):
        file += record(n_bytes, len(file)) + bytes(n_bytes)
    return file


def convolutions(channels: int, places: list[tuple[str, int]], *, io: str = "fp16") -> str:
    """A chain of 1x1 convolutions over [1, channels, 1, 64] with weights at these places."""
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
    return HEAD + "\n".join(lines) + f"\n  }} -> ({last});\n}}\n"


def compiles(chip: str, text: str, weights: dict[str, bytes]) -> bool:
    files = {f"@model_path/weights/{name}": data for name, data in weights.items()}
    return not any(
        finding.severity == "refused-at-compile" and not finding.is_contested
        for finding in pyane.check(text, chip, weights=files)
    )


def benchmark(chip: str, channels: int, n_matrices: int) -> bool:
    """As the benchmarks do it: one file, hand-made records."""
    step = 64 + 2 * channels * channels
    places = [("w.bin", 64 + i * step) for i in range(n_matrices)]
    file = weight_file(n_matrices, channels, hand_made_record)
    return compiles(chip, convolutions(channels, places), {"w.bin": file})


def trainer(chip: str, channels: int, *, io: str = "fp16") -> bool:
    """As the trainer does it: a file for each matrix, whole records."""
    names = ["wq.bin", "wk.bin", "wv.bin"]
    file = weight_file(1, channels, official_record)
    text = convolutions(channels, [(name, 64) for name in names], io=io)
    return compiles(chip, text, dict.fromkeys(names, file))


def yes(value: bool) -> str:
    return "YES" if value else "FAIL"


def program_version(chip: str) -> str:
    # The benchmarks take fp32 and cast inside; the trainer takes fp16.
    outcomes = [trainer(chip, 512), trainer(chip, 512, io="fp32")]
    return yes(all(outcomes)) if len(set(outcomes)) == 1 else "PARTIAL"


def channel_flexibility(chip: str) -> str:
    accepted = [channels for channels in CHANNELS if benchmark(chip, channels, 1)]
    if not accepted:
        return "?"  # The report could not say: nothing compiled.
    return "FLEX" if accepted == list(CHANNELS) else f"ch={','.join(map(str, accepted))}"


FEATURES = {
    "program(1.3) / ios18": program_version,
    "Single-blob weights": lambda chip: yes(benchmark(chip, 512, 1)),
    "Per-matrix weight blobs": lambda chip: yes(trainer(chip, 512) and trainer(chip, 768)),
    "Channel flexibility": channel_flexibility,
    "BLOBFILE offset refs": lambda chip: yes(benchmark(chip, 512, 2)),
}


def test_the_report_is_regenerated() -> None:
    chips = ["m1", "m3", "m4", "m5"]
    table = [["Feature", *(chip.upper() for chip in chips)]]
    table += [[name, *(verdict(chip) for chip in chips)] for name, verdict in FEATURES.items()]
    expected = [line.split("  ") for line in REPORT.strip().splitlines()]
    assert table == [[cell.strip() for cell in row if cell] for row in expected]


@pytest.mark.parametrize("chip", ["m1", "m1max", "m2", "m3", "m3ultra", "m4", "m5", "m5pro"])
def test_whole_records_compile_everywhere(chip: str) -> None:
    # Neither the number of matrices in a file nor the channels matter: only the fields do.
    step = 64 + 2 * 768 * 768
    places = [("w.bin", 64 + i * step) for i in range(3)]
    file = weight_file(3, 768, official_record)
    assert compiles(chip, convolutions(768, places), {"w.bin": file})


def test_finding_names_the_wrong_field() -> None:
    text = convolutions(768, [("w.bin", 64)])
    files = {"@model_path/weights/w.bin": weight_file(1, 768, hand_made_record)}
    found = {f.rule: f for f in pyane.check(text, "m1", weights=files)}
    assert "size must be 1179648 bytes, got 524288" in found["ANE091"].message
    assert "data offset must be 128, got 0" in found["ANE092"].message
    assert found["ANE091"].line == 5
