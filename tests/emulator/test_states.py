"""States: memory that outlives an evaluation, against NumPy that does the same by hand."""

from __future__ import annotations

import numpy as np
import pytest

import backend
import mil_text
import pyane
from pyane.errors import MilVerifyError, ShapeError

pytestmark = pytest.mark.emulator

KIND = "tensor<fp16, [3, 5]>"
INPUTS = {"x": KIND, "kv": f"state<{KIND}>"}


def read(name: str, kind: str = KIND) -> str:
    return mil_text.operation("read_state", name, kind, {"input": "%kv"})


def write(value: str) -> str:
    return f"write_state(input = kv, data = {value});"


def binary(op: str, name: str, x: str, y: str, kind: str = KIND) -> str:
    return mil_text.operation(op, name, kind, {"x": f"%{x}", "y": f"%{y}"})


def compiled(lines, outputs=("y",), inputs=None, name="main") -> pyane.Kernel:
    text = mil_text.program(inputs or INPUTS, lines, outputs).replace("func main", f"func {name}")
    return backend.device().compile(text)


# The sum of all inputs so far, times what it was before.
ACCUMULATE = [
    read("old"),
    binary("add", "sum", "old", "x"),
    write("sum"),
    read("new"),
    binary("mul", "y", "old", "new"),
]


@pytest.mark.parametrize("plain", ["0", "1"])
def test_a_state_is_kept_between_evaluations(rng, monkeypatch, plain):
    monkeypatch.setenv("PYANE_EMULATOR_PLAIN", plain)
    kernel = compiled(ACCUMULATE)
    state = np.zeros((3, 5), np.float16)
    for _ in range(4):
        x = rng.normal(size=(3, 5)).astype(np.float16)
        new = state + x
        np.testing.assert_array_equal(kernel(x), state * new)
        np.testing.assert_array_equal(kernel.states["kv"], new)
        state = new


def test_what_was_read_before_a_write_stays_as_it_was(rng):
    """Views of the old contents, and elementwise operations that are evaluated late."""
    lines = [
        read("old"),
        mil_text.operation(
            "transpose", "turned", "tensor<fp16, [5, 3]>", {"x": "%old", "perm": np.array([1, 0])}
        ),
        binary("mul", "twice", "old", "x"),
        write("x"),
        mil_text.operation(
            "reshape", "flat", "tensor<fp16, [15]>", {"x": "%turned", "shape": np.array([15])}
        ),
        read("new"),
        binary("sub", "y", "twice", "new"),
    ]
    kernel = compiled(lines, ("y", "flat", "old"))
    before, x = rng.normal(size=(2, 3, 5)).astype(np.float16)
    kernel.states["kv"][...] = before
    got = kernel(x)
    np.testing.assert_array_equal(got["flat"], before.T.reshape(15))
    np.testing.assert_array_equal(got["y"], before * x - x)
    np.testing.assert_array_equal(got["old"], before)
    np.testing.assert_array_equal(kernel.states["kv"], x)


def test_a_state_turned_into_itself(rng):
    square = "tensor<fp16, [17, 17]>"
    lines = [
        read("old", square),
        mil_text.operation("transpose", "turned", square, {"x": "%old", "perm": np.array([1, 0])}),
        write("turned"),
        mil_text.operation("identity", "y", square, {"x": "%x"}),
    ]
    kernel = compiled(lines, inputs={"x": square, "kv": f"state<{square}>"})
    before = rng.normal(size=(17, 17)).astype(np.float16)
    kernel.states["kv"][...] = before
    kernel.evaluate()
    np.testing.assert_array_equal(kernel.states["kv"], before.T)


def test_update_gives_the_new_contents(rng):
    lines = [
        mil_text.operation("coreml_update_state", "n", KIND, {"state": "%kv", "value": "%x"}),
        binary("add", "y", "n", "x"),
    ]
    kernel = compiled(lines)
    x = rng.normal(size=(3, 5)).astype(np.float16)
    np.testing.assert_array_equal(kernel(x), x + x)
    np.testing.assert_array_equal(kernel.states["kv"], x)


