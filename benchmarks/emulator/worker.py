"""A subject in a process of its own, which runs once for every line it reads.

So that neither's threads and memory count twice, and several can take turns nevertheless:

    with Worker("training", "torch-eager", threads=2) as worker:
        worker.facts     # what the subject says of itself: {"loss": ...}
        worker()         # seconds of one run
        worker.memory()  # bytes resident: now, and at most

The process may use as many cores as it has threads: libraries that cannot be told a number of threads
take all they see.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """Starts `SUBJECTS[name](threads)` of a module here; it returns facts and a callable."""

    def __init__(self, module: str, name: str, threads: int) -> None:
        command = [sys.executable, "-m", f"{__package__}.worker", module, name, str(threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for us: we end it, and it has nothing to say
            env=os.environ | {"PYANE_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)},
        )
        self.name = name
        #: Samples of what the subject's runs return beside "seconds".
        self.parts: dict[str, list[float]] = {}
        try:
            self.facts = self._answer()
        except BaseException:
            self._process.kill()
            raise

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: the process ended with {self._process.wait()}: nothing timed")
        return json.loads(line)

    def _ask(self, what: str) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __call__(self) -> float:
        answer = self._ask("run")
        for part, value in answer.items():
            self.parts.setdefault(part, []).append(value)
        return answer["seconds"]

    def memory(self) -> dict[str, float]:
        return self._ask("memory")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Worker:  # noqa: PYI034 -- typing.Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self.close()


def resident() -> dict[str, float]:
    """Bytes now (Linux; elsewhere the peak) and at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak": peak * (1 if sys.platform == "darwin" else 1024)}
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        found["now"] = int(fields["VmRSS"].split()[0]) * 1024
    return {"now": found["peak"], **found}


def limit_cores(n: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A subject of benchmarks.emulator; not for people."
    )
    parser.add_argument("module")
    parser.add_argument("name")
    parser.add_argument("threads", type=int)
    args = parser.parse_args()
    limit_cores(args.threads)
    answers, sys.stdout = sys.stdout, sys.stderr  # What libraries print must not look like answers.

    def answer(content: dict) -> None:
        print(json.dumps(content), file=answers, flush=True)

    module = importlib.import_module(f"{__package__}.{args.module}")
    facts, run = module.SUBJECTS[args.name](args.threads)
    answer(facts)
    for line in sys.stdin:
        if line.strip() == "memory":
            answer(resident())
            continue
        start = time.perf_counter()
        parts = run() or {}
        answer({"seconds": time.perf_counter() - start} | parts)


if __name__ == "__main__":
    main()
