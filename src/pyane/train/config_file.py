"""Settings of a training run from a TOML or JSON file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .config import TrainConfig, suggestion
from .files import read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_FILE_BYTES = 1 << 20
_PATHS = ("data", "tokenizer", "init_from")
# The preset may be the name of one, too.
_SIZES_SUFFIX = ".json"


def read_settings(path: Path) -> dict[str, Any]:
    """Settings in a file, by field of `TrainConfig`.

    A name may be written with `-` or `_`. The settings stand at the top of the file or in a table
    `train`, so that the config.json of a run folder can be given as it is. Paths are relative to
    the file. A setting that is null keeps its default.

    Raises:
        DataError: Missing or unreadable.
        ConfigError: Not TOML (or JSON, when its name ends in `.json`), or an unknown setting. Values
            are checked by `TrainConfig`.
    """
    settings = _parse(path)
    if isinstance(settings.get("train"), Mapping):
        # What a run folder's config.json holds beside it is about that run.
        others = [] if "pyane" in settings else [k for k in settings if k != "train"]
        if others:
            msg = f"{path}: unknown table or setting {others[0]!r} beside [train]"
            raise ConfigError(msg)
        settings = settings["train"]
    known = TrainConfig.__dataclass_fields__
    result: dict[str, Any] = {}
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name not in known:
            msg = f"{path}: unknown training setting {key!r}; {suggestion(name, known)}"
            raise ConfigError(msg)
        if name in result:
            msg = f"{path}: {key!r} is given twice, with '-' and with '_'"
            raise ConfigError(msg)
        if value is None:
            continue
        is_path = name in _PATHS or (name == "preset" and str(value).endswith(_SIZES_SUFFIX))
        if is_path and isinstance(value, str):
            value = str(path.parent / value)  # noqa: PLW2901
        result[name] = value
    return result


def _parse(path: Path) -> dict[str, Any]:
    data = read_bytes(path, "settings file", _MAX_FILE_BYTES)
    kind = "JSON" if path.suffix == ".json" else "TOML"
    try:
        text = data.decode("utf-8")
        parsed = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # all the parsers' errors, and those of UTF-8
        msg = f"{path}: settings are not {kind}: {e}"
        raise ConfigError(msg) from e
    if not isinstance(parsed, dict):
        msg = f"{path}: settings must be an object, got {type(parsed).__name__}"
        raise ConfigError(msg)
    return parsed
