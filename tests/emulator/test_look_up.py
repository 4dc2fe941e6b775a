"""Functions of one fp16 number that take long on the instruction set in use are looked up in large
tensors: the bits of computing them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pyane import mil

pytestmark = [pytest.mark.emulator, pytest.mark.usefixtures("one_thread_after")]

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FUNCTIONS: dict[str, Callable[[mil.Var], mil.Var]] = {
    "acos": lambda x: mil.acos(x=x),
    "asin": lambda x: mil.asin(x=x),
    "atan": lambda x: mil.atan(x=x),
    "atanh": lambda x: mil.atanh(x=x),
    "cos": lambda x: mil.cos(x=x),
    "cosh": lambda x: mil.cosh(x=x),
    "clip": lambda x: mil.clip(x=x, alpha=np.float16(-2.5), beta=np.float16(1e3)),
    "elu": lambda x: mil.elu(x=x, alpha=np.float16(0.7)),
    "erf": lambda x: mil.erf(x=x),
    "exp": lambda x: mil.exp(x=x),
    "exp2": lambda x: mil.exp2(x=x),
    "gelu": lambda x: mil.gelu(x=x, mode="EXACT"),
    "gelu, sigmoid": lambda x: mil.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
    "gelu, tanh": lambda x: mil.gelu(x=x, mode="TANH_APPROXIMATION"),
    "inverse": lambda x: mil.inverse(x=x, epsilon=np.float16(1e-3)),
    "log": lambda x: mil.log(x=x, epsilon=np.float16(1e-4)),
    "relu": lambda x: mil.relu(x=x),
    "round": lambda x: mil.round(x=x),
    "rsqrt": lambda x: mil.rsqrt(x=x, epsilon=np.float16(1e-4)),
    "scaled_tanh": lambda x: mil.scaled_tanh(x=x, alpha=np.float16(1.7), beta=np.float16(0.7)),
    "sigmoid": lambda x: mil.sigmoid(x=x),
    "silu": lambda x: mil.silu(x=x),
    "sin": lambda x: mil.sin(x=x),
    "sinh": lambda x: mil.sinh(x=x),
    "softplus": lambda x: mil.softplus(x=x),
    "tan": lambda x: mil.tan(x=x),
    "tanh": lambda x: mil.tanh(x=x),
}


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_half(compare, name):
    @mil.program(x=mil.fp16[1, 16, 64, 64])
    def program(x: mil.Var) -> mil.Var:
        return FUNCTIONS[name](x)

    compare(program, x=EVERY_HALF.reshape(1, 16, 64, 64))


def test_within_a_chain(compare):
    """Between other operations, on an operand that lies turned over, and one step after another."""

    @mil.program(x=mil.fp16[1, 131, 1, 257])
    def program(x: mil.Var) -> mil.Var:
        turned = mil.transpose(x=mil.relu(x=x), perm=[0, 3, 2, 1])
        y = mil.gelu(x=mil.add(x=turned, y=np.float16(-1)), mode="EXACT")
        return mil.mul(x=mil.erf(x=y), y=mil.softplus(x=y))

    x = 3 * np.random.default_rng(0).standard_normal((1, 131, 1, 257))
    compare(program, x=x.astype(np.float16))


def test_beside_reductions(compare):
    """What is reduced has few elements; what is not goes on to the reduction."""

    @mil.program(x=mil.fp16[1, 130, 1, 256])
    def program(x: mil.Var) -> mil.Var:
        mean = mil.reduce_mean(x=mil.gelu(x=x, mode="EXACT"), axes=[1], keep_dims=True)
        return mil.sub(x=x, y=mil.erf(x=mean))

    x = np.random.default_rng(1).standard_normal((1, 130, 1, 256))
    compare(program, x=x.astype(np.float16))
