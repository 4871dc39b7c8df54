"""What a notebook shows of every value: HTML that parses, rounded, escaped, with nobody's id, from a few rows alone."""

from __future__ import annotations

import importlib.util
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look for it
    spec.loader.exec_module(module)
    return module


gallery, verbs = _load("gallery"), _load("verbs")
STANDALONE = {"br", "hr", "img", "meta"}
MISSING = {"nan", "NaN", "None", "NaT", "<NA>", "inf%", "nan%"}


class Page(HTMLParser):
    """Cells and text of a page; ``wrong`` says where tags do not close."""

    def __init__(self, html):
        super().__init__()
        self.open, self.wrong, self.cells, self.text, self.classes = [], [], [], "", set()
        self.feed(html)
        self.close()
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        self.classes |= {value for name, value in attrs if name == "class"}
        self.wrong += [name for name, how in attrs if name in ("style", "border") and not how.startswith("width:")]
        if tag not in STANDALONE:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text += data + "\n"
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def long_numbers(text):
    """Return numbers of more than six digits behind and before a point, and instants with fractions of seconds."""
    found = re.findall(r"(?<![\w.\-:])-?\d[\d,]*\.\d+(?![\w.])", text)
    found = [one for one in found if len(re.sub(r"\D", "", one).lstrip("0")) > 6]
    return found + re.findall(r"\d\d:\d\d:\d\d\.\d+", text)  # an instant with fractions of a second


def wrongs(html):
    page = Page(html)
    return page.wrong + long_numbers(page.text) + [cell for cell in page.cells if cell.strip() in MISSING]


@pytest.mark.parametrize("name", [*gallery.VALUES, *gallery.STATES])
def test_every_value_in_every_state(name):
    value = (gallery.VALUES | gallery.STATES)[name]()
    html = value._repr_html_()
    page = Page(html)
    assert wrongs(html) == []
    assert page.text.strip()
    assert "omnireco" in " ".join(page.classes).split() or "<table" not in html
    assert html.count("<tr>") <= 80


def test_the_end_of_a_log_has_no_fractions_of_a_second():
    """Everything is known until just after the last event, a microsecond later."""
    at = pd.to_datetime(["2025-05-01 09:00:30"], utc=True)
    rows = {"user_id": [1], "item_id": "tea", "channel": "web", "event": "view", "timestamp": at}
    log = om.EventLog.from_frame(pd.DataFrame(rows))
    for value in (log, om.Dataset(log)):
        assert wrongs(value._repr_html_()) == []
    assert "known until 2025-05-01T09:00:30+00:00" in repr(om.Dataset(log))
    shown = om.Dataset(log)._repr_html_()
    assert "<th>events</th>" in shown
    assert "<th>catalog</th>" not in shown  # a part that is not there has no row


@pytest.mark.parametrize("name", [one for one in verbs.RECEIVERS if one != "ItemIndex"])  # no value: a search index
def test_nobody_is_named(name):
    html = verbs.RECEIVERS[name](verbs.world())._repr_html_()
    assert verbs.MARKER not in html
    assert wrongs(html) == []


