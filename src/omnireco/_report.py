"""A self-contained HTML page: text, numbers, tables and figures in one file that needs no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Format", "Page", "picture"]

Format = Callable[[Any], str]

STYLE = """
:root { --ink: #1d2a35; --soft: #5c6b77; --line: #dfe5e9; --accent: #0b6e75; --paper: #ffffff; --wash: #f4f7f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 16px/1.6 system-ui, "Segoe UI", Roboto, Arial,
       "DejaVu Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 0 20px 60px; }
header { background: var(--accent); color: #fff; padding: 42px 20px 34px; }
header div { max-width: 920px; margin: 0 auto; }
header h1 { margin: 0 0 6px; font-size: 30px; line-height: 1.25; }
header p { margin: 0; opacity: .92; max-width: 70ch; }
nav { margin: 18px 0 0; font-size: 14px; }
nav a { color: #fff; margin-right: 16px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 22px 28px 26px;
          margin: 22px 0; }
h2 { font-size: 22px; margin: 0 0 10px; }
h3 { font-size: 17px; margin: 26px 0 6px; }
p, li { max-width: 76ch; overflow-wrap: anywhere; }
p.small { color: var(--soft); font-size: 14px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; }
.card { background: var(--wash); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.card b { display: block; font-size: 24px; line-height: 1.2; color: var(--accent); }
.card span { color: var(--soft); font-size: 14px; }
.verdict { border-left: 4px solid var(--accent); background: var(--wash); padding: 10px 16px; margin: 14px 0; }
.warning { border-left: 4px solid #e08e2b; background: #fdf6ec; padding: 10px 16px; margin: 14px 0; }
.verdict p, .warning p { margin: 4px 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 10px 0 4px; font-size: 14.5px; }
th, td { text-align: left; padding: 7px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { background: #eef6f6; font-weight: 600; }
figure { margin: 16px 0; }
img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 14px; max-width: 76ch; margin-top: 4px; }
code { background: var(--wash); padding: 1px 5px; border-radius: 4px; font-size: 13.5px; }
footer { color: var(--soft); font-size: 13.5px; }
@media screen and (max-width: 600px) {
  main { padding: 0 8px 40px; }
  section { padding: 14px 14px 18px; }
  .cards { grid-template-columns: 1fr 1fr; }
  table { font-size: 13px; }
  th, td { padding: 5px 6px; }
  figure { margin: 16px -10px; }
  .wide { border-right: 3px solid var(--line); }
}
@media print { body { background: #fff; } section { border: 0; break-inside: avoid-page; } }
"""


@dataclass(slots=True)
class Page:
    """A page being written, top to bottom; ``html`` returns it as one file.

    Text is escaped; nothing on the page refers to anything outside it.

    Parameters
    ----------
    title, lead : str
        The heading and the sentence below it.

    Examples
    --------
    >>> page = Page("A report", "What was found.")
    >>> page.section("First")
    >>> page.text("Two & two make four.")
    >>> "Two &amp; two" in page.html(footer="Made by omnireco.")
    True
    """

    title: str
    lead: str
    _sections: list[tuple[str, list[str]]] = field(default_factory=list)

    def section(self, title: str) -> None:
        """Begin a section."""
        self._sections.append((title, []))

    def heading(self, text: str) -> None:
        """Write a heading inside the section."""
        self._add(f"<h3>{escape(text)}</h3>")

    def text(self, *sentences: str, small: bool = False) -> None:
        """Write a paragraph."""
        kind = ' class="small"' if small else ""
        self._add(f"<p{kind}>{escape(' '.join(sentences))}</p>")

    def points(self, items: Sequence[str]) -> None:
        """Write a list of sentences."""
        self._add("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")

    def verdict(self, *sentences: str) -> None:
        """Write a box with a conclusion."""
        self._box("verdict", sentences)

    def warning(self, *sentences: str) -> None:
        """Write a box with a warning."""
        self._box("warning", sentences)

    def cards(self, numbers: Mapping[str, str]) -> None:
        """Write large numbers, each with a label."""
        cards = "".join(
            f'<div class="card"><b>{escape(number)}</b><span>{escape(what)}</span></div>'
            for what, number in numbers.items()
        )
        self._add(f'<div class="cards">{cards}</div>')

    def table(
        self, frame: pd.DataFrame, formats: Mapping[str, Format] | None = None, *, best: int | None = None
    ) -> None:
        """Write a frame as a table: formatted columns are right-aligned, row ``best`` is highlighted."""
        formats = formats or {}
        kinds = {name: ' class="number"' if name in formats else "" for name in frame.columns}
        head = "".join(f"<th{kinds[name]}>{escape(str(name))}</th>" for name in frame.columns)
        rows = []
        for number, record in enumerate(frame.itertuples(index=False)):
            cells = "".join(
                f"<td{kinds[name]}>{escape(formats[name](value) if name in formats else str(value))}</td>"
                for name, value in zip(frame.columns, record, strict=True)
            )
            rows.append(f"<tr{' class=best' if number == best else ''}>{cells}</tr>")
        body = "".join(rows)
        self._add(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')

    def picture(self, axes: Axes, *, alt: str, caption: str = "") -> None:
        """Write a picture into the page itself; ``alt`` describes it for screen readers."""
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        source = base64.b64encode(picture(axes)).decode("ascii")
        self._add(f'<figure><img alt="{escape(alt, quote=True)}" src="data:image/png;base64,{source}">{below}</figure>')

    def html(self, *, footer: str = "") -> str:
        """Return the page."""
        links = "".join(f'<a href="#s{number}">{escape(title)}</a>' for number, (title, _) in enumerate(self._sections))
        body = "".join(
            f'<section id="s{number}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'
            for number, (title, parts) in enumerate(self._sections)
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>"
            f"<header><div><h1>{escape(self.title)}</h1><p>{escape(self.lead)}</p><nav>{links}</nav></div></header>"
            f"<main>{body}<footer><p>{escape(footer)}</p></footer></main></body></html>\n"
        )

    def _box(self, kind: str, sentences: Sequence[str]) -> None:
        self._add(f'<div class="{kind}">' + "".join(f"<p>{escape(text)}</p>" for text in sentences) + "</div>")

    def _add(self, html: str) -> None:
        self._sections[-1][1].append(html)


def picture(axes: Axes) -> bytes:
    """Return the figure of some axes as PNG bytes, and close it."""
    from matplotlib import pyplot

    figure: Any = axes.figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()
