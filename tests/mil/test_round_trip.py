from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from pyane import _core, mil
from pyane.errors import MilSyntaxError

DATA = Path(__file__).parents[1] / "data" / "mil"
VALID = sorted((DATA / "valid").glob("*.mil"))
Literal, Type = mil.Literal, mil.Type

REAL = [
    "751K__ANE-M6__ana_iso_cast_f16_i8",
    "FluidInference__FluidAudio__Argmax",
    "FluidInference__FluidAudio__ParakeetEOU__1280ms__decoder",
    "FluidInference__FluidAudio__TokenDurationPrediction",
    "FluidInference__mobius__silero__unified_int8",
    "FluidInference__mobius__silero__unified_palette_4bit",
    "Sarves1911__zero-copy-mac-inference__models__yolov8n",
    "apple__coremltools__coremltools__modelrunner__ModelRunner__add_model",
    "christopherkarani__Espresso__MGT__conv",
    "christopherkarani__Espresso__MGT__ffn_bwd",
    "christopherkarani__Espresso__MGT__sdpa_fwd_taps",
    "exPHAT__SwiftWhisper__Tests__WhisperTests__TestResources__tiny-encoder",
    "sbryngelson__ANEForge-0.4.0__gen_linear_sparse",
    "sbryngelson__ANEForge-0.4.0__gen_mlp_int4lut",
    "thebasedcapital__ane-infer__gen_multi_procedure",
]
# Written by Apple's compiler (coremlc), whose layout pyane prints.
BY_APPLE = [*REAL[:8], REAL[11]]


def assert_round_trip(program: mil.Program) -> None:
    text = str(program)
    again = mil.parse(text)
    assert again == program
    assert str(again) == text


@pytest.mark.parametrize("name", REAL)
def test_real_program(name: str, shared_data: Path) -> None:
    assert_round_trip(mil.parse((shared_data / "mil" / f"{name}.mil").read_bytes(), name))


def test_every_real_program_is_listed(shared_data: Path) -> None:
    assert sorted(path.stem for path in (shared_data / "mil").glob("*.mil")) == sorted(REAL)


