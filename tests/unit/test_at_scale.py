"""Very many people are planned without a matrix: the same limits, reasons and proof as with one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omnireco._core.compute import always_compiled
from omnireco._kernels.packing.lean import Placed, solve_people, windows_of
from omnireco._kernels.packing.lean.windows import own_rows
from omnireco.data import Dataset, MessageLog
from omnireco.planning import Budget, Candidates, Capacity, Constraint, FrequencyCap, OncePerItem, Rows, plan
from omnireco.planning.assembling import order_of
from omnireco.planning.solving import whole
from omnireco.planning.solving.at_scale import at_scale

CHANNELS = np.array(["email", "push", "sms"], object)


def week(n_people=300, each=12, seed=0, names=None):
    rng = np.random.default_rng(seed)
    n = n_people * each
    hour = rng.integers(0, 60, n)
    return pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_people) if names is None else names, each),
            "item_id": rng.integers(0, 40, n),
            "channel": CHANNELS[rng.integers(0, 3, n)],
            "send_at": pd.Timestamp("2025-06-02", tz="UTC") + pd.to_timedelta(hour, unit="h"),
            "value": np.round(rng.gamma(1.0, 1.0, n) - 0.2, 6),
        }
    )


def rules(n_people=300):
    return [
        Budget(["sms", "push"], cost={"sms": 0.07, "push": 0.02}, total=0.01 * n_people),
        FrequencyCap(3, per="7D"),
        Budget("email", cost=0.01, total=0.002 * n_people),
        Capacity("push", per="1h", limit=2),
        Capacity("email", per="6h", limit=30),
        FrequencyCap(2, per=None),
    ]


@pytest.fixture
def large(monkeypatch):
    """Take the road of very many people, however few they are."""
    monkeypatch.setattr(whole, "LINEAR_TOUCHES", 0)
    with always_compiled():
        yield


WITHIN = [
    OncePerItem(),
    FrequencyCap(1, per="4h"),
    FrequencyCap(3, per="2D"),
    FrequencyCap(2, per="3D", channels=["sms", "push"]),
    FrequencyCap(1, per=None, channels="sms"),
    FrequencyCap(4, per=None),
]


def with_past(n_people, seed=0, each=14):
    """Return touches beside messages of the days before and of the days that are planned."""
    rng = np.random.default_rng(100 + seed)
    size = n_people
    sent_at = pd.Timestamp("2025-06-02", tz="UTC") + pd.to_timedelta(rng.integers(-90, 70, size), unit="h")
    past = pd.DataFrame(
        {
            "user_id": rng.integers(0, n_people, size),
            "channel": CHANNELS[rng.integers(0, 3, size)],
            "sent_at": sent_at,
            "responded_at": pd.Series([None] * size, dtype="datetime64[us, UTC]"),
        }
    )
    frame = week(n_people, each, seed).assign(item_id=lambda f: f["item_id"] % 4)
    return Candidates.from_frame(frame, Dataset(messages=MessageLog.from_frame(past)))


def both(monkeypatch, touches, used, **more):
    monkeypatch.setattr(whole, "LINEAR_TOUCHES", 10**9)
    few = plan(touches, constraints=used, **more)
    monkeypatch.setattr(whole, "LINEAR_TOUCHES", 0)
    return few, plan(touches, constraints=used, **more)


@pytest.mark.parametrize("seed", range(4))
def test_limits_are_kept_and_the_bounds_meet(monkeypatch, seed):
    touches = Candidates.from_frame(week(seed=seed))
    few, many = both(monkeypatch, touches, rules())
    assert many.value <= many.bound * (1 + 1e-12)
    assert many.value <= few.bound * (1 + 1e-9)
    assert few.value <= many.bound * (1 + 1e-9)
    assert many.optimality_gap < 0.01
    assert many.bound <= few.bound * 1.01
    sent = many.to_frame()
    assert sent.groupby("user_id").size().max() <= 2
    money = sent["channel"].map({"sms": 0.07, "push": 0.02, "email": 0.0}).sum()
    assert money <= 3.0 + 1e-9
    assert 0.01 * (sent["channel"] == "email").sum() <= 0.6 + 1e-9
    push = sent[sent["channel"] == "push"]
    assert push.groupby("send_at").size().max() <= 2


def test_equal_to_the_exact_plan_where_limits_do_not_bind_together(monkeypatch):
    touches = Candidates.from_frame(week())
    used = [FrequencyCap(2, per=None), Budget("email", cost=1.0, total=10**6)]
    few, many = both(monkeypatch, touches, used)
    np.testing.assert_array_equal(few.reason, many.reason)
    assert few.reasons == many.reasons
    assert many.value == pytest.approx(few.value, rel=1e-12)
    for one, other in zip(few.rows, many.rows, strict=True):
        assert (one.constraint, one.row, one.used, one.limit) == (other.constraint, other.row, other.used, other.limit)


def test_use_limits_and_reasons_are_what_the_plan_does(monkeypatch):
    touches = Candidates.from_frame(week(seed=2))
    few, many = both(monkeypatch, touches, rules())
    sent = many.reason == 0
    have = np.bincount(touches.touches.user)
    got = np.bincount(touches.touches.user[sent], minlength=have.size)
    lines = {(row.constraint, row.row): row for row in many.rows}
    assert list(lines) == [(row.constraint, row.row) for row in few.rows]
    for n, name in ((3, "FrequencyCap(3, per='7D')"), (2, "FrequencyCap(2, per=None)")):
        line = lines[name, "each person"]
        assert (line.used, line.limit) == (got[have > n].sum(), n * (have > n).sum())
    assert lines["Budget('email')", "email"].used == pytest.approx(0.01 * (touches.touches.channel[sent] == 0).sum())
    assert many.reduced is not None
    assert (many.reduced <= touches.value + 1e-12).all()
    full = got >= 2
    capped = many.reason == 3 + 5
    assert full[touches.touches.user[capped]].all()
    assert set(np.unique(many.reason)) <= set(range(9))
    assert (many.reason[touches.value <= 0] == 1).all()


def test_the_currency_and_names_of_people_change_nothing(large):
    frame = week(seed=3)
    names = np.random.default_rng(1).permutation(300)
    one = plan(Candidates.from_frame(frame), constraints=rules())
    other = plan(
        Candidates.from_frame(frame.assign(user_id=names[frame["user_id"]], value=frame["value"] * 100)),
        constraints=rules(),
    )
    assert other.value == pytest.approx(100 * one.value, rel=1e-12)
    columns = ["user_id", "item_id", "channel", "send_at"]
    mine = one.to_frame()[columns].assign(user_id=lambda f: names[f["user_id"]])
    pd.testing.assert_frame_equal(
        mine.sort_values(columns).reset_index(drop=True),
        other.to_frame()[columns].sort_values(columns).reset_index(drop=True),
    )


def test_threads_change_nothing(large):
    touches = Candidates.from_frame(week(seed=4))
    answers = [at_scale(touches, rules(), {}, threads=k).found for k in (1, 2, 5)]
    for other in answers[1:]:
        np.testing.assert_array_equal(other.chosen, answers[0].chosen)
        np.testing.assert_array_equal(other.price, answers[0].price)
        assert other.bound == answers[0].bound


def test_held_out_people_get_nothing(large):
    found = plan(Candidates.from_frame(week()), constraints=rules(), holdout=0.3)
    held = found.holdout.held[found.touches.touches.user]
    assert not (found.reason[held] == 0).any()
    assert (found.reason == 0).any()
    assert found.reasons[found.reason[held][0]] == "holdout"


def test_a_looser_limit_never_lowers_the_value(large):
    found = plan(Candidates.from_frame(week(seed=5)), constraints=rules())
    wider = found.with_limit(FrequencyCap(3, per=None), instead_of="FrequencyCap(2, per=None)")
    assert wider.after.value >= found.value


class Few(Constraint):
    """At most two of the touches of each item, without labels: rows that the road without a matrix does not know."""

    def rows(self, touches):
        n = len(touches.items)
        return Rows(touches.item.astype(np.int64), np.arange(len(touches)), np.ones(len(touches)), np.full(n, 2.0))


class Twice(Constraint):
    """A row in which each touch stands twice."""

    def rows(self, touches):
        both = np.tile(np.arange(len(touches)), 2)
        return Rows(np.zeros(both.size, int), both, np.ones(both.size), np.array([9.0]), ("all",))


class Least(Constraint):
    """A floor."""

    def rows(self, touches):
        every = np.arange(len(touches))
        return Rows(np.zeros(every.size, int), every, np.ones(every.size), np.array([50.0]), ("all",),
                    least=np.array([5.0]))  # fmt: skip


class Shrinking(FrequencyCap):
    """A cap with rows of its own."""

    def rows(self, touches):
        return Few().rows(touches)


class Never(OncePerItem):
    """Once per item, with rows of its own."""

    def rows(self, touches):
        return Few().rows(touches)


@pytest.mark.parametrize("rule", [Few(), Twice(), Least(), Shrinking(3), Never()])
def test_other_rules_take_the_road_with_a_matrix(large, rule):
    touches = Candidates.from_frame(week(60))
    known = {}
    assert at_scale(touches, [Budget("sms", cost=0.07, total=1.0), rule], known) is None
    assert 0 in known
    made = plan(touches, constraints=[Budget("sms", cost=0.07, total=1.0), rule])
    assert 0 < made.value <= made.bound


def test_rows_of_people_are_those_of_the_rules():
    """Made person by person they say what the rules' own rows say: the same touches together, the same limits."""
    touches, used = with_past(40, seed=11), [*WITHIN[:-1], FrequencyCap(2, per="7h")]
    t = touches.touches
    start = np.concatenate([[0], np.cumsum(np.bincount(t.user, minlength=len(t.users)))])
    order = np.argsort(t.user, kind="stable")
    for rule in used:
        windows = windows_of(t.send_at, [rule._in_windows(t)], len(t.users))
        own = own_rows(windows, start, order, np.arange(len(t.users)), None)
        rows = rule.rows(t)
        theirs = {(frozenset(rows.touch[rows.row == i].tolist()), rows.limit[i]) for i in range(rows.limit.size)}
        if own is None:
            assert not theirs
            continue
        entry = np.repeat(np.arange(order.size), np.diff(own.start))
        number = own.first[t.user[order[entry]]] + own.row
        mine = {(frozenset(order[entry[number == i]].tolist()), own.limit[i]) for i in range(own.limit.size)}
        assert mine == theirs, rule


