"""`pyane report`: tables, charts and findings out of benchmark results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RESULTS...",
            help="Files of pyane bench, outputs of maderix/ANE's trainer, or folders of both.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .md, .html or .pdf. Default: Markdown, shown."
        ),
    ] = None,
    community: Annotated[
        bool,
        typer.Option(
            "--community", help="The community's cross-generation report, RESULTS added to it."
        ),
    ] = False,
    pictures: Annotated[
        str,
        typer.Option(help="png or svg: charts of a .md as pictures beside it, too."),
    ] = "",
) -> None:
    """Make a report of benchmark results, in the order of the community's.

    Results of one chip become ranges. Figures of the emulator have sections of their own and are
    never mixed with an engine's. An .html is one file without scripts that loads nothing.

    \b
    Examples:
      pyane report result.json
      pyane report results/ -o report.html
      pyane report --community
      pyane report --community m2max.json -o report.pdf
    """  # noqa: D301  (\b keeps the lines of the example apart)
    from ..errors import ConfigError
    from ..report import build
    from ..report.markdown import render_markdown
    from ..report.read import read_results
    from ..report.write import check_output, write_report

    if output is not None:
        check_output(output, pictures)
    elif pictures:
        msg = f"--pictures {pictures}: needs a file to stand beside; add --output report.md"
        raise ConfigError(msg)
    if not results and not community:
        typer.echo("No results given: see pyane bench, or pyane report --community.", err=True)
    try:
        read = read_results(results or ())
    except OSError as e:
        # As a damaged file, and as pyane compare says it.
        msg = f"{e.filename}: {e.strerror}" if e.filename else str(e)
        raise ConfigError(msg) from e
    document = build(read, community=community)
    if output is None:
        typer.echo(render_markdown(document), nl=False)
        return
    try:
        written = write_report(document, output, pictures)
    except OSError as e:  # not the name of the temporary file, which nobody asked for
        msg = f"--output {output}: could not be written ({e.strerror or e})"
        raise ConfigError(msg) from e
    typer.echo("\n".join(map(str, written)))
