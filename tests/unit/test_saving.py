"""What could be saved: by hand, its interval, and what floors keep."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import Candidates, Constraint, FrequencyCap, Rows, plan

START = pd.Timestamp("2025-06-01 09:00", tz="UTC")


def of(value, **more):
    n = len(value)
    frame = {
        "user_id": np.arange(n),
        "item_id": "tea",
        "channel": "push",
        "send_at": START,
        "value": np.asarray(value, float),
    }
    return Candidates.from_frame(pd.DataFrame(frame | more))


def test_by_hand():
    made = plan(of([50.0, 30.0, 15.0, 3.0, 1.0, 1.0]))
    found = made.saved(at=0.98)
    assert (found.dropped, found.sends, found.at) == (2, 6, 0.98)  # the two of 1 are 2 % of 100
    assert made.saved(at=0.95).dropped == 3
    assert made.saved(at=1.0).dropped == 0
    assert made.saved(at=0.0).dropped == 6
    assert found.curve["kept"].is_monotonic_increasing
    assert found.curve["dropped"].is_monotonic_decreasing
    assert repr(found).startswith("Saved(2 of 6 messages (33.3%, ")
    assert found.to_frame().columns.tolist() == ["kept", "dropped", "share", "low", "high"]


def test_equal_values_save_what_they_are_worth():
    found = plan(of(np.ones(100))).saved(at=0.9)
    assert found.dropped == 10
    assert found.low == pytest.approx(0.1, abs=0.03)
    assert found.high == pytest.approx(0.1, abs=0.011)


def test_the_interval_covers_the_share_of_the_population():
    rng = np.random.default_rng(0)
    many = np.sort(rng.lognormal(0, 1.5, 400_000))
    truth = np.searchsorted(np.cumsum(many), 0.02 * many.sum()) / many.size
    hits = 0
    for seed in range(60):
        found = plan(of(rng.lognormal(0, 1.5, 800))).saved(at=0.98, seed=seed)
        hits += found.low <= truth <= found.high
    assert hits >= 51


def test_one_person_has_no_interval_and_nothing_is_nothing():
    found = plan(of([1.0])).saved()
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    none = plan(of([])).saved()
    assert (none.sends, none.dropped) == (0, 0)


def test_what_a_floor_needs_stays():
    class AtLeast(Constraint):
        def rows(self, touches):
            mine = np.flatnonzero(touches.item == 0)
            one = np.zeros(mine.size, int)
            return Rows(one, mine, np.ones(mine.size), np.array([np.inf]), ("cup",), least=np.array([2.0]))

    from omnireco.planning.plan import Price
    from omnireco.planning.plans.saving import that_may_go

    touches = of([5.0, 4.0, 0.1, 0.1], item_id=["tea", "tea", "cup", "cup"])
    floors = [Price("AtLeast", "cup", 2.0, np.inf, 0.0, 2.0)]
    assert that_may_go(touches.touches, floors, [AtLeast(), FrequencyCap(1)]).sum() == 2
    assert that_may_go(touches.touches, [], None).all()
    with pytest.raises(ParameterError, match="this plan has floors, and came without its constraints"):
        that_may_go(touches.touches, floors, None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"at": 1.2}, "at must be"),
        ({"at": "98%"}, "at must be"),
        ({"confidence": 1.0}, "confidence"),
        ({"draws": 3}, "draws"),
    ],
)
def test_what_is_refused(wrong, words):
    with pytest.raises(ParameterError, match=words):
        plan(of([1.0, 2.0])).saved(**wrong)


def test_it_is_drawn():
    pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')
    from omnireco import plotting

    made = plan(of(np.random.default_rng(0).gamma(1, 1, 200)))
    ax = plotting.plan_saved(made.saved(at=0.95))
    assert "for 5 % of the value" in ax.texts[0].get_text()
    with pytest.raises(ParameterError, match="saved must be"):
        plotting.plan_saved(made)
    assert om.planning.Saved is type(made.saved())
