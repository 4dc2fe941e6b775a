"""What predictions say of themselves."""

from __future__ import annotations

import re

import pytest

from pyane.perf import Prediction, predict_program, predict_training, programs
from pyane.perf.explain import advice, duration, explain


@pytest.mark.parametrize(
    ("text", "chip", "dominant", "says"),
    [
        (programs.tiny(), "m5pro", "dispatch", "Put more into one program"),
        (
            programs.elementwise([2048, 1024], "relu"),
            "m1max",
            "boundary",
            "bound requests in a loop",
        ),
        (
            programs.conv(512, 64, 64, 3, depth=8),
            "m4",
            "arithmetic",
            "int8 weights and activations",
        ),
        (programs.matmul(1, 8192, 8192), "m2pro", "weights", "Compressed weights would take less"),
        (programs.matmul(8192, 256, 256, depth=32), "m1max", "spill", "fits into 2.1 MB"),
        (programs.layer_norm([16, 16384]), "m5pro", "dispatch", "Put more"),
        (programs.attention(16, 256, 128), "m5pro", "attention", "matmul, softmax, matmul"),
        (
            programs.conv(512, 1, 16, 1, depth=512, shared=True),
            "m4",
            "weight reuse",
            "More positions per evaluate",
        ),
    ],
)
def test_dominating_term_and_what_to_do(text: str, chip: str, dominant: str, says: str) -> None:
    prediction = predict_program(text, chip)
    assert prediction.dominant.name == dominant
    assert says in advice(prediction)
    assert f" * {dominant}" in explain(prediction)


@pytest.mark.parametrize(("form", "name"), [("int8", "int8"), ("lut", "4-bit palettes")])
def test_promised_time_of_compressed_weights_is_the_predicted_one(form: str, name: str) -> None:
    """The advice works from the terms; predicting the compressed program must say the same."""
    sentence = advice(predict_program(programs.matmul(1, 8192, 8192), "m2pro"))
    found = re.search(rf"{name} ([\d.]+) (ms|us)", sentence)
    assert found is not None
    promised = float(found[1]) * (1e-3 if found[2] == "ms" else 1e-6)
    predicted = predict_program(programs.matmul(1, 8192, 8192, form=form), "m2pro").seconds
    assert promised == pytest.approx(predicted, rel=0.01)


def test_chips_that_fold_are_not_advised_to_compress_so() -> None:
    sentence = advice(predict_program(programs.matmul(1, 8192, 8192), "m1max"))
    assert "4-bit palettes" in sentence
    assert "int8" not in sentence
    compressed = predict_program(programs.matmul(1, 8192, 8192, form="lut"), "m1max")
    assert "Compressed" not in advice(compressed)


def test_training_step() -> None:
    prediction = predict_training("stories110m", "m5")
    assert prediction.dominant.name == "matrix products"
    assert "--cls ane" in advice(prediction)
    text = explain(prediction)
    assert text.startswith("M5, training step, static: 114 ms")
    moved = predict_training("stories110m", "m5", cls="ane")
    assert "--cls ane" not in explain(moved)
    assert "classifier on the CPU" not in explain(moved)
    assert explain(moved).startswith("M5, training step, static, classifier on the engine: ")
    compiling = duration(prediction.extra["compile_seconds"])
    assert f"compiling, share of a step: {compiling} more" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (92e-6, "92 us"),
        (1.234e-3, "1.23 ms"),
        (3.7, "3.7 s"),
        (0.9994e-3, "999 us"),
        (0.9996, "1 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_json_holds_every_part() -> None:
    prediction = predict_program(programs.tiny(), "m3")
    found = prediction.to_dict()
    assert isinstance(prediction, Prediction)
    assert found["seconds"] == prediction.seconds
    assert {term["name"] for term in found["terms"]} == {term.name for term in prediction.terms}
    assert found["basis"] == "between"
