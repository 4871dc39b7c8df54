"""What contact on one channel does to conversions on another, where the lot decided."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.causal import contact_effects
from omnireco.errors import EmptyError, ParameterError, SchemaError

START = pd.Timestamp("2025-01-01", tz="UTC")


def world(seed=0, n=3000, confounded=True):
    """E-mail adds 0.10 purchases on the web and takes 0.06 from the shop; people who buy more are written to more."""
    rng = np.random.default_rng(seed)
    eager = rng.random(n) < 0.5
    propensity = np.where(eager, 0.8, 0.3) if confounded else np.full(n, 0.5)
    contacted = rng.random(n) < propensity
    at = START + pd.to_timedelta(rng.uniform(5, 20, n), unit="D").floor("s")
    rows = [(0, START, "web", "view"), (0, START + pd.Timedelta("40D"), "store", "view")]
    for channel, base, effect in (("web", 0.05, 0.10), ("store", 0.20, -0.06)):
        buys = np.flatnonzero(rng.random(n) < base + 0.2 * eager + effect * contacted)
        rows += [(p, at[p] + pd.Timedelta(days=float(rng.uniform(0.1, 6.0))), channel, "purchase") for p in buys]
    frame = pd.DataFrame(rows, columns=["user_id", "timestamp", "channel", "event"]).assign(item_id="a", value=3.0)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True).dt.floor("s")
    contacts = pd.DataFrame(
        {
            "user_id": np.arange(n),
            "channel": "email",
            "decided_at": at,
            "contacted": contacted,
            "propensity": propensity,
        }
    )
    return contacts, om.EventLog.from_frame(frame)


def test_the_planted_effects_lie_in_the_intervals_under_confounding():
    hits, naive = [], []
    for seed in range(12):
        contacts, log = world(seed)
        table = contact_effects(contacts, log).table.set_index("converted")
        for channel, truth in (("web", 0.10), ("store", -0.06), ("(all channels)", 0.04)):
            hits.append(table.loc[channel, "low"] <= truth <= table.loc[channel, "high"])
        buyers = set(log.to_frame().query("event == 'purchase' and channel == 'store'")["user_id"])
        bought = contacts["user_id"].isin(buyers)
        naive.append(bought[contacts["contacted"]].mean() - bought[~contacts["contacted"]].mean())
    assert np.mean(hits) >= 0.8  # 0.95 of 100 worlds
    assert np.mean(naive) > 0  # who is written to buys more in the shop: the sign would be wrong


def test_the_matrix_and_the_value():
    contacts, log = world()
    found = contact_effects(contacts, log)
    assert found.matrix.shape == (1, 3)
    np.testing.assert_allclose(found.matrix["(all channels)"], found.matrix["web"] + found.matrix["store"])
    worth = contact_effects(contacts, log, measure="value")
    np.testing.assert_allclose(worth.table["effect"], 3 * found.table["effect"])


def test_by_hand():
    at = pd.Timestamp("2025-02-01", tz="UTC")
    contacts = pd.DataFrame(
        {
            "user_id": [1, 2, 3, 4],
            "channel": "push",
            "decided_at": at,
            "contacted": [True, True, False, False],
            "propensity": [0.5, 0.25, 0.5, 0.5],
        }
    )
    rows = [
        (1, at, "web"),
        (3, at + pd.Timedelta("1D"), "web"),
        (2, at - pd.Timedelta("1h"), "web"),
        (9, at + pd.Timedelta("30D"), "web"),
    ]
    log = pd.DataFrame(rows, columns=["user_id", "timestamp", "channel"]).assign(event="purchase", item_id="a")
    row = contact_effects(contacts, log, k=1).table.set_index("converted").loc["web"]
    np.testing.assert_allclose(
        [row["effect"], row["without"]], [2 / 6 - 0.5, 0.5]
    )  # weights 2 and 4; one of them bought
    assert row["decisions"] == 4


def test_few_people_and_open_windows_are_left_out():
    contacts, log = world(n=200)
    assert contact_effects(contacts.iloc[:6], log).table["effect"].isna().all()
    late = contacts.assign(decided_at=START + pd.Timedelta("38D"))
    assert contact_effects(pd.concat([contacts, late]), log).unknown == 200
    with pytest.raises(EmptyError, match="no decision's window"):
        contact_effects(late, log)


def test_wrong_frames_are_refused():
    contacts, log = world(n=50)
    with pytest.raises(SchemaError, match="strictly between 0 and 1"):
        contact_effects(contacts.assign(propensity=1.0), log)
    with pytest.raises(SchemaError, match="contacted is missing"):
        contact_effects(
            contacts.assign(contacted=contacts["contacted"].astype("boolean").where(contacts.index != 3)), log
        )
    with pytest.raises(SchemaError, match="True and False"):
        contact_effects(contacts.assign(contacted="yes"), log)
    with pytest.raises(ParameterError, match="measure must be one of"):
        contact_effects(contacts, log, measure="money")
    with pytest.raises(ParameterError, match="'buy'"):
        contact_effects(contacts, log, completes="buy")
