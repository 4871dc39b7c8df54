"""What the pages print says something: a table or a sentence, no bare True, no list of names, rounded."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = ("Data", "Recommend", "Channels", "Send", "Plan", "Measure", "Run it")
PRINTED = re.compile(r"^```python\n(?:(?!```).*\n)*```\n\n```text\n((?:(?!```).*\n)*)```", re.MULTILINE)
BARE = {
    r"\(?(?:True|False|None)(?:, (?:True|False|None))*\)?": "a bare True: print what it means, assert it in a test",
    r"\(.*\)": "a tuple: print a sentence, or a table",
    r"[\[{].*[\]}]": "a list or dict: print a table",
    r"array\(.*\)": "an array: print a table with names",
    r"-?\d+(?:\.\d+)?": "a bare number: print a sentence with it",
    r"'.*'": "the quotes of a text: print it",
}
INSIDE = {
    r"(?<![\w.])-?\d+\.\d*[1-9]\d{5,}": "more digits than anybody reads: round",
    r"^Name: \w+, dtype|^dtype: ": "the foot of a Series: write .to_frame(name)",
    r"\[\d+ rows x \d+ columns\]": "a table that was cut: choose its columns",
    r"(?<![\w.])nan(?!\w)": "nan: say what is missing",
}


def pages():
    index = (ROOT / "docs/howto/index.md").read_text("utf-8")
    for group in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        if group.splitlines()[0] in GROUPS:
            yield from re.findall(r"^- \[.*?\]\(([\w-]+)\.md\)", group, re.MULTILINE)


def faults(text):
    """Return what is wrong with the printed blocks of a page."""
    found = []
    for shown in PRINTED.findall(text):
        block = shown.strip()
        found += [f"{better}\n{block}" for bad, better in BARE.items() if re.fullmatch(bad, block, re.DOTALL)]
        found += [f"{better}\n{block}" for bad, better in INSIDE.items() if re.search(bad, block, re.MULTILINE)]
    return found


@pytest.mark.parametrize("page", sorted(pages()))
def test_printed_blocks_say_something(page):
    found = faults((ROOT / f"docs/howto/{page}.md").read_text("utf-8"))
    assert not found, "\n\n".join(found)


@pytest.mark.parametrize(
    "printed", ["True", "(1, 0)", "['a', 'b']", "0.9", "a 0.140605", "hour\n8  1\nName: count, dtype: int64"]
)
def test_what_says_nothing_is_noticed(printed):
    block = "Words.\n\n```python\nx = 1\nx\n```\n\n```text\n{}\n```\n"
    assert len(faults(block.format(printed) + block.format("fine words"))) == 1
    assert not faults("```python\nx\n```\n\n```text\n  channel  people\n0   email     187\n```\n")


@pytest.mark.parametrize("page", sorted((ROOT / "docs/howto").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_can_be_pasted(page):
    """It makes its data: no block reads a file that a reader does not have."""
    text = page.read_text("utf-8")
    lacking = [name for name in re.findall(r'read_parquet\("([\w.]+)"', text) if f'to_parquet("{name}"' not in text]
    assert not lacking
