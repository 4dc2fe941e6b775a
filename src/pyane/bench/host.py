"""Facts about device and computer for results, without any that tell whose computer it is."""

from __future__ import annotations

import platform
import re
import subprocess
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ane, chips
from .._core import __version__
from .._core import base as _base
from ..errors import ConfigError
from .result import DeviceFacts, HostFacts, Software

if TYPE_CHECKING:
    from ..device import Device


def now() -> str:
    """The time in UTC, as results tell it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def software() -> Software:
    """This pyane, and the commit if it runs from a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return Software(__version__, None)
    return Software(
        __version__, _output(["git", "-C", str(root), "describe", "--always", "--dirty"])
    )


def device_facts(device: Device) -> DeviceFacts:
    """What programs compiled for `device` run on."""
    emulation = device.emulation
    if emulation is not None:
        chip = chips.find(emulation.chip) if emulation.chip else None
        return DeviceFacts(
            kind="emulator",
            chip=chip.name if chip else None,
            product=chip.product if chip else None,
            numerics="ieee" if emulation.numerics is None else "hardware",
            strict=emulation.strict,
            faithful=emulation.faithful,
        )
    info = ane.device_info()
    is_apples = info is None or info.framework_path.startswith("/System/Library/")
    chip = _chip_of_this_machine(info)
    return DeviceFacts(
        kind="ane" if is_apples else "stand-in",
        chip=chip.name if chip else None,
        product=chip.product if chip else None,
        numerics="engine" if is_apples else "ieee",
        architecture=(info.architecture or None) if info else None,
        build=(info.build_version or None) if info else None,
    )


def _chip_of_this_machine(info: ane.DeviceInfo | None) -> chips.Chip | None:
    """From the CPU's name ("Apple M4 Pro"), which says more than the engine's architecture."""
    found = re.search(r"\bM\d+(?: (?:Pro|Max|Ultra))?\b", cpu_name() or "")
    for name in (found and found[0], info and info.chip_profile):
        try:
            if name:
                return chips.find(name)
        except ConfigError:
            continue  # A chip newer than the table.
    return None


def host_facts() -> HostFacts:
    """The computer."""
    return HostFacts(
        os={"Darwin": "macOS"}.get(platform.system(), platform.system()) or None,
        os_version=_os_version(),
        cpu=cpu_name(),
        cores=_base.usable_cores(),
        threads=_base.num_threads(),
        memory_gb=_memory_gb(),
        isa=_base.isa(),
        python=platform.python_version(),
        numpy=np.__version__,
    )


def _os_version() -> str | None:
    if platform.system() == "Darwin":
        return platform.mac_ver()[0] or None
    try:
        facts = platform.freedesktop_os_release()
        distribution = " ".join(facts[key] for key in ("ID", "VERSION_ID") if key in facts)
    except OSError:
        distribution = ""
    # Two numbers only: what follows in a kernel's name is whatever its builder wrote there.
    kernel = re.match(r"\d+\.\d+", platform.release())
    return f"{distribution} kernel {kernel[0]}".strip() if kernel else distribution or None


def cpu_name() -> str | None:
    """The CPU as it calls itself; at most 100 characters."""
    name = None
    if platform.system() == "Darwin":
        name = _output(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
    else:
        info = Path("/proc/cpuinfo")
        text = info.read_text("utf-8", errors="replace") if info.exists() else ""
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        name = found[1].strip() if found else None
    return (name or platform.processor() or platform.machine() or "")[:100] or None


def _memory_gb() -> float | None:
    n_bytes = _base.memory_of_machine()
    return None if n_bytes is None else round(n_bytes / 2**30, 1)


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip()[:200] or None if done.returncode == 0 else None


_PATH = re.compile(r"(?<![\w@./-])/(?:[^\s/'\":,;()]+/)+[^\s/'\":,;()]*")


def without_paths(text: str) -> str:
    """A message without names of files and folders of this computer, which may name its owner."""
    places: list[Any] = [Path.home(), tempfile.gettempdir(), Path.cwd()]
    for place in sorted((str(p) for p in places), key=len, reverse=True):
        if len(place) > 1:
            text = re.sub(re.escape(place) + r"[^\s'\":,;()]*", "<path>", text)
    return _PATH.sub("<path>", text)
