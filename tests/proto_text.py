"""Bytes of protobuf messages, written from the encoding's description; for tests of readers."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str | float) -> bytes:
    """One field: an int as a varint, a float as 32 bits, the rest with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields: tuple[int, int | bytes | str | float]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)


# -- MIL.proto

FP16, FP32, INT32, BOOL, STRING = 10, 11, 23, 1, 2


def dims(*sizes: int | None) -> list[tuple[int, bytes]]:
    return [
        (3, message((2, message((1, 0)))) if n is None else message((1, message((1, n)))))
        for n in sizes
    ]


def tensor_type(dtype: int, *sizes: int | None) -> bytes:
    """ValueType of a tensor."""
    return message((1, message((1, dtype), (2, len(sizes)), *dims(*sizes))))


def named(name: str, type_: bytes) -> bytes:
    return message((1, name), (2, type_))


def immediate(type_: bytes, kind: int, payload: bytes) -> bytes:
    """Value that holds a tensor; `kind` is the field of TensorValue."""
    return message((2, type_), (3, message((1, message((kind, payload))))))


def string_value(text: str) -> bytes:
    return immediate(tensor_type(STRING), 4, message((1, text)))


def binding(name: str) -> bytes:
    return message((1, message((1, name))))


def entry(key: str, value: bytes) -> bytes:
    return message((1, key), (2, value))


def operation(
    op: str,
    outputs: dict[str, bytes],
    inputs: dict[str, bytes] | None = None,
    attributes: dict[str, bytes] | None = None,
) -> bytes:
    return message(
        (1, op),
        *((2, entry(key, value)) for key, value in (inputs or {}).items()),
        *((3, named(name, type_)) for name, type_ in outputs.items()),
        *((5, entry(key, value)) for key, value in (attributes or {}).items()),
    )


def block(operations: list[bytes], outputs: list[str]) -> bytes:
    return message(*((2, name) for name in outputs), *((3, o) for o in operations))


def function(inputs: dict[str, bytes], body: bytes, opset: str = "CoreML7") -> bytes:
    return message(
        *((1, named(name, type_)) for name, type_ in inputs.items()),
        (2, opset),
        (3, entry(opset, body)),
    )


def model(functions: dict[str, bytes], description: bytes = b"", kind: int = 502) -> bytes:
    program = message((1, 1), *((2, entry(name, f)) for name, f in functions.items()))
    return message((1, 8), (2, description), (kind, program))
