from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyane import mil
from pyane.errors import MilSyntaxError

INVALID = Path(__file__).parents[1] / "data" / "mil" / "invalid"
FILES = sorted(INVALID.glob("*.mil"))


def read_invalid(path: Path) -> tuple[tuple[int, int], str, bytes]:
    """Place and message that the first line expects, and the text to parse.

    MIL has no comments, so the first line is taken out; an empty line stays in its place, so that
    the line numbers are those of the file.
    """
    first, rest = path.read_bytes().split(b"\n", 1)
    match = re.fullmatch(r"// expect (\d+):(\d+) (.+)", first.decode())
    assert match is not None, f"{path.name}: first line must be `// expect line:column message`"
    return (int(match[1]), int(match[2])), match[3], b"\n" + rest


def test_folder_is_not_empty() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fault_is_reported_at_its_place(path: Path) -> None:
    place, message, text = read_invalid(path)
    with pytest.raises(MilSyntaxError) as caught:
        mil.parse(text, path.name)
    error = caught.value
    assert (error.line, error.column) == place
    headline, _, caret = str(error).split("\n")
    assert headline.startswith(f"{path.name}:{place[0]}:{place[1]}: ")
    assert message in headline
    assert caret.strip() == "^"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if not path.stem.startswith("utf8_")],
    ids=lambda path: path.stem,
)
def test_str_and_bytes_give_the_same_error(path: Path) -> None:
    _, _, text = read_invalid(path)
    messages = []
    for either in (text, text.decode()):
        with pytest.raises(MilSyntaxError) as caught:
            mil.parse(either)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def error_lines(text: str | bytes) -> list[str]:
    with pytest.raises(MilSyntaxError) as caught:
        mil.parse(text, "f.mil")
    return str(caught.value).split("\n")


def test_caret_stands_below_the_fault() -> None:
    headline, line, caret = error_lines("program(1.3)\n{\n    func main(fp17 x) {\n")
    assert headline.startswith("f.mil:3:15: expected a type")
    assert line == "    func main(fp17 x) {"
    assert line[caret.index("^") :].startswith("fp17")


def test_tabs_keep_the_caret_aligned() -> None:
    _, line, caret = error_lines("program(1.3)\n{\n\tfunc\tmain\t(\tfp17 x) {\n")
    assert line == "\tfunc\tmain\t(\tfp17 x) {"
    assert caret == "\t    \t    \t \t^"


def test_carriage_return_is_not_shown() -> None:
    headline, line, _ = error_lines("program(1.3)\r\n{\r\n  fun\r\n}\r\n")
    assert headline.endswith("got 'fun'")
    assert line == "  fun"


@pytest.mark.parametrize("column", [5, 100, 5000, 9_990])
def test_long_lines_are_cut_around_the_fault(column: int) -> None:
    text = "program(1.3)[a = list<int32, ?>([" + "1, " * 10_000
    place = len("program(1.3)[a = list<int32, ?>([") + 3 * column
    text = text[:place] + "x" + text[place + 1 :]
    headline, line, caret = error_lines(text)
    assert headline.startswith(f"f.mil:1:{place + 1}: ")
    assert len(line) <= 126
    assert line[caret.index("^")] == "x"
    assert line.startswith("...") == (column > 50)
    assert line.endswith("...") == (column < 9900)


def test_characters_that_would_spoil_the_terminal_are_not_shown() -> None:
    _, line, _ = error_lines("program(1.3) \x1b[31m\x00")
    assert line == "program(1.3) ?[31m?"


def test_lone_surrogate_in_str_is_no_utf8() -> None:
    assert "expected UTF-8 text, got byte '\\xed'" in error_lines('program("\ud800")')[0]


def test_source_name_is_in_the_message() -> None:
    with pytest.raises(MilSyntaxError, match=r"^models/a b\.mil:1:1: "):
        mil.parse("x", "models/a b.mil")


@pytest.mark.parametrize(
    "opening",
    ["list<", "tuple<", "dict<string, ", "tensor_buffer<", "state<"],
)
def test_deep_types_are_refused_without_recursion_to_match(opening: str) -> None:
    with pytest.raises(MilSyntaxError):
        mil.parse("program(1.3){func main(" + opening * 200_000)


@pytest.mark.parametrize("opening", ["(", "[", "{", "{{", "x = ("])
def test_deep_brackets_are_refused(opening: str) -> None:
    with pytest.raises(MilSyntaxError):
        mil.parse("program(1.3)[a = list<list<int32>>(" + opening * 200_000)


def test_types_copied_into_items_are_bounded() -> None:
    wide = "tuple<" + ", ".join(["list<int32, ?>"] * 3000) + ">"
    item = "(" + ", ".join(["[]"] * 3000) + ")"
    text = f"program(1.3)[a = list<{wide}, ?>([" + ", ".join([item] * 2) + "])]{}"
    assert mil.parse(text).attributes["a"].type.kind == "list"
    empty = f"program(1.3)[a = list<list<{wide}, ?>, ?>([" + ", ".join(["[]"] * 100_000) + "])]{}"
    with pytest.raises(MilSyntaxError, match="their types need more than"):
        mil.parse(empty)


def test_many_arguments_of_one_name_are_found_quickly() -> None:
    arguments = ", ".join(f"a{i} = x" for i in range(50_000))
    text = f"program(1.3){{func main(fp16 x){{ fp16 y = f({arguments}, a7 = x); }} -> (y);}}"
    with pytest.raises(MilSyntaxError, match="'a7' is given already"):
        mil.parse(text)
