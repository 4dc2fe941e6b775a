"""The generated functions match the registry, and the registry's listing is sound."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest

from pyane import mil
from pyane.mil import ops

GENERATOR = Path(__file__).parents[2] / "tools" / "generate_mil_ops.py"


def test_module_is_what_the_generator_writes():
    spec = importlib.util.spec_from_file_location("generate_mil_ops", GENERATOR)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = ast.dump(ast.parse(Path(ops.__file__).read_text()))
    # Compared as syntax trees: the file is formatted, and ruff is no test dependency.
    assert written == ast.dump(ast.parse(generator.source())), f"run {GENERATOR.name}"


def test_registry_lists_records_by_name():
    records = mil.op_set()
    names = [record.name for record in records]
    assert names == sorted(set(names))
    left_out = {r.name for r in records if r.n_blocks or r.family == "lists"}
    assert set(names) - {"const"} - left_out == set(ops.__all__)
    for record in records:
        assert record.opset in {"ios15", "ios16", "ios17", "ios18"}
        assert record.family
        inputs = [spec.name for spec in record.inputs]
        assert len(set(inputs)) == len(inputs)
        for spec in record.inputs:
            assert spec.dtypes
            assert not (spec.is_required and spec.default is not None)


@pytest.mark.parametrize("name", ops.__all__)
def test_parameters_are_keyword_only(name):
    for parameter in inspect.signature(getattr(mil, name)).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


# Inputs that a newer opset took away; the record holds both forms.
OLDER_INPUTS = {"crop_resize": {"roi"}, "non_maximum_suppression": {"score_threshold"}}


def test_opsets_are_those_of_coremltools():
    pytest.importorskip("coremltools")
    registry = importlib.import_module("coremltools.converters.mil.mil.ops.registry")
    checked = 0
    for record in mil.op_set():
        versions = registry.SSAOpRegistry.core_ops.get(record.name)
        if versions:
            oldest = min(versions, key=lambda v: v.value).name.lower()
            # MIL begins with iOS15.
            assert record.opset == ("ios15" if oldest in {"ios13", "ios14"} else oldest), record
            checked += 1
    assert checked > 140


def test_parameters_and_defaults_are_those_of_coremltools():
    pytest.importorskip("coremltools")
    registry = importlib.import_module("coremltools.converters.mil.mil.ops.registry")
    target = importlib.import_module("coremltools").target
    checked = 0
    for record in mil.op_set():
        versions = registry.SSAOpRegistry.core_ops.get(record.name)
        # The constexpr records hold the iOS16 and the iOS18 form at once.
        if not versions or record.is_constexpr:
            continue
        newest = versions[max((v for v in versions if v <= target.iOS18), key=lambda v: v.value)]
        # Names with an underscore are Python's side of the nested blocks.
        theirs = {k: v for k, v in newest.input_spec.input_types.items() if k[0] != "_"}
        older = OLDER_INPUTS.get(record.name, set())
        assert {spec.name for spec in record.inputs} == set(theirs) | older, record.name
        for spec in record.inputs:
            if older and not spec.is_required:
                continue  # One of the two forms, or optional in both.
            assert spec.is_required == (not theirs[spec.name].optional), (record.name, spec.name)
        checked += 1
    assert checked > 100