@pytest.mark.parametrize("name", BY_APPLE)
def test_text_of_apples_compiler_is_printed_byte_for_byte(name: str, shared_data: Path) -> None:
    text = (shared_data / "mil" / f"{name}.mil").read_text()
    assert str(mil.parse(text)) == text.rstrip("\n")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_hand_written_program(path: Path) -> None:
    assert_round_trip(mil.parse(path.read_bytes(), path.name))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_layout_does_not_matter(path: Path) -> None:
    text = path.read_text()
    program = mil.parse(text)
    for other in (text.rstrip("\n"), text.replace("\n", "\r\n\t "), "\n \n" + text + "\n\n"):
        if other.lstrip().startswith("\ufeff") and not other.startswith("\ufeff"):
            continue  # A byte order mark stands first or nowhere.
        assert mil.parse(other) == program


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_every_prefix_is_refused_cleanly(path: Path) -> None:
    data = path.read_bytes().rstrip()
    for length in range(0, len(data), max(1, len(data) // 200)):
        with pytest.raises(MilSyntaxError):
            mil.parse(data[:length])


def test_pickle_and_copy() -> None:
    weights = {"@model_path/w.bin": np.arange(5, dtype=np.uint8)}
    program = mil.parse((DATA / "valid" / "functions.mil").read_text(), "f.mil", weights)
    for other in (pickle.loads(pickle.dumps(program)), copy.deepcopy(program)):
        assert other == program
        assert other.source_name == "f.mil"


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_@]{0,10}", fullmatch=True).filter(
    lambda name: name not in ("true", "false")
)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ARRAY_DTYPES = {
    "fp16": "float16",
    "fp32": "float32",
    "fp64": "float64",
    "bf16": "uint16",
    "fp8e5m2": "uint8",
    "fp8e4m3fn": "uint8",
    "bool": "bool",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "int4": "int8",
    "uint1": "uint8",
    "uint2": "uint8",
    "uint3": "uint8",
    "uint4": "uint8",
    "uint6": "uint8",
}
RANGES = {
    "int4": (-8, 7),
    "uint1": (0, 1),
    "uint2": (0, 3),
    "uint3": (0, 7),
    "uint4": (0, 15),
    "uint6": (0, 63),
    # All finite values; infinities have cases of their own and NaN payloads are not kept.
    "bf16": (0, 0x7F7F),
    "fp8e5m2": (0, 0x7B),
    "fp8e4m3fn": (0, 0x7E),
}


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> mil.Literal:
    dtype = draw(st.sampled_from(sorted(ARRAY_DTYPES)))
    if shape is None:
        shape = draw(nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    elements = None
    if dtype in RANGES:
        elements = st.integers(*RANGES[dtype])
    elif dtype.startswith("fp"):
        elements = st.floats(width=int(dtype[2:]), allow_nan=False)
    array = draw(nps.arrays(ARRAY_DTYPES[dtype], shape, elements=elements))
    return Literal.tensor(array, dtype, short_form=draw(st.booleans()))


@st.composite
def collections(draw: st.DrawFn, children: st.SearchStrategy[mil.Literal]) -> mil.Literal:
    kind = draw(st.sampled_from(["list", "tuple", "dict"]))
    if kind == "tuple":
        items = draw(st.lists(children, max_size=4))
        return Literal.items(Type.tuple_of([item.type for item in items]), items)
    items = draw(st.lists(children, min_size=1, max_size=2))
    if kind == "list":
        items = items[:1] * draw(st.integers(0, 3)) or items[:0]
        element = items[0].type if items else Type.scalar("int32")
        length = draw(st.sampled_from([None, len(items)]))
        return Literal.items(Type.list_of(element, length), items)
    key, value = items[0], items[-1]
    return Literal.items(Type.dict_of(key.type, value.type), [key, value] * draw(st.integers(0, 3)))


leaves = (
    tensors()
    | strings.map(Literal.string)
    | st.lists(strings, max_size=3).map(Literal.strings)
    | st.builds(
        Literal.blob,
        st.just(Type.tensor("fp16", [4])),
        strings,
        st.integers(0, 2**64 - 1),
    )
)
literals = st.recursive(leaves, collections, max_leaves=8)
types = st.recursive(
    st.builds(Type.scalar, st.sampled_from([*ARRAY_DTYPES, "string"]))
    | st.builds(
        Type.tensor,
        st.sampled_from(sorted(ARRAY_DTYPES)),
        st.lists(st.none() | st.integers(0, 100), max_size=5),
    ),
    lambda inner: (
        st.builds(Type.list_of, inner, st.none() | st.integers(0, 9))
        | st.builds(Type.dict_of, inner, inner)
        | st.lists(inner, max_size=3).map(Type.tuple_of)
    ),
    max_leaves=6,
)
values = st.builds(mil.Value, types, names)
operands = names | literals
attributes = st.dictionaries(names, literals, max_size=2)


@st.composite
def operations(draw: st.DrawFn, depth: int = 0) -> mil.Operation:
    blocks = []
    if depth < 2 and draw(st.integers(0, 5)) == 0:
        blocks = draw(
            st.lists(
                st.builds(
                    mil.Block,
                    st.just("") | names,
                    st.lists(values, max_size=2),
                    st.lists(operations(depth + 1), max_size=2),
                    st.lists(names, max_size=2),
                ),
                max_size=2,
            )
        )
    outputs = draw(st.lists(values, max_size=2))
    return mil.Operation(
        draw(names),
        outputs,
        draw(
            st.dictionaries(names, operands | st.lists(operands, max_size=2).map(tuple), max_size=3)
        ),
        draw(attributes),
        draw(st.just("") | names),
        blocks,
    )


functions = st.builds(
    mil.Function,
    names,
    st.lists(values, max_size=2),
    st.lists(operations(), max_size=3),
    st.lists(operands, max_size=2),
    st.just("") | names,
    attributes,
)


@given(
    st.lists(functions, max_size=2, unique_by=lambda function: function.name),
    attributes,
    st.sampled_from(["1.0", "1.3"]),
)
@settings(max_examples=60, deadline=None)
def test_any_program(
    parts: list[mil.Function], program_attributes: dict[str, mil.Literal], version: str
) -> None:
    native = _core.mil.Program(parts, program_attributes, version)
    assert_round_trip(mil.Program(native))


@given(literals)
@settings(max_examples=300, deadline=None)
def test_any_literal(literal: mil.Literal) -> None:
    text = f"program(1.3)[a = {literal!r}]{{}}"
    assert mil.parse(text).attributes["a"] == literal


@given(st.binary(max_size=200) | strings.map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    with pytest.raises(MilSyntaxError):
        mil.parse(data)


# Types as text: what cannot be made in Python (tensor_buffer), and states.
dims_text = st.lists(st.just("?") | st.integers(0, 99).map(str), max_size=5).map(
    lambda dims: f"[{', '.join(dims)}]"
)
strides_text = st.lists(st.integers(0, 2**63 - 1).map(str), min_size=1, max_size=5).map(
    lambda dims: f"[{', '.join(dims)}]"
)
tensor_text = st.builds("tensor<{}, {}>".format, st.sampled_from(sorted(ARRAY_DTYPES)), dims_text)
buffer_text = st.builds(
    lambda dtype, shape, strides, factors: (
        f"tensor_buffer<{dtype}, shape={shape}"
        + (f", strides={strides}" if strides else "")
        + (f", interleave_factors={factors}" if factors else "")
        + ">"
    ),
    st.sampled_from(sorted(ARRAY_DTYPES)),
    dims_text,
    st.none() | strides_text,
    st.none() | st.lists(st.integers(0, 9), min_size=1, max_size=5),
)
type_text = st.recursive(
    tensor_text | buffer_text | tensor_text.map("state<{}>".format) | st.sampled_from(["string"]),
    lambda inner: (
        st.builds("list<{}, {}>".format, inner, st.just("?") | st.integers(0, 9))
        | st.builds("dict<{}, {}>".format, inner, inner)
        | st.lists(inner, max_size=3).map(lambda items: f"tuple<{', '.join(items)}>")
    ),
    max_leaves=6,
)


@given(type_text, names)
@settings(max_examples=200, deadline=None)
def test_any_type(text: str, name: str) -> None:
    program = mil.parse(f"program(1.3){{ func f({text} {name}) {{}} -> ({name}); }}")
    (parameter,) = program.functions[0].parameters
    assert repr(parameter.type) == text
    assert_round_trip(program)
