"""The linter has nothing against the training kernels that is not contested."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pyane
from pyane.llama import PRESETS, PipelineOptions
from pyane.llama.classifier import classifier_shape
from pyane.llama.kernels import Interface, KernelShape
from pyane.llama.layer_kernels import Definitions, interfaces
from pyane.llama.options import for_chip


def program(interface: Interface) -> pyane.mil.Program:
    if not interface.bakes_weights:
        return interface.program()
    shapes = interface.shape.tensor_shapes()
    weights = {
        name: np.zeros(shapes[name][3] if name.startswith("rms") else shapes[name][2:], np.float16)
        for name in interface.kernel.weights
    }
    return interface.program(weights)


@pytest.mark.parametrize("pipeline", ["dynamic", "static"])
@pytest.mark.parametrize("chip", ["m1", "m2", "m3", "m4", "m5"])
def test_no_chip_refuses_stories110m(chip: str, pipeline: str) -> None:
    options = dataclasses.replace(
        for_chip(chip), pipeline=pipeline, rmsnorm_backward="ane", cls="ane"
    )
    config = PRESETS["stories110m"]
    shape = KernelShape(config, 1, 256)
    parts = [
        (shape, Definitions.of_layers(config, options)),
        classifier_shape(shape, options, chip),
    ]
    checked = 0
    for part, definitions in parts:
        for interface in interfaces(part, definitions, options):
            for found in pyane.check(program(interface), chip=chip):
                severity = str(found.severity)
                is_wrong = severity.startswith("refused") or severity == "silently-wrong"
                assert not is_wrong or found.is_contested, (interface.kernel.name, str(found))
            checked += 1
    assert checked >= 8


def test_what_is_refused_is_seen() -> None:
    """The same check finds a classifier that is too wide for M1."""
    shape = KernelShape(PRESETS["stories110m"], 1, 256, classifier_rows=32000)
    options = PipelineOptions(cls="ane")
    interface = interfaces(shape, Definitions.of_classifier(1), options)[0]
    found = pyane.check(program(interface), chip="m1")
    assert any("must be at most 16384, got 32000" in entry.message for entry in found)
