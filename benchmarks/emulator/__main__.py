"""The emulator beside this machine's ceilings and beside its peers.

    python -m benchmarks.emulator                                  # everything: about half an hour
    python -m benchmarks.emulator --only peak,attention --threads 1
    python -m benchmarks.emulator --quick                          # fewer rounds and shapes

Every result is checked before it is timed, and what is compared takes turns in one run. Ratios of
medians decide; those of the best runs stand beside them. Peers (`pip install '.[bench]'`) that are not
installed are skipped with a word. Groups of rows: {groups}.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from . import table
from .harness import Settings, facts, usable_cores

GROUPS = {
    "roofs": "what the machine can do",
    "peak": "deep 1x1 convolutions",
    "products": "matrix products of a layer, for information",
    "attention": "attention kernels",
    "chains": "elementwise chains",
    "vision": "a detector",
    "int8": "8-bit convolutions",
    "small": "the cost of a call",
    "compile": "compiling and parsing",
    "io": "surfaces from and to fp32",
    "memory": "resident memory",
    "training": "stories110m's training step beside PyTorch and JAX",
    "scaling": "the training step on more threads",
}


def parse() -> argparse.Namespace:
    groups = ", ".join(f"{name} ({what})" for name, what in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.emulator",
        description=(__doc__ or "").format(groups=groups),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="groups, separated by commas")
    parser.add_argument("--threads", default="1,2,4", help="numbers of threads, by commas")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shapes")
    parser.add_argument("--json", type=Path, help="write everything, samples included, here")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown, too")
    args = parser.parse_args()
    args.groups = [name for name in args.only.split(",") if name] or list(GROUPS)
    unknown = [name for name in args.groups if name not in GROUPS]
    if unknown:
        parser.error(f"--only: must be some of {', '.join(GROUPS)}, got '{unknown[0]}'")
    try:
        args.counts = tuple(int(n) for n in args.threads.split(","))
    except ValueError:
        args.counts = ()
    if not args.counts or min(args.counts) < 1:
        parser.error(f"--threads: must be numbers such as 1,2,4, got '{args.threads}'")
    return args


def main() -> None:
    args = parse()
    usable = tuple(n for n in args.counts if n <= usable_cores())
    where = facts() | {"command": " ".join(["-m benchmarks.emulator", *sys.argv[1:]])}
    print(json.dumps(where, indent=2))
    if usable != args.counts:
        print(f"Only {usable_cores()} cores may be used: threads {usable or (1,)}")
    settings = Settings(usable or (1,), args.quick)
    rows = []
    for name in args.groups:
        print(f"\n{name}: {GROUPS[name]}", flush=True)
        for row in importlib.import_module(f"{__package__}.{name}").rows(settings):
            print("  " + table.text_line(row), flush=True)
            rows.append((name, row))
        if args.json:  # After every group: what is there is kept when a later one fails.
            found = [{"group": group, **table.as_json(row)} for group, row in rows]
            args.json.write_text(json.dumps({"where": where, "rows": found}, indent=1) + "\n")
    if args.markdown:
        print("\n" + table.markdown(row for _, row in rows))
    missed = sum(row.is_met is False for _, row in rows)
    print(f"\n{sum(row.is_met is True for _, row in rows)} targets met, {missed} not")


if __name__ == "__main__":
    main()
