"""What a chip would make of a program, without having the chip: `pyane.check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import chip as _chip
from .errors import ConfigError
from .model import Model, is_path, load

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from .device import ProgramLike

Diagnostic = _chip.Diagnostic
Rule = _chip.Rule

__all__ = ["SEVERITIES", "Diagnostic", "Rule", "check", "rules"]

#: Worst first.
SEVERITIES = ("refused-at-compile", "refused-at-evaluate", "silently-wrong", "slow", "advice")


def rules() -> list[Rule]:
    """Every rule, sorted by id; docs/ane_constraints.md has them for reading."""
    return list(_chip.rules())


def _chip_names(chip: str | Sequence[str]) -> list[str]:
    every = [profile.name for profile in _chip.profiles()]
    if isinstance(chip, str):
        names = every if chip.lower() == "all" else [chip]
    else:
        names = [name for item in chip for name in (every if item.lower() == "all" else [item])]
    if not names:
        msg = "check: chip must name at least one chip, got none"
        raise ConfigError(msg)
    return list(dict.fromkeys(_chip.find_profile(name).name for name in names))


def _rule_ids(argument: str, names: str | Iterable[str]) -> set[str]:
    ids = set()
    for name in [names] if isinstance(names, str) else names:
        rule = _chip.find_rule(name)
        if rule is None:
            msg = (
                f"check: {argument} must name rules (ANE001, operation-refused, ...), got '{name}'"
            )
            raise ConfigError(msg)
        ids.add(rule.id)
    return ids


def check(
    model: str | os.PathLike[str] | ProgramLike,
    chip: str | Sequence[str] = "m1",
    *,
    weights: Mapping[str, Any] | None = None,
    function: str = "",
    ignore: str | Iterable[str] = (),
    select: str | Iterable[str] = (),
    source_name: str = "",
) -> list[Diagnostic]:
    """What chips would refuse, get silently wrong, or do slowly, rule by rule.

    Args:
        model: A model (`pyane.load`), its path, MIL text, or a program whose `str()` is its text.
            Weights that it carries (its attribute `weights`) are used where `weights` does not
            name the same file. A `str` is a path when it is one line that ends in .mil, .mlmodelc,
            .mlpackage or .mlmodel.
        chip: Name of a chip ("m1", "M4 Max"), several, or "all".
        weights: Weight files, bytes-like, by the path that the text uses. Rules about contents
            (records, ranges) need them; the others do not.
        function: Only this function of the program; empty for all.
        ignore: Ids or names of rules to leave out.
        select: Ids or names of the only rules to apply; empty for all.
        source_name: What findings call the text; empty for the program's own name.

    Returns:
        Findings sorted by place in the text, then chip, then rule. Those with `is_contested` are
        warnings: their sources disagree.

    Raises:
        MilSyntaxError, MilVerifyError: A program that no chip would take.
        ConfigError: No such chip, rule or function.
        BlobError: A weight file that is not bytes-like.
        ModelError, OSError: A path at which there is no model; as `pyane.load`.
    """
    if isinstance(model, bytes):
        msg = "check: model must be text (str) or a program, got bytes; decode them first"
        raise TypeError(msg)
    if is_path(model):
        model = load(model)
    if isinstance(model, Model):
        source_name = source_name or model.source
        function = function or model.chosen_function
    files: dict[str, Any] = dict(getattr(model, "weights", None) or {})
    files.update(weights or {})
    name = source_name or str(getattr(model, "source_name", "<text>"))
    unwanted = _rule_ids("ignore", ignore)
    wanted = _rule_ids("select", select)
    # Half a surrogate pair has no UTF-8 form; passed on, it meets the parser's own message.
    text = str(model).encode("utf-8", "surrogatepass")
    found = _chip.check(text, files, _chip_names(chip), function, name)
    return [
        finding
        for finding in found
        if finding.rule not in unwanted and (not wanted or finding.rule in wanted)
    ]
