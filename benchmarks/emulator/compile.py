"""Compiling a program of 128 convolutions, and parsing 2.3 MB of MIL text."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import pyane
from pyane import mil

from .harness import Row, Settings, seconds, take_turns, threads, timer
from .peak import program

SPATIAL = 64
TEXT_BYTES = 2_300_000
TARGET_COMPILE, TARGET_PARSE = 60e-3, 0.3


def long_text() -> str:
    """Operations, as deep as it takes."""

    def body(n: int) -> mil.Program:
        @mil.program(x=mil.fp16[1, 64, 1, 64])
        def deep(x: mil.Var) -> mil.Var:
            for i in range(n):
                x = mil.add(x=mil.mul(x=x, y=np.float16(0.5)), y=np.float16(1), name=f"y{i}")
            return x

        return deep

    per_step = (len(str(body(600))) - len(str(body(100)))) / 500
    return str(body(int(TEXT_BYTES / per_step) + 1))


def rows(settings: Settings) -> Iterator[Row]:
    device = pyane.device("emulator")
    deep, _ = program(SPATIAL)
    text, weights = str(deep), deep.weights

    def compile_and_unload() -> None:
        device.compile(text, weights).unload()

    for n in settings.threads:
        with threads(n):
            found = take_turns(
                {"compile": timer(compile_and_unload, seconds=0)}, settings.rounds(12)
            )
        yield Row(
            "compile 128 convolutions 512x512 (67 MB)", n, seconds(found["compile"]),
            bound=TARGET_COMPILE,
        )  # fmt: skip
    long = long_text()
    if len(mil.parse(long).functions[0].operations) < 1000 or len(long) < TEXT_BYTES:
        sys.exit(f"compile: the text has {len(long)} bytes only: not timed")
    found = take_turns({"parse": timer(lambda: mil.parse(long), seconds=0)}, settings.rounds(12))
    yield Row(
        f"parse {len(long) / 1e6:.1f} MB of MIL", 1, seconds(found["parse"]), bound=TARGET_PARSE
    )
