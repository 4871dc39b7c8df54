"""Nudges that leave alone who comes back by themselves: numbers by hand, and a planted world."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.journeys import Returns, nudges, unfinished

START = pd.Timestamp("2025-01-01", tz="UTC")


def planted(seed=0, n=1200, days=100):
    """Half of the people come nearly every day and finish by themselves; the others come once in six weeks.

    Everybody left a cart when they last came. What would come next is drawn too.
    """
    rng, rows, back = np.random.default_rng(seed), [], {}
    for person in range(n):
        rate = rng.gamma(40, 1 / 40) * (1.1 if person % 2 else 1 / 45)
        at = np.cumsum(rng.exponential(1 / rate, size=400)) + rng.uniform(0, 3)
        at = np.append(1.0, at[at < days])
        rows += [(person, day, "view") for day in at[:-1]] + [(person, at[-1], "add_to_cart")]
        back[person] = rng.exponential(1 / rate) < 3
    rows.append((0, 1.0, "purchase"))
    frame = pd.DataFrame(rows, columns=["user_id", "day", "event"])
    at = START + pd.to_timedelta(frame.pop("day"), unit="D").dt.floor("s")
    log = om.EventLog.from_frame(frame.assign(item_id="pan", channel="web", timestamp=at))
    return om.Dataset(log, end=START + pd.Timedelta(days=days)), pd.Series(back)


@pytest.mark.parametrize("seed", [0, 1])
def test_who_returns_by_themselves_is_left_alone_and_the_others_are_reached(seed):
    data, back = planted(seed)
    open_ = unfinished(data, within="90D")
    model = Returns(horizon="3D").fit(data)
    found = nudges(open_, model, data, within="3D", effect=0.2, margin=10.0, cost=1.0).set_index("user_id")
    assert len(found) > 900
    regular = found.index % 2 == 1
    alone = ~found.loc[back[found.index].to_numpy() & regular, "nudge"]
    reached = found.loc[~back[found.index].to_numpy() & ~regular, "nudge"]
    assert alone.mean() >= 0.9
    assert reached.mean() >= 0.9
    # over all who came back, and all who did not, whoever they are
    assert (~found.loc[back[found.index].to_numpy(), "nudge"]).mean() >= 0.9
    assert found.loc[~back[found.index].to_numpy(), "nudge"].mean() >= 0.9
    in_vain = back[found.index].to_numpy().mean()  # everybody nudged
    assert in_vain > 0.4
    assert back[found.index[found["nudge"]]].mean() < 0.12


def test_the_value_by_hand():
    data, _ = planted(n=60)
    model = Returns(horizon="3D").fit(data)
    open_ = unfinished(data, within="90D")
    found = nudges(open_, model, data, within="3D", effect=0.2, completes=0.5, margin=10.0, cost=1.0)
    np.testing.assert_allclose(found["value"], 0.2 * (1 - 0.5 * found["returns"]) * 10 - 1)
    assert found["value"].is_monotonic_decreasing
    assert (found["nudge"] == (found["value"] > 0)).all()


def test_increments_per_row_replace_one_effect():
    data, _ = planted(n=60)
    open_ = unfinished(data, within="90D")
    model = Returns(horizon="3D").fit(data)
    none = nudges(open_, model, data, effect=np.zeros(len(open_)), cost=0.1)
    assert not none["nudge"].any()
    with pytest.raises(ParameterError, match="one per row"):
        nudges(open_, model, data, effect=[0.1, 0.2])
    with pytest.raises(ParameterError, match="effect must be finite and between -1 and 1; 1 are not"):
        nudges(open_, model, data, effect=1.5)
    with pytest.raises(ParameterError, match="must be a ReturnsModel"):
        nudges(open_, Returns(), data)


def test_somebody_without_a_history_is_reached():
    data, _ = planted(n=60)
    model = Returns(horizon="3D").fit(data)
    found = nudges(pd.DataFrame({"user_id": [987_654]}), model, data, effect=0.2, margin=10.0)
    assert found["returns"].isna().all()
    assert found["nudge"].all()


def test_nothing_unfinished_is_an_empty_frame():
    data, _ = planted(n=60)
    model = Returns(horizon="3D").fit(data)
    assert nudges(unfinished(data, within="90D").iloc[:0], model, data).empty


def reminded(seed, effect=0.3):
    """Past reminders drawn by lot: who had left a cart, whether they were reminded, and whether they finished."""
    data, back = planted(seed)
    open_ = unfinished(data, within="90D")
    rng = np.random.default_rng(seed + 100)
    reminded = rng.random(len(open_)) < 0.5
    finished = back[open_["user_id"]].to_numpy() | (reminded & (rng.random(len(open_)) < effect))
    model = Returns(horizon="3D").fit(data)
    found = nudges(open_, model, data, within="3D").set_index("user_id").loc[open_["user_id"]].reset_index()
    frame = found[["returns"]].assign(arm=np.where(reminded, "reminder", "none"), finished=finished.astype(float))
    return frame.fillna({"returns": 0.0})


def uplift_of(frame):
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="finished", features=["returns"],
        propensity={"reminder": 0.5, "none": 0.5},
    )  # fmt: skip
    return om.causal.Uplift().fit(test)


@pytest.mark.parametrize("seed", range(5))
def test_a_fitted_uplift_with_returns_leaves_them_alone_and_reaches_the_others(seed):
    """Learned from last month's reminders, used on other people: 90 % of each."""
    uplift = uplift_of(reminded(seed + 50))
    data, back = planted(seed)
    open_ = unfinished(data, within="90D")
    found = nudges(
        open_, Returns(horizon="3D").fit(data), data, within="3D", effect=uplift, margin=10.0, cost=1.0
    ).set_index("user_id")
    returned = back[found.index].to_numpy()
    assert (~found.loc[returned, "nudge"]).mean() >= 0.9
    assert found.loc[~returned, "nudge"].mean() >= 0.9
    assert returned.mean() > 0.4  # everybody nudged: so many in vain


def test_a_model_of_effects_is_net_already_and_has_one_arm():
    frame = reminded(1)
    data, _ = planted(n=200)
    open_, model = unfinished(data, within="90D"), Returns(horizon="3D").fit(data)
    uplift = uplift_of(frame)
    found = nudges(open_, model, data, within="3D", effect=uplift, margin=10.0, cost=1.0)
    known = found.fillna({"returns": 0.0})
    np.testing.assert_allclose(found["value"], 10 * uplift.increments(known)[:, 0] - 1)
    with pytest.raises(ParameterError, match="Leave completes= out"):
        nudges(open_, model, data, effect=uplift, completes=0.0)
    frame.loc[::3, "arm"] = "call"
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="finished", features=["returns"],
        propensity=dict.fromkeys(("reminder", "none", "call"), 1 / 3),
    )  # fmt: skip
    two = om.causal.Uplift().fit(test)
    with pytest.raises(ParameterError, match="a model of 2 arms"):
        nudges(open_, model, data, effect=two)
    assert nudges(open_.iloc[:0], model, data, effect=uplift).empty
