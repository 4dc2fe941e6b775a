"""Run MIL text as other tools write it, and see what an error looks like."""

from __future__ import annotations

import numpy as np

import pyane

TEXT = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}})]
{
    func main<ios18>(tensor<fp16, [1, 4, 1, 32]> x, tensor<fp16, [1, 4, 1, 32]> y) {
        tensor<fp16, [1, 4, 1, 32]> s = add(x = x, y = y)[name = string("s")];
        tensor<fp16, [1, 4, 1, 32]> z = relu(x = s)[name = string("z")];
    } -> (z);
}
"""

kernel = pyane.device("emulator").compile(TEXT)
x = np.linspace(-1, 1, 128, dtype=np.float16).reshape(1, 4, 1, 32)
print("z =", kernel(x=x, y=x / 2).ravel()[[0, 64, 127]])

try:
    pyane.device("emulator").compile(TEXT.replace("y = y)", "y = yy)"))
except pyane.MilVerifyError as error:
    print("as it should be refused:\n", error)
