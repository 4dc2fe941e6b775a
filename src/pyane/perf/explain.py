"""What a prediction consists of, which part dominates, and what would change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import chips

if TYPE_CHECKING:
    from .prediction import Prediction

_ADVICE: Final = {
    "dispatch": "Put more into one program or one evaluate: a longer chain, more rows, a larger batch. "
    "The fixed cost is paid once however much is fused.",
    "boundary": "Inputs and outputs are most of it. Keep intermediate results inside the program, return "
    "fewer of them, and evaluate bound requests in a loop.",
    "arithmetic": "Bound by arithmetic, as it should be. Only fewer operations help: smaller channels, "
    "dense 3x3 convolutions of stride 1 where a larger kernel stands{int8}.",
    "weights": "Reading weights takes longest. More rows per evaluate cost nothing until arithmetic "
    "catches up{compress}.",
    "spill": "Intermediate results do not fit on the chip beside each other and go through memory. Split "
    "positions or batch so that what an operation reads and writes fits into {on_chip}.",
    "weight reuse": "The same weights are read again by every operation, faster than arithmetic at so few "
    "positions. More positions per evaluate cost nothing until arithmetic catches up.",
    "rows": "Reductions along long rows take another route through the engine. Lay the data out so that "
    "the reduced axis is the channels, or multiply by ones.",
    "attention": "The native attention is slow for its size. Written as matmul, softmax, matmul it becomes "
    "part of the chain.",
    "engine": "The engine's evaluations dominate: of them, dispatch is a large part when kernels are "
    "small. Take more sequences per step.",
    "matrix products": "The CPU's products dominate; the engine waits. {cls} a CPU with more performance "
    "cores helps.",
    "memory passes": "The CPU's passes over memory dominate: conversions, loss, gradients, Adam. More "
    "micro-batches per update (--accumulation) leave Adam a smaller share.",
}


# Forms of weights, the quirk that says whether they stream, and their bytes as a share of fp16's.
_FORMS: Final = (("int8", "streams_int8", 0.5), ("4-bit palettes", "streams_int4_lut", 0.25))


def advice(prediction: Prediction) -> str:
    """What to change about the dominating part."""
    chip = chips.find(prediction.chip)
    on_chip = chip.rates["on_chip_bytes"].value
    speedup = chip.rates["int8_speedup"].value
    assert isinstance(on_chip, int)
    assert isinstance(speedup, float)
    dense = prediction.extra.get("dense_weight_seconds", 0.0)
    forms = [
        f"{name} {duration(_with_weights(prediction, dense * (1 - share)))}"
        for name, quirk, share in _FORMS
        if dense and chip.quirks[quirk].value
    ]
    return _ADVICE[prediction.dominant.name].format(
        int8=f", or int8 weights and activations (up to {speedup:.2g} times)"
        if speedup > 1
        else "",
        compress=f". Compressed weights would take less here: {', '.join(forms)}" if forms else "",
        on_chip=f"{on_chip / 1e6:.2g} MB",
        cls="Put the classifier on the engine (--cls ane); else only"
        if "classifier" in prediction.dominant.detail
        else "The classifier is on the engine already: only",
    )


def _with_weights(prediction: Prediction, saved: float) -> float:
    """The time when reading weights takes `saved` seconds less, and something else may dominate."""
    hidden = {term.name: term.seconds for term in prediction.terms if not term.counts}
    memory = sum(
        term.seconds
        for term in prediction.terms
        if term.counts and term.name in ("weights", "spill")
    )
    others = max(hidden.get("arithmetic", 0.0), hidden.get("weight reuse", 0.0))
    return prediction.seconds - memory + max(memory - saved, others)


def explain(prediction: Prediction) -> str:
    """Several lines: every part, what hides behind what, notes, and advice."""
    product = chips.find(prediction.chip).product
    dominant = prediction.dominant
    span = f"{duration(prediction.low)} to {duration(prediction.high)}"
    lines = [f"{product}, {prediction.what}: {duration(prediction.seconds)} ({span}), predicted"]
    for term in prediction.terms:
        if term.seconds == 0:
            continue
        mark = "*" if term is dominant else " "
        hidden = "" if term.counts else ", hidden by the rest"
        lines.append(f" {mark} {term.name:<16} {duration(term.seconds):>9}  {term.detail}{hidden}")
    if prediction.extra.get("compile_seconds"):
        what = (
            "compiling, cold"
            if "engine_seconds" not in prediction.extra
            else "compiling, share of a step"
        )
        lines.append(f"   {what}: {duration(prediction.extra['compile_seconds'])} more")
    share = dominant.seconds / prediction.seconds
    lines.append(f"   {dominant.name} is {share:.0%} of it. {advice(prediction)}")
    lines += [f"   Note: {note}." for note in prediction.notes]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """For people: "92 us", "1.23 ms", "3.7 s"."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * scale:  # else three digits round up to "1e+03"
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
