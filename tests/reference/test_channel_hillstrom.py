"""A channel learned per group on a real randomised test, valued on the other half with an interval."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om

FILE = Path(os.environ.get("OMNIRECO_DATA", "")) / "hillstrom_email" / "hillstrom.parquet"


@pytest.mark.skipif(not FILE.is_file(), reason="OMNIRECO_DATA does not name a folder with hillstrom_email")
def test_which_mail_for_whom_beats_the_same_for_all_or_says_that_it_does_not():
    """Which of two mails, or none: 64,000 people, a third each, by chance. Visits within two weeks.

    Groups are what people bought before. The learned choice must beat sending nothing by far. Against the better mail
    for everybody it must not lose; whether it wins is printed with its interval.
    """
    frame = pd.read_parquet(FILE).reset_index(names="user_id")
    arm = frame["segment"].map({"Mens E-Mail": "mens", "Womens E-Mail": "womens", "No E-Mail": "none"})
    group = frame["mens"].astype(str) + frame["womens"].astype(str) + frame["newbie"].astype(str)
    group += frame["channel"].str[:1]
    half = np.random.default_rng(0).random(len(frame)) < 0.5
    sent = pd.Timestamp("2008-03-20", tz="UTC")
    log = pd.DataFrame({"user_id": frame["user_id"], "channel": arm, "sent_at": sent})
    log["responded_at"] = log["sent_at"].where(frame["visit"] == 1)
    people = om.Audience.from_frame(
        pd.DataFrame({"user_id": frame["user_id"], "timezone": "UTC", "group": group})[half], attributes=["group"]
    )
    data = om.Dataset(messages=om.MessageLog.from_frame(log[half]), audience=people)
    model = om.choices.ChannelPreference(groups="group").fit(data)
    test = frame[~half]
    best = model.best(test["user_id"].to_numpy(), group=group[~half].to_numpy())
    names = ["mens", "none", "womens"]
    chosen = best["channel"].fillna("none").map({name: at for at, name in enumerate(names)}).to_numpy()
    actions = arm[~half].map({name: at for at, name in enumerate(names)}).to_numpy()
    policies = {"learned": np.eye(3)[chosen]}
    policies |= {name: np.tile(np.eye(3)[at], (len(test), 1)) for at, name in enumerate(names)}
    visits, even = test["visit"].to_numpy(float), np.full(len(test), 1 / 3)
    contexts = test[["mens", "womens", "newbie", "recency", "history"]].to_numpy(float)
    logged = om.causal.LoggedDecisions(visits, even, actions=actions)
    foreseen = om.causal.cross_fitted_rewards(logged, contexts, n_actions=3)
    result = om.causal.off_policy(logged, policies, predicted=foreseen)
    table = result.table[result.table["estimator"] == "dr"].set_index("policy")
    gain = foreseen[np.arange(len(test)), chosen] - foreseen[:, 0]
    w = 3.0 * (actions == chosen) * (visits - foreseen[np.arange(len(test)), actions])
    w0 = 3.0 * (actions == 0) * (visits - foreseen[:, 0])
    paired = gain + w - w0
    low, high = paired.mean() + np.array([-1.96, 1.96]) * paired.std() / np.sqrt(paired.size)
    print(table[["value", "low", "high"]].round(4))
    print(f"learned - mens for all: {paired.mean():+.4f} ({low:+.4f} to {high:+.4f})")
    assert table.loc["learned", "low"] > table.loc["none", "high"]
    assert table.loc["learned", "value"] > table.loc["mens", "value"] - 0.004
    assert high > 0
