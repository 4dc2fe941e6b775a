"""`pyane show`: what is in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .model_options import (
    FunctionOption,
    LinksOption,
    ModelArgument,
    ShapeOption,
    check_format,
    human_bytes,
    human_flops,
    load_model,
)

if TYPE_CHECKING:
    from ..model.statistics import Statistics, TensorInfo


def show(
    model: ModelArgument,
    function: FunctionOption = "",
    shape: ShapeOption = [],  # noqa: B006 -- typer copies
    output_format: Annotated[
        str, typer.Option("--format", help="text, json, or mil for its text.")
    ] = "text",
    allow_links: LinksOption = False,
) -> None:
    """Show a model's inputs and outputs, operations, weights, arithmetic and memory.

    \b
    Examples:
      pyane show model.mlpackage
      pyane show encoder.mlmodelc --shape audio=1,16000 --format json
      pyane show model.mlpackage --format mil
    """  # noqa: D301  (\b keeps the lines of the example apart)
    check_format(output_format, ("text", "json", "mil"))
    loaded = load_model(model, function=function, shapes=shape, allow_links=allow_links)
    if output_format == "mil":
        typer.echo(str(loaded).rstrip("\n"))
        return
    from ..model.statistics import statistics

    facts = statistics(loaded)
    if output_format == "json":
        import json
        from dataclasses import asdict

        typer.echo(json.dumps({**asdict(facts), "weight_bytes": facts.weight_bytes}, indent=2))
        return
    _print(facts)


def _print(facts: Statistics) -> None:
    typer.echo(facts.source)
    typer.echo(f"MIL {facts.version}, function {facts.function}<{facts.opset}>")
    if len(facts.functions) > 1:
        typer.echo(f"Functions: {', '.join(facts.functions)} (choose with --function)")
    for kind in ("input", "state", "output"):
        for tensor in facts.tensors:
            if tensor.kind == kind:
                typer.echo(f"  {kind:<7} {_signature(tensor)}")
    for note in facts.notes:
        typer.echo(f"Note: {note}.")
    if facts.fault:
        typer.echo(f"Does not verify: {facts.fault}")
    n_operations = sum(facts.op_counts.values())
    typer.echo(f"Operations: {n_operations:,}, and {facts.n_constants:,} constants")
    counts = [f"{op} {n}" for op, n in facts.op_counts.items()]
    for start in range(0, len(counts), 8):
        typer.echo("  " + ", ".join(counts[start : start + 8]))
    if facts.not_emulated:
        typer.echo(f"Not evaluated by the emulator: {', '.join(facts.not_emulated)}")
    _print_weights(facts)
    if facts.fault:
        return
    typer.echo(f"Arithmetic: {human_flops(facts.flops)} for one evaluation")
    for family, cost in facts.families.items():
        if cost.flops is None or cost.flops > 0:
            share = 100 * cost.flops / facts.flops if cost.flops and facts.flops else 0.0
            typer.echo(
                f"  {family:<22} {cost.n_operations:>6,} operations  "
                f"{human_flops(cost.flops):>12}  {share:5.1f} %"
            )
    typer.echo(
        f"Memory: inputs {human_bytes(facts.input_bytes)}, outputs "
        f"{human_bytes(facts.output_bytes)}, states {human_bytes(facts.state_bytes)}, "
        f"intermediate results at most {human_bytes(facts.peak_activation_bytes)} at once"
    )


def _print_weights(facts: Statistics) -> None:
    if not facts.weights:
        typer.echo("Weights: none in files")
    else:
        typer.echo(f"Weights: {human_bytes(facts.weight_bytes)}")
    for weight in facts.weights:
        tensors = "tensor" if weight.n_tensors == 1 else "tensors"
        typer.echo(
            f"  {weight.dtype:<10} {weight.n_tensors:>6,} {tensors}  {human_bytes(weight.n_bytes)}"
        )
    for path in facts.missing_weights:
        typer.echo(f"  not found: {path} (running needs it: --weights FILE)")


def _signature(tensor: TensorInfo) -> str:
    dims = ", ".join("?" if dim is None else str(dim) for dim in tensor.shape)
    flexible = f"   ({tensor.flexible})" if tensor.flexible else ""
    return f"{tensor.name}: {tensor.dtype}[{dims}]{flexible}"
