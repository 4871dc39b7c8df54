"""The page: everything is escaped, and nothing refers to anything outside."""

import base64
import re

import pandas as pd
import pytest

from omnireco._report import Page


@pytest.fixture
def page():
    return Page("Title & more", "A <lead>.")


def test_text_is_escaped(page):
    page.section("A < B")
    page.text("Tom & Jerry", "<script>alert(1)</script>")
    page.points(["x > y"])
    page.verdict("won & lost")
    page.warning("mind > gap")
    page.cards({"people & pets": "1 < 2"})
    html = page.html(footer="<end>")
    assert "<script>" not in html
    for text in ("Title &amp; more", "A &lt;lead&gt;.", "A &lt; B", "Tom &amp; Jerry", "1 &lt; 2", "&lt;end&gt;"):
        assert text in html


def test_tables_format_numbers_and_mark_the_best_row(page):
    page.section("Table")
    page.table(pd.DataFrame({"name": ["a", "b<"], "share": [0.5, 0.25]}), {"share": "{:.0%}".format}, best=0)
    html = page.html()
    assert "<td>b&lt;</td>" in html
    assert '<td class="number">50%</td>' in html
    assert html.count("<tr class=best>") == 1


def test_pictures_are_inside_the_page_and_can_be_read_aloud(page):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    open_before = pyplot.get_fignums()  # other tests may have left some
    page.section("Picture")
    page.picture(pyplot.subplots()[1], alt='A "line"', caption="What it shows")
    html = page.html()
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert 'alt="A &quot;line&quot;"' in html
    assert pyplot.get_fignums() == open_before
    assert "http" not in html


def test_sections_are_linked(page):
    page.section("One")
    page.section("Two")
    html = page.html()
    assert '<a href="#s1">Two</a>' in html
    assert '<section id="s1"><h2>Two</h2>' in html