def test_a_write_counts_though_no_output_needs_it():
    kernel = compiled([write("x"), mil_text.operation("relu", "y", KIND, {"x": "%x"})])
    kernel(np.full((3, 5), -2, np.float16))
    assert (kernel.states["kv"] == -2).all()


def test_requests_have_states_of_their_own_unless_they_share():
    kernel = compiled(ACCUMULATE)
    n = kernel.surface_bytes
    x, y = pyane.Surface(n), pyane.Surface(n)
    x.array((3, 5), np.float16)[...] = 1
    first, second = (kernel.bind({"x": x}, {"y": y}) for _ in range(2))
    shared = kernel.bind({"x": x}, {"y": y}, first.states)
    for request in (first, first, second, shared):
        request.evaluate()
    sums = [r.states["kv"].array((3, 5), np.float16)[0, 0] for r in (first, second, shared)]
    assert sums == [3, 1, 3]
    assert kernel.states["kv"][0, 0] == 0


def test_kernels_share_a_state():
    """As the prompt's and the token's function of a language model do."""
    fill = compiled([write("x"), mil_text.operation("relu", "y", KIND, {"x": "%x"})])
    use = compiled([read("s"), binary("add", "y", "s", "x")])
    surface = [pyane.Surface(fill.surface_bytes) for _ in range(2)]
    request = fill.bind({"x": surface[0]}, {"y": surface[1]})
    surface[0].array((3, 5), np.float16)[...] = 7
    request.evaluate()
    use.bind({"x": surface[0]}, {"y": surface[1]}, request.states).evaluate()
    assert (surface[1].array((3, 5), np.float16) == 14).all()


def test_reset():
    kernel = compiled(ACCUMULATE)
    kernel(np.ones((3, 5), np.float16))
    kernel.reset_states()
    assert not kernel.states["kv"].any()


def test_bytes_of_a_bool_state_are_truth_values():
    kind = "tensor<bool, [4]>"
    kernel = compiled(
        [read("s", kind), mil_text.operation("logical_and", "y", kind, {"x": "%s", "y": "%x"})],
        inputs={"x": kind, "kv": f"state<{kind}>"},
    )
    kernel.states["kv"].view(np.uint8)[...] = [0, 1, 2, 255]
    kernel.inputs["x"].view(np.uint8)[...] = [1, 2, 4, 0]
    kernel.evaluate()
    assert kernel.outputs["y"].view(np.uint8).tolist() == [0, 1, 1, 0]


def test_specs():
    kernel = compiled(ACCUMULATE)
    assert list(kernel.input_specs) == ["x"]
    assert kernel.state_specs == {"kv": pyane.TensorSpec("kv", np.dtype(np.float16), (3, 5))}


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({}, "kernel needs state 'kv'; its states are 'kv'"),
        ({"cache": 30}, "kernel has no state 'cache'"),
    ],
)
def test_wrong_states(states, message):
    kernel = compiled(ACCUMULATE)
    n = kernel.surface_bytes
    surfaces = {name: pyane.Surface(size) for name, size in states.items()}
    with pytest.raises(ShapeError, match=message):
        kernel.bind({"x": pyane.Surface(n)}, {"y": pyane.Surface(n)}, surfaces)


def test_a_state_has_a_surface_of_its_own():
    kernel = compiled(ACCUMULATE)
    x, y = (pyane.Surface(kernel.surface_bytes) for _ in range(2))
    with pytest.raises(ShapeError, match="state 'kv' must have a surface of its own"):
        kernel.bind({"x": x}, {"y": y}, {"kv": x})


def test_a_value_of_another_type_is_refused():
    lines = [
        mil_text.operation(
            "reshape", "flat", "tensor<fp16, [15]>", {"x": "%x", "shape": np.array([15])}
        ),
        write("flat"),
        mil_text.operation("relu", "y", KIND, {"x": "%x"}),
    ]
    with pytest.raises(MilVerifyError, match=r"data must have the type held by the state"):
        compiled(lines)


