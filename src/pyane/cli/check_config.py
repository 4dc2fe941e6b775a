"""`[tool.pyane.check]` of pyproject.toml.

[tool.pyane.check]
chip = ["m1", "m4"]            # as --chip
ignore = ["ANE034", "tile"]    # as --ignore
select = []                    # as --select
fail-on = "silently-wrong"

[tool.pyane.check.chips.m1]    # only for this chip
ignore = ["ANE020"]
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The value of fail-on with which no finding fails.
NEVER = "never"
_FILE = "pyproject.toml"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Config:
    """What to check for.

    Attributes:
        chips: Names of chips, as the table spells them.
        ignore: Rules to leave out on every chip.
        select: Rules to apply; empty: all.
        fail_on: The mildest severity that fails, or "never".
        ignore_on: Rules to leave out, by chip.
    """

    chips: list[str] = field(default_factory=lambda: ["m1"])
    ignore: list[str] = field(default_factory=list)
    select: list[str] = field(default_factory=list)
    fail_on: str = "silently-wrong"
    ignore_on: dict[str, list[str]] = field(default_factory=dict)

    def with_options(
        self,
        *,
        chips: Sequence[str],
        ignore: Sequence[str],
        select: Sequence[str],
        fail_on: str,
    ) -> Config:
        """With the command line's options: chips, select and fail_on replace, ignore adds.

        Raises:
            ConfigError: No such chip.
        """
        from .. import chips as table

        names: list[str] = []
        for name in chips or self.chips:
            found = table.all_chips() if name.lower() == "all" else [table.find(name)]
            names.extend(chip.name for chip in found)
        return replace(
            self,
            chips=list(dict.fromkeys(names)),
            ignore=[*self.ignore, *ignore],
            select=list(select) or self.select,
            fail_on=fail_on or self.fail_on,
            ignore_on={table.find(name).name: rules for name, rules in self.ignore_on.items()},
        )

    def by_ignored(self) -> list[tuple[list[str], list[str]]]:
        """Chips grouped by what is left out on them: (chips, rules)."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for chip in self.chips:
            groups.setdefault((*self.ignore, *self.ignore_on.get(chip, ())), []).append(chip)
        return [(chips, list(rules)) for rules, chips in groups.items()]


def read_config(path: Path | None) -> Config:
    """Settings from a file; None: the nearest pyproject.toml here or above, if any.

    Raises:
        ConfigError: Not TOML, or a setting, chip or rule that there is not.
        OSError: The named file cannot be read.
    """
    if path is None:
        here = Path.cwd()
        found = (folder / _FILE for folder in (here, *here.parents))
        path = next((file for file in found if file.is_file()), None)
        if path is None:
            return Config()
    from ..check import SEVERITIES

    table = _section(path)
    known = {"chip", "ignore", "select", "fail-on", "chips"}
    unknown = sorted(set(table) - known)
    if unknown:
        _fail(path, f"settings must be {', '.join(sorted(known))}, got '{unknown[0]}'")
    default = Config()
    fail_on = table.get("fail-on", default.fail_on)
    levels = (*SEVERITIES, NEVER)
    if fail_on not in levels:
        _fail(path, f"fail-on must be one of {', '.join(levels)}, got {fail_on!r}")
    per_chip = table.get("chips", {})
    if not isinstance(per_chip, dict):
        _fail(path, f"chips must be a table, got {per_chip!r}")
    ignore_on = {}
    for chip, settings in per_chip.items():
        if not isinstance(settings, dict) or set(settings) - {"ignore"}:
            _fail(path, f"chips.{chip} may only hold ignore, got {settings!r}")
        ignore_on[chip] = _rules(path, f"chips.{chip}.ignore", settings.get("ignore", []))
    chips = _names(path, "chip", table.get("chip", default.chips)) or default.chips
    _require_chips(path, [*chips, *ignore_on])
    return Config(
        chips=chips,
        ignore=_rules(path, "ignore", table.get("ignore", [])),
        select=_rules(path, "select", table.get("select", [])),
        fail_on=fail_on,
        ignore_on=ignore_on,
    )


def _section(path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found, no-redef]

    with path.open("rb") as file:
        data = file.read(_MAX_BYTES)
    try:
        content = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        _fail(path, f"must be TOML: {e}")
    section: Any = content
    for key in ("tool", "pyane", "check"):
        section = section.get(key, {}) if isinstance(section, dict) else {}
    if not isinstance(section, dict):
        _fail(path, "must be a table")
    return dict(section)


def _names(path: Path, name: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        _fail(path, f"{name} must be a list of names, got {value!r}")
    return list(names)


def _rules(path: Path, name: str, value: Any) -> list[str]:
    from .._core import chip

    names = _names(path, name, value)
    for rule in names:
        if chip.find_rule(rule) is None:
            _fail(path, f"{name} must name rules (ANE001, operation-refused, ...), got '{rule}'")
    return names


def _require_chips(path: Path, names: Sequence[str]) -> None:
    from .. import chips

    for name in names:
        try:
            if name.lower() != "all":
                chips.find(name)
        except ConfigError as e:
            _fail(path, str(e))


def _fail(path: Path, problem: str) -> Any:
    msg = f"{path}: [tool.pyane.check] {problem}"
    raise ConfigError(msg) from None
