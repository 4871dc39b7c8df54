"""The story of the bank: its intervals hold what the world was drawn with, and one ledger shows one set of terms."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "notebooks" / "bank.py"


@pytest.fixture(scope="module")
def bank():
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.rcParams.copy()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context():
        yield runpy.run_path(str(SCRIPT))
    pyplot.close("all")
    matplotlib.rcParams.update({"backend": before["backend"]})


def test_the_web_takes_transfers_from_the_branch_and_no_loans(bank):
    for name in ("transfers", "loans"):
        assert bank[name].low < bank["truth"][name] < bank[name].high
        assert not bank[name].refused
    assert bank["transfers"].high < 0  # where the plain comparison of users with others finds a third of it
    assert bank["compared"]["transfers"]["users of the web less others"] > bank["transfers"].high


def test_one_ledger_shows_everybody_one_set_of_terms(bank):
    apart, together = bank["audits"].values()
    assert apart.saw_two > 0
    assert together.saw_two == 0
    assert 0 < bank["low"] < bank["cost"] < bank["high"] < 0.1


def test_the_website_alone_would_remind_people_who_have_signed(bank):
    signed = bank["events"].query("event == 'signed'")[["user_id", "item_id"]].apply(tuple, axis=1)
    asked = set(bank["web_only"][["user_id", "item_id"]].apply(tuple, axis=1))
    assert len(asked & set(signed)) == bank["wrong"] > 0
    assert not set(bank["found"][["user_id", "item_id"]].apply(tuple, axis=1)) & set(signed)
