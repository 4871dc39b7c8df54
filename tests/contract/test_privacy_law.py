"""Ids of people appear in no error, warning, log line, repr, HTML or picture: only in tables that a caller asked for.

Every person of :func:`verbs.world` has an id that begins with a marker. Every public verb is called with its valid
arguments, and with ids where something else is expected; whatever it says is searched for the marker. Set
``OMNIRECO_PRIVACY=all`` to put ids in more dresses into every argument.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.text import Text

_SPEC = importlib.util.spec_from_file_location("verbs", Path(__file__).parent / "verbs.py")
verbs = importlib.util.module_from_spec(_SPEC)
sys.modules["verbs"] = verbs  # its dataclasses look for it
_SPEC.loader.exec_module(verbs)

ID = f"{verbs.MARKER}-7"
DRESSES: dict[str, Any] = {"an id": ID, "ids": [ID, f"{verbs.MARKER}-8"], "pairs": {ID: ID}}
if os.environ.get("OMNIRECO_PRIVACY") == "all":
    DRESSES |= {
        "a tuple": (ID, ID),
        "an array": np.array([ID, ID], object),
        "text array": np.array([ID]),
        "a column": pd.Series([ID, None]),
        "a frame": pd.DataFrame({"user_id": [ID], "item_id": [ID], "channel": [ID], "timestamp": [ID]}),
        "named pairs": {"email": ID},
        "weights by id": {ID: 1.0},
        "nested": [[ID]],
        "bytes": ID.encode(),
        "mixed": [1, ID, None],
    }

# What is said of these arguments names them on purpose.
NAMED = {
    "path": "a file is named, so that somebody finds it",
    "files": "files are named, so that somebody finds them",
    "records": "a text is the path of a file",
}
LABELS = {"title", "label", "limits", "event_type"}  # text that a caller puts into a picture, a page or a record
TABLES = (pd.DataFrame, pd.Series, pd.Index, np.ndarray, str, bytes, dict, list, tuple)


HEADS = ("channel", "columns", "context")  # a table in a notebook has the heads and channels that its caller named


def said_by(value: Any) -> Iterator[str]:
    """Yield what a value shows of itself: repr, text, HTML, and the text of a picture; tables were asked for."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from said_by(part)
    elif isinstance(value, matplotlib.axes.Axes):
        yield from (text.get_text() for text in value.figure.findobj(Text))
    elif type(value).__module__.startswith("omnireco") and not isinstance(value, TABLES):
        yield from (repr(value), str(value), f"{value}")
        html = getattr(value, "_repr_html_", None)
        yield "" if html is None else html()


def said_in(call: Any, **changed: Any) -> Iterator[tuple[str, str]]:
    """Yield what a call says: its error with all that led to it, its warnings, and what its answer shows."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            answer = call(**changed)
            yield from (("repr", text) for text in said_by(answer))
        except Exception as error:  # noqa: BLE001 - every error is searched, of whatever kind
            while error is not None:
                yield "error", f"{error} {error.args}"
                error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    pyplot.close("all")
    yield from (("warning", str(one.message)) for one in seen)


def leaks(call: Any, caplog: Any, **changed: Any) -> list[str]:
    """Return what a call says that holds the marker."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="omnireco"):
        found = [f"{kind}: {text[:200]}" for kind, text in said_in(call, **changed) if verbs.MARKER in text]
    return found + [f"log: {line[:200]}" for line in caplog.messages if verbs.MARKER in line]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a text may be the name of a folder to write


def test_every_verb_is_driven():
    assert verbs.unknown() == [], "name a value for these in tests/contract/verbs.py, or a reason not to drive them"


def test_the_marker_is_in_the_tables_that_were_asked_for():
    assert verbs.MARKER in verbs.world().lists.to_frame().to_string()


@pytest.mark.parametrize("name", list(verbs.RECEIVERS))
def test_values_show_nobody(name):
    value = verbs.RECEIVERS[name](verbs.world())
    assert [text[:200] for text in said_by(value) if verbs.MARKER in text] == []


@pytest.mark.parametrize("name", list(verbs.names()))
def test_verbs_name_nobody(name, caplog, capsys):
    verb = verbs.verb(name)
    found = leaks(verb, caplog)
    for parameter in verb.parameters:
        if parameter in NAMED or parameter in LABELS or ("." not in name and name[0].isupper()):
            continue  # the repr of parameters repeats what was written into them
        for dress, value in DRESSES.items():
            seen = leaks(verb, caplog, **{parameter: value})
            if parameter in HEADS:
                seen = [leak for leak in seen if not leak.startswith("repr: <")]
            found += [f"{parameter} given {dress}: {leak}" for leak in seen]
    printed = capsys.readouterr()
    assert found == []
    assert verbs.MARKER not in printed.out + printed.err
