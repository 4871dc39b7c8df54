"""Exploration of plans: every limit is kept, probabilities are what the draws do, and the log values the plan."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import Budget, Candidates, Capacity, Choices, Constraint, FrequencyCap, Rows, Swaps, plan
from omnireco.planning.plans.exploring import Problem, explored
from omnireco.planning.solving import solved

START = pd.Timestamp("2025-06-01", tz="UTC")


def week(n_people=60, each=8, seed=0):
    rng = np.random.default_rng(seed)
    n = n_people * each
    return pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_people), each),
            "item_id": rng.integers(0, 6, n),
            "channel": rng.choice(["email", "push"], n),
            "send_at": START + pd.to_timedelta(rng.integers(0, 72, n), unit="h"),
            "value": rng.gamma(2.0, 0.5, n),
        }
    )


def rules(n_people=60):
    return [
        FrequencyCap(2, per="7D"),
        FrequencyCap(1, per="20h"),
        Budget("email", cost=0.1, total=0.05 * n_people),
        Capacity("push", per="6h", limit=max(1, n_people // 8)),
    ]


def keeps_all(made):
    """Every row of every constraint, compiled again, holds for what is sent."""
    sent = (made.reason == 0).astype(float)
    for rule in made.constraints:
        rows = rule.rows(made.touches.touches)
        used = np.bincount(rows.row, weights=rows.weight * sent[rows.touch], minlength=rows.limit.size)
        assert (used <= rows.limit + 1e-9).all(), rule.name
        if rows.least is not None:
            assert (used >= rows.least - 1e-9).all(), rule.name


@pytest.mark.parametrize("by", ["value", "even", "posterior"])
def test_every_limit_is_kept_whatever_is_drawn(by):
    explored = 0
    for seed in range(25):
        touches = Candidates.from_frame(week(seed=seed), once_per_item=True)
        errors = np.full(len(touches), 0.3) if by == "posterior" else None
        made = plan(touches, constraints=rules(), explore=Swaps(share=0.9, by=by, errors=errors), seed=seed)
        keeps_all(made)
        frame = made.to_frame()
        explored += int(frame["explored"].sum())
        assert len(made) == int(made.exploration.planned.sum())
        assert (frame.groupby("user_id")["explored"].sum() <= 1).all()
        assert made.exploration.propensity.sum() == pytest.approx(len(made))
        assert ((frame["propensity"] > 0) & (frame["propensity"] <= 1)).all()
    assert explored > 100


@pytest.mark.parametrize("by", ["value", "even", "posterior"])
def test_propensities_are_the_frequencies_of_the_draws(by):
    touches = Candidates.from_frame(week(20), once_per_item=True)
    errors = np.full(len(touches), 0.3) if by == "posterior" else None
    swaps, used = Swaps(share=0.5, by=by, errors=errors), (*touches.implied, *rules(20))
    done = solved(touches, used)
    problem = Problem(done.matrix, done.limit, done.least, [])
    n, sent, wanted = 400, np.zeros(len(touches)), np.zeros(len(touches))
    for seed in range(n):  # what is reserved depends on the seed, so each draw is compared with its own propensities
        drawn, how = explored(touches, done.found.chosen, done.found.reduced, problem, swaps, out=None, seed=seed)
        sent += drawn
        wanted += how.propensity
    spread = np.sqrt(np.maximum(wanted * (1 - wanted / n), 1.0))
    assert (np.abs(sent - wanted) / spread).max() < 4.5
    assert sent[wanted == 0].sum() == 0


def test_one_spare_place_is_given_once():
    """Ten people, one each; noon has one place left, so one person alone may be moved there, drawn or not."""
    frame = pd.DataFrame(
        {
            "user_id": [*range(10), *range(10)],
            "item_id": "tea",
            "channel": "push",
            "send_at": [START + pd.Timedelta("9h")] * 10 + [START + pd.Timedelta("12h")] * 10,
            "value": [2.0] * 10 + [1.0] * 10,
        }
    )
    limits = [FrequencyCap(1), Capacity("push", per="1h", limit=10)]
    free = plan(Candidates.from_frame(frame), constraints=limits, explore=0.5)
    assert ((free.exploration.propensity > 0) & ~free.exploration.planned).sum() == 10

    class Noon(Constraint):
        def rows(self, touches):
            late = np.flatnonzero(touches.send_at % 86_400_000_000 == 12 * 3_600_000_000)
            return Rows(np.zeros(late.size, int), late, np.ones(late.size), np.array([1.0]), ("noon",))

    firsts = set()
    for seed in range(40):
        tight = plan(Candidates.from_frame(frame), constraints=[*limits, Noon()], explore=0.9, seed=seed)
        other = np.flatnonzero((tight.exploration.propensity > 0) & ~tight.exploration.planned)
        assert other.size == 1
        assert tight.exploration.propensity[other[0]] == pytest.approx(0.9)
        firsts.add(int(tight.touches.touches.user[other[0]]))
        keeps_all(tight)
    assert len(firsts) > 5  # who may be moved is drawn, too


def test_floors_and_offers_stay():
    class AtLeast(Constraint):
        def rows(self, touches):
            mine = np.flatnonzero(touches.channel == 0)
            one = np.zeros(mine.size, int)
            return Rows(one, mine, np.ones(mine.size), np.array([np.inf]), ("email",), least=np.array([30.0]))

    class OneEach(Constraint):
        def rows(self, touches):
            return Rows.none()

        def choices(self, touches):
            return Choices(touches.user.astype(np.int64), touches.item.astype(np.int64) % 2)

    touches = Candidates.from_frame(week(60, 6, seed=3))
    t = touches.touches
    chosen = np.zeros(len(touches), bool)  # a plan of one touch each: e-mails for half, one offer each
    for person in range(60):
        mine = np.flatnonzero((t.user == person) & (t.channel == (person % 2)))
        chosen[mine[:1]] = True
    rows = [AtLeast().rows(t), FrequencyCap(1).rows(t)]
    least = float((chosen & (t.channel == 0)).sum() - 3)
    from scipy import sparse

    matrix = sparse.vstack(
        [sparse.csr_matrix((r.weight, (r.row, r.touch)), shape=(r.limit.size, len(touches))) for r in rows]
    ).tocsr()
    limit = np.concatenate([r.limit for r in rows])
    problem = Problem(matrix, limit, np.append(least, np.zeros(limit.size - 1)), [OneEach().choices(t)])
    for seed in range(20):
        sent, how = explored(touches, chosen, touches.value, problem, Swaps(share=0.99, by="even"), out=None, seed=seed)
        assert (sent & (t.channel == 0)).sum() >= least
        k = np.flatnonzero((how.instead_of >= 0) & ~how.planned)
        assert k.size > 10
        assert (t.item[k] % 2 == t.item[how.instead_of[k]] % 2).all()
        assert (t.user[k] == t.user[how.instead_of[k]]).all()


def test_with_a_holdout_both_lots_count():
    touches = Candidates.from_frame(week(200))
    made = plan(touches, constraints=rules(200), holdout=0.2, explore=0.3, seed=4)
    frame = made.to_frame()
    assert frame["propensity"].max() == pytest.approx(0.8)
    assert not made.holdout.held[touches.touches.user[made.exploration.propensity > 0]].any()
    assert made.left_out["exploration"] == frame["explored"].sum() > 0
    assert made.left_out["holdout"] > 0
    keeps_all(made)
    assert "0.2 held out, 0.3 explored" in repr(made)


def test_nothing_to_explore():
    """A person with one touch alone has no alternative: it is sent for certain."""
    frame = week(5, 1)
    made = plan(Candidates.from_frame(frame), explore=0.5)
    assert made.to_frame()["propensity"].tolist() == [1.0] * 5
    assert not made.to_frame()["explored"].any()
    none = plan(Candidates.from_frame(frame.iloc[:0]), explore=0.5)
    assert len(none) == 0
    assert none.to_frame().columns.tolist()[-2:] == ["propensity", "explored"]


def test_the_order_of_rows_and_the_seed():
    frame = week(40)
    one, other = (
        plan(Candidates.from_frame(one), constraints=rules(40), explore=0.5, seed=1)
        for one in (frame, frame.sample(frac=1, random_state=0))
    )
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
    again = plan(Candidates.from_frame(frame), constraints=rules(40), explore=0.5, seed=2)
    assert not again.to_frame().equals(one.to_frame())
    later = frame.assign(send_at=frame["send_at"] + pd.Timedelta("7D"))  # next week explores others, with the same seed
    assert not np.array_equal(
        plan(Candidates.from_frame(later), constraints=rules(40), explore=0.5, seed=1).reason, one.reason
    )


def test_by_value_prefers_the_better_and_temperature_matters():
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(50), 3),
            "item_id": np.tile([0, 1, 2], 50),
            "channel": "push",
            "send_at": START,
            "value": np.tile([3.0, 2.0, 0.1], 50),
        }
    )
    touches = Candidates.from_frame(frame)

    def share(swaps):
        made = plan(touches, constraints=[FrequencyCap(1)], explore=swaps)
        chance = made.exploration.propensity[touches.touches.item == 1]
        return chance.mean() / swaps.share

    cold, warm = share(Swaps(share=0.1, temperature=0.05)), share(Swaps(share=0.1, temperature=100.0))
    assert cold == pytest.approx(0.75, abs=0.01)
    assert warm == pytest.approx(0.5, abs=0.01)
    assert share(Swaps(share=0.1, by="even")) == pytest.approx(0.5)
    narrow = Swaps(share=0.1, by="posterior", errors=np.full(150, 0.01))
    assert share(narrow) == pytest.approx(0.75, abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (0.0, "explore must be greater than 0"),
        (1.0, "share must be between 0 and 1, both outside. Got 1. Write share=0.05"),
        ("5%", "explore must be a number"),
        (True, "explore must be a number"),
        (lambda: Swaps(share=0.1, by="best"), "by must be"),
        (lambda: Swaps(share=0.1, by="posterior"), "by='posterior' takes errors="),
        (lambda: Swaps(share=0.1, errors=np.ones(3)), "by='posterior' takes errors="),
        (lambda: Swaps(share=0.1, by="posterior", errors=np.array([1.0, np.nan])), "errors must be finite"),
        (lambda: Swaps(share=0.1, by="posterior", errors=np.ones(3)), "errors has 3 numbers for 40 candidates"),
        (lambda: Swaps(share=0.1, alternatives=0), "alternatives"),
        (lambda: Swaps(share=0.1, temperature=0.0), "temperature"),
    ],
)
def test_what_is_refused(wrong, words):
    with pytest.raises(ParameterError, match=words):
        plan(Candidates.from_frame(week(5)), explore=wrong() if callable(wrong) else wrong)


def test_off_policy_values_the_plan_that_was_explored():
    """The mean response of the planned touches lies in the interval as often as it says, from the log alone."""
    rng = np.random.default_rng(7)
    frame = week(900, 6, seed=5)
    chance = np.clip(0.05 + 0.1 * frame["value"].to_numpy() + rng.normal(0, 0.03, len(frame)), 0.01, 0.9)
    touches = Candidates.from_frame(frame.assign(probability=chance))
    chance = touches.probability
    hits = {"ips": 0, "snips": 0}
    n = 120
    for seed in range(n):
        made = plan(touches, constraints=[FrequencyCap(1)], explore=0.05, seed=seed)
        sent = made.reason == 0
        truth = chance[made.exploration.planned].mean()
        rewards = rng.random(int(sent.sum())) < chance[sent]
        found = om.causal.off_policy(
            om.causal.LoggedDecisions(rewards, made.to_frame()["propensity"], people=made.to_frame()["user_id"]),
            1.0 - made.to_frame()["explored"],
            least_effective=100,
        ).table.set_index("estimator")
        for name in hits:
            hits[name] += bool(found["low"][name] <= truth <= found["high"][name])
    assert min(hits.values()) >= 108, hits  # 120 draws of 0.95: below 108 once in 70 (and all are near 114)
