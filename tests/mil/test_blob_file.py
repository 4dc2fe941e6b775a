"""Weight files: bytes worked out by hand from the layout, Apple's own writer, and lies."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from pyane import mil
from pyane.errors import BlobError, BlobWarning, ShapeError

NUMBERS = {
    "fp16": 1,
    "fp32": 2,
    "uint8": 3,
    "int8": 4,
    "bf16": 5,
    "int16": 6,
    "uint16": 7,
    "int4": 8,
    "uint1": 9,
    "uint2": 10,
    "uint4": 11,
    "uint3": 12,
    "uint6": 13,
    "int32": 14,
    "uint32": 15,
    "fp8e4m3fn": 16,
    "fp8e5m2": 17,
}
ARRAY_DTYPES = {
    **{name: name for name in ("uint8", "int8", "int16", "uint16", "int32", "uint32")},
    "fp16": "float16",
    "fp32": "float32",
    "bf16": "uint16",
    "fp8e4m3fn": "uint8",
    "fp8e5m2": "uint8",
    "int4": "int8",
    **{f"uint{bits}": "uint8" for bits in (1, 2, 3, 4, 6)},
}
SUB_BYTE = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}


def header(count: int, version: int = 2) -> bytes:
    return struct.pack("<II56x", count, version)


def record(
    dtype: int, n_bytes: int, data_offset: int, padding: int = 0, sentinel: int = 0xDEADBEEF
) -> bytes:
    return struct.pack("<IIQQQ32x", sentinel, dtype, n_bytes, data_offset, padding)


def packed(values: np.ndarray, bits: int) -> bytes:
    """One big integer, element i at bit i * width: the definition, not a loop over bytes."""
    total = sum((int(v) & (2**bits - 1)) << (i * bits) for i, v in enumerate(values.ravel()))
    return total.to_bytes((values.size * bits + 7) // 8, "little")


def expected_file(tensors: list[tuple[np.ndarray, str]]) -> tuple[bytes, list[int]]:
    data = header(len(tensors))
    offsets = []
    for array, dtype in tensors:
        data += b"\0" * (-len(data) % 64)
        offsets.append(len(data))
        bits = SUB_BYTE.get(dtype)
        content = packed(array, bits) if bits else array.tobytes()
        padding = len(content) * 8 - array.size * bits if bits else 0
        data += record(NUMBERS[dtype], len(content), len(data) + 64, padding) + content
    return data, offsets


@st.composite
def tensors(draw: st.DrawFn) -> tuple[np.ndarray, str]:
    dtype = draw(st.sampled_from(sorted(NUMBERS)))
    elements = None
    if dtype in SUB_BYTE:
        bits = SUB_BYTE[dtype]
        low = -(2 ** (bits - 1)) if dtype == "int4" else 0
        elements = st.integers(low, low + 2**bits - 1)
    shape = nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)
    return draw(nps.arrays(ARRAY_DTYPES[dtype], shape, elements=elements)), dtype


@given(st.lists(tensors(), max_size=5))
@settings(max_examples=200, deadline=None)
def test_written_bytes_follow_the_layout_and_read_back(
    content: list[tuple[np.ndarray, str]],
) -> None:
    data, offsets = mil.pack_blobs(content)
    expected, expected_offsets = expected_file(content)
    assert bytes(data) == expected
    assert offsets == expected_offsets
    records = mil.list_blobs(data)
    assert [r.offset for r in records] == offsets
    for (array, dtype), offset, entry in zip(content, offsets, records, strict=True):
        assert entry.dtype == dtype
        again = mil.read_blob(data, offset, dtype, array.shape, strict=True)
        assert again.dtype == array.dtype
        assert again.tobytes() == array.tobytes()


def apples_writer(path: Path) -> Any:
    storage = pytest.importorskip("coremltools.libmilstoragepython")
    return storage._BlobStorageWriter(str(path))


APPLE_NAMES = {
    "fp16": "fp16",
    "fp32": "float",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    **{name: name for name in SUB_BYTE},
}


@pytest.mark.filterwarnings("ignore")  # coremltools warns of the PyTorch beside it.
@pytest.mark.parametrize("size", [1, 2, 5, 7, 8, 31, 64, 1000])
def test_same_bytes_as_apples_writer(size: int, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "weight.bin"
    writer = apples_writer(path)
    content = []
    offsets = []
    for dtype, name in APPLE_NAMES.items():
        bits = SUB_BYTE.get(dtype, 8)
        low = -(2 ** (bits - 1)) if dtype[0] == "i" else 0
        array = rng.integers(low, low + 2**bits, size).astype(ARRAY_DTYPES[dtype])
        content.append((array, dtype))
        theirs = array.view(np.uint16) if dtype == "fp16" else array
        offsets.append(getattr(writer, f"write_{name}_data")(theirs))
    del writer
    data, own_offsets = mil.pack_blobs(content)
    assert own_offsets == offsets
    assert bytes(data) == path.read_bytes()
    for (array, dtype), offset in zip(content, offsets, strict=True):
        again = mil.read_blob(path, offset, dtype, array.shape, strict=True)
        np.testing.assert_array_equal(again, array, strict=True)


def test_views_are_not_copies() -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    data = bytearray(bytes(mil.pack_blobs([array])[0]))
    view = mil.read_blob(data, 64, "fp16", (2, 3))
    assert not view.flags.writeable
    data[128:130] = np.float16(7).tobytes()
    assert view[0, 0] == 7
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


def test_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "weight.bin"
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert mil.write_blob_file(path, [array, (np.array([1, 7], np.uint8), "uint3")]) == [64, 192]
    view = mil.read_blob(path, 64, "int32", (3, 4), strict=True)
    np.testing.assert_array_equal(view, array, strict=True)
    assert list(mil.read_blob(path, 192, "uint3", [2], strict=True)) == [1, 7]
    assert [(r.dtype, r.n_bytes, r.padding_bits) for r in mil.list_blobs(path)] == [
        ("int32", 48, 0),
        ("uint3", 1, 2),
    ]
    with pytest.raises(BlobError, match=r"weight\.bin: tensor at offset 320: .* ends at 257"):
        mil.read_blob(path, 320, "int32", [1])
    path.write_bytes(b"")
    with pytest.raises(BlobError, match="header of 64 bytes, got 0 bytes"):
        mil.read_blob(path, 64, "int32", [1])
    with pytest.raises(FileNotFoundError):
        mil.read_blob(tmp_path / "none.bin", 64, "int32", [1])


def test_bool_is_stored_as_uint8() -> None:
    flags = np.array([True, False, True])
    data, (offset,) = mil.pack_blobs([flags])
    assert mil.list_blobs(data)[0].dtype == "uint8"
    assert list(mil.read_blob(data, offset, "bool", [3], strict=True)) == [True, False, True]
    assert list(mil.read_blob(data, offset, "uint8", [3], strict=True)) == [1, 0, 1]


def test_writer_starts_anew() -> None:
    writer = mil.BlobWriter()
    assert writer.n_bytes == 64
    writer.add(np.zeros(3, np.float16))
    assert writer.n_bytes == 134
    first = writer.finish()
    assert writer.n_bytes == 64
    assert writer.add(np.ones(1, np.float16)) == 64
    assert bytes(first[:8]) == struct.pack("<II", 1, 2)
    assert not first.flags.writeable


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64"])
def test_types_that_weight_files_do_not_have(dtype: str) -> None:
    with pytest.raises(BlobError, match="weight files hold no tensors of"):
        mil.pack_blobs([np.zeros(2, dtype)])


def test_values_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"uint4 must be in \[0, 15\], got 16 at element 1"):
        mil.pack_blobs([(np.array([0, 16], np.uint8), "uint4")])
    with pytest.raises(ShapeError, match=r"array for fp16 must be float16, got float32 \[2\]"):
        mil.pack_blobs([(np.zeros(2, np.float32), "fp16")])


# Each file holds fp16 [1, 2, 3] in one way or another; strict message, or None where the official
# layout is kept; lenient warning, or None, or an error.
DATA = np.array([1, 2, 3], np.float16).tobytes()
GOOD = record(1, 6, 128)
LIES = {
    "count_zero": (header(0) + GOOD + DATA, 64, "got an offset between", "at least 1, got 0"),
    "count_too_large": (header(9) + GOOD + DATA, 64, "counts 9 tensors, but record 1", None),
    "size_too_small": (
        header(1) + record(1, 4, 128) + DATA,
        64,
        r"size must be 6 bytes for fp16 \[3\], got 4",
        r"size must be 6 bytes for fp16 \[3\], got 4",
    ),
    "size_too_large": (
        header(1) + record(1, 2**63, 128) + DATA,
        64,
        "needs 9223372036854775808 bytes from 128, but the file ends at 134",
        "size must be 6 bytes",
    ),
    "data_offset_zero": (
        header(1) + record(1, 6, 0) + DATA,
        64,
        "data offset must be 128, got 0",
        "data offset must be 128, got 0",
    ),
    "data_offset_beyond": (
        header(1) + record(1, 6, 2**64 - 1) + DATA,
        64,
        "data offset must be 128, got 18446744073709551615",
        "data offset must be 128, got 18446744073709551615",
    ),
    "data_offset_unaligned": (
        header(1) + record(1, 6, 130) + b"\0\0" + DATA,
        64,
        "data offset must be 128, got 130",
        "multiple of 64, got 130",
    ),
    "data_elsewhere": (header(1) + record(1, 6, 192) + bytes(64) + DATA, 64, None, None),
    "record_unaligned": (
        header(1) + bytes(8) + record(1, 6, 136) + DATA,
        72,
        "sentinel must be 0xdeadbeef, got 0x00000000",
        "offset must be a multiple of 64",
    ),
    "no_header": (record(1, 6, 64) + DATA, 64, "version must be 2, got 1", "no header"),
}


@pytest.mark.parametrize("name", LIES)
def test_lying_records(name: str) -> None:
    data, offset, strict_error, warning = LIES[name]
    if strict_error is None:
        assert list(mil.read_blob(data, offset, "fp16", [3], strict=True)) == [1, 2, 3]
    else:
        with pytest.raises(BlobError, match=strict_error):
            mil.read_blob(data, offset, "fp16", [3], strict=True)
    expectation = (
        contextlib.nullcontext() if warning is None else pytest.warns(BlobWarning, match=warning)
    )
    with expectation:
        assert list(mil.read_blob(data, offset, "fp16", [3])) == [1, 2, 3]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("data", "offset", "message"),
    [
        (header(1, version=1) + GOOD + DATA, 64, "version must be 2, got 1 .an Espresso"),
        (header(1, version=3) + GOOD + DATA, 64, "version must be 2, got 3"),
        (
            header(1) + record(1, 6, 128, sentinel=0xDEADBEE0) + DATA,
            64,
            "offset 64: sentinel must be 0xdeadbeef, got 0xdeadbee0",
        ),
        (header(1) + record(2, 6, 128) + DATA, 64, r"must be 1 \(fp16\) as .* got 2 \(fp32\)"),
        (header(1) + GOOD + DATA[:5], 64, "needs 6 bytes from 128, but the file ends at 133"),
        (header(1) + GOOD + DATA, 128, "record needs 64 bytes, but the file ends at 134"),
        (header(1) + GOOD + DATA, 2**64 - 64, "record needs 64 bytes, but the file ends at 134"),
        (header(1) + GOOD + DATA + bytes(100), 128, "sentinel must be 0xdeadbeef"),
        (header(1)[:63], 64, "header of 64 bytes, got 63 bytes in all"),
    ],
)
def test_records_that_cannot_be_read(data: bytes, offset: int, message: str, strict: bool) -> None:
    with pytest.raises(BlobError, match=message):
        mil.read_blob(data, offset, "fp16", [3], strict=strict)


def test_dtype_that_no_version_has() -> None:
    with pytest.raises(BlobError, match="dtype must be 1 to 17, got 99"):
        mil.list_blobs(header(1) + record(99, 6, 128) + DATA)


def test_wrong_padding() -> None:
    data = header(1) + record(11, 2, 128, padding=0) + b"\x21\x03"
    with pytest.raises(BlobError, match="padding must be 4 bits, got 0"):
        mil.read_blob(data, 64, "uint4", [3], strict=True)
    with pytest.warns(BlobWarning, match="padding must be 4 bits, got 0"):
        assert list(mil.read_blob(data, 64, "uint4", [3])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([2**40, 2**40], "known dimensions and at most"),
        ([-1], "known dimensions and at most .*, got \\[\\?\\]"),
        ([2**61], "needs 4611686018427387904 bytes"),
    ],
)
def test_hostile_shapes(shape: list[int], message: str) -> None:
    with pytest.raises(BlobError, match=message):
        mil.read_blob(header(1) + GOOD + DATA, 64, "fp16", shape)


@pytest.mark.filterwarnings("ignore::pyane.errors.BlobWarning")
@pytest.mark.parametrize("strict", [False, True])
def test_truncated_files_are_refused_or_complete(strict: bool) -> None:
    content = [
        (np.arange(40, dtype=np.float16), "fp16"),
        (np.arange(41, dtype=np.uint8) % 8, "uint3"),
        (np.arange(9, dtype=np.int32), "int32"),
    ]
    data, offsets = mil.pack_blobs(content)
    ends = [r.data_offset + r.n_bytes for r in mil.list_blobs(data)]
    for length in [*range(0, len(data), 16), len(data) - 1]:
        for (array, dtype), offset, end in zip(content, offsets, ends, strict=True):
            cut = bytes(data[:length])
            if end <= length and not strict:
                again = mil.read_blob(cut, offset, dtype, array.shape)
                np.testing.assert_array_equal(again, array, strict=True)
            else:
                with pytest.raises(BlobError):
                    mil.read_blob(cut, offset, dtype, array.shape, strict=strict)


@pytest.mark.parametrize("name", ["silero_unified_int8", "silero_unified_palette_4bit"])
def test_file_of_apples_compiler(name: str, shared_data: Path) -> None:
    path = shared_data / "mil" / f"{name}.bin"
    for entry in mil.list_blobs(path):
        n_bits = entry.n_bytes * 8 - entry.padding_bits
        count = n_bits // SUB_BYTE.get(entry.dtype, 8 * np.dtype("u1").itemsize)
        if entry.dtype not in SUB_BYTE:
            count //= np.dtype(ARRAY_DTYPES[entry.dtype]).itemsize
        tensor = mil.read_blob(path, entry.offset, entry.dtype, [count], strict=True)
        assert tensor.size == count


@pytest.mark.parametrize("name", ["aneforge_linear_sparse", "aneforge_mlp_int4lut"])
@pytest.mark.filterwarnings("ignore::pyane.errors.BlobWarning")
def test_every_weight_of_a_real_program_reads(name: str, shared_data: Path) -> None:
    text = next((shared_data / "mil").glob(f"sbryngelson*gen_{name[9:]}.mil")).read_text()
    data = (shared_data / "mil" / f"{name}.bin").read_bytes()
    n_read = 0
    for operation in mil.parse(text).functions[0].operations:
        literal = operation.attributes.get("val")
        if literal is not None and isinstance(literal.value, mil.BlobReference):
            type_ = literal.type
            tensor = mil.read_blob(data, literal.value.offset, type_.dtype, type_.shape)
            assert tensor.shape == type_.shape
            n_read += 1
    assert n_read >= 2
