"""`pyane predict`: how fast chips would run a model or a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ConfigError
from .model_options import FunctionOption, LinksOption, ModelArgument, ShapeOption, load_model

if TYPE_CHECKING:
    from ..llama import Config
    from ..model import Model
    from ..perf import Prediction

_BASIS = {"measured": "", "sibling": "~", "between": "~~"}


def predict(
    model: ModelArgument = "",
    chip: Annotated[
        list[str],
        typer.Option(
            "--chip", help="m1, m4max, ..., or all, with commas or repeated. Default: all."
        ),
    ] = [],  # noqa: B006 -- typer copies
    training: Annotated[
        str,
        typer.Option(
            "--training",
            metavar="PRESET",
            help="A training step instead of a MODEL: stories110m, ..., or a .json file of sizes.",
        ),
    ] = "",
    pipeline: Annotated[
        str, typer.Option("--pipeline", help="Of --training: static (default) or dynamic.")
    ] = "",
    cls: Annotated[
        str, typer.Option("--cls", help="Of --training: classifier on the cpu (default) or ane.")
    ] = "",
    batch_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Sequences in a micro-batch. Default: 1.", min=1),
    ] = None,
    seq_len: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Tokens of a sequence. Default: the preset's.", min=1),
    ] = None,
    accumulation: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Micro-batches in an update. Default: static 10, dynamic 1.", min=1),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what the time consists of and what to change.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    function: FunctionOption = "",
    shape: ShapeOption = [],  # noqa: B006 -- typer copies
    allow_links: LinksOption = False,
) -> None:
    """Predict how long chips take, from published measurements. Nothing is run.

    docs/performance_model.md says how, and how far off it is.

    \b
    Examples:
      pyane predict model.mlpackage
      pyane predict model.mil --chip m1,m4max --explain
      pyane predict --training stories110m --pipeline dynamic
    """  # noqa: D301  (\b keeps the lines of the example apart)
    if bool(model) == bool(training):
        msg = "predict takes a MODEL or --training PRESET, " + (
            "not both" if model else "got neither"
        )
        raise ConfigError(msg)
    _check_options(
        bool(training),
        {
            "--pipeline": pipeline,
            "--cls": cls,
            "--batch-size": batch_size,
            "--seq-len": seq_len,
            "--accumulation": accumulation,
        },
        {"--function": function, "--shape": shape, "--allow-links": allow_links},
    )
    from .. import chips, perf

    asked = [name for option in chip for name in option.split(",") if name.strip()] or ["all"]
    names = list(
        dict.fromkeys(
            found.name
            for name in asked
            for found in (chips.all_chips() if name == "all" else [chips.find(name)])
        )
    )
    made: list[tuple[Prediction, ...]]
    refused: dict[str, list[str]] = {}
    if training:
        sizes = _sizes(training)
        made = [
            (
                perf.predict_training(
                    sizes,
                    name,
                    pipeline=pipeline or "static",
                    cls=cls or "cpu",
                    batch=batch_size or 1,
                    positions=seq_len,
                    accumulation=accumulation,
                ),
            )
            for name in names
        ]
    else:
        loaded = load_model(model, function=function, shapes=shape, allow_links=allow_links)
        work = perf.workload(loaded)
        refused = _refused(loaded, names)
        made = [
            (perf.predict_program(work, name), perf.predict_program(work, name, mode="loop"))
            for name in names
        ]
    if as_json:
        import json

        flat: list[dict[str, Any]] = [
            {**one.to_dict(), "refused_by": refused.get(one.chip, [])}
            for group in made
            for one in group
        ]
        typer.echo(json.dumps({"predictions": flat}, indent=2))
        return
    if explain:
        from ..perf.explain import explain as explained

        typer.echo(
            "\n\n".join(
                explained(one) + _refusal(one, refused, "\n   Note: ")
                for group in made
                for one in group
            )
        )
        return
    for line in _training_table(made) if training else _program_table(made, refused):
        typer.echo(line)


def _sizes(training: str) -> Config | str:
    """A preset's name as it is; the sizes in a file."""
    if not training.endswith(".json"):
        return training
    from ..llama.config_json import read_config

    try:
        return read_config(training)
    except OSError as e:
        msg = f"--training {training}: cannot be read ({e.strerror or e})"
        raise ConfigError(msg) from e


def _check_options(
    is_training: bool, of_training: dict[str, Any], of_models: dict[str, Any]
) -> None:
    others, whose = (of_models, "a MODEL") if is_training else (of_training, "--training")
    for name, value in others.items():
        if value:
            msg = f"{name} is of {whose}, got it without"
            raise ConfigError(msg)


def _refused(model: Model, names: list[str]) -> dict[str, list[str]]:
    """Rules by which a chip refuses the model, as far as sources agree: it would take no time at all."""
    from ..check import SEVERITIES, check
    from ..errors import BlobError

    try:
        found = check(model, chip=names)
    except BlobError:  # rules about values need the weights, times do not
        return {}
    refused: dict[str, list[str]] = {}
    for finding in found:
        if finding.severity in SEVERITIES[:2] and not finding.is_contested:
            rules = refused.setdefault(finding.chip, [])
            if finding.rule not in rules:
                rules.append(finding.rule)
    return refused


def _refusal(prediction: Prediction, refused: dict[str, list[str]], before: str) -> str:
    rules = refused.get(prediction.chip)
    return f"{before}refused, says pyane check ({', '.join(rules)})" if rules else ""


def _program_table(made: list[tuple[Prediction, ...]], refused: dict[str, list[str]]) -> list[str]:
    lines = [
        f"{'chip':<11}{'one evaluate':>13}{'range':>20}{'in a loop':>12}{'compile':>10}  mostly"
    ]
    lines += [
        f"{_chip(single):<11}{_time(single.seconds):>13}{_range(single):>20}{_time(loop.seconds):>12}"
        f"{_time(single.extra['compile_seconds']):>10}  {single.dominant.name}"
        f"{_refusal(single, refused, '; ')}"
        for single, loop in made
    ]
    return lines + _legend(made)


def _training_table(made: list[tuple[Prediction, ...]]) -> list[str]:
    lines = [
        f"{'chip':<11}{'step':>9}{'range':>20}{'engine':>10}{'compile/step':>14}{'TFLOPS':>8}  mostly"
    ]
    lines += [
        f"{_chip(one):<11}{_time(one.seconds):>9}{_range(one):>20}{_time(one.extra['engine_seconds']):>10}"
        f"{_time(one.extra['compile_seconds']) if one.extra['compile_seconds'] else '-':>14}"
        f"{one.extra['engine_tflops']:>8.2f}  {one.dominant.name}"
        for (one,) in made
    ]
    return lines + _legend(made)


def _chip(prediction: Prediction) -> str:
    from .. import chips

    return chips.find(prediction.chip).product + _BASIS[prediction.basis]


def _time(seconds: float) -> str:
    from ..perf.explain import duration

    return duration(seconds)


def _range(prediction: Prediction) -> str:
    return f"{_time(prediction.low)} - {_time(prediction.high)}"


def _legend(made: list[tuple[Prediction, ...]]) -> list[str]:
    lines = ["Predicted from published measurements; nothing was run. What to change: --explain"]
    bases = {one.basis for group in made for one in group}
    if "sibling" in bases:
        lines.append("~  single programs were timed on a sibling of this chip")
    if "between" in bases:
        lines.append(
            "~~ hardly any were timed on this generation: rates lie between its neighbours'"
        )
    return lines