@pytest.mark.parametrize("seed", range(6))
def test_windows_of_people_are_kept_and_the_bounds_meet(monkeypatch, seed):
    touches = with_past(150, seed=seed)
    rng = np.random.default_rng(seed)
    used = [WITHIN[i] for i in rng.permutation(len(WITHIN))[: rng.integers(1, len(WITHIN) + 1)]]
    shared = [] if seed == 0 else rules(150)[:1] + rules(150)[2:5]
    few, many = both(monkeypatch, touches, [*used, *shared])
    assert many.value <= many.bound * (1 + 1e-12)
    assert many.value <= few.bound * (1 + 1e-9)
    assert few.value <= many.bound * (1 + 1e-9)
    assert many.bound <= few.bound * 1.01 + 1e-9
    assert many.optimality_gap < (1e-9 if seed == 0 else 0.02)
    sent = (many.reason == 0).astype(float)
    for rule in used:
        rows = rule.rows(touches.touches)
        assert (np.bincount(rows.row, sent[rows.touch], rows.limit.size) <= rows.limit + 1e-9).all()
    for one, other in zip(few.rows, many.rows, strict=True):
        assert (one.constraint, one.row, one.limit) == (other.constraint, other.row, other.limit)
    if seed == 0:
        assert many.value == pytest.approx(few.value, rel=1e-9)


