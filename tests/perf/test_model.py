"""The formula, by hand with round constants, and what must hold for any."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyane import chips
from pyane.errors import ConfigError
from pyane.perf import predict_program, programs, workload
from pyane.perf.constants import constants, fitted
from pyane.perf.model import program_terms, total
from pyane.perf.program_work import Workload

CHIPS = [chip.name for chip in chips.all_chips()]


@pytest.fixture
def m1() -> Any:
    """An M1 Max whose constants make sums easy."""
    return dataclasses.replace(
        constants("m1max").likely,
        peak=1e12,
        weight_rate=1e9,
        reuse_rate=10e9,
        boundary_rate=2e9,
        memory_rate=4e9,
        dispatch=100e-6,
        loop_dispatch=50e-6,
        row_rate=5e9,
        attention_rate=1e9,
        int8_speedup=4.0,
        winograd=2.0,
        on_chip_bytes=1 << 20,
        transpose_from=256,
        streams=frozenset({"lut"}),
    )


def seconds(work: Workload, chip: Any, mode: Any = "single") -> float:
    return total(program_terms(work, chip, mode))


def test_bound_by_weights(m1: Any) -> None:
    work = workload(programs.matmul(1, 1000, 1000))  # 2 MFLOP: 2 us; 2 MB of weights: 2 ms
    assert seconds(work, m1) == pytest.approx(100e-6 + 4000 / 2e9 + 2e-3)
    assert seconds(work, m1, "loop") == pytest.approx(50e-6 + 4000 / 4e9 + 2e-3)


def test_bound_by_arithmetic(m1: Any) -> None:
    work = workload(programs.matmul(2000, 1000, 1000))  # 4 GFLOP: 4 ms; 8 MB of boundary
    assert seconds(work, m1) == pytest.approx(100e-6 + 8e6 / 2e9 + 4e-3)
    # In a loop the boundary is memory traffic: 2 ms of weights and 2 ms of it, just hidden.
    assert seconds(work, m1, "loop") == pytest.approx(50e-6 + 4e-3)


def test_3x3_convolutions_are_faster(m1: Any) -> None:
    boundary = 2 * 2 * 100 * 64 * 64 / 2e9
    flops = 2 * 100 * 100 * 64 * 64
    three = workload(programs.conv(100, 64, 64, 3))
    five = workload(programs.conv(100, 64, 64, 5))
    assert seconds(three, m1) == pytest.approx(100e-6 + boundary + 9 * flops / 2e12)
    assert seconds(five, m1) == pytest.approx(100e-6 + boundary + 25 * flops / 1e12)


def test_weights_that_stream_and_weights_that_fold(m1: Any) -> None:
    def weight_time(form: str) -> float:
        terms = program_terms(workload(programs.matmul(1, 1024, 1024, form=form)), m1, "single")
        return next(term.seconds for term in terms if term.name == "weights")

    assert weight_time("lut") == pytest.approx((1024 * 1024 / 2 + 32) / 1e9, rel=1e-12)
    assert weight_time("int8") == weight_time("dense") == pytest.approx(2 * 1024 * 1024 / 1e9)


def test_spilled_results_share_memory_with_weights(m1: Any) -> None:
    work = workload(programs.matmul(8192, 128, 128, depth=3))
    spill = work.spill_bytes(1 << 20)
    assert spill == 2 * 2 * 2 * 8192 * 128  # two results, out and in again
    expected = 100e-6 + 2 * 2 * 8192 * 128 / 2e9 + 3 * 2 * 128 * 128 / 1e9 + spill / 4e9
    assert seconds(work, m1) == pytest.approx(expected)


def test_weights_read_again(m1: Any) -> None:
    work = workload(programs.conv(512, 1, 16, 1, depth=128, shared=True))
    # 1.07 GFLOP: 1.07 ms; one weight from memory: 0.52 ms; 127 times again: 6.7 ms.
    boundary = 2 * 2 * 512 * 16 / 2e9
    assert seconds(work, m1) == pytest.approx(100e-6 + boundary + 127 * 2 * 512 * 512 / 10e9)


def test_rows_and_attention(m1: Any) -> None:
    bytes_of_x = 2 * 64 * 512
    norm = workload(programs.layer_norm([64, 512]))
    assert seconds(norm, m1) == pytest.approx(100e-6 + 2 * bytes_of_x / 2e9 + 2 * bytes_of_x / 5e9)
    short = workload(programs.layer_norm([64, 255]))  # below the extent of the other route
    assert seconds(short, m1) == pytest.approx(100e-6 + 2 * 2 * 64 * 255 / 2e9)
    native = workload(programs.attention(2, 32, 16))
    n_bytes = 4 * 2 * 2 * 32 * 16
    assert seconds(native, m1) == pytest.approx(
        100e-6 + n_bytes / 2e9 + n_bytes / 1e9 + native.matrix_flops / 1e12
    )


def test_parts_add_up_and_hidden_ones_do_not_count() -> None:
    prediction = predict_program(programs.conv(512, 32, 32, 3), "m5pro")
    assert prediction.seconds == pytest.approx(
        sum(term.seconds for term in prediction.terms if term.counts)
    )
    assert prediction.dominant.name == "arithmetic"
    hidden = {term.name for term in prediction.terms if not term.counts and term.seconds}
    assert hidden == {"weights"}


@pytest.mark.parametrize("chip", CHIPS)
def test_range_holds_the_time(chip: str) -> None:
    for mode in ("single", "loop"):
        prediction = predict_program(programs.matmul(256, 1024, 1024), chip, mode=mode)  # type: ignore[arg-type]
        assert prediction.low < prediction.seconds < prediction.high


def test_less_is_known_of_chips_that_nobody_timed() -> None:
    def width(chip: str) -> float:
        prediction = predict_program(programs.matmul(1, 4096, 4096), chip)
        return prediction.high / prediction.low

    assert width("m5pro") < width("m5max") < width("m4pro")
    bases = {name: constants(name).likely.basis for name in ("m5pro", "m5", "m4", "m3")}
    assert bases == {"m5pro": "measured", "m5": "sibling", "m4": "between", "m3": "between"}


def test_rates_of_unmeasured_generations_lie_between_their_neighbours() -> None:
    m2, m3, m4, m5 = (constants(name).likely for name in ("m2pro", "m3max", "m4max", "m5pro"))
    assert m2.weight_rate < m3.weight_rate < m4.weight_rate < m5.weight_rate
    assert m2.dispatch > m3.dispatch > m4.dispatch > m5.dispatch


def test_a_base_chip_reads_no_faster_than_its_memory_allows() -> None:
    m5 = constants("m5").likely
    assert m5.weight_rate == m5.memory_rate == 0.75 * 153e9


def test_folded_weights_are_said_to_be() -> None:
    text = programs.matmul(1, 4096, 4096, form="int8")
    assert "int8 weights become fp16" in predict_program(text, "m1").notes[0]
    assert predict_program(text, "m2").notes == ()
    dense = predict_program(programs.matmul(1, 4096, 4096), "m1")
    assert predict_program(text, "m1").seconds == pytest.approx(dense.seconds)
    assert (
        predict_program(text, "m2pro").seconds
        < 0.7 * predict_program(programs.matmul(1, 4096, 4096), "m2pro").seconds
    )


def test_given_constants_are_taken() -> None:
    fit = copy.deepcopy(dict(fitted()))
    fit["single"]["m1max"]["dispatch_us"] = 1000.0
    text = programs.tiny()
    assert predict_program(text, "m1max", fit=fit).seconds == pytest.approx(1e-3, rel=0.01)


def test_no_such_chip() -> None:
    with pytest.raises(ConfigError, match="m4proo"):
        predict_program(programs.tiny(), "m4proo")


sizes = st.integers(min_value=1, max_value=300)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, st.sampled_from(CHIPS), st.sampled_from(["single", "loop"]))
def test_more_work_takes_no_less_time(
    rows: int, inner: int, columns: int, chip: str, mode: Any
) -> None:
    small = predict_program(programs.matmul(rows, inner, columns), chip, mode=mode).seconds
    for more in (
        programs.matmul(2 * rows, inner, columns),
        programs.matmul(rows, inner + 1, columns),
        programs.matmul(rows, inner, columns + 7),
        programs.matmul(rows, inner, columns, depth=2),
    ):
        assert predict_program(more, chip, mode=mode).seconds >= small


@settings(max_examples=40, deadline=None)
@given(
    sizes,
    st.sampled_from(
        ["peak", "weight_rate", "memory_rate", "boundary_rate", "reuse_rate", "row_rate"]
    ),
    st.floats(min_value=1.0, max_value=100.0),
    st.sampled_from(["single", "loop"]),
)
def test_a_faster_chip_takes_no_longer(channels: int, name: str, factor: float, mode: Any) -> None:
    work = workload(programs.conv(channels, 8, 8, 3, depth=3))
    chip = constants("m2pro").likely
    faster = dataclasses.replace(chip, **{name: factor * getattr(chip, name)})
    assert seconds(work, faster, mode) <= seconds(work, chip, mode)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 6), st.integers(0, 1 << 22), st.integers(0, 1 << 20))
def test_a_larger_chip_spills_no_more(rows: int, depth: int, size: int, more: int) -> None:
    work = workload(programs.matmul(rows, 64, 64, depth=depth))
    assert work.spill_bytes(size + more) <= work.spill_bytes(size)
