"""What a message adds: Hillstrom, New Haven and Starbucks' simulated offers, and the speed of curves and budget paths.

    OMNIRECO_DATA=/path/to/data python benchmarks/uplift.py [--quick] [--peer scores.npz] [--export rows.npz]
    python benchmarks/uplift.py --data TEST [--control ARM]

Arm effects of Hillstrom's e-mail test, with the value of a two-mail policy by the doubly robust estimator beside the
men's mail for all. ``--export`` writes the rows of women's mail against none and a random half as the test; another
package may write its scores of the test half, one array each, and ``--peer`` compares them with ours by one definition,
on the same people, paired. New Haven: those assigned, and those reached. Starbucks (simulated by the company, not
customers; the assignment is not documented and balanced): effects per offer, and the budget path against the best offer
for all, by effects out of fold. Speed: CPU seconds. Writes results/uplift.json. ``--data`` takes your own test, one row
a person drawn by lot: its arm effects, and a policy by person against its best arm for all.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from _common import header, headline, left_out, options, own_log, plainly, write

import omnireco as om

BEFORE = ["recency", "history", "mens", "womens", "newbie", "zip_code", "channel"]
Found = dict[str, Any]


def hillstrom(folder: Path, peer: str | None, export: str | None) -> Found:
    """Return effects, the two-mail policy, and Qini and AUUC on the test half."""
    frame = pd.read_parquet(folder / "hillstrom_email/hillstrom.parquet")
    found: Found = {}
    for outcome in ("visit", "spend"):
        even = dict.fromkeys(frame["segment"].unique(), 1 / 3)
        test = om.causal.Experiment.from_frame(
            frame, treatment="segment", control="No E-Mail", outcome=outcome, features=BEFORE, propensity=even
        )
        model = om.causal.Uplift().fit(test)
        value = om.causal.policy_value(
            test, {"two mails": model.policy()}, against="Mens E-Mail", predicted=model.outcomes
        )
        found[outcome] = [table.to_dict("records") for table in (model.average().table, value.table)]
        row = value.table.query("arm == 'two mails'").iloc[0]
        gap = [row["effect"], row["low"], row["high"]]
        headline(f"policy of two mails, {outcome} a person", row["value"], beside="one mail for all", gap=gap)
        print(outcome, model.average().table.round(4), value.table.round(4), sep="\n")
    frame = frame[frame["segment"] != "Mens E-Mail"].reset_index(drop=True)
    even = {"Womens E-Mail": 0.5, "No E-Mail": 0.5}
    whole = om.causal.Experiment.from_frame(
        frame, treatment="segment", control="No E-Mail", outcome="visit", features=BEFORE, propensity=even
    )
    half = np.random.default_rng(0).random(len(whole)) < 0.5
    if export:
        np.savez(export, x=whole.x, t=whole.arm.astype(int), y=whole.outcome, test=half)
    train, test = whole.take(~half), whole.take(half)
    scores = {
        learner: om.causal.Uplift(learner=learner).fit(train).effect(frame[half])["effect"].to_numpy()
        for learner in ("s", "t", "x", "r", "dr")
    }
    if peer:
        scores |= {f"peer {name}": one for name, one in np.load(peer).items()}
    curves = {name: om.causal.uplift_curve(one, test) for name, one in scores.items()}
    rows = []
    for name, curve in curves.items():
        paired = curves["dr"].compare(curve)
        rows.append((name, *(f"{value:.5f}" for value in (curve.value[0], curve.low[0], curve.high[0])),
                     f"{curve.value[1]:.5f}", *(f"{value:+.5f}" for value in paired)))  # fmt: skip
    print(pd.DataFrame(rows, columns=["scores", "qini", "low", "high", "auuc", "dr - this", "low", "high"]))
    headline(
        "Qini of visits, dr",
        curves["dr"].value[0],
        gap=[curves["dr"].value[0], curves["dr"].low[0], curves["dr"].high[0]],
    )
    found["curves"] = rows
    return found


def newhaven(folder: Path) -> Found:
    """Return the effect of each assignment, and on those whom it reached."""
    frame = pd.read_parquet(folder / "newhaven_channels/newhaven.parquet")
    person, phone = frame["inperson_rand"] == 1, frame["phone_rand"] == 1
    frame["arm"] = np.select([person & phone, person, phone], ["both", "in person", "phone"], "none")
    frame["got"] = np.select([person, phone], [frame["inperson"], frame["phone"]], 0)
    shares = frame["arm"].value_counts(normalize=True).to_dict()
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control="none", outcome="turnout_98", received="got", propensity=shares
    )
    table = om.causal.complier_effect(test).table
    print("New Haven", table.round(3).to_string(), sep="\n")
    return {"compliers": table.to_dict("records")}


def starbucks(folder: Path) -> Found:
    """Return effects per offer and the budget path, by effects out of fold. Simulated data."""
    place = folder / "starbucks_offers"
    events, people = pd.read_parquet(place / "events.parquet"), pd.read_parquet(place / "users.parquet")
    given = events[events["event"] == "offer_received"][["user_id", "offer_id"]]
    people = people.merge(given, how="left", on="user_id")
    people["offer"] = people["offer_id"].fillna("none").astype(str)
    spent = events[events["event"] == "transaction"].groupby("user_id")["amount"].sum()
    paid = events[events["event"] == "offer_completed"].groupby("user_id")["reward"].sum()
    people["spend"], people["paid"] = (people["user_id"].map(one).fillna(0.0) for one in (spent, paid))
    joined = pd.to_datetime(people["member_since"].astype(str))
    people["days"] = (joined.max() - joined).dt.days
    shares = people["offer"].value_counts(normalize=True).to_dict()
    test = om.causal.Experiment.from_frame(
        people, treatment="offer", control="none", outcome="spend", features=["age", "gender", "income", "days"],
        propensity=shares, user="user_id",
    )  # fmt: skip
    model = om.causal.Uplift().fit(test)
    costs = {name: float(people.loc[people["offer"] == name, "paid"].mean()) + 0.05 for name in model.arms}
    path = om.causal.budget_path(model.increment, test, costs=costs, predicted=model.outcomes)
    print("Starbucks (simulated by the company)", model.average().table.round(2), path, sep="\n")
    ends = [{name: round(value, 3) for name, value in path.at(budget).items()} for budget in (0.1, 0.25, 0.5, 1.0, 2.0)]
    print(pd.DataFrame(ends)[["budget", "gain", "low", "high", "single", "lift", "lift_low", "lift_high"]])
    return {"effects": model.average().table.to_dict("records"), "path": ends}


def speed(quick: bool) -> Found:
    """Return CPU seconds of Qini and of a multi-armed path."""
    n, rng = 100_000 if quick else 1_000_000, np.random.default_rng(0)
    found: Found = {"rows": n}
    for k, name in ((1, "qini, 1,000 resamples"), (10, "10 arms, 200 resamples")):
        arms = ("none", *(f"a{at}" for at in range(k)))
        test = om.causal.Experiment(
            arms, om.data.Vocabulary(np.arange(n)), np.arange(n, dtype=np.int32), rng.integers(0, k + 1, n),
            rng.normal(size=n), np.empty((n, 0)), (), np.full((n, k + 1), 1 / (k + 1)),
        )  # fmt: skip
        rewards, costs = rng.normal(size=(n, k)), rng.random((n, k)) + 0.1
        start = process_time()
        if k == 1:
            om.causal.uplift_curve(rewards[:, 0], test)
        else:
            om.causal.budget_path(rewards, test, costs=costs)
        found[name] = process_time() - start
        print(f"{name}, {n:,} rows: {found[name]:.1f} CPU seconds")
        headline(f"{name}, {n:,} rows", found[name], "CPU s")
    return found


def own(path: Path, control: str) -> None:
    """Print what the arms of one's own test added, and what choosing by person earns over the best arm for all."""
    frame = own_log(path, needs=("arm", "outcome"))
    frame["arm"] = frame["arm"].astype(str)
    arms = sorted(frame["arm"].unique())
    if control not in arms:
        raise SystemExit(f"{path.name} has no arm {control}; it has {', '.join(arms[:10])}. Name it: --control ARM.")
    features = [name for name in frame.columns if name not in ("arm", "outcome", "user_id")]
    shares = frame["arm"].value_counts(normalize=True).to_dict()
    test = om.causal.Experiment.from_frame(
        frame, treatment="arm", control=control, outcome="outcome", features=features, propensity=shares
    )
    model = om.causal.Uplift().fit(test)
    table = model.average().table
    best = table.set_index("arm")["effect"].idxmax()
    value = om.causal.policy_value(test, {"by person": model.policy()}, against=best, predicted=model.outcomes).table
    print(model.verdict, table.round(4), value.round(4), sep="\n")
    row = value.query("arm == 'by person'").iloc[0]
    gap = [row["effect"], row["low"], row["high"]]
    headline("policy by person, outcome", row["value"], beside=f"{best} for all", gap=gap)


def main() -> None:
    data = "arm, outcome, and a column per feature known before; an arm for each row, drawn by lot"
    parser = options(__doc__, quick="speed on a tenth of the rows", data=data)
    parser.add_argument("--control", default="none", help="with --data: the arm that got nothing (none)")
    parser.add_argument("--peer", help="an .npz of another package's scores of the test half")
    parser.add_argument("--export", help="where to write the rows for another package")
    asked = parser.parse_args()
    header(__doc__)
    if asked.data is not None:
        with plainly(asked.data):
            own(asked.data, asked.control)
        return
    result: Found = {"speed": speed(asked.quick)}
    if folder := os.environ.get("OMNIRECO_DATA"):
        place = Path(folder)
        result |= {
            "hillstrom": hillstrom(place, asked.peer, asked.export),
            "newhaven": newhaven(place),
            "starbucks": starbucks(place),
        }
    else:
        left_out("three real experiments", "OMNIRECO_DATA is not set")
    if not asked.quick:
        write("uplift", result, default=float)


if __name__ == "__main__":
    main()