def test_what_stands_in_the_way_of_a_touch_is_full(large):
    touches = with_past(150, seed=3)
    found = plan(touches, constraints=WITHIN)
    sent, t = (found.reason == 0).astype(float), touches.touches
    for number, rule in enumerate(found.constraints):
        rows = rule.rows(t)
        full = np.bincount(rows.row, sent[rows.touch], rows.limit.size) >= rows.limit
        behind = np.unique(rows.touch[full[rows.row]])
        assert np.isin(np.flatnonzero(found.reason == 3 + number), behind).all()
    assert (found.reduced <= touches.value + 1e-12).all()


def test_windows_know_no_names_threads_or_currency(large):
    frame = week(200, seed=3).assign(value=lambda f: f["value"].round(1))  # many are alike
    names = np.random.default_rng(1).permutation(200)
    items = np.random.default_rng(2).permutation(40)
    used = [OncePerItem(), FrequencyCap(1, per="4h"), *rules(200)[:2]]
    one = plan(Candidates.from_frame(frame), constraints=used)
    other = plan(
        Candidates.from_frame(
            frame.assign(
                user_id=names[frame["user_id"]], item_id=items[frame["item_id"]], value=frame["value"] * 100
            ).sample(frac=1.0, random_state=1)
        ),
        constraints=used,
    )
    assert other.value == pytest.approx(100 * one.value, rel=1e-12)
    touches = Candidates.from_frame(frame)
    answers = [at_scale(touches, used, {}, threads=k) for k in (1, 2, 5)]
    for again in answers[1:]:
        np.testing.assert_array_equal(again.found.chosen, answers[0].found.chosen)
        np.testing.assert_array_equal(again.found.reduced, answers[0].found.reduced)
        assert again.found.bound == answers[0].found.bound


