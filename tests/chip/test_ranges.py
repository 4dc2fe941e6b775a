"""What the linter takes as proven of a value's range, seen through the rule that asks for it.

ANE070 says whether |x| <= 4094 before a slice along the width; each program ends in such a slice.
"""

from __future__ import annotations

import pytest

import pyane

T = "tensor<fp16, [1, 64, 8, 128]>"
HEAD = 'program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]\n{\n'
SLICE = (
    "tensor<fp16, [1, 64, 8, 64]> out = slice_by_size(begin = tensor<int32, [4]>([0, 0, 0, 64]), "
    "size = tensor<int32, [4]>([1, 64, 8, 64]), x = last);"
)


def message(*lines: str) -> str | None:
    body = "\n".join((*lines, SLICE))
    text = f"{HEAD}func main<ios18>({T} x) {{\n{body}\n}} -> (out);\n}}\n"
    found = pyane.check(text, "m1", select="ANE070")
    return found[0].message if found else None


def clip(low: str, high: str, name: str = "c") -> str:
    return f"{T} {name} = clip(alpha = fp16({low}), beta = fp16({high}), x = x);"


@pytest.mark.parametrize(
    "lines",
    [
        [f"{T} last = sigmoid(x = x);"],
        [f"{T} last = tanh(x = x);"],
        [f"{T} last = relu6(x = x);"],
        [f"{T} last = softmax(axis = int32(-1), x = x);"],
        [f"{T} last = sign(x = x);"],
        [
            "tensor<fp16, [1, 64, 8, 128]> last = clip(alpha = fp16(-4094), beta = fp16(4094), x = x);"
        ],
        # 60 * 60 = 3600, 2000 + 2000 = 4000, 3000 - 1000 at most 4000, -3 * 1000, 4000 / 0.5 not.
        [clip("0", "60"), f"{T} last = mul(x = c, y = c);"],
        [clip("-2000", "2000"), f"{T} last = add(x = c, y = c);"],
        [clip("-1000", "3000"), f"{T} last = sub(x = c, y = fp16(1000));"],
        [clip("-1000", "1000"), f"{T} last = mul(x = c, y = fp16(-3));"],
        [clip("-1000", "1000"), f"{T} last = real_div(x = c, y = fp16(0x1p-2));"],
        [f"{T} a = relu(x = x);", f"{T} last = minimum(x = a, y = fp16(4000));"],
        # Moves keep the range.
        [
            clip("-5", "5"),
            "tensor<fp16, [1, 8, 64, 128]> t = transpose(perm = tensor<int32, [4]>([0, 2, 1, 3]), x = c);",
            f"{T} last = reshape(shape = tensor<int32, [4]>([1, 64, 8, 128]), x = t);",
        ],
        # 128 terms of at most 5 * 5 are at most 3200.
        [
            clip("-5", "5"),
            "tensor<fp16, [1, 64, 8, 8]> m = matmul(transpose_x = bool(false), transpose_y = bool(true), x = c, y = c);",
            f"{T} last = tile(reps = tensor<int32, [4]>([1, 1, 1, 16]), x = m);",
        ],
    ],
)
def test_proven(lines: list[str]) -> None:
    assert message(*lines) is None


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([f"{T} last = mul(x = x, y = fp16(1));"], "no bound of its input is proven"),
        ([f"{T} last = relu(x = x);"], "no bound"),
        ([f"{T} last = exp(x = x);"], "no bound"),
        ([f"{T} last = clip(alpha = fp16(0), beta = fp16(inf), x = x);"], "no bound"),
        ([clip("-4096", "0"), f"{T} last = mul(x = c, y = fp16(1));"], "up to 4096"),
        ([clip("0", "64"), f"{T} last = mul(x = c, y = c);"], "up to 4096"),
        # 0 is in the divisor's range.
        (
            [clip("-1", "1"), f"{T} last = real_div(x = fp16(1), y = c);"],
            "no bound",
        ),
        # 128 terms of at most 6 * 6 reach 4608.
        (
            [
                clip("-6", "6"),
                "tensor<fp16, [1, 64, 8, 8]> m = matmul(transpose_x = bool(false), transpose_y = bool(true), x = c, y = c);",
                f"{T} last = tile(reps = tensor<int32, [4]>([1, 1, 1, 16]), x = m);",
            ],
            "up to 4608",
        ),
    ],
)
def test_not_proven(lines: list[str], text: str) -> None:
    found = message(*lines)
    assert found is not None
    assert text in found
