"""`pyane info`: what this machine offers."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the device programs run on, threads and versions.

    \b
    Examples:
      pyane info
      pyane info --json
    """  # noqa: D301  (\b keeps the lines of the example apart)
    facts = collect()
    if as_json:
        import json

        typer.echo(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name:<{width}}  {text}")


def collect() -> dict[str, Any]:
    """Facts by name, in the order they are shown."""
    import platform
    from dataclasses import asdict
    from importlib import metadata

    import pyane

    from .. import ane

    packages = ("numpy", "sentencepiece", "matplotlib", "rich", "typer")
    return {
        "pyane": pyane.__version__,
        "device": _device(),
        "engine": _engine(),
        "limits": asdict(ane.budget()),
        "threads": pyane.num_threads(),
        "instruction set": pyane._core.base.isa(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "macOS": platform.mac_ver()[0] or "no",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def _device() -> str:
    import pyane

    try:
        return str(pyane.device())
    except (pyane.Error, ValueError) as e:
        return f"none: {e}"  # PYANE_DEVICE asks for what there is not; the facts are wanted all the same


def _engine() -> dict[str, Any]:
    from .. import ane

    reason = ane.unavailable_reason()
    facts = ane.device_info()
    return {
        **({"unavailable": reason} if reason else {}),
        **(facts.asdict() if facts else {}),
    }
