"""pyane.check itself: arguments, order, errors, hostile programs, real ones."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

import pyane
from pyane import chips, mil
from pyane._core.chip import native_ops
from pyane.check import SEVERITIES
from pyane.llama.config import PRESETS
from pyane.llama.kernels import (
    Interface,
    KernelShape,
    backward_kernels,
    forward_kernels,
    static_backward_kernels,
    static_forward_kernels,
)

T = "tensor<fp16, [1, 64, 8, 64]>"
HEAD = 'program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-version", "3505.4.1"}})]\n{\n'


def function(name: str, *lines: str, out: str = "y") -> str:
    body = "\n".join(lines)
    return f"func {name}<ios18>({T} x) {{\n{body}\n}} -> ({out});\n"


SIN = f"{T} y = sin(x = x);"
RELU = f"{T} y = relu(x = x);"


def test_a_finding_says_everything() -> None:
    (finding,) = pyane.check(HEAD + function("main", SIN) + "}", "m1", source_name="model.mil")
    assert (finding.rule, finding.name) == ("ANE002", "operation-needs-newer-chip")
    assert finding.severity == "refused-at-compile"
    assert not finding.is_contested
    assert (finding.source_name, finding.line, finding.column) == ("model.mil", 5, 1)
    assert (finding.function, finding.operation, finding.value) == ("main", "sin", "y")
    assert finding.chip == "m1"
    assert "polynomial" in finding.instead
    assert finding.why
    assert "ane-guide" in finding.evidence
    assert str(finding) == (
        "model.mil:5:1: m1: refused-at-compile: sin needs an M3 or newer: "
        "use a polynomial [ANE002 operation-needs-newer-chip]"
    )


def test_chips() -> None:
    text = HEAD + function("main", SIN) + "}"
    assert [finding.chip for finding in pyane.check(text, "M2 Pro")] == ["m2pro"]
    # In the order asked for, each once.
    names = [finding.chip for finding in pyane.check(text, ["m2", "M1", "m1", "m4"])]
    assert names == ["m2", "m1"]
    every = {finding.chip for finding in pyane.check(text, "all")}
    assert every == {chip.name for chip in chips.all_chips() if chip.generation < 3}


def test_sorted_by_place() -> None:
    text = HEAD + function("main", f"{T} a = sin(x = x);", f"{T} y = cos(x = a);") + "}"
    places = [(finding.line, finding.chip) for finding in pyane.check(text, ["m1", "m2"])]
    assert places == [(5, "m1"), (5, "m2"), (6, "m1"), (6, "m2")]


def test_ignore_and_select() -> None:
    text = "program(1.3)\n{\n" + function("main", SIN) + "}"
    assert [f.rule for f in pyane.check(text, "m1")] == ["ANE050", "ANE002"]
    assert [f.rule for f in pyane.check(text, "m1", ignore=["ane050"])] == ["ANE002"]
    assert [f.rule for f in pyane.check(text, "m1", ignore="no-build-info")] == ["ANE002"]
    assert [f.rule for f in pyane.check(text, "m1", select=["ANE050"])] == ["ANE050"]
    assert pyane.check(text, "m1", select="ANE050", ignore="ANE050") == []


def test_functions() -> None:
    text = HEAD + function("first", SIN) + function("second", RELU) + "}"
    assert [f.function for f in pyane.check(text, "m1")] == ["first"]
    assert pyane.check(text, "m1", function="second") == []
    with pytest.raises(pyane.ConfigError, match="has no function 'secund'; did you mean 'second'"):
        pyane.check(text, "m1", function="secund")


def test_wrong_arguments() -> None:
    text = HEAD + function("main", RELU) + "}"
    with pytest.raises(pyane.ConfigError, match="got 'm9'"):
        pyane.check(text, "m9")
    with pytest.raises(pyane.ConfigError, match="at least one chip"):
        pyane.check(text, [])
    with pytest.raises(pyane.ConfigError, match=r"ignore must name rules .* got 'ANE999'"):
        pyane.check(text, "m1", ignore=["ANE999"])
    with pytest.raises(TypeError, match="got bytes"):
        pyane.check(text.encode(), "m1")  # type: ignore[arg-type]
    with pytest.raises(pyane.BlobError, match=r"weights\[\"w.bin\"\] must be bytes-like"):
        pyane.check(text, "m1", weights={"w.bin": 3})


def test_programs_that_no_chip_takes() -> None:
    with pytest.raises(pyane.MilSyntaxError):
        pyane.check("program(", "m1")
    with pytest.raises(pyane.MilVerifyError, match="'z' is not defined"):
        pyane.check(HEAD + function("main", f"{T} y = relu(x = z);") + "}", "m1")


def test_an_unknown_operation_hides_nothing() -> None:
    text = HEAD + function("main", f"{T} a = frobnicate(p = x);", f"{T} y = sin(x = a);") + "}"
    assert [f.rule for f in pyane.check(text, "m1")] == ["ANE004", "ANE002"]


def test_builder_programs_carry_their_weights() -> None:
    @mil.program(x=mil.fp16[1, 64, 8, 64])
    def block(x):
        return mil.clip(x=x, alpha=-1.0, beta=1.0, name="y")

    assert pyane.check(block, "all") == []


INVALID = sorted((Path(__file__).parents[1] / "data" / "mil" / "invalid").glob("*.mil"))


def test_invalid_programs_are_errors_not_crashes() -> None:
    assert INVALID
    for path in INVALID:
        with pytest.raises(pyane.Error):
            pyane.check(path.read_bytes().decode("utf-8", "surrogateescape"), "all")


def test_declared_types_are_not_believed_blindly() -> None:
    # Operands that no verifier has seen: behind an unknown operation anything goes.
    lines = [
        f"{T} a = frobnicate(p = x);",
        "fp16 b = slice_by_size(x = nowhere, begin = tensor<int32, [0]>([]), size = a);",
        "string c = matmul(x = a);",
        "tensor<fp16, [1]> d = conv(weight = c);",
        "list<fp16, 3> e = concat();",
        'tensor<fp16, []> f = topk(k = string("3"));',
        "tensor<fp16, [?]> g = pad(x = e, pad = tensor<int32, [3]>([1, 2, 3]));",
        "tensor<fp16, [1]> h = constexpr_lut_to_dense(indices = c, lut = d);",
        "tensor<fp16, [1]> i = reduce_argmax(x = d, axis = int32(-99));",
        "tensor<fp16, [1]> j = scaled_dot_product_attention(query = d, key = c, attn_mask = e);",
        "tensor<fp16, [1]> k = mul(x = k, y = k);",
    ]
    found = pyane.check(HEAD + function("main", *lines, out="nobody") + "}", "all")
    assert {finding.rule for finding in found} >= {"ANE004"}


def test_many_operations() -> None:
    # Linear: these would take minutes if they were not.
    lines = [f"{T} v{i + 1} = sin(x = v{i});" for i in range(4000)]
    text = HEAD + function("main", f"{T} v0 = relu(x = x);", *lines, out="v4000") + "}"
    found = pyane.check(text, ["m1", "m4"])
    # As many as one wants to read; the last tells of the others.
    assert [finding.line for finding in found] == list(range(6, 1006))
    assert found[-1].message.endswith("(and 3000 more like it)")


def test_long_chains_of_moves() -> None:
    n = 4000
    moves = [f"{T} m{i + 1} = identity(x = m{i});" for i in range(n)]
    zeros = [f"{T} z{i} = mul(x = m{n}, y = fp16(0));" for i in range(n)]
    start = f"{T} m0 = reduce_max(x = x, axes = tensor<int32, [1]>([0]), keep_dims = bool(true));"
    text = HEAD + function("main", start, *moves, *zeros, out="z0") + "}"
    assert len(pyane.check(text, "m5", select="ANE057")) == 1000


REAL = {
    # file: (chip, rule, times) that must be among the findings
    "FluidInference__FluidAudio__Argmax.mil": [("m5", "ANE003", 1), ("m1", "ANE021", 1)],
    "FluidInference__FluidAudio__ParakeetEOU__1280ms__decoder.mil": [
        ("m1", "ANE001", 1),  # lstm
        ("m4", "ANE001", 1),
        ("m1", "ANE022", 1),  # fp32 states
        ("m1", "ANE021", 2),  # integer parameters
    ],
    "FluidInference__FluidAudio__TokenDurationPrediction.mil": [("m1", "ANE070", 1)],
    "FluidInference__mobius__silero__unified_int8.mil": [
        ("m1", "ANE015", 1),  # reflected pad
        ("m1", "ANE001", 1),  # lstm
        ("m4", "ANE030", 1),  # 256 taps
    ],
    "Sarves1911__zero-copy-mac-inference__models__yolov8n.mil": [
        ("m4", "ANE023", 1),  # all in fp32
        ("m1", "ANE016", 2),  # upsampling
        ("m1", "ANE051", 1),
    ],
    "christopherkarani__Espresso__MGT__conv.mil": [("m1", "ANE022", 1), ("m3", "ANE103", 1)],
    "exPHAT__SwiftWhisper__Tests__WhisperTests__TestResources__tiny-encoder.mil": [
        ("m1", "ANE058", 1)
    ],
    "thebasedcapital__ane-infer__gen_multi_procedure.mil": [("m1", "ANE022", 2)],
}


def test_real_programs(shared_data: Path) -> None:
    files = sorted((shared_data / "mil").glob("*.mil"))
    assert files
    for path in files:
        found = pyane.check(path.read_text(), "all", source_name=path.name)
        for finding in found:
            assert finding.severity in SEVERITIES
            assert finding.message
            assert finding.line > 0
        for chip, rule, times in REAL.get(path.name, []):
            own = [f for f in found if f.chip == chip and f.rule == rule]
            assert len(own) == times, f"{path.name}: {chip} {rule}: {len(own)}"


def test_plain_programs_compile_on_the_chips_they_were_written_for(shared_data: Path) -> None:
    # Espresso's training kernels run on M4, ANEForge's generated programs on M1 Max and M5 Pro.
    for name, names in {
        "christopherkarani__Espresso__MGT__ffn_bwd.mil": ["m4max"],
        "christopherkarani__Espresso__MGT__sdpa_fwd_taps.mil": ["m4max"],
        "sbryngelson__ANEForge-0.4.0__gen_linear_sparse.mil": ["m1max", "m5pro"],
        "sbryngelson__ANEForge-0.4.0__gen_mlp_int4lut.mil": ["m1max", "m5pro"],
    }.items():
        found = pyane.check((shared_data / "mil" / name).read_text(), names)
        refused = [f for f in found if f.severity.startswith("refused") and not f.is_contested]
        assert refused == [], f"{name}: {refused}"


def own_programs(layout: str) -> list[mil.Program]:
    shape = KernelShape(PRESETS["stories15m"], batch=1, positions=256)
    if layout != "static":
        packs = layout == "packed"
        kernels = (*forward_kernels(shape.config), *backward_kernels(shape.config))
        return [
            Interface(kernel, shape, packs_inputs=packs, packs_outputs=packs).program()
            for kernel in kernels
        ]
    shapes = shape.tensor_shapes()
    static = (*static_forward_kernels(shape.config), *static_backward_kernels(shape.config))
    programs = []
    for kernel in static:
        dims = {name: [n for n in shapes[name] if n > 1] for name in kernel.weights}
        weights = {name: np.full(d, 2.0**-6, np.float16) for name, d in dims.items()}
        programs.append(Interface(kernel, shape, bakes_weights=True).program(weights))
    return programs


@pytest.mark.parametrize("layout", ["inputs", "packed", "static"])
def test_own_llama_kernels_are_refused_nowhere(layout: str) -> None:
    for program in own_programs(layout):
        wrong = [
            (finding.rule, finding.chip)
            for finding in pyane.check(program, "all")
            if finding.severity in SEVERITIES[:3] and not finding.is_contested
        ]
        # Packed inputs are cut along the width, which saturates on M1 and M2.
        if layout == "packed":
            wrong = [(rule, chip) for rule, chip in wrong if rule != "ANE070" or chip[:2] > "m2"]
        assert wrong == []


def test_what_a_newer_chip_could_not_compile_is_said_of_older_ones() -> None:
    cast = 'tensor<fp32, [1, 64, 8, 64]> y = cast(x = x, dtype = string("fp32"));'
    text = HEAD + function("main", cast) + "}"
    found = {f.chip: f for f in pyane.check(text, ["m1", "m4", "m5"], select="ANE003")}
    assert {chip: f.severity for chip, f in found.items()} == {
        "m1": "advice",
        "m4": "advice",
        "m5": "refused-at-compile",
    }
    assert all(f.is_contested for f in found.values())
    assert "newer chips" in found["m1"].message


def test_gather_on_m1_takes_few_shapes() -> None:
    indices = f"tensor<int32, [64]>([{', '.join(['0'] * 64)}])"
    gather = f"{T} y = gather(x = x, indices = {indices}, axis = int32(-1));"
    text = HEAD + function("main", gather) + "}"
    (finding,) = pyane.check(text, "m1", select="ANE003")
    assert (finding.severity, finding.is_contested) == ("refused-at-compile", True)
    assert finding.engine_text == "Cannot decompose layer on this architecture"
    assert pyane.check(text, "all", select="ANE026") == []  # Constant indices.


def test_affine_needs_a_texture_unit() -> None:
    affine = f"""{T} y = affine(x = x, output_height = int32(8), output_width = int32(64),
      transform_matrix = tensor<fp16, [1, 6]>([[1, 0, 0, 0, 1, 0]]),
      sampling_mode = string("bilinear"), padding_mode = string("constant"),
      padding_value = fp16(0), coordinates_mode = string("normalized_minus_one_to_one"),
      align_corners = bool(true));"""
    text = HEAD + function("main", affine) + "}"
    found = pyane.check(text, "all", select="ANE002")
    assert {f.chip for f in found} == {c.name for c in chips.all_chips() if c.generation == 1}
    assert found[0].engine_text == "affine transform is not supported on this architecture"


def test_operations_of_which_no_source_speaks() -> None:
    known = {op.op for op in native_ops()}
    assert {op.name for op in mil.op_set()} - known == {"threshold"}


@pytest.mark.parametrize(("chip_name", "found"), [("m1", [False]), ("m2", []), ("m4", [True])])
def test_kernels_of_32_rows(chip_name: str, found: list[bool]) -> None:
    w = "tensor<fp16, [64, 64, 32, 1]>"
    weight = f'{w} w = const()[val = {w}(BLOBFILE(path = string("w"), offset = uint64(64)))];'
    conv = f'{T} y = conv(x = x, weight = w, pad_type = string("same"));'
    text = HEAD + function("main", weight, conv) + "}"
    assert [f.is_contested for f in pyane.check(text, chip_name, select="ANE031")] == found


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_zeros_with_a_sign(dtype: str) -> None:
    pair = f"tensor<{dtype}, [2]>"

    def text(factors: str) -> str:
        mul = f"{pair} y = mul(x = x, y = {pair}([{factors}]));"
        return f"{HEAD}func main<ios18>({pair} x) {{ {mul} }} -> (y);\n}}"

    assert len(pyane.check(text("-0, -0"), "m1", select="ANE085")) == 1
    assert pyane.check(text("-0, 1"), "m1", select="ANE085") == []


@pytest.mark.parametrize(
    ("query", "key", "mask", "fault"),
    [
        ([1, 2, 8, 64], [1, 2, 8, 64], [8, 8], ""),
        ([1, 2, 512, 64], [1, 2, 511, 64], None, ""),
        ([1, 2, 512, 64], [1, 2, 512, 64], None, "512 positions on both sides"),
        ([1, 2, 1, 64], [1, 2, 2048, 64], None, ""),
        ([1, 2, 1, 64], [1, 2, 2049, 64], None, "2049 positions"),
        ([1, 2, 8, 64], [1, 2, 8, 64], [1, 2, 8, 8], "a mask for each head"),
        ([1, 2, 8, 64], [1, 2, 8, 64], [1, 1, 1, 8], "a mask shared by all queries"),
        ([1, 2, 1, 64], [1, 2, 8, 64], [1, 1, 1, 8], ""),
    ],
)
def test_shapes_of_attention(
    query: list[int], key: list[int], mask: list[int] | None, fault: str
) -> None:
    def tensor(dims: list[int]) -> str:
        return f"tensor<fp16, {dims}>"

    parameters = f"{tensor(query)} q, {tensor(key)} k, {tensor(key)} v"
    arguments = "query = q, key = k, value = v"
    if mask is not None:
        parameters += f", {tensor(mask)} m"
        arguments += ", attn_mask = m"
    attention = f"{tensor(query)} y = scaled_dot_product_attention({arguments});"
    text = f"{HEAD}func main<ios18>({parameters}) {{ {attention} }} -> (y);\n}}"
    found = pyane.check(text, "m5", select="ANE062")
    assert len(found) == (1 if fault else 0)
    assert all(fault in f.message and f.is_contested for f in found)


@pytest.mark.parametrize(("width", "found"), [(13, ""), (14, "m2"), (15, "m2"), (16, "m2 m4")])
def test_kernels_about_as_wide_as_they_may_be(width: int, found: str) -> None:
    """Refused on M1 from 14, on M4 from 16; contested between on M2."""
    w = f"tensor<fp16, [64, 64, 1, {width}]>"
    weight = f'{w} w = const()[val = {w}(BLOBFILE(path = string("w"), offset = uint64(64)))];'
    conv = f'{T} y = conv(x = x, weight = w, pad_type = string("same"));'
    text = HEAD + function("main", weight, conv) + "}"
    by_chip = {f.chip: f for f in pyane.check(text, ["m1", "m2", "m4"], select="ANE030")}
    assert by_chip.keys() == {*found.split(), *(["m1"] if width > 13 else [])}
    assert all(f.is_contested == (f.chip == "m2" and width < 16) for f in by_chip.values())
    for finding in by_chip.values():
        bound = {"m1": 13, "m2": 15 if width > 15 else 13, "m4": 15}[finding.chip]
        assert finding.engine_text == (
            f"Invalid conv kernel width = {width}, It should be in [1,{bound}]"
        )


@pytest.mark.parametrize(("chip_name", "bound"), [("m1", 29), ("m3", 31), ("m4", 8)])
def test_windows_about_as_large_as_they_may_be(chip_name: str, bound: int) -> None:
    for size, times in ((bound, 0), (bound + 1, 1)):
        pool = (
            f"{T} y = avg_pool(x = x, kernel_sizes = tensor<int32, [2]>([1, {size}]), "
            'pad_type = string("same"));'
        )
        text = HEAD + function("main", pool) + "}"
        assert len(pyane.check(text, chip_name, select="ANE020")) == times


@pytest.mark.parametrize(
    ("n", "found"),
    [(2**30, []), (2**30 + 2, [True]), (1_700_000_000, [True]), (2**31 - 1, [False])],
)
def test_weights_about_as_many_as_they_may_be(n: int, found: list[bool]) -> None:
    """2 GiB are beyond the first failures, 3.4 GB fail for sure."""
    w = f"tensor<fp16, [{n}]>"
    weight = f'{w} w = const()[val = {w}(BLOBFILE(path = string("w"), offset = uint64(64)))];'
    text = HEAD + function("main", weight, RELU) + "}"
    assert [f.is_contested for f in pyane.check(text, "m5", select="ANE093")] == found


@pytest.mark.parametrize("steps", [["add"], ["mul", "add"], ["maximum"], ["real_div"]])
@pytest.mark.parametrize("is_sum", [True, False])
def test_roots_of_a_reduction_through_constants(steps: list[str], is_sum: bool) -> None:
    t = "tensor<fp16, [1, 64, 8, 1]>"
    lines = [
        f"{t} v0 = reduce_mean(x = x, axes = tensor<int32, [1]>([3]), keep_dims = bool(true));"
    ]
    for i, op in enumerate(steps):
        operand = "fp16(0x1p-4)" if is_sum else f"v{i}"
        lines.append(f"{t} v{i + 1} = {op}(x = v{i}, y = {operand});")
    lines.append(f"{t} y = sqrt(x = v{len(steps)});")
    found = pyane.check(HEAD + function("main", *lines) + "}", "m4", select="ANE053")
    assert len(found) == (1 if is_sum else 0)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (struct.pack("<IIQQ40x", 0xDEADBEEF, 1, 8, 128) + bytes(8), ""),
        (struct.pack("<IIQQ40x", 0xDEADBEEF, 2, 8, 128) + bytes(8), "must be fp16 .* got fp32"),
        (struct.pack("<IIQQ40x", 0xDEADBEEF, 99, 8, 128) + bytes(8), "got number 99"),
        (struct.pack("<IIQQ40x", 0xDEADBEE0, 1, 8, 128) + bytes(8), "sentinel 0xdeadbeef"),
        (bytes(63), "the file ends at 127"),
    ],
)
def test_records_of_weights(record: bytes, message: str) -> None:
    weight = (
        "tensor<fp16, [4]> w = const()[val = tensor<fp16, [4]>("
        'BLOBFILE(path = string("w"), offset = uint64(64)))];'
    )
    file = struct.pack("<II56x", 1, 2) + record
    text = HEAD + function("main", weight, RELU) + "}"
    found = {f.chip: f for f in pyane.check(text, ["m1", "m4"], weights={"w": file})}
    assert found.keys() == ({"m1", "m4"} if message else set())
    for chip_name, finding in found.items():
        assert finding.rule == "ANE090"
        assert re.search(message, finding.message), finding.message
        # M4 is said to have compiled a record of another type.
        assert finding.is_contested == (chip_name == "m4" and "got" in message)


def test_images_as_inputs() -> None:
    """No record of it in the verifier: the linter knows it all the same."""
    text = HEAD + function("main", f"{T} y = pixel_buffer_to_tensor(x = x);") + "}"
    assert [f.rule for f in pyane.check(text, "m1")] == ["ANE001"]


@pytest.mark.parametrize(("reps", "times"), [("1, 2, 8, 3", 0), ("1, 1, 1, 5", 1)])
def test_tiles_by_other_factors(reps: str, times: int) -> None:
    numbers = [int(n) for n in reps.split(",")]
    dims = [n * extent for n, extent in zip(numbers, [1, 64, 8, 64], strict=True)]
    tile = f"tensor<fp16, {dims}> y = tile(x = x, reps = tensor<int32, [4]>([{reps}]));"
    assert len(pyane.check(HEAD + function("main", tile) + "}", "m1", select="ANE027")) == times


def test_softplus_of_a_parameter_is_the_callers_business() -> None:
    text = HEAD + function("main", f"{T} y = softplus(x = x);") + "}"
    assert pyane.check(text, "m1", select="ANE086") == []