CACHE = "tensor<fp16, [2, 8, 3]>"
ROW = "tensor<fp16, [2, 1, 3]>"


def put(name: str, x: str, update: str) -> str:
    """`update` at position `at` of `x`, as a decoder extends its cache."""
    operands = {"x": f"%{x}", "update": f"%{update}", "begin": "%at", "end": "%after"}
    return mil_text.operation(
        "slice_update",
        name,
        CACHE,
        {**operands, "begin_mask": np.zeros(3, bool), "end_mask": np.zeros(3, bool)},
    )


# What happens to the old contents, and where the new ones go.
CACHE_PROGRAMS = {
    "changed in place": [read("old", CACHE), put("new", "old", "x"), write("new")],
    "the old ones are wanted later": [
        read("old", CACHE),
        put("new", "old", "x"),
        write("new"),
        binary("sub", "z", "new", "old", CACHE),
    ],
    "the old ones are wanted in between": [
        read("old", CACHE),
        put("new", "old", "x"),
        mil_text.operation("exp", "z", CACHE, {"x": "%old"}),
        write("new"),
    ],
    "read again before it is written": [
        read("old", CACHE),
        put("new", "old", "x"),
        read("again", CACHE),
        write("new"),
        binary("sub", "z", "new", "again", CACHE),
    ],
    "changed twice": [
        read("old", CACHE),
        put("first", "old", "x"),
        write("first"),
        read("between", CACHE),
        binary("mul", "twice", "x", "x", ROW),
        put("second", "between", "twice"),
        write("second"),
        binary("sub", "z", "second", "first", CACHE),
    ],
    "by a part of itself": [
        read("old", CACHE),
        mil_text.operation(
            "slice_by_index",
            "part",
            ROW,
            {
                "x": "%old",
                "begin": np.array([0, 7, 0], np.int32),
                "end": np.array([2, 8, 3], np.int32),
            },
        ),
        put("new", "old", "part"),
        write("new"),
    ],
    "the result is wanted, too": [
        read("old", CACHE),
        put("new", "old", "x"),
        write("new"),
        mil_text.operation("relu", "z", CACHE, {"x": "%new"}),
    ],
}


@pytest.mark.parametrize("name", CACHE_PROGRAMS)
@pytest.mark.parametrize("plain", ["0", "1"])
def test_a_part_of_a_state_changes(rng, monkeypatch, name, plain):
    monkeypatch.setenv("PYANE_EMULATOR_PLAIN", plain)
    lines = CACHE_PROGRAMS[name]
    has_z = any('string("z")' in line or " z = " in line for line in lines)
    last = mil_text.operation("identity", "y", ROW, {"x": "%x"})
    three = "tensor<int32, [3]>"
    kernel = compiled(
        [*lines, last],
        ("y", "z") if has_z else ("y",),
        {"x": ROW, "at": three, "after": three, "kv": f"state<{CACHE}>"},
    )
    cache = rng.normal(size=(2, 8, 3)).astype(np.float16)
    kernel.states["kv"][...] = cache
    for position in (3, 0, 7, 3):
        x = rng.normal(size=(2, 1, 3)).astype(np.float16)
        kernel.inputs["x"][...] = x
        kernel.inputs["at"][...] = [0, position, 0]
        kernel.inputs["after"][...] = [2, position + 1, 3]
        kernel.evaluate()
        old = cache.copy()
        first = old.copy()
        first[:, position : position + 1] = x
        cache[:, position : position + 1] = x
        if name == "changed twice":
            cache[:, position : position + 1] = x * x
        elif name == "by a part of itself":
            cache[:, position] = old[:, 7]
        np.testing.assert_array_equal(kernel.states["kv"], cache)
        if name == "the old ones are wanted in between":
            np.testing.assert_allclose(kernel.outputs["z"], np.exp(old, dtype=np.float32), 2e-3)
        elif name == "the result is wanted, too":
            np.testing.assert_array_equal(kernel.outputs["z"], np.maximum(cache, 0))
        elif has_z:
            before = first if name == "changed twice" else old
            np.testing.assert_array_equal(kernel.outputs["z"], cache - before)
