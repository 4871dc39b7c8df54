"""Does the web take from the branch? Worlds with a planted answer, and worlds in which the comparison is unfair."""

import contextlib

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import displacement
from omnireco.errors import EmptyError, ParameterError

START = pd.Timestamp("2025-01-01", tz="UTC")


def world(effect=0.0, trend=0.0, seed=0, n=800, periods=8):
    """Purchases in the shop per week; people begin to use the web at another week each, or never.

    ``effect`` is added from the first use on and grows; ``trend`` makes those who begin soon buy less and less anyway.
    """
    rng = np.random.default_rng(seed)
    begins = rng.integers(2, periods + 6, n)
    rate = rng.gamma(4.0, 0.5, n)
    rows = []
    for person in range(n):
        rows.append((person, rng.uniform(0, 6.9), "store", "visit"))
        for week in range(periods):
            since = week - begins[person]
            r = rate[person] + 0.1 * week + (effect * (0.6 + 0.1 * since) if since >= 0 else 0.0)
            r += trend * max(0, week - begins[person] + 4)
            rows += [
                (person, 7 * week + day, "store", "purchase") for day in rng.uniform(0, 7, rng.poisson(max(0.0, r)))
            ]
        if begins[person] < periods:
            rows.append((person, 7 * begins[person] + 0.01, "web", "view"))
    rows += [(0, 0.0, "store", "visit"), (0, 7.0 * periods, "store", "visit")]
    frame = pd.DataFrame(rows, columns=["user_id", "day", "channel", "event"])
    at = START + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("s")
    return om.EventLog.from_frame(frame.assign(item_id="a", timestamp=at))


def study(log, **given):
    return displacement(log, channel="web", on="store", period="7D", **given)


def test_what_the_web_takes_is_found_and_grows():
    found = study(world(effect=-1.0))
    assert found.refused == ""
    assert found.high < 0
    table = found.table.set_index("period")["effect"]
    assert abs(table[0] + 0.6) < 0.25
    assert abs(table[3] + 0.9) < 0.35
    assert "takes away" in found.verdict


def test_no_effect_is_inside_the_interval_in_most_worlds():
    inside, refused = [], []
    for seed in range(20):
        found = study(world(seed=seed, n=400))
        refused.append(bool(found.refused))
        if not found.refused:
            inside.append(found.low <= 0 <= found.high)
    assert np.mean(refused) <= 0.25
    assert np.mean(inside) >= 0.85


def test_people_who_buy_less_before_already_give_no_effect():
    found = study(world(effect=0.0, trend=-0.35))
    assert "pre-trend" in found.refused
    assert np.isnan(found.effect)
    assert found.table.loc[found.table["period"] <= -2, "effect"].abs().max() > 0.2
    assert found.verdict.startswith("No effect is reported")


def test_the_difference_of_differences_by_hand():
    """Five people begin in period 2 and lose one purchase a period; five never do."""
    rows = []
    for person in range(10):
        for period in range(4):
            n = 2 if person >= 5 or period < 2 else 1
            rows += [(person, 7 * period + 0.5 + k, "store", "purchase") for k in range(n)]
        if person < 5:
            rows.append((person, 14.2, "web", "view"))
    rows += [(0, 0.0, "store", "visit"), (0, 28.0, "store", "visit")]
    frame = pd.DataFrame(rows, columns=["user_id", "day", "channel", "event"])
    frame["timestamp"] = START + pd.to_timedelta(frame.pop("day"), unit="D")
    found = study(om.EventLog.from_frame(frame.assign(item_id="a")))
    assert found.table.set_index("period")["effect"].to_dict() == {-2: 0.0, -1: 0.0, 0: -1.0, 1: -1.0}
    assert found.table["people"].tolist() == [5, 5, 5, 5]
    assert found.refused  # nobody differs from anybody: no variance, so nothing can be tested


def test_people_who_use_it_from_the_start_or_come_later_are_left_out():
    log = world(n=100)
    found = study(log)
    frame = log.to_frame()
    late = pd.DataFrame(
        {
            "user_id": [7001],
            "timestamp": [START + pd.Timedelta("20D")],
            "channel": "web",
            "event": "view",
            "item_id": "a",
        }
    )
    early = late.assign(user_id=7002, timestamp=START + pd.Timedelta("1D"))
    more = study(om.EventLog.from_frame(pd.concat([frame, late, early])))
    assert more.left_out == found.left_out + 2
    assert more.n_people == found.n_people


def test_wrong_questions_are_refused():
    log = world(n=60)
    with pytest.raises(ParameterError, match="are the same"):
        displacement(log, channel="web", on="web")
    with pytest.raises(ParameterError, match="Did you mean 'store'"):
        displacement(log, channel="web", on="stores")
    with pytest.raises(ParameterError, match="4 to 120 are needed"):
        displacement(log, channel="web", on="store", period="28D")
    with pytest.raises(ParameterError, match="have no value"):
        study(log, measure="value")
    with pytest.raises(EmptyError, match="fewer than k=50"):
        study(log, k=50)


@pytest.mark.parametrize(("days", "period"), [(20, "14D"), (20, "1h"), (2, "1D"), (400, "1D")])
def test_the_period_that_is_advised_fits(days, period):
    data = om.simulate(n_users=60, n_items=20, days=days, seed=1).dataset()
    with pytest.raises(ParameterError, match="whole periods") as caught:
        displacement(data, channel="web", on="store", period=period)
    advised = str(caught.value).split("period='")[1].split("'")[0]
    with contextlib.suppress(EmptyError):  # it fits; whether enough people begin is another question
        displacement(data, channel="web", on="store", period=advised)