@pytest.fixture(scope="module")
def many():
    n, at = 3000, pd.Timestamp("2025-05-01 09:00", tz="UTC")
    draw = np.random.default_rng(0)
    users, items = [f"{verbs.MARKER}-{k}" for k in range(n)], [f"i{k % 50}" for k in range(n)]
    frame = pd.DataFrame({"user_id": users, "item_id": items, "channel": "app", "event": "view", "timestamp": at})
    people = pd.DataFrame({"user_id": users, "timezone": "UTC", "consent_app": True})
    sent = pd.DataFrame({"user_id": users, "channel": "app", "sent_at": at, "responded_at": at})
    touches = pd.DataFrame(
        {"user_id": users, "item_id": items, "channel": "app", "send_at": at, "value": draw.random(n)}
    )
    log, audience = om.EventLog.from_frame(frame), om.Audience.from_frame(people)
    x, offers = log.matrix(), om.planning.Offers.from_frame(pd.DataFrame({"offer_id": items[:50], "price": 1 / 3}))
    lists = om.Popularity().fit(x).recommend(x, k=3, exclude_seen=False)
    candidates = om.planning.Candidates.from_frame(touches)
    amounts = pd.DataFrame({"user_id": users, "amount": draw.random(n)})
    return {
        "log": log,
        "messages": om.MessageLog.from_frame(sent),
        "audience": audience,
        "catalog": om.Catalog.from_frame(pd.DataFrame({"item_id": range(n), "price": draw.random(n)})),
        "matrix": x,
        "requests": om.Requests.from_frame(frame[["user_id", "timestamp"]]),
        "lists": lists,
        "candidates": candidates,
        "touches": candidates.touches,
        "plan": om.plan(candidates),
        "holdout": om.causal.Holdout.draw(users, share=0.3),
        "amounts": om.data.UserAmounts.from_frame(amounts),
        "explanations": om.models.explain(om.ItemKNN(neighbors=5).fit(x), x, lists),
        "stock": om.data.StockLevels.from_frame(pd.DataFrame({"item_id": range(n), "store_id": "s", "pieces": 1})),
        "offers": offers,
        "ledger": om.planning.OfferLedger.from_frame(
            pd.DataFrame({"user_id": users, "offer_id": items}), offers, start="2025-06-01"
        ),
        "zones": om.timing.infer_zones(om.Dataset(log, audience=audience)),
        "dataset": om.Dataset(log, audience=audience),
    }


def test_only_the_first_rows_of_long_values_become_a_table(many, monkeypatch):
    longest, made = {}, pd.DataFrame.__init__

    def counted(self, *args, **kwargs):
        made(self, *args, **kwargs)
        longest[name] = max(longest[name], len(self))

    monkeypatch.setattr(pd.DataFrame, "__init__", counted)
    shown = {}
    for name, value in many.items():
        if name == "plan":
            continue  # sums per channel and day, which is what ``summary`` is
        longest[name] = 0
        shown[name] = value._repr_html_()
    monkeypatch.undo()
    assert {name: rows for name, rows in longest.items() if rows > 700} == {}  # a dozen people in 60 zones each
    assert [name for name, html in shown.items() if verbs.MARKER in html] == []
    assert [
        name for name in ("messages", "audience", "candidates", "catalog") if "... of 3,000 rows" not in shown[name]
    ] == []
    assert "person 1" in shown["candidates"]
    assert "person 10" in shown["candidates"]


@pytest.mark.parametrize(
    "name", ["messages", "audience", "catalog", "requests", "candidates", "holdout", "amounts", "stock"]
)
def test_the_head_is_the_head_of_the_table(many, name):
    from omnireco._core.notebook import html_table

    frame = many[name].to_frame()
    head = html_table(frame)
    assert head in many[name]._repr_html_()


def test_what_a_caller_wrote_is_escaped():
    frame = pd.DataFrame({"item_id": ["<script>"], "name": ["a & b"]})
    html = om.Catalog.from_frame(frame)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a &amp; b" in html


def test_cells_of_a_table():
    from omnireco._core.notebook import html_table

    at = pd.Timestamp("2025-05-01 09:30:12", tz="UTC")
    frame = pd.DataFrame({"user_id": ["b", "a", "b"], "item_id": 12345, "n": 12345, "x": [1 / 3, np.nan, 98765.4]})
    page = Page(html_table(frame.assign(at=[at, pd.NaT, at])))
    assert page.cells[5:] == [
        *("person 1", "12345", "12,345", "0.3333", "2025-05-01 09:30"),
        *("person 2", "12345", "12,345", "", ""),
        *("person 1", "12345", "12,345", "98,765", "2025-05-01 09:30"),
    ]


def test_the_law_sees_what_is_wrong():
    assert wrongs("<p>0.12345678</p>") == ["0.12345678"]
    assert wrongs("<table><tr><td>nan</td></tr></table>") == ["nan"]
    assert wrongs("<p><b>x</p>") != []
    assert wrongs("<p>from 2025-05-01T09:00:00.000001+00:00</p>") == ["09:00:00.000001"]
    assert wrongs("<p>from 2025-05-01T09:00:00+00:00, 0.0001234 and 1,234.5</p>") == []
