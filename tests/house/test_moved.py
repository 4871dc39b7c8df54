"""An old name is an error that gives its new line; the page on names gives the same one, and what it gives exists."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import omnireco as om
from omnireco._moved import ELSEWHERE, no_such_name, places

PROJECT = Path(__file__).resolve().parents[2]


def tool():
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("migration", PROJECT / "tools/migration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MOVES = tool().moves()
GONE = [old.removeprefix("om.") for old, new in MOVES.items() if old.count(".") == 1 and old != new]


def test_the_page_shows_where_names_are_today():
    script = tool()
    assert script.PAGE.read_text("utf-8").partition(script.BY_HAND)[0] == script.page(), "run tools/migration.py"


def test_the_page_knows_every_name_of_the_old_front():
    names = tool().OLD["om"].split()
    assert len(names) == len(set(names)) == 145  # and __version__
    assert 80 < len(GONE) < 145


@pytest.mark.parametrize("name", GONE)
def test_an_old_name_gives_its_new_line(name):
    with pytest.raises(AttributeError) as caught:
        getattr(om, name)
    line = MOVES[f"om.{name}"]
    assert str(caught.value).startswith(f"omnireco.{name} is now omnireco.")
    assert str(caught.value).endswith(f": write {line}.")
    assert name not in dir(om)
    assert not hasattr(om, name)


@pytest.mark.parametrize("line", sorted(set(MOVES.values()) | {f"om.{p}" for some in ELSEWHERE.values() for p in some}))
def test_a_new_line_exists(line):
    for one in line.split(" or "):
        thing, deep = om, one.startswith("omnireco.")
        module, _, name = one.rpartition(".")
        for part in [name] if deep else one.split(".")[1:]:
            thing = getattr(importlib.import_module(module) if deep else thing, part)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ItemKnn", "omnireco has no 'ItemKnn'. Did you mean om.ItemKNN?"),
        ("evalluate", "omnireco has no 'evalluate'. Did you mean om.evaluate?"),
        ("RankLists", "omnireco has no 'RankLists'. Did you mean om.evaluation.RankedLists?"),
        ("zzzz", "omnireco has no 'zzzz'. dir(omnireco) names what it has."),
    ],
)
def test_an_unknown_name_gets_a_near_one_or_none(name, says):
    with pytest.raises(AttributeError, match=f"^{re.escape(says)}$"):
        getattr(om, name)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from omnireco import ReadingClock", "write from omnireco.timing import ReadingClock."),
        ("from omnireco import ALS, Fatigue", "write from omnireco.timing import Fatigue."),
        ("from omnireco import io", "write from omnireco import files."),
        ("from omnireco import ItemKnn", "Did you mean from omnireco import ItemKNN?"),
    ],
)
def test_an_import_gives_the_new_line_too(line, says):
    """Python would hide an AttributeError behind "cannot import name": the error of an import is raised as one."""
    with pytest.raises(ImportError, match=f"{re.escape(says)}$"):
        exec(line, {})


@pytest.mark.parametrize(
    ("room", "name", "says"),
    [
        ("models", "SendTime", "omnireco.models has no 'SendTime'. Write om.SendTime."),
        ("models", "Fatigue", "omnireco.models has no 'Fatigue'. Write om.timing.Fatigue."),
        ("evaluation", "ndgc", "omnireco.evaluation has no 'ndgc'. Did you mean om.ndcg?"),
        (
            "causal",
            "off_policies",
            "omnireco.causal has no 'off_policies'. Did you mean om.causal.off_policy or om.causal.OffPolicy?",
        ),
        ("timing", "zzzz", "omnireco.timing has no 'zzzz'. dir(omnireco.timing) names what it has."),
        ("timing", "__wrapped__", "module 'omnireco.timing' has no attribute '__wrapped__'"),
    ],
)
def test_a_package_says_where_a_name_is(room, name, says):
    with pytest.raises(AttributeError, match=f"^{re.escape(says)}$"):
        getattr(getattr(om, room), name)


def test_an_import_from_a_package_says_it_too():
    with pytest.raises(ImportError, match=r"has no 'SendTime'. Write from omnireco import SendTime\.$"):
        exec("from omnireco.models import SendTime", {})
    exec("from omnireco.models import matrix, sequence", {})
    exec("from omnireco.timing import *", {})


def test_modules_that_the_front_does_not_load_are_imported_as_ever():
    exec("from omnireco import _versions, cli, plotting, testing", {})


def test_a_name_that_became_a_method_is_imported_from_its_class(monkeypatch):
    monkeypatch.setitem(ELSEWHERE, "zzsplit", ("EventLog.split",))
    assert no_such_name("zzsplit").endswith("is now omnireco.EventLog.split: write om.EventLog.split.")
    assert no_such_name("zzsplit", importing=True).endswith("write from omnireco import EventLog.")


def test_the_short_table_holds_only_what_the_packages_do_not_show():
    assert set(ELSEWHERE) & set(places()) == set()


def test_pictures_and_laws_are_imported_on_request():
    probe = """
import sys, omnireco as om
names = dir(om)
assert not {"omnireco.plotting", "omnireco.testing"} & set(sys.modules)
om.plotting.week, om.testing.small_matrix
assert dir(om) == names == sorted(om.__all__)
"""
    subprocess.run([sys.executable, "-c", probe], check=True)


@pytest.mark.parametrize("name", ["__wrapped__", "_private"])
def test_what_tools_ask_every_module_for_is_plainly_absent(name):
    with pytest.raises(AttributeError, match=f"^module 'omnireco' has no attribute '{name}'$"):
        getattr(om, name)


OLD_PARAMETERS = {
    "confidence_weights": lambda: om.ALS(confidence=True),
    "cg_steps": lambda: om.ALS(steps=3),
    "context_steps": lambda: om.models.NextItem(window=5),
    "prior_strength": lambda: om.BuyAgain(prior=3.0),
    "max_next_items": lambda: om.journeys.FollowUps(most=3),
    "prior_sd": lambda: om.timing.Fatigue(prior=0.5),
    "effect_decay": lambda: om.SendTime(pull="3h"),
    "expiry": lambda: om.timing.ReadingClock(life="2D"),
    "max_pending": lambda: om.LinearBandit(memory=10),
    "item_level": lambda: om.worlds.complete_journey(level="product_type"),
    "embargo": lambda: om.data.split_rolling(None, horizon="7D", gap="1D"),
    "max_popular": lambda: om.models.limit_popularity(None, None, k=3, most=1),
    "max_per_item": lambda: om.models.limit_exposure(None, k=3, most=1),
    "max_per_category": lambda: om.models.quotas(None, None, k=3, most=1),
}


@pytest.mark.parametrize("name", OLD_PARAMETERS)
def test_an_old_parameter_is_an_error_that_names_the_new_one(name):
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        OLD_PARAMETERS[name]()
