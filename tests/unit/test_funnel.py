"""Funnels by hand, on people whose steps are known."""

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.journeys import funnel

START = pd.Timestamp("2025-01-01", tz="UTC")
STEPS = {"looked": "view", "reserved": ("reserve", "app"), "bought": [("purchase", "store"), ("purchase", "web")]}


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "hour", "event", "channel"])
    at = START + pd.to_timedelta(frame.pop("hour"), unit="h")
    return om.EventLog.from_frame(frame.assign(item_id="shoe", timestamp=at))


def ten_people():
    rows = []
    for person in range(10):
        rows.append((person, 0, "view", "web" if person < 6 else "app"))
        if person < 8:
            rows.append((person, 10, "reserve", "app"))
        if person < 5:
            rows.append((person, 34, "purchase", "store"))
    rows += [(3, 5, "reserve", "web"), (9, 2, "purchase", "store")]  # another channel; out of order
    return log_of(rows)


def test_steps_on_different_channels_by_hand():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-02-01", k=1)
    table = found.table.set_index("step")
    assert table["people"].tolist() == [10, 8, 5]
    np.testing.assert_allclose(table["share"], [1, 0.8, 0.625])
    np.testing.assert_allclose(table["share_of_start"], [1, 0.8, 0.5])
    np.testing.assert_allclose(table["median_hours"], [np.nan, 10, 24])
    assert table["lost"].tolist() == [2, 3, 0]
    assert table["stuck"].tolist() == [0, 0, 0]
    assert found.waiting.empty
    by = found.channels.set_index(["step", "channel"])["attempts"]
    assert (by["looked", "web"], by["looked", "app"], by["bought", "store"]) == (6, 4, 5)


def test_people_who_still_have_time_are_stuck_and_in_no_share():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-01-01T20:00:00+00:00", k=1)
    table = found.table.set_index("step")
    assert table["stuck"].tolist() == [2, 8, 0]
    assert np.isnan(table.loc["bought", "share"])
    assert set(found.waiting["step"]) == {"looked", "reserved"}
    assert found.waiting["hours"].iloc[0] == 20


def test_cells_of_few_people_are_left_out():
    found = funnel(ten_people(), STEPS, within="5D", at="2025-02-01", k=6)
    assert found.table.set_index("step").loc["bought", "people":"median_hours"].isna().all()
    assert set(found.channels["attempts"]) <= {6, 8}
    assert np.isnan(found.table.set_index("step").loc["looked", "lost"])


def test_somebody_may_try_again():
    rows = [(1, 0, "view", "web"), (1, 1, "purchase", "web"), (1, 50, "view", "web"), (1, 51, "purchase", "store")]
    rows += [(2, 0, "view", "web"), (2, 30 * 24, "view", "web"), (2, 30 * 24 + 1, "purchase", "web")]
    found = funnel(log_of(rows), {"looked": "view", "bought": "purchase"}, within="2D", at="2025-03-01", k=1)
    assert found.table["attempts"].tolist() == [4, 3]
    assert found.table["people"].tolist() == [2, 2]


def test_the_first_step_counts_before_the_second_at_one_instant_only_in_order():
    rows = [(1, 0, "purchase", "web"), (1, 1, "view", "web")]
    found = funnel(log_of(rows), {"looked": "view", "bought": "purchase"}, within="2D", at="2025-03-01", k=1)
    assert found.table["attempts"].tolist() == [1, 0]


def test_attempts_of_one_item():
    frame = pd.DataFrame(
        {"user_id": 1, "item_id": ["a", "b", "b"], "event": ["view", "view", "purchase"], "channel": "web"}
    )
    frame["timestamp"] = START + pd.to_timedelta([0, 1, 2], unit="h")
    steps = {"looked": "view", "bought": "purchase"}
    log = om.EventLog.from_frame(frame)
    assert funnel(log, steps, at="2025-03-01", k=1).table["attempts"].tolist() == [1, 1]
    assert funnel(log, steps, at="2025-03-01", k=1, same_item=True).table["attempts"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"looked": "view"}, "two names or more"),
        (["view", "purchase"], "two names or more"),
        ({"looked": "view", "bought": "purchas"}, "Did you mean 'purchase'"),
        ({"looked": ("view", "shop"), "bought": "purchase"}, "the channel of 'looked'"),
        ({"looked": 3, "bought": "purchase"}, "must be an event"),
    ],
)
def test_steps_that_nothing_has_are_refused(steps, words):
    with pytest.raises(ParameterError, match=words):
        funnel(ten_people(), steps)


