"""`pyane doctor`: a graded series of small programs on this machine's device."""

from __future__ import annotations

from typing import Annotated

import typer

from .device_options import DeviceOption


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

    from .. import ane
    from .. import doctor as series
    from .info import collect

    chosen = pyane.device(device)
    facts = collect()
    if not as_json:
        typer.echo(f"pyane doctor: device {chosen}")
        if chosen.name != "ane":
            typer.echo(f"  {ane.unavailable_reason() or 'the emulator was asked for'}")
        path = facts["engine"].get("framework_path", "")
        if path and not path.startswith("/System/Library/"):
            typer.echo(f"  NOT APPLE'S FRAMEWORK: {path}")
        for key, value in facts.items():
            typer.echo(f"  {key}: {json.dumps(value) if isinstance(value, dict) else value}")
    outcomes = []
    for outcome in series.examine(chosen):
        outcomes.append(outcome)
        if not as_json:
            _show(outcome)
    if limit:
        outcomes.append(series.compile_limit(chosen))
        if not as_json:
            _show(outcomes[-1])
    failed = [outcome for outcome in outcomes if outcome.status != "ok"]
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


def _show(outcome: object) -> None:
    from ..doctor import Outcome

    assert isinstance(outcome, Outcome)
    time = "" if outcome.evaluate_us is None else f"{outcome.evaluate_us:8.1f} us"
    typer.echo(f"  {outcome.status:<6} {outcome.name:<14}{time:>11}  {outcome.detail}")
    for key, value in outcome.kernel:
        if key in {"order", "layout"}:
            typer.echo(f"{'':36}{key}: {value}")
