"""One dictionary of parameter and column names, and it is that of the code: ``docs/reference/names.md``."""

import importlib.util
import re
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("names", Path(__file__).parents[2] / "tools/names.py")
names = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(names)


@pytest.fixture(scope="module")
def wanted():
    return names.wanted()


def lines(title, rows):
    """The rows of the page as they should be added or removed, or nothing."""
    return [title, *(names.row(*pair) for pair in sorted(rows.items()))] if rows else []


def test_the_page_has_every_name_and_no_other(wanted):
    has = names.written()
    added = lines("add:", {name: cells for name, cells in wanted.items() if name not in has})
    gone = lines("remove:", {name: cells for name, cells in has.items() if name not in wanted})
    assert not added + gone, "\n".join(["docs/reference/names.md (or run python tools/names.py)", *added, *gone])


def test_every_name_has_a_unit_and_a_meaning():
    assert [name for name, (_, unit, meaning, *_) in names.written().items() if "?" in (unit, meaning)] == []


def test_the_rows_are_sorted_and_distinct():
    text = names.PAGE.read_text("utf-8").split(names.HEAD)[1].splitlines()
    shown = [line.split("`")[1] for line in text]
    assert shown == sorted(set(shown), key=str.lower)


def test_every_place_that_is_named_has_the_name(wanted):
    takes, shows = names.parameters(), names.columns()
    stale = {}
    for name, cells in names.written().items():
        places = set(cells[-1].replace("`", "").split(", "))
        if name in wanted and not places <= {*takes.get(name, []), *shows.get(name, [])}:
            stale[name] = wanted[name]
    assert not stale, "\n".join(lines("correct (or run python tools/names.py):", stale))


def test_the_glossary_points_at_what_exists():
    """A class, or a name after its room: ``SendTime``, ``timing.power``; what stands in brackets is not looked at."""
    text = (names.ROOT / "docs/glossary.md").read_text("utf-8")
    shown = {word.split("(")[0] for word in re.findall(r"`((?:[A-Z]\w+|[a-z_]+\.\w+)[\w.]*(?:\([^`]*\))?)`", text)}
    faces, rooms = names.faces(), set(names.ROOMS.split())
    lost = [
        word
        for word in shown
        if word.removesuffix(".md").split(".")[0] in rooms | set(faces)
        and word.split(".")[1 if word.split(".")[0] in rooms else 0] not in faces
    ]
    unknown = [word for word in shown if word[0].isupper() and word.split(".")[0] not in faces]
    assert not lost + unknown