def test_it_runs_in_one_look_per_attempt_on_many_people():
    data = om.simulate(n_users=300, n_items=20, days=60, seed=2).dataset()
    found = funnel(data, {"looked": "view", "cart": "add_to_cart", "bought": "purchase"}, within="7D")
    table = found.table
    assert (table["people"].diff().dropna() <= 0).all()
    assert ((table["low"] <= table["share"]) | table["low"].isna()).all()


def facts(table, cells):
    """Return what a funnel's table tells, as rows of coefficients of attempts that ended (step, lost or stuck)."""
    steps, rows = len(table), []
    row = {cell: place for place, cell in enumerate(cells)}

    def of(wanted):
        line = np.zeros(len(cells))
        line[[row[cell] for cell in cells if wanted(*cell)]] = 1.0
        return line

    for step, line in table.iterrows():
        reach = of(lambda s, o, step=step: s >= step)
        if not np.isnan(line["attempts"]):
            rows.append(reach)
        if step < steps - 1 and not np.isnan(line["lost"]):
            rows.append(of(lambda s, o, step=step: (s, o) == (step, 0)))
        if step < steps - 1 and not np.isnan(line["stuck"]):  # of people, mostly with one attempt each
            rows.append(of(lambda s, o, step=step: (s, o) == (step, 1)))
        if step and not np.isnan(line["share"]):
            rows.append(reach - line["share"] * (reach + of(lambda s, o, step=step: (s, o) == (step - 1, 0))))
        if step and not np.isnan(line["share_of_start"]):
            begun = of(lambda s, o, step=step: s >= step or o == 0)
            rows.append(reach - line["share_of_start"] * begun)
    return np.array(rows) if rows else np.zeros((1, len(cells)))


@pytest.mark.parametrize("seed", range(25))
def test_no_group_of_few_people_follows_from_what_is_shown(seed):
    """Every set of endings that the table determines is nobody, or at least five people."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 120))
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, n, 3 * n),
            "item_id": "pan",
            "channel": rng.choice(["app", "web"], 3 * n),
            "event": rng.choice(
                ["a", "b", "c"], 3 * n, p=[[0.4, 0.35, 0.25], [0.8, 0.1, 0.1], [0.34, 0.33, 0.33]][seed % 3]
            ),
            "timestamp": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(rng.random(3 * n) * 60, unit="D"),
        }
    )
    steps = {"one": "a", "two": "b", "three": "c"}
    found = om.journeys.funnel(frame, steps, within="12D")
    log = om.EventLog.from_frame(frame)
    from omnireco.journeys.funnel import _attempts, _steps

    names, masks = _steps(log, steps)
    _, reached = _attempts(log, masks, log.user.astype(np.int64), 12 * 86_400_000_000)
    depth = (reached != -1).sum(axis=1) - 1
    begun = np.take(log.at, reached[:, 0])
    stuck = (begun + 12 * 86_400_000_000 > log.end_us) & (depth < 2)
    user = log.user[reached[:, 0]]
    cells = [(s, o) for s in range(3) for o in (0, 1) if ((depth == s) & (stuck == o)).any()]
    space = facts(found.table, cells)
    rank = np.linalg.matrix_rank(space, tol=1e-9)
    for many in range(1, len(cells) + 1):
        for some in itertools.combinations(range(len(cells)), many):
            line = np.zeros(len(cells))
            line[list(some)] = 1.0
            if np.linalg.matrix_rank(np.vstack([space, line]), tol=1e-9) > rank:
                continue
            inside = np.any([(depth == cells[c][0]) & (stuck == cells[c][1]) for c in some], axis=0)
            assert np.unique(user[inside]).size >= 5, [cells[c] for c in some]
    reach = [np.unique(user[depth >= step]).size for step in range(3)]
    shown = found.table["people"].dropna()
    gaps = -np.diff([*shown.to_numpy(), 0.0]) if len(shown) else np.array([])
    assert ((gaps == 0) | (gaps >= 5)).all()
    assert all(shown.loc[step] == reach[step] for step in shown.index)
    by_step = found.channels.groupby("step")["attempts"].sum()
    for step, name in enumerate(names):
        left = found.table["attempts"][step] - by_step.get(name, 0)
        assert np.isnan(left) or left == 0 or left >= 5


def test_the_repr_tells_no_count_of_few_people():
    import pandas as pd

    import omnireco as om

    rows = [
        (user, event, hour) for user in range(40) for event, hour in (("view", 0), ("purchase", 3)) if user or not hour
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "event", "hour"]).assign(channel="web", item_id="x")
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(frame["hour"], unit="h")
    found = om.journeys.funnel(om.Dataset(frame.assign(timestamp=at)), {"looked": "view", "bought": "purchase"})
    assert len(found.waiting) == 1
    assert "fewer than 5 people waiting" in repr(found)
