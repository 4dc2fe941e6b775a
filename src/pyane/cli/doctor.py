"""`pyane doctor`: a graded series of small programs on this machine's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .closed_pipe import whether_read_or_not
from .device_options import DeviceOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..device import Device
    from ..doctor import Outcome


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: DeviceOption = None,
    limit: Annotated[
        bool, typer.Option("--limit", help="Also compile until the limit is met (about 120 times).")
    ] = False,
) -> None:
    """Run small programs, each asking a little more of the device, and report.

    The report is made to be pasted into an issue. Exit code 1 when a program fails or gives wrong
    numbers.

    \b
    Examples:
      pyane doctor
      pyane doctor --limit --json
    """  # noqa: D301  (\b keeps the lines of the example apart)
    import json
    from dataclasses import asdict

    import pyane

    from .info import collect

    chosen = pyane.device(device)
    facts = collect()
    with whether_read_or_not():
        if not as_json:
            _show_facts(chosen, facts)
    outcomes = []
    for outcome in _outcomes(chosen, limit=limit):
        outcomes.append(outcome)
        with whether_read_or_not():
            if not as_json:
                _show(outcome)
    failed = [outcome for outcome in outcomes if outcome.status != "ok"]
    with whether_read_or_not():
        if as_json:
            report = {"info": facts, "device": str(chosen), "checks": [asdict(o) for o in outcomes]}
            typer.echo(json.dumps(report, indent=2))
        elif failed:
            typer.echo(
                f"{len(failed)} of {len(outcomes)} failed. Please open an issue with this report, "
                "`pyane doctor --json`, and the MIL files named above."
            )
        else:
            typer.echo(f"all {len(outcomes)} work on {chosen}")
    if failed:
        raise typer.Exit(1)


def _outcomes(device: Device, *, limit: bool) -> Iterator[Outcome]:
    from .. import doctor as series

    yield from series.examine(device)
    if limit:
        yield series.compile_limit(device)


def _show_facts(device: Device, facts: dict[str, Any]) -> None:
    import json

    from .. import ane

    typer.echo(f"pyane doctor: device {device}")
    if device.name != "ane":
        typer.echo(f"  {ane.unavailable_reason() or 'the emulator was asked for'}")
    path = facts["engine"].get("framework_path", "")
    if path and not path.startswith("/System/Library/"):
        typer.echo(f"  NOT APPLE'S FRAMEWORK: {path}")
    for key, value in facts.items():
        typer.echo(f"  {key}: {json.dumps(value) if isinstance(value, dict) else value}")


def _show(outcome: Outcome) -> None:
    time = "" if outcome.evaluate_us is None else f"{outcome.evaluate_us:8.1f} us"
    typer.echo(f"  {outcome.status:<6} {outcome.name:<14}{time:>11}  {outcome.detail}")
    for key, value in outcome.kernel:
        if key in {"order", "layout"}:
            typer.echo(f"{'':36}{key}: {value}")