def test_windows_a_holdout_and_a_plan_to_start_from(large):
    touches = with_past(100, seed=5)
    found = plan(touches, constraints=WITHIN, holdout=0.3)
    held = found.holdout.held[touches.touches.user]
    assert not (found.reason[held] == 0).any()
    wider = found.with_limit(FrequencyCap(4, per="2D"), instead_of="FrequencyCap(3, per='2D')")
    assert wider.after.value >= found.value
    assert found.with_limit(FrequencyCap(0, per="4h"), instead_of="FrequencyCap(1, per='4h')").after.value == 0.0


def test_a_window_that_holds_all_is_a_cap_and_messages_of_the_past_count():
    frame = week(20)
    past = pd.DataFrame(
        {
            "user_id": [0, 0, 1],
            "channel": "email",
            "sent_at": pd.to_datetime(["2025-06-01", "2025-05-31", "2025-05-20"], utc=True),
            "responded_at": pd.Series([None] * 3, dtype="datetime64[us, UTC]"),
        }
    )
    touches = Candidates.from_frame(frame, Dataset(messages=MessageLog.from_frame(past))).touches
    cap = FrequencyCap(2, per="7D")._each_person(touches)
    assert cap[:3].tolist() == [0, 2, 2]  # two of user 0 in the last days; that of user 1 is too long ago
    rows = FrequencyCap(2, per="7D").rows(touches)
    limit = rows.limit[rows.row[touches.user[rows.touch] == 0]]
    assert (limit == 0).all()
    assert FrequencyCap(2, per="2D")._each_person(touches) is None


def test_rows_wider_than_the_places_are_refused_by_the_arrays():
    placed = Placed(3)
    for _ in range(8):
        assert placed.add(np.zeros(3, int), np.arange(3), np.ones(3), np.ones(1))
    assert not placed.add(np.zeros(3, int), np.arange(3), np.ones(3), np.ones(1))


def test_nobody_and_nothing_to_share():
    empty = solve_people(np.empty(0), np.empty(0, np.int32), Placed(0), np.empty(0, np.int64))
    assert (empty.value, empty.bound, empty.chosen.size) == (0.0, 0.0, 0)
    value = np.array([3.0, 1.0, -1.0, 2.0])
    alone = solve_people(value, np.array([0, 0, 0, 1]), Placed(4), np.array([1, 5]))
    assert alone.chosen.tolist() == [True, False, False, True]
    assert alone.bound == pytest.approx(5.0)
    assert alone.person.tolist() == [1.0, 0.0]


def test_a_person_of_very_many_touches(large):
    frame = week(3, each=200)
    found = plan(Candidates.from_frame(frame), constraints=[FrequencyCap(4, per=None), *rules(3)[:1]])
    assert found.to_frame().groupby("user_id").size().max() <= 4
    assert found.value <= found.bound


@pytest.mark.parametrize("unit", ["min", "us"])
def test_touches_stand_in_the_order_of_their_keys_however_they_are_sorted(unit):
    rng = np.random.default_rng(0)
    n = 4_000
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 50, n),
            "item_id": rng.integers(0, 3, n),
            "channel": CHANNELS[rng.integers(0, 2, n)],
            "send_at": pd.Timestamp("2025-06-02", tz="UTC") + pd.to_timedelta(rng.integers(0, 9, n), unit=unit),
            "creative_id": CHANNELS[rng.integers(0, 2, n)],
            "value": rng.integers(1, 4, n).astype(float),
        }
    )
    made = Candidates.from_frame(frame)
    t = made.touches
    keys = [made.value, made.labels["creative_id"][1], t.item, t.channel, t.user, t.send_at]
    np.testing.assert_array_equal(np.lexsort(keys), np.arange(n))
    wide = t.take(np.arange(n)[::-1])
    object.__setattr__(wide, "send_at", wide.send_at * 2**10)  # too far apart for one number
    some = np.flatnonzero(rng.random(n) < 0.5)
    for touches in (wide, t):
        mine = [made.value, touches.item, touches.channel, touches.user, touches.send_at]
        expected = np.lexsort([key[some] for key in mine])
        np.testing.assert_array_equal(order_of(touches, some, [made.value]), expected)
