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
    from importlib import metadata

    import pyane

    packages = ("numpy", "sentencepiece", "matplotlib", "rich", "typer")
    return {
        "pyane": pyane.__version__,
        "device": pyane.device().name,
        "threads": pyane.num_threads(),
        "instruction set": pyane._core.base.isa(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }
