"""Rules as one problem: floors, offers, conflicts by name, prices to start from, and what stands in a touch's way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omnireco.errors import InfeasibleError, ParameterError
from omnireco.planning import Budget, Candidates, Capacity, Choices, Constraint, FrequencyCap, Rows, plan
from omnireco.planning.plan import Price
from omnireco.planning.solving import solved


def touches(n=12, people=6, seed=0, value=None):
    rng = np.random.default_rng(seed)
    stamps = pd.Timestamp("2025-06-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 48, n), unit="h")
    return Candidates.from_frame(
        pd.DataFrame(
            {
                "user_id": np.arange(n) % people,
                "item_id": np.arange(n) % 3,
                "channel": np.array(["push", "email"], object)[np.arange(n) % 2],
                "send_at": stamps,
                "value": rng.random(n) if value is None else value,
            }
        )
    )


class Volume(Constraint):
    """At least so many touches of an item."""

    def __init__(self, item, least):
        self.item, self.least = item, least

    def rows(self, touches):
        touch = np.flatnonzero(touches.item == self.item)
        return Rows(np.zeros_like(touch), touch, np.ones(touch.size), np.array([np.inf]), (f"campaign {self.item}",),
                    least=np.array([float(self.least)]))  # fmt: skip


class OneOffer(Constraint):
    """One item per segment of people."""

    def __init__(self, segments=1, group=None):
        self.segments, self.group = segments, group

    def rows(self, touches):
        return Rows.none()

    def choices(self, touches):
        if self.group is not None:
            return self.group(touches)
        return Choices(touches.user.astype(np.int64) % self.segments, touches.item.astype(np.int64))


def test_a_floor_sends_what_is_worth_nothing_and_no_more_than_it_must():
    found = touches(value=np.where(np.arange(12) % 3 == 1, -1.0, 1.0))
    answer = solved(found, (Volume(1, 2),))
    sent = answer.found.chosen
    assert (found.touches.item[sent] == 1).sum() == 2
    assert answer.found.value == pytest.approx(8.0 - 2.0)
    assert answer.found.price[0] == pytest.approx(-1.0)  # one less to send is worth 1
    (line,) = answer.prices((Volume(1, 2),))
    assert line == ("Volume", "campaign 1", 2.0, np.inf, pytest.approx(-1.0), 2.0)


def test_floors_that_cannot_be_met_are_named_with_what_stands_against_them():
    found = touches()
    with pytest.raises(InfeasibleError, match=r"Volume, campaign 1 \(at least 9\)") as error:
        plan(found, constraints=[Volume(1, 9), Capacity("push", per="1D", limit=50)])
    assert "this floor cannot be met" in str(error.value)
    assert "Capacity" not in str(error.value)  # it has nothing to do with it
    with pytest.raises(InfeasibleError, match=r"campaign 1 \(at least 3\).*") as error:
        plan(found, constraints=[Volume(1, 3), FrequencyCap(0, per="7D"), Budget("email", cost=1.0, total=4.0)])
    assert "FrequencyCap(0, per='7D') (" in str(error.value)
    assert "of single people" in str(error.value)
    assert "Budget" not in str(error.value)
    plan(found, constraints=[FrequencyCap(0, per="7D"), Budget("email", cost=1.0, total=4.0)])  # the advice


def test_people_held_out_meet_no_floor():
    found = touches()
    out = np.isin(found.touches.user, [0, 1, 2, 3])
    with pytest.raises(InfeasibleError):
        solved(found, (Volume(1, 4),), out=out)
    sent = solved(found, (Volume(1, 1),), out=out).found.chosen
    assert not (sent & out).any()


@pytest.mark.parametrize("segments", [1, 2, 6])
def test_a_segment_gets_one_offer_and_the_rule_is_the_reason_for_the_others(segments):
    found = touches()
    answer = solved(found, (OneOffer(segments),))
    sent = answer.found.chosen
    for segment in range(segments):
        mine = found.touches.user % segments == segment
        assert np.unique(found.touches.item[sent & mine]).size == 1
        best = max(found.value[mine & (found.touches.item == item)].sum() for item in range(3))
        assert found.value[sent & mine].sum() == pytest.approx(best)
    assert (answer.block[~sent] == 0).all()


def test_person_and_segment_may_both_have_one_offer():
    found = touches()
    answer = solved(found, (OneOffer(1), OneOffer(6)))
    assert np.unique(found.touches.item[answer.found.chosen]).size == 1


@pytest.mark.parametrize(
    ("group", "what"),
    [
        (lambda t: [1, 2], "must return Choices or None. Got list"),
        (lambda t: Choices(t.user[:3], t.item[:3]), "one entry per touch, 12"),
        (lambda t: Choices(t.user * 0.5, t.item), "must be whole numbers"),
        (lambda t: Choices(t.user, t.item - 1), "a touch of a group has no option"),
    ],
)
def test_malformed_choices_are_refused(group, what):
    with pytest.raises(ParameterError, match=rf"OneOffer.choices.*{what}"):
        solved(touches(), (OneOffer(group=group),))


def test_touches_without_an_offer_are_never_held_back():
    found = touches()
    answer = solved(found, (OneOffer(group=lambda t: Choices(np.full(len(t), -1), np.full(len(t), -1))),))
    assert answer.found.chosen.all()
    assert repr(Choices(np.array([0, 0, -1]), np.array([1, 2, -1]))) == "Choices(3 touches, 1 group, 2 options)"


def test_a_rate_lets_touches_give_room_to_others():
    class Complaints(Constraint):
        def rows(self, touches):
            every = np.arange(len(touches))
            return Rows(every * 0, every, np.where(every % 2 == 0, 0.5, -0.25), np.array([0.0]), ("complaints",))

    found = touches()
    answer = solved(found, (Complaints(),))
    sent = np.flatnonzero(answer.found.chosen)
    assert (sent % 2 == 1).sum() == 6
    assert (sent % 2 == 0).sum() == 3  # 6 quarters pay for 3 halves


def test_yesterdays_prices_are_found_by_row_then_by_hour_then_by_constraint():
    found, rule = touches(n=200, people=50), Capacity("push", per="1h", limit=1)
    first = solved(found, (rule,))
    lines = [Price(*line[:5]) for line in first.prices((rule,))]
    moved = [Price(p.constraint, p.row.replace("2025-06-0", "2025-05-2"), p.used, p.limit, p.price) for p in lines]
    for warm in (lines, moved, []):
        again = solved(found, (rule,), warm=warm)
        assert (again.found.chosen == first.found.chosen).all()
        assert again.found.bound == pytest.approx(first.found.bound)


def test_a_plan_to_start_from_is_never_lost():
    found = touches(n=60, people=20)
    rules = (FrequencyCap(1, per=None),)
    before = solved(found, rules).found
    after = solved(found, (FrequencyCap(2, per=None),), start=before.chosen).found
    assert after.value >= before.value


def test_reduced_values_are_values_less_prices():
    found = touches(n=60, people=20)
    answer = solved(found, (FrequencyCap(1, per=None), Budget("push", cost=1.0, total=5.0)))
    assert answer.found.reduced == pytest.approx(found.value - answer.matrix.T @ answer.found.price)
    assert (answer.found.reduced[answer.found.chosen] >= -1e-9).all()
    assert (answer.found.reduced[~answer.found.chosen] <= 1e-9).all()


def test_plans_of_one_budget_are_the_path_of_the_multi_armed_qini_curve():
    """Arms of a person are alternatives of different cost: at each corner of the hull the plan is the path."""
    from omnireco._kernels.hull import hull_steps

    rng = np.random.default_rng(5)
    reward, cost = rng.random((40, 3)), np.array([1.0, 2.0, 3.0])
    steps = hull_steps(reward, cost[None, :])
    extra = cost[steps.after] - np.where(steps.before < 0, 0.0, cost[steps.before])
    gain = reward[steps.unit, steps.after] - np.where(steps.before < 0, 0.0, reward[steps.unit, steps.before])

    class Spend(Constraint):
        def __init__(self, total):
            self.total = total

        def rows(self, touches):
            every = np.arange(len(touches))
            return Rows(every * 0, every, cost[touches.item], np.array([self.total]), ("spend",))

    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(40), 3),
            "item_id": np.tile(np.arange(3), 40),
            "channel": "email",
            "send_at": pd.Timestamp("2025-06-01", tz="UTC"),
            "value": reward.ravel(),
        }
    )
    found = Candidates.from_frame(frame)
    for at in (1, 5, 20, extra.size):
        total = float(extra[:at].sum())
        best = plan(found, constraints=[Spend(total), FrequencyCap(1, per=None)])
        assert best.value == pytest.approx(gain[:at].sum(), rel=1e-9)
        assert best.optimality_gap < 1e-8


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_large_plan_does_not_depend_on_threads(threads):
    from omnireco._kernels.packing import solve

    found = touches(n=4_000, people=900, seed=3)
    rules = (FrequencyCap(2, per="24h"), Capacity("push", per="1h", limit=20), Budget("email", cost=1.0, total=300.0))
    one = solved(found, rules)
    users = found.touches.user
    answer = solve(found.value, one.matrix, one.limit, block=users, linear_touches=0, threads=threads)
    again = solve(found.value, one.matrix, one.limit, block=users, linear_touches=0, threads=1)
    assert answer.chosen.tobytes() == again.chosen.tobytes()
    assert answer.price.tobytes() == again.price.tobytes()
    assert answer.bound == again.bound
    assert answer.gap < 2e-3
    warm = solve(found.value, one.matrix, one.limit, block=users, linear_touches=0, prices=answer.price)
    assert warm.gap < 2e-3


def test_a_floor_that_only_the_holdout_makes_impossible_says_so():
    made = touches(n=200, people=100, value=1.0)
    many = (made.touches.item == 1).sum()
    assert plan(made, constraints=[Volume(1, many)]).exact
    with pytest.raises(InfeasibleError, match=r"with these people held out .* campaign 1 .*holdout=0\.05"):
        plan(made, constraints=[Volume(1, many)], holdout=0.3)
    with pytest.raises(InfeasibleError, match="no plan meets all floors"):
        plan(made, constraints=[Volume(1, many), Budget("push", cost=1.0, total=1.0)], holdout=0.3)


class Heads(Constraint):
    """At most one message for every two people there are, and one and the same kind of item each."""

    def rows(self, touches):
        every, people = np.arange(len(touches)), np.unique(touches.user).size
        return Rows(np.zeros(every.size, int), every, np.ones(every.size), np.array([people / 2]), ("heads",))

    def choices(self, touches):
        return Choices(touches.user.astype(np.int64), touches.item.astype(np.int64))


def test_people_held_out_are_nobody_to_a_rule():
    made = touches(n=200, people=100, value=1.0)
    found = plan(made, constraints=[Heads()], holdout=0.3)
    there = 100 - int(found.holdout.held.sum())
    assert len(found) == there // 2
    assert found.rows[0].limit == there / 2
    assert not (found.reason[found.holdout.held[made.touches.user]] == 0).any()
