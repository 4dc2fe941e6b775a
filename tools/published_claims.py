"""What others have published about the engine's limits, and what here answers each claim.

tools/generate_ane_constraints.py prints the table; tests/chip/test_docs.py checks that every claim
that is not a single remark has an answer, and every rule a claim.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Claim(NamedTuple):
    """One published statement.

    `weight`: H, measured with published code or data, or by two independent sources; M, one
    careful source; L, one remark; ?, sources disagree. `answer`: ids of rules, and otherwise where
    to look or why nothing is done.
    """

    claim: str
    source: str
    weight: str
    answer: str


NUMERICS = "[numerics](numerics.md)"
BELOW = "[below](#what-no-program-tells)"
VERIFIER = "every verifier, pyane's too"

CLAIMS = [
    # Text and compiling.
    Claim("the text is NSData, the dictionary of weights not nil", "Orion 9, 11", "H", BELOW),
    Claim("buildInfo must be there, its content is irrelevant", "field guide", "M", "ANE050"),
    Claim("short scalars and program(1.3) fail on M1, M2", "maderix/ANE 6, report", "L", "ANE022, ANE091, ANE092: the likely causes; ANEForge and maderix/ANE run the syntax on M1"),
    Claim("fp32 inputs with a cast inside fail on M1, M2", "maderix/ANE 6", "M", "ANE022"),
    Claim("one weight file with several offsets fails on M1", "maderix/ANE report", "L", "ANE091, ANE092: by their fields"),
    Claim("concat is refused", "Orion 1, imperatormk, rustane 9; not maderix/ANE, ANEForge, 751K-ANE", "?", "ANE051"),
    Claim("concat needs two operands or more", "ane-guide app.A", "M", "ANE063"),
    Claim("gelu is invalid", "Orion 10; not ANEForge, 751K-ANE", "?", "ANE052"),
    Claim("conv takes no bias", "Orion's generator; not 751K-ANE, Core ML's models", "L", "none: models of Core ML refute it"),
    Claim("bools and integers must be named constants", "Orion's generator; not ANEForge", "L", "none: programs with inline literals run"),
    Claim("reduce_mean does not exist", "hollance 44; not ANEForge", "L", "none: 617 uses in programs that run"),
    Claim("softmax needs an extent that is a power of two", "hollance 44; not ane-guide, 751K-ANE", "L", "none: any extent is native"),
    Claim("slice_by_index of function inputs fails beside norms and convolutions", "hollance 44", "L", "none: no program is shown"),
    Claim("sqrt and rsqrt fail after a reduction", "rustane", "M", "ANE053"),
    Claim("a square root before a broadcast or a division is wrong", "imperatormk", "L", "none: no numbers are shown"),
    Claim("32000 input channels of a convolution fail, 32000 output channels do not", "maderix/ANE; not ane-guide", "M", "ANE034"),
    Claim("axes beyond 16384 (M1 to M3) or 65536 fail", "ane-guide ch.4, 17, 751K-ANE 3.3", "H", "ANE011"),
    Claim("more than five dimensions fail, and matmuls of five", "ane-guide ch.4, ANEForge", "H", "ANE010, ANE040"),
    Claim("convolution kernels are bounded in width and height", "ane-guide app.A, 751K-ANE 3.3", "H", "ANE030, ANE031"),
    Claim("pooling windows are bounded", "ane-guide app.A, 751K-ANE 3.3; not ane-guide ch.17", "?", "ANE020"),
    Claim("groups must divide input and output channels", "ane-guide", "H", VERIFIER),
    Claim("matmuls sum over 32768 terms at most", "751K-ANE 3.3", "H", "ANE041"),
    Claim("no arithmetic and no casts with int32, int64", "751K-ANE's validation messages", "H", "ANE021, ANE024, ANE025"),
    Claim("gather refuses wide indices", "751K-ANE's validation messages", "H", "ANE026"),
    Claim("no arithmetic in fp32 and bf16, no bf16 inputs and outputs", "ane-guide ch.8, ANEForge", "H", "ANE021, ANE023"),
    Claim("integers as weights only behind constexpr operations", "ane-guide ch.4", "M", VERIFIER),
    Claim("operations that no engine runs", "ane-guide app.A, ANEForge, 751K-ANE 3.1", "H", "ANE001"),
    Claim("operations that came with M2 and M3", "ane-guide app.A, ANEForge", "H", "ANE002"),
    Claim("operations that Apple's tables list and a sweep of M5 could not compile", "ane-guide app.A against ANEForge", "?", "ANE003"),
    Claim("operations of which nobody speaks", "", "L", "ANE004"),
    Claim("convolutions over three axes do not compile", "ane-guide ch.8; not 751K-ANE", "?", "ANE032"),
    Claim("unknown dimensions parse and fail", "ane-guide ch.8, 19", "H", "ANE012"),
    Claim("empty dimensions fail", "ane-guide ch.4", "H", VERIFIER),
    Claim("states do not compile", "ane-guide ch.8, ANEForge; not ane-guide app.A", "M", "ANE013"),
    Claim("a convolution's weight at run time is ignored, crashes the compiler, or works", "field guide, ane-guide ch.19, imperatormk, 751K-ANE", "?", "ANE033"),
    Claim("a constant operand of matmul is invalid", "imperatormk; not ANEForge", "L", "none: ANEForge's programs run so"),
    Claim("tile poisons the process", "field guide", "M", "ANE054"),
    Claim("tile, pixel_shuffle, depth_to_space and their kin take factors of 2, 3, 4 and 8", "ane-guide app.A", "M", "ANE027"),
    Claim("transpose exchanges the last four dimensions only", "ane-guide app.A", "M", "ANE028"),
    Claim("topk with k of 3 and 4 fails", "ANEForge, ane-guide ch.17", "M", "ANE019"),
    Claim("a wide square before an activation fails", "ANEForge", "M", "ANE055"),
    Claim("a reduction times 0 crashes the compiler", "ANEForge", "M", "ANE057"),
    Claim("an output that is an input crashes the compiler", "ane-guide ch.4, ANEForge", "H", "ANE056"),
    Claim("argmax and argmin reduce 2048 elements at most", "ane-guide ch.17", "M", "ANE018"),
    Claim("pads of channels, and pads by reflection without a texture unit, fail", "ane-guide app.A", "M", "ANE014, ANE015"),
    Claim("M1 resizes by convolutions", "ane-guide app.A", "M", "ANE016"),
    Claim("M1 generates no code for slices that begin at a computed place", "ane-guide ch.22, 24", "M", "ANE017"),
    Claim("only 512 channels compile in a benchmark", "maderix/ANE report; not slavko", "L", "ANE091: by the record's size"),
    Claim("some names of variables misbehave", "imperatormk; most programs use them", "L", "none: they are in programs that run"),
    Claim("more than 1.5 to 2 GB of weights fail", "ANEForge 45", "M", "ANE093"),
    Claim("about 119 compilations, or 128 loaded programs, in a process", "maderix/ANE, Orion 5, libane, Midas, ane-guide ch.14; the field guide loaded 226", "H", "ANE059; `pyane.ane.budget()`"),
    Claim("compiling stalls after failures", "ane-guide ch.19", "M", BELOW),
    Claim("a dozen branches that meet compile slowly", "ane-guide ch.19", "M", "ANE060"),
    Claim("training convolutions of large batches compile for minutes", "ane-guide ch.19", "M", BELOW),
    Claim("layer_norm with gamma or beta is refused", "mil-hwx-compiler, ANEForge 149", "M", "ANE058"),
    Claim("M1 folds zero points to 0, and takes palettes of 4 and 8 bits only", "ane-guide app.A, ch.7, 25", "M", "ANE094, ANE095"),
    Claim("weight records must be what Apple's reader wants", "coremltools' MILBlob", "H", "ANE090"),
    # Surfaces and evaluating.
    Claim("several inputs or outputs fail unless all surfaces have one size", "maderix/ANE, Orion 2, 12", "M", "ANE100"),
    Claim("inputs must ascend, outputs descend in size, else zeros", "imperatormk", "M", "ANE101"),
    Claim("surfaces are bound in alphabetical order", "Orion 3, 13", "M", "ANE105"),
    Claim("a matmul's weight must be in slot 0", "imperatormk", "L", "none: contradicts the order by name"),
    Claim("surfaces have a smallest size", "Orion 4, imperatormk", "M", "ANE102"),
    Claim("narrow rows are unsafe", "field guide, rustane, Espresso; not ane-guide", "M", "ANE103"),
    Claim("surfaces are packed", "Orion 14; not 751K-ANE's descriptors", "M", BELOW),
    Claim("rows that are not multiples of 64 bytes are slow", "slavko, ane-guide app.A", "M", "ANE104"),
    Claim("a matmul over an extent that is no multiple of 32 gives zeros on M1", "maderix/ANE 47; not ane-guide ch.3", "L", "ANE042"),
    Claim("broadcasts of a channel vector give zeros on M1", "imperatormk", "L", f"{NUMERICS}: left out"),
    Claim("more than 16384 elements hang", "imperatormk; not ane-guide", "L", "ANE011: by axis"),
    Claim("attention ignores its mask", "maderix/ANE, Orion 6; not ANEForge, 751K-ANE", "M", "ANE061"),
    Claim("native attention: a batch of one, one mask, fewer than 512 positions", "ANEForge, ane-guide ch.22, 26", "M", "ANE062"),
    Claim("`weightsBuffer`, procedure indices and quality of service change nothing", "maderix/ANE on M5", "H", BELOW),
    Claim("overwritten weight files are stale, or fresh", "maderix/ANE; Orion", "?", BELOW),
    Claim("an evaluation costs 70 to 230 microseconds", "maderix/ANE part 2, Midas, ane-infer, ane-guide ch.2", "H", "[chips](chips.md): `dispatch_us`"),
    Claim("2 MB stay on the chip, 4.7 MB on M5", "ane-guide ch.12, 21, 24, 751K-ANE", "H", "ANE110"),
    Claim("one command is under way, 127 are queued", "ane-guide ch.2, 14, maderix/ANE part 1", "H", BELOW),
    Claim("throughput falls after 100,000 evaluations on M3 Ultra", "rustane 9", "M", BELOW),
    # Arithmetic.
    Claim("fp16 everywhere, weights too", "all", "H", f"ANE023; {NUMERICS}"),
    Claim("sums of products end at 2^15", "ane-guide ch.3, 751K-ANE, ANEForge 150", "H", f"ANE072; {NUMERICS}"),
    Claim("sums are rounded to even on M1, away from zero on M4, M5", "ane-guide ch.3, 751K-ANE", "H", NUMERICS),
    Claim("NaN is +inf, inf - inf and 0 * inf are 0", "ane-guide ch.3, 751K-ANE", "H", f"ANE080, ANE081; {NUMERICS}"),
    Claim("-0 is +0", "ane-guide ch.3, 751K-ANE", "H", f"ANE085; {NUMERICS}"),
    Claim("log(0) is -45440", "ane-guide ch.3", "M", f"ANE083; {NUMERICS}"),
    Claim("softplus and softsign of +inf are +0", "ane-guide ch.3", "M", f"ANE086; {NUMERICS}"),
    Claim("M1 takes subnormals in products as 0", "ane-guide ch.3", "M", f"ANE084; {NUMERICS}"),
    Claim("elementwise operations have the whole range of fp16", "751K-ANE", "H", NUMERICS),
    Claim("activations come from tables of 33 knots", "ane-guide ch.3, 751K-ANE", "H", NUMERICS),
    Claim("softmax subtracts its maximum", "ane-guide", "M", NUMERICS),
    Claim("slices from inside the last axis end at 4094 on M1, M2", "ane-guide ch.12, 19, ANEForge 150", "H", f"ANE070; {NUMERICS}"),
    Claim("two such slices concatenated give wrong elements before M4", "ANEForge", "M", "ANE071"),
    Claim("activations into 8-bit weights end at 4094", "ANEForge", "H", f"ANE073; {NUMERICS}"),
    Claim("errors of long sums grow to 6e-2", "ane-guide ch.11, 14", "M", f"ANE074; {NUMERICS}"),
    Claim("signed sums of hundreds of terms are narrow", "ANEForge, ane-guide ch.16", "M", "ANE075"),
    Claim("a factor after floor, ceil or round is dropped on M5", "ANEForge", "M", "ANE082"),
    Claim("long reductions take another route, with the same result", "ane-guide", "M", "[chips](chips.md): `reduction_by_transpose_from`"),
    Claim("products of 8-bit by 8-bit numbers are summed in int32, infinite from 2^31 on", "751K-ANE", "H", "none: MIL has no operation that multiplies int8"),
    Claim("which compressed weights stay compressed", "ane-guide ch.7", "H", "ANE096"),
    Claim("results are the same bits at every run and batch position", "ane-guide ch.3", "H", NUMERICS),
    Claim("gradients underflow; loss scales are bounded above by the ceilings", "maderix/ANE, ane-guide ch.15", "H", BELOW),
    # Loading.
    Claim("only what the daemon compiled is loaded", "ane-guide ch.8, 23", "H", BELOW),
]  # fmt: skip


def table() -> str:
    """The claims in Markdown."""
    lines = ["| claim | sources | weight | here |", "| --- | --- | --- | --- |"]
    for c in CLAIMS:
        answer = re.sub(r"ANE\d{3}", lambda m: f"[{m[0]}](#{m[0].lower()})", c.answer)
        lines.append(f"| {c.claim} | {c.source} | {c.weight} | {answer} |")
    return "\n".join(lines) + "\n"
