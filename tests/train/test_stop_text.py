from __future__ import annotations

import itertools
import random

import pytest

from pyane.train.stop_text import StopText


@pytest.mark.parametrize("stops", [["ab"], ["aab", "b"], ["aba", "abb"], ["a", "aa"], [""], []])
def test_any_pieces_give_what_comes_before_the_first_stop(stops: list[str]) -> None:
    for characters in itertools.product("abc", repeat=6):
        text = "".join(characters)
        ends = [text.find(stop) for stop in stops if stop and stop in text]
        expected = text[: min(ends)] if ends else text
        rng = random.Random(text)
        stream, shown, at = StopText(stops), "", 0
        while at < len(text):
            step = rng.randint(0, 3)
            shown += stream.add(text[at : at + step])
            assert expected.startswith(shown)
            at += step
        assert stream.found == bool(ends)
        assert shown + stream.finish() == expected


def test_nothing_is_held_back_that_can_be_shown() -> None:
    stream = StopText(["\n\n"])
    assert [stream.add(c) for c in "a\nb\n"] == ["a", "", "\nb", ""]
    assert stream.finish() == "\n"
    assert StopText([]).add("a") == "a"
