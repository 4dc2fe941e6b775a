"""Classifiers: Core ML ends them with an operation that makes a label and a dict of probabilities.

Neither is a tensor, and no engine evaluates it: the tensor of probabilities is what a program can
return. Core ML's own runtime does the rest on the CPU, with the list of labels.
"""

from __future__ import annotations

from .._core import mil as _mil

_CLASSIFY = "classify"


def without_classify(program: _mil.Program) -> tuple[_mil.Program, dict[str, tuple[str, ...]]]:
    """The program with probabilities as outputs, and the labels by output.

    A program without `classify` comes back as it is, with no labels.
    """
    labels: dict[str, tuple[str, ...]] = {}
    functions = [_stripped(function, labels) for function in program.functions]
    if not labels:
        return program, labels
    made = _mil.Program(functions, program.attributes, program.version, program.source_name)
    return made, labels


def _stripped(function: _mil.Function, labels: dict[str, tuple[str, ...]]) -> _mil.Function:
    replaced: dict[str, str] = {}
    kept = []
    for operation in function.operations:
        probabilities = operation.arguments.get("probabilities")
        if operation.type != _CLASSIFY or not isinstance(probabilities, str):
            kept.append(operation)
            continue
        labels[probabilities] = _labels(function, operation.arguments.get("classes"))
        replaced.update((value.name, probabilities) for value in operation.outputs)
    if not replaced:
        return function
    outputs = [
        replaced.get(output, output) if isinstance(output, str) else output
        for output in function.outputs
    ]
    unique = [output for i, output in enumerate(outputs) if output not in outputs[:i]]
    return _mil.Function(
        function.name, function.parameters, kept, unique, function.opset, function.attributes
    )


def _labels(function: _mil.Function, classes: object) -> tuple[str, ...]:
    if isinstance(classes, str):
        constants = {o.outputs[0].name: o for o in function.operations if o.type == "const"}
        constant = constants.get(classes)
        classes = None if constant is None else constant.attributes.get("val")
    value = classes.value if isinstance(classes, _mil.Literal) else ()
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else ()
