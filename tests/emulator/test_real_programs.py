"""Programs that other tools wrote, with their weights, against a NumPy evaluation."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest

import backend
import mil_interpreter
from tolerance import assert_within, sum_bound

COMPRESSED = {
    "FluidInference__mobius__silero__unified_int8": "silero_unified_int8",
    "FluidInference__mobius__silero__unified_palette_4bit": "silero_unified_palette_4bit",
    "sbryngelson__ANEForge-0.4.0__gen_linear_sparse": "aneforge_linear_sparse",
    "sbryngelson__ANEForge-0.4.0__gen_mlp_int4lut": "aneforge_mlp_int4lut",
}


# ANEForge packs its files without alignment.
@pytest.mark.filterwarnings("ignore::pyane.errors.BlobWarning")
@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_weights(rng, shared_data, name):
    text = shared_data.joinpath("mil", f"{name}.mil").read_text()
    path = re.search(r'"(@model_path[^"]*)"', text).group(1)
    weights = {path: shared_data.joinpath("mil", f"{COMPRESSED[name]}.bin").read_bytes()}
    kernel = backend.device().compile(text, weights)
    inputs = {
        spec.name: rng.normal(scale=0.3, size=spec.shape).astype(spec.dtype)
        for spec in kernel.input_specs.values()
    }
    expected = mil_interpreter.run(text, weights, inputs)
    kernel(**inputs)
    for output, exact in expected.items():
        # Sums in fp32 instead of fp64 may turn a rounding to fp16 the other way, here and there
        # along a chain of some twenty operations; each time by a unit in the last place.
        unit = np.spacing(np.float16(np.abs(exact).max()))
        np.testing.assert_allclose(kernel.outputs[output], exact, rtol=0, atol=4.0 * unit)


def test_every_function_of_a_program_compiles(rng, shared_data):
    name = "thebasedcapital__ane-infer__gen_multi_procedure.mil"
    text = shared_data.joinpath("mil", name).read_text()
    weights = [rng.normal(size=shape).astype(np.float16) for shape in ((32, 64), (16, 32))]
    file = bytearray(struct.pack("<II", 2, 2))
    for offset, weight in zip((64, 4288), weights, strict=True):
        file += bytes(offset - len(file))
        file += struct.pack("<IIQQ", 0xDEADBEEF, 1, weight.nbytes, offset + 64)
        file += bytes(40) + weight.tobytes()
    path = re.search(r'"(@model_path[^"]*)"', text).group(1)
    functions = re.findall(r"func (\w+)", text)
    assert len(functions) == 2
    for function, weight in zip(functions, weights, strict=True):
        kernel = backend.device().compile(text, {path: bytes(file)}, function=function)
        (spec,) = kernel.input_specs.values()
        x = rng.normal(size=spec.shape).astype(spec.dtype)
        exact = np.einsum("ncis,oc->nois", x.astype(np.float16).astype(float), weight.astype(float))
        magnitude = np.einsum("ncis,oc->nois", np.abs(x), np.abs(weight.astype(float)))
        got = kernel(x)
        assert_within(got, exact, sum_bound(exact, magnitude, weight.shape[1], np.float16))
