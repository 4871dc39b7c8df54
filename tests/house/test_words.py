"""Public docstrings and pages use the field's words: no verb of speech or motion for a number, no house for a library.

``CLEANED`` grows: add a room or a file when its words have been read. A hit names file, line, word and what to write.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/omnireco"
INSTEAD = {
    r"told": "given, known, recorded",
    r"spoken|spoke|speaks?|speaking": "weighs, is evidence for, has an effect on",
    r"aims?|aimed": "target",
    r"strays?": "deviation, outlier, unmatched",
    r"voices?": "weight",
    r"gladly": "responsive, response rate",
    r"foresees?|foresaw|foreseen": "predict, predicted",
    r"half[- ]believed|believed as": "prior strength, pseudo-count",
    r"who knows the (world's )?law": "oracle",
    r"planted truth": "known ground truth",
    r"of the (mornings|evenings)": "morning person, evening person",
    r"on yes or no": "on binary purchases",
    r"half count after|counts? half after": "weighted with a half-life of",
    r"says something else": "contributes differently",
    r"not the rate counts": "what counts is the incremental effect",
    r"first cache": "L1 cache",
    r"held against": "compared with",
    r"doors?": "from_frame, the frame that is read",
    r"gardens?|hallways?": "(belongs in design.md)",
    r"machines? that opens?|opens made by machines?|opens? that no person": "bot opens",
}
BANNED = {re.compile(rf"\b(?:{words})\b", re.IGNORECASE): better for words, better in INSTEAD.items()}

PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in {"design.md", "garden.md"}),
]
DATA = "asking/asof audience catalog clock hours messages recommendations resolving vocabulary weights"
CLEANED = [
    *(SOURCE / name for name in ("_report.py", "cli.py", "errors.py", "plotting.py")),
    *(file for room in ("_demo", "adapters", "identity", "worlds") for file in sorted((SOURCE / room).glob("*.py"))),
    *(SOURCE / f"data/{name}.py" for name in DATA.split()),
    *sorted((SOURCE / "data/frames").glob("*.py")),
]


def prose(page):
    """Yield (line number, text) of a page outside its blocks of code."""
    inside = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        inside ^= line.startswith("```")
        if not inside:
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", " ", line)


def docstrings(file):
    """Yield (line number, text) of every docstring, and every long text that a user may read in an error."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            for offset, line in enumerate(node.value.splitlines()):
                yield node.lineno + offset, re.sub(r"`[^`]*`", " ", line)


def hits(lines, path):
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]!r}: write {better}"
        for number, text in lines
        for pattern, better in BANNED.items()
        if (found := pattern.search(text))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_uses_the_words_of_the_field(page):
    found = hits(prose(page), page)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", CLEANED, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_docstrings_and_messages_use_the_words_of_the_field(file):
    found = hits(docstrings(file), file)
    assert not found, "\n".join(found)
