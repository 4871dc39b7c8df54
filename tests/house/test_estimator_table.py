"""The table of estimators in the reference: every estimator has a row, no cell is empty, every "no" is explained."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import omnireco as om
from omnireco._core.contract import Estimator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("docs_estimators", ROOT / "docs/estimators.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _in_the_rooms():
    """Every class of the package that can be fitted, found in the modules and not in a list."""
    found = set()
    for path in (ROOT / "src/omnireco").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        if re.search(r"\(Estimator\)|Estimator\[", path.read_text("utf-8")):
            for _, value in inspect.getmembers(importlib.import_module(module), inspect.isclass):
                if issubclass(value, Estimator) and not inspect.isabstract(value):
                    found.add(value)
    return {kind for kind in found if not kind.__name__.startswith("_") and "testing" not in kind.__module__}


def test_every_estimator_has_a_row(made):
    assert set(made.estimators().values()) == _in_the_rooms()
    assert len(made.rows()) == len(made.estimators())


def test_no_cell_is_empty(made):
    for cells in made.rows():
        assert len(cells) == len(made.HEAD)
        assert all(cell.strip() for cell in cells), cells


def test_every_no_is_explained_under_the_table(made):
    page = made.table()
    cells = {cell for row in made.rows() for cell in row if cell == "no" or cell.startswith("no")}
    assert "no" not in cells, "a bare no explains nothing"
    assert cells <= set(made.REASONS)
    for cell in cells:
        assert f"- *{cell}*: " in page


def test_every_column_is_explained_under_the_table(made):
    page = made.table()
    for column in made.HEAD[1:]:
        assert f"- **{column}**: " in page


def test_every_row_links_to_an_entry_of_the_reference(made):
    for row in made.rows():
        page, anchor = re.search(r"\]\((\w+\.md)#omnireco\.(\w+\.\w+)\)", row[0]).groups()
        room, name = anchor.split(".")
        assert (ROOT / "docs/reference" / page).exists()
        assert name in importlib.import_module(f"omnireco.{room}").__all__


def test_a_verb_of_the_table_is_a_verb_of_the_model(made):
    verbs = {name: set(kind.verbs) for name, kind in made.estimators().items()}
    for (_, known), row in zip(verbs.items(), made.rows(), strict=True):
        assert {verb.strip("`") for verb in row[made.HEAD.index("the model")].split(", ")} <= known


def test_the_front_shows_the_first_of_them(made):
    assert {f"om.{name}" for name in ("ALS", "EASE", "Popularity", "SendTime", "Ranker")} <= set(made.estimators())
    assert all(eval(name, {"om": om}) for name in made.estimators())
