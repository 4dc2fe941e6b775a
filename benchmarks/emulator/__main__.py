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

from pyane.cli.output_file import unfinished

from . import table
from .command import (
    add_threads,
    check_file,
    check_interrupted,
    count,
    run,
    usable_threads,
    write_json,
)
from .harness import Row, Settings, facts

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
    add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shapes")
    parser.add_argument("--json", type=Path, help="write everything, samples included, here")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown, too")
    args = parser.parse_args()
    args.groups = [name for name in args.only.split(",") if name] or list(GROUPS)
    unknown = [name for name in args.groups if name not in GROUPS]
    if unknown:
        parser.error(f"--only: must be some of {', '.join(GROUPS)}, got '{unknown[0]}'")
    args.counts = usable_threads(parser, args.threads)
    check_file(parser, "--json", args.json)
    return args


class Results:
    """Rows so far, in the order of measuring, and the file they go to.

    It says whether all is there ("finished"). A file that exists is replaced by a whole one only: until
    then rows are kept beside it.
    """

    def __init__(self, path: Path | None, where: dict[str, object]) -> None:
        self.rows: list[tuple[str, Row]] = []
        self._path, self._where = path, where
        self._so_far = unfinished(path) if path else None

    def save(self, *, finished: bool = False) -> None:
        """After every group, and when one fails: what is there is kept."""
        if self._path is None or self._so_far is None or not (self.rows or finished):
            return
        found = [{"group": group, **table.as_json(row)} for group, row in self.rows]
        content = {"where": self._where, "finished": finished, "rows": found}
        write_json(self._path if finished else self._so_far, content)
        if finished and self._so_far != self._path:
            self._so_far.unlink(missing_ok=True)

    def kept(self) -> str:
        """For who interrupted."""
        return f"{count(len(self.rows), 'row')} kept in {self._so_far}"


def measure(groups: list[str], settings: Settings, results: Results) -> None:
    for name in groups:
        print(f"\n{name}: {GROUPS[name]}", flush=True)
        for row in importlib.import_module(f"{__package__}.{name}").rows(settings):
            results.rows.append((name, row))
            print("  " + table.text_line(row), flush=True)
            check_interrupted()
        results.save()


def main() -> None:
    args = parse()
    where = facts() | {"command": " ".join(["-m benchmarks.emulator", *sys.argv[1:]])}
    results = Results(args.json, where)
    try:
        print(json.dumps(where, indent=2), flush=True)
        measure(args.groups, Settings(args.counts, args.quick), results)
    except BaseException as e:  # a wrong result, Ctrl-C, a reader that has gone
        results.save()
        if args.json and results.rows and isinstance(e, KeyboardInterrupt):
            print(results.kept(), end=": ", file=sys.stderr)
        raise
    results.save(finished=True)
    if args.markdown:
        print("\n" + table.markdown(row for _, row in results.rows))
    missed = sum(row.is_met is False for _, row in results.rows)
    print(f"\n{sum(row.is_met is True for _, row in results.rows)} targets met, {missed} not")


if __name__ == "__main__":
    run(main)
