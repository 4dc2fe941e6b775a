"""What a strict emulator refuses: the findings of the linter, and surfaces the engine would not take.

Only refusals on which sources agree are carried out; contested ones are left to `pyane.check`, which
tells them as warnings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import chips
from ._core import chip as _chip
from .errors import CompileError, EvaluateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Diagnostic = _chip.Diagnostic

#: The engine's own code for an evaluation that failed, as seen by Orion and others.
PROGRAM_INFERENCE_ERROR = 0x1D
#: What the engine's compiler says of most programs it refuses.
COMPILER_TEXT = "ANECCompile() FAILED"
#: Findings that a message tells.
MAX_TOLD = 5


def refusals_at_evaluate(
    chip: str, text: str, weights: Mapping[str, Any], function: str, source_name: str
) -> list[Diagnostic]:
    """Check a program as the chip's compiler would.

    Returns:
        Findings because of which it would compile, but not evaluate.

    Raises:
        CompileError: The chip's compiler refuses the program; `diagnostics` says why.
        MilSyntaxError, MilVerifyError, ConfigError: As `pyane.check`.
    """
    encoded = text.encode("utf-8", "surrogatepass")  # As `pyane.check`.
    found = [
        finding
        for finding in _chip.check(encoded, dict(weights), [chip], function, source_name)
        if not finding.is_contested
    ]
    refused = [finding for finding in found if finding.severity == "refused-at-compile"]
    if refused:
        raise CompileError(_message(chip, "compile", refused), refused)
    return [finding for finding in found if finding.severity == "refused-at-evaluate"]


def refuse_evaluation(chip: str, findings: list[Diagnostic]) -> EvaluateError:
    """The error of evaluating a program with such findings."""
    return EvaluateError(_message(chip, "evaluate", findings), PROGRAM_INFERENCE_ERROR, findings)


def _message(chip: str, stage: str, findings: list[Diagnostic]) -> str:
    told = "\n".join(f"  {finding}" for finding in findings[:MAX_TOLD])
    more = len(findings) - MAX_TOLD
    rest = f"\n  and {more} more: see the error's diagnostics" if more > 0 else ""
    texts = [finding.engine_text for finding in findings if finding.engine_text]
    words = texts[0] if texts else (COMPILER_TEXT if stage == "compile" else "status 0x1d")
    return f"{stage}: {chip} refuses this program ({words}):\n{told}{rest}"


def surface_problem(chip: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> str:
    """Why the chip would not evaluate surfaces of these sizes in bytes; empty when it would.

    Args:
        chip: Name of the profile.
        inputs: Allocated bytes by name, in the order in which they are bound.
        outputs: Likewise.
    """
    wants_uniform = chips.find(chip).quirks["wants_uniform_surfaces"]
    sizes = {**inputs, **outputs}
    if not wants_uniform.value or wants_uniform.status == "contested":
        return ""
    if len(set(sizes.values())) <= 1:
        return ""
    told = ", ".join(f"'{name}' {n}" for name, n in sizes.items())
    return (
        f"evaluate: {chip} wants all surfaces of a request to have one allocation size "
        f"(status 0x1d otherwise; {wants_uniform.source}), got {told} bytes; "
        "allocate Kernel.surface_bytes for each"
    )
