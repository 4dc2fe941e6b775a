"""Seeded generator of simple children's stories: the text that `pyane train` learns by default.

Every story has a hero who keeps name and pronouns to the end, a friend, a problem and a way out. The
same seed gives the same text on every platform and Python version: only `random.Random.random()` of
an integer seed is used, whose sequence Python guarantees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from . import story_words as words
from .story_plots import DAYS, ENDINGS, HABITS, OPENINGS, PLOTS, Beat

T = TypeVar("T")

# A compiled template: literal text alternating with choices.
_Template = tuple[str | tuple[str, ...], ...]


def _compile(template: str) -> _Template:
    """Split `"a [b|c] d"` into `("a ", ("b", "c"), " d")`."""
    parts = re.split(r"\[([^\]]*)\]", template)
    return tuple(tuple(p.split("|")) if i % 2 else p for i, p in enumerate(parts))


def _compile_beat(beat: Beat) -> tuple[_Template, ...]:
    return tuple(_compile(t) for t in beat)


_OPENINGS: Final = _compile_beat(OPENINGS)
_HABITS: Final = _compile_beat(HABITS)
_DAYS: Final = _compile_beat(DAYS)
_ENDINGS: Final = _compile_beat(ENDINGS)
_PLOTS: Final = tuple((k, tuple(_compile_beat(b) for b in plot)) for k, plot in PLOTS.items())

_PRONOUNS: Final = {
    "she": ("she", "her", "her", "herself"),
    "he": ("he", "him", "his", "himself"),
}


class _Dice:
    """Choices drawn from one seeded sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def pick_different(self, options: Sequence[T], n: int) -> list[T]:
        """`n` different options."""
        rest = list(options)
        return [rest.pop(int(self._random() * len(rest))) for _ in range(n)]

    def chance(self, probability: float) -> bool:
        return self._random() < probability


def _character(dice: _Dice, taken: str = "") -> tuple[str, str, str]:
    """(name, kind, "she" or "he"); the name differs from `taken`."""
    pronoun = "she" if dice.chance(0.5) else "he"
    if dice.chance(0.6):
        names = words.GIRLS if pronoun == "she" else words.BOYS
        kind = "girl" if pronoun == "she" else "boy"
    else:
        names = words.SHE_ANIMALS if pronoun == "she" else words.HE_ANIMALS
        kind = dice.pick(words.ANIMALS)
    return dice.pick([n for n in names if n != taken]), kind, pronoun


def _slots(dice: _Dice, plot: str) -> dict[str, str]:
    """Everything that stays the same throughout one story."""
    hero, kind, hero_pronoun = _character(dice)
    friend, friend_kind, friend_pronoun = _character(dice, taken=hero)
    he, him, his, himself = _PRONOUNS[hero_pronoun]
    fhe, fhim, fhis, _ = _PRONOUNS[friend_pronoun]
    spot, spot2 = dice.pick_different(words.OUTSIDE_SPOTS, 2)
    inside, inside2 = dice.pick_different(words.INSIDE_SPOTS, 2)
    article, creature, trouble, rescue = dice.pick(words.TROUBLES)
    skill, failure, success = dice.pick(words.SKILLS)
    fear, truth = dice.pick(words.FEARS)
    elder, elder_pronoun = dice.pick(words.ELDERS)
    seed, plant = dice.pick(words.GROWERS)
    return {
        "hero": hero, "kind": kind, "he": he, "He": he.title(), "him": him, "his": his,
        "His": his.title(), "himself": himself,
        "friend": friend, "fkind": friend_kind, "fhe": fhe, "fhim": fhim, "Fhis": fhis.title(),
        "elder": elder, "ehe": elder_pronoun,
        "nature": dice.pick(words.NATURES), "activity": dice.pick(words.ACTIVITIES),
        "place": dice.pick(words.PLACES), "weather": dice.pick(words.WEATHERS),
        "colour": dice.pick(words.COLOURS), "toy": dice.pick(words.TOYS), "food": dice.pick(words.FOODS),
        "spot": spot, "spot2": spot2, "inside": inside, "inside2": inside2,
        "creature": f"{article} {creature}", "creature_name": creature, "trouble": trouble, "rescue": rescue,
        "skill": skill, "failure": failure, "success": success, "fear": fear, "truth": truth,
        "seed": seed, "plant": plant, "sweets": dice.pick(words.SWEETS),
        "breakable": dice.pick(words.BREAKABLES), "missing": dice.pick(words.MISSING),
        "lesson": words.LESSONS[plot],
    }  # fmt: skip


def _tell(dice: _Dice) -> str:
    """One story: opening, habits, a plot, an ending; paragraphs separated by single newlines."""
    plot_name, plot = dice.pick(_PLOTS)
    slots = _slots(dice, plot_name)
    text: list[str] = []

    def say(beat: Sequence[_Template]) -> None:
        for part in dice.pick(beat):
            text.append(part if isinstance(part, str) else dice.pick(part))

    say(_OPENINGS)
    text.append(" ")
    say(_HABITS)
    text.append("\n")
    say(_DAYS)
    for beat in plot:
        text.append(" ")
        say(beat)
    text.append("\n")
    say(_ENDINGS)
    return "".join(text).replace(" / ", "\n").format_map(slots)


def stories(seed: int) -> Iterator[str]:
    """Endless stories, each of a few paragraphs separated by single newlines.

    Args:
        seed: Any integer; the same seed gives the same stories everywhere.
    """
    dice = _Dice(seed)
    while True:
        yield _tell(dice)


def story_text(n_bytes: int, seed: int) -> str:
    """At least `n_bytes` of stories (ASCII), separated by blank lines.

    A longer text of the same seed begins with the shorter one.
    """
    told: list[str] = []
    size = 0
    for story in stories(seed):
        if size >= n_bytes:
            break
        told.append(story)
        size += len(story) + 2
    return "\n\n".join(told) + "\n"
