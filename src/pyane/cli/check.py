"""`pyane check`: what a chip's engine would make of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..errors import (
    BlobError,
    ConfigError,
    MilSyntaxError,
    MilVerifyError,
    ModelError,
    ShapeError,
    UnsupportedOpError,
)
from .check_config import NEVER, Config, read_config
from .check_report import FORMATS, Checked, Failure, write_report
from .closed_pipe import whether_read_or_not
from .model_options import FunctionOption, LinksOption, ShapeOption, check_format, load_model

if TYPE_CHECKING:
    from ..check import Diagnostic
    from ..model import Model


def check(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help=".mil, .mlmodelc, .mlpackage or .mlmodel; - reads MIL text."
        ),
    ],
    chip: Annotated[
        list[str],
        typer.Option("--chip", help="m1, m4max, ..., or all. Repeatable. Default: m1."),
    ] = [],  # noqa: B006 -- typer copies
    output_format: Annotated[
        str, typer.Option("--format", help="text, json, sarif or github.")
    ] = "text",
    ignore: Annotated[
        list[str], typer.Option("--ignore", help="Rule to leave out, by id or name. Repeatable.")
    ] = [],  # noqa: B006
    select: Annotated[
        list[str], typer.Option("--select", help="Apply only this rule. Repeatable.")
    ] = [],  # noqa: B006
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            help="Exit with 1 for findings at least as bad: refused-at-compile, "
            "refused-at-evaluate, silently-wrong, slow, advice or never. Default: silently-wrong.",
        ),
    ] = "",
    contested: Annotated[
        bool,
        typer.Option("--fail-on-contested", help="Let findings fail on which sources disagree."),
    ] = False,
    function: FunctionOption = "",
    shape: ShapeOption = [],  # noqa: B006
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="pyproject.toml with [tool.pyane.check]. Default: the nearest one."),
    ] = None,
    allow_links: LinksOption = False,
) -> None:
    """Say what chips would refuse, get silently wrong or do slowly, and what to write instead.

    Needs no engine. Exit code 1 when there are findings (see --fail-on) or a model cannot be read or does
    not verify.
    Options can be kept in pyproject.toml, under [tool.pyane.check]: docs/models.md.

    \b
    Examples:
      pyane check model.mlpackage --chip m1 --chip m4
      pyane check *.mil --chip all --ignore ANE034 --format sarif > pyane.sarif
    """  # noqa: D301  (\b keeps the lines of the example apart)
    check_format(output_format, FORMATS)
    settings = read_config(config).with_options(
        chips=chip, ignore=ignore, select=select, fail_on=fail_on
    )
    limit = _limit(settings.fail_on)
    checked = [
        _check_one(name, settings, function, shape, allow_links=allow_links) for name in models
    ]
    with whether_read_or_not():
        write_report(output_format, checked, settings.chips)
    if any(_fails(one, limit, contested) for one in checked):
        raise typer.Exit(1)


def _limit(fail_on: str) -> int:
    """How many of the severities, worst first, fail."""
    from ..check import SEVERITIES

    names = (*SEVERITIES, NEVER)
    if fail_on not in names:
        msg = f"--fail-on must be one of {', '.join(names)}, got '{fail_on}'"
        raise ConfigError(msg)
    return 0 if fail_on == NEVER else SEVERITIES.index(fail_on) + 1


def _check_one(
    name: str, settings: Config, function: str, shapes: Sequence[str], *, allow_links: bool
) -> Checked:
    model: Model | None = None
    try:
        model = load_model(name, function=function, shapes=shapes, allow_links=allow_links)
        return Checked(name, model, _findings(model, settings, function))
    except (MilSyntaxError, MilVerifyError, UnsupportedOpError) as e:
        failure = Failure(type(e).__name__, str(e), e.line, e.column)
        return Checked(name, model, [], failure)
    except (ModelError, BlobError, ShapeError) as e:
        # One broken package must not hide what was found in the others.
        return Checked(name, model, [], Failure(type(e).__name__, str(e), 0, 0))


def _findings(model: Model, settings: Config, function: str) -> list[Diagnostic]:
    import pyane

    found: list[Diagnostic] = []
    for group, ignored in settings.by_ignored():
        found.extend(
            pyane.check(
                model, chip=group, function=function, ignore=ignored, select=settings.select
            )
        )
    return sorted(found, key=lambda d: (d.line, d.column, settings.chips.index(d.chip), d.rule))


def _fails(checked: Checked, limit: int, contested: bool) -> bool:
    from ..check import SEVERITIES

    if checked.failure is not None:
        return True
    return any(
        d.severity in SEVERITIES[:limit] and (contested or not d.is_contested)
        for d in checked.findings
    )
