"""`pyane chips`: what is known of each chip's engine."""

from __future__ import annotations

from typing import Annotated

import typer

from .model_options import check_format


def chips(
    name: Annotated[str, typer.Argument(help="Only this chip, with all that is known of it.")] = "",
    output_format: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List the chips that pyane knows, or all facts about one with their sources.

    \b
    Examples:
      pyane chips
      pyane chips m4max --format json
    """  # noqa: D301  (\b keeps the lines of the example apart)
    check_format(output_format, ("text", "json"))
    import json

    from .. import chips as table

    selected = [table.find(name)] if name else list(table.all_chips())
    if output_format == "json":
        typer.echo(json.dumps([_facts(chip) for chip in selected], indent=2))
        return
    if name:
        typer.echo(str(selected[0]))
        return
    typer.echo(f"{'name':<9} {'chip':<9} {'arch':<6} {'cores':>5} {'fp16 TFLOPS':>12}  known how")
    for chip in selected:
        peak = chip.rates["peak_fp16_tflops"]
        typer.echo(
            f"{chip.name:<9} {chip.product:<9} {chip.identity['architecture'].value!s:<6} "
            f"{chip.identity['cores'].value!s:>5} {_number(peak.value):>12}  {peak.status}"
        )
    typer.echo("All facts of one, with sources: pyane chips NAME")


def _number(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _facts(chip: object) -> dict[str, object]:
    from ..chips import Chip

    assert isinstance(chip, Chip)
    groups = {
        group: {
            fact.name: {
                "value": fact.value,
                "status": fact.status,
                "source": fact.source,
                "measured_on": fact.measured_on.split(),
            }
            for fact in getattr(chip, group).values()
        }
        for group in ("identity", "limits", "quirks", "numerics", "rates", "host")
    }
    return {
        "name": chip.name,
        "product": chip.product,
        "generation": chip.generation,
        **groups,
    }
