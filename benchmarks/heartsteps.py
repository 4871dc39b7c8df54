"""What can a real randomised notification log tell about timing? HeartSteps V1, 24 of its people.

    OMNIRECO_DATA=/path/to/data python benchmarks/heartsteps.py

Five times a day, at hours that each person chose, the phone drew whether to push a suggestion (to walk, or against
sitting).

1. The chance that a pushed suggestion is answered ("good" or "bad"), learned on the first 60 % of each study's days
   and judged on the rest: reliability with intervals over people, log loss and Brier score beside simple baselines.
2. Which of the five slots would have earned more answers, by IPS, SNIPS and doubly robust estimates with intervals over
   people, among pushed suggestions and, with "send nothing" as an action, over all decision points.

The propensity is estimated, because the public file has none: a push with the share of the earlier days, per slot;
among pushed suggestions the slot by its share among the pushed. The draw did not look at the person, so a share is
all there is to know. Rows that were not available for randomisation are left out. Without OMNIRECO_DATA nothing is
done. Writes results/heartsteps.json.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write

import omnireco as om
from omnireco._kernels.bootstrap import percentile_interval, resampled_means

SHARE = 0.6  # of the days of each person's study that are learned from
SLOTS = 5


def decisions(folder: Path) -> pd.DataFrame:
    """Return the available decision points in order of time, with the day of each person's study."""
    frame = pd.read_parquet(folder / "heartsteps_notifications" / "decision_points.parquet")
    frame = frame[frame["available"] & frame["select_time_utc"].notna()].copy()
    frame["send"] = frame["send"].astype(bool)
    local = frame["select_time_utc"] + pd.to_timedelta(frame["utc_offset_s"], unit="s")
    frame["at"] = frame["select_time_utc"].dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    day = local.dt.normalize()
    frame["day"] = (day - day.groupby(frame["user_id"]).transform("min")).dt.days
    frame["late"] = frame["day"] >= SHARE * frame.groupby("user_id")["day"].transform("max")
    frame["answered"] = frame["send"] & frame["response"].isin(["good", "bad"])
    return frame.sort_values(["at", "user_id"]).reset_index(drop=True)


def features(frame: pd.DataFrame, early: pd.DataFrame, fatigue: np.ndarray) -> np.ndarray:
    """Return log-odds of slot and of person, shrunk, the day of the study, and fatigue: all from the early days."""
    sent = early[early["send"]]
    mean = sent["answered"].mean()
    slot = sent.groupby("slot")["answered"].agg(["sum", "size"]).reindex(range(1, SLOTS + 1), fill_value=0)
    slot = (slot["sum"] + 20 * mean) / (slot["size"] + 20)
    expected = slot.reindex(sent["slot"]).to_numpy()
    person = pd.DataFrame({"user_id": sent["user_id"], "seen": sent["answered"], "expected": expected})
    person = person.groupby("user_id").sum()
    ratio = (person["seen"] + 5.0) / (person["expected"] + 5.0)
    chance = slot.reindex(frame["slot"]).to_numpy()
    return np.stack(
        [
            np.log(chance / (1 - chance)),
            np.log(ratio.reindex(frame["user_id"]).fillna(1.0).to_numpy()),
            np.log1p(frame["day"].to_numpy()),
            fatigue,
        ],
        axis=1,
    )


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Return weights (intercept first) of a ridge logistic regression, by Newton."""
    x = np.column_stack([np.ones(len(x)), x])
    beta, penalty = np.zeros(x.shape[1]), ridge * np.diag([0.0] + [1.0] * (x.shape[1] - 1))
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + penalty, x.T @ (y - p) - penalty @ beta)
    return beta


def chance_of(x: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the chance of an answer."""
    return 1 / (1 + np.exp(-np.column_stack([np.ones(len(x)), x]) @ beta))


def by_people(values: np.ndarray, people: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """Return the mean of (numerator, denominator) columns as a ratio, and its 95 % interval over people."""
    code = np.unique(people, return_inverse=True)[1]
    sums = np.stack([np.bincount(code, weights=column) for column in values.T], axis=1)
    drawn = resampled_means(sums, n_draws=draws, seed=0)
    low, high = percentile_interval((drawn[:, 0] / drawn[:, 1])[:, None], 0.95)
    return float(sums[:, 0].sum() / sums[:, 1].sum()), float(low[0]), float(high[0])


def reliability(p: np.ndarray, y: np.ndarray, people: np.ndarray, bins: int = 5) -> pd.DataFrame:
    """Return foreseen and seen shares per fifth of the foreseen chance; intervals over people."""
    group = np.argsort(np.argsort(p, kind="stable"), kind="stable") * bins // len(p)
    rows = []
    for g in range(bins):
        mine = group == g
        seen, low, high = by_people(np.stack([y[mine], np.ones(mine.sum())], axis=1), people[mine])
        rows.append((int(mine.sum()), float(p[mine].mean()), seen, low, high, low <= p[mine].mean() <= high))
    return pd.DataFrame(rows, columns=["rows", "foreseen", "seen", "low", "high", "inside"])


def messages_of(frame: pd.DataFrame) -> om.MessageLog:
    """Return the pushed suggestions as a message log. Times of answers are whole minutes."""
    sent = frame[frame["send"]]
    back = sent["response_time_utc"].dt.tz_localize("UTC").astype("datetime64[us, UTC]").where(sent["answered"])
    back = back.where(back.isna() | (back >= sent["at"]), sent["at"])
    names = {"user_id": sent["user_id"].astype("int64"), "channel": "push", "sent_at": sent["at"], "responded_at": back}
    return om.MessageLog.from_frame(pd.DataFrame(names))


def main() -> None:
    asked = options(__doc__, quick="the same, as it takes seconds; nothing is written").parse_args()
    header(__doc__)
    folder = data_folder("heartsteps_notifications")
    pd.set_option("display.width", 140, "display.float_format", "{:.3f}".format)
    frame = decisions(folder)
    early, late = frame[~frame["late"]], frame[frame["late"]]
    results: dict[str, object] = {"people": int(frame["user_id"].nunique()), "rows": len(frame)}
    print(f"{frame['user_id'].nunique()} people, {len(frame):,} decisions, {len(late):,} in the later days")

    tired = om.timing.Fatigue().fit(messages_of(early))
    print(f"fatigue on the early days: {tired!r}")
    # fatigue before each decision, from what was pushed before it
    load = np.zeros(len(frame))
    for _, mine in frame.groupby("user_id"):
        at, sent = mine["at"].astype("int64").to_numpy(), mine["send"].to_numpy()
        age = (at[:, None] - at[None, :]) / tired.half_life_us
        load[mine.index] = (np.where(age > 0, 0.5 ** np.maximum(age, 0), 0.0) * sent).sum(axis=1)
    x = features(frame, early, load)
    learn, test = (frame["send"] & ~frame["late"]).to_numpy(), (frame["send"] & frame["late"]).to_numpy()
    y, people = frame["answered"].to_numpy(float), frame["user_id"].to_numpy()
    beta = logistic(x[learn], y[learn])
    p = chance_of(x, beta)

    rows = []
    base = {"share of the early days": np.full(len(y), y[learn].mean())}
    base["slot alone"] = chance_of(x[:, :1], logistic(x[learn][:, :1], y[learn]))
    base["person and slot"] = chance_of(x[:, :2], logistic(x[learn][:, :2], y[learn]))
    for name, q in {**base, "person, slot, day, fatigue": p}.items():
        loss = -(y * np.log(q) + (1 - y) * np.log(1 - q))[test]
        null = -(y * np.log(y[learn].mean()) + (1 - y) * np.log(1 - y[learn].mean()))[test]
        gain = by_people(np.stack([null - loss, np.ones(test.sum())], axis=1), people[test])
        rows.append((name, loss.mean(), ((y - q)[test] ** 2).mean(), *gain))
    skill = pd.DataFrame(rows, columns=["chance from", "log loss", "Brier", "nats gained", "low", "high"])
    print(f"\nanswers to {test.sum():,} pushed suggestions of the later days\n{skill.to_string(index=False)}")
    table = reliability(p[test], y[test], people[test])
    print(f"\nreliability, fifths of the foreseen chance\n{table.to_string(index=False)}")
    results |= {"skill": skill.to_dict("records"), "reliability": table.to_dict("records")}

    # the hour: among pushed suggestions, which slot? Each slot's propensity is its share among the early pushed ones
    share = early[early["send"]]["slot"].value_counts(normalize=True).reindex(range(1, SLOTS + 1)).to_numpy()
    slot = frame["slot"].to_numpy() - 1
    every = [chance_of(features(frame.assign(slot=s), early, load), beta) for s in range(1, SLOTS + 1)]
    foreseen = np.stack(every, axis=1)
    best = np.zeros((test.sum(), SLOTS))
    best[np.arange(len(best)), foreseen[test].argmax(axis=1)] = 1.0
    personal = early[early["send"]].groupby(["user_id", "slot"])["answered"].agg(["sum", "size"])
    raw = ((personal["sum"] + 1e-9) / (personal["size"] + 1e-9)).unstack(fill_value=0.0)
    raw = raw.reindex(columns=range(1, SLOTS + 1), fill_value=0.0).reindex(people[test], fill_value=0.0).to_numpy()
    own = np.zeros_like(best)
    own[np.arange(len(own)), raw.argmax(axis=1)] = 1.0
    drawn_in = foreseen[test] * 20.0  # twenty suggestions' worth of the common slot in each person's own
    seen = personal["sum"].unstack(fill_value=0).reindex(columns=range(1, SLOTS + 1), fill_value=0)
    size = personal["size"].unstack(fill_value=0).reindex(columns=range(1, SLOTS + 1), fill_value=0)
    seen, size = (t.reindex(people[test], fill_value=0).to_numpy(float) for t in (seen, size))
    shrunk = np.zeros_like(best)
    shrunk[np.arange(len(shrunk)), ((seen + drawn_in) / (size + 20.0)).argmax(axis=1)] = 1.0
    soft = foreseen[test] ** 4
    policies = {
        "uniform over slots": np.full(best.shape, 1 / SLOTS),
        "common best slot": best,
        "personal best slot, shrunk": shrunk,
        "common slots, softly": soft / soft.sum(axis=1, keepdims=True),
        "raw best slot of the person": own,
    }
    logged = om.causal.LoggedDecisions(y[test], share[slot[test]], actions=slot[test], people=people[test])
    for least in (1000, 100):
        found = om.causal.off_policy(
            logged, policies, predicted=foreseen[test], estimators=["ips", "snips", "dr"], least_effective=least
        )
        print(f"\nwhich slot, refusing below an effective sample of {least}: logged {found.logged:.3f}")
        print(found.verdict)
        print(found.table.to_string(index=False))
        results[f"slot, least {least}"] = found.table.to_dict("records")
        results[f"diagnostics, least {least}"] = found.diagnostics.to_dict("records")

    # is a slot of one's own better than the slot that is best for all? Paired: the same draws, the same people
    q, w = foreseen[test], 1.0 / share[slot[test]]
    logged_q = q[np.arange(len(q)), slot[test]]
    for name, policy in (("personal best slot, shrunk", shrunk), ("raw best slot of the person", own)):
        pick = (policy - best)[np.arange(len(q)), slot[test]]
        dr = ((policy - best) * q).sum(axis=1) + w * pick * (y[test] - logged_q)
        value = by_people(np.stack([dr, np.ones(len(q))], axis=1), people[test])
        print(f"{name} against the common best slot: {value[0]:+.3f} ({value[1]:+.3f} to {value[2]:+.3f})")
        results[f"{name}, against the common best"] = value

    # a window that starts together: the pushed slot against a delayed uniform one, over the whole day
    later = (frame["late"]).to_numpy()
    sent_share = early.groupby("slot")["send"].mean().reindex(range(1, SLOTS + 1)).to_numpy()
    action = frame["send"].to_numpy(int)[later]
    propensity = np.where(action == 1, sent_share[slot[later]], 1 - sent_share[slot[later]])
    worth = foreseen[later].argmax(axis=1) == slot[later]
    top2 = np.argsort(np.argsort(-foreseen[later], axis=1), axis=1)[np.arange(later.sum()), slot[later]] < 2
    send = {
        "push at every point": np.ones(later.sum()),
        "delayed uniform: one of five": np.full(later.sum(), 1 / SLOTS),
        "common best of five": worth.astype(float),
        "delayed uniform: two of five": np.full(later.sum(), 2 / SLOTS),
        "common best two of five": top2.astype(float),
    }
    chance = np.stack([np.zeros(later.sum()), foreseen[later][np.arange(later.sum()), slot[later]]], axis=1)
    found = om.causal.off_policy(
        om.causal.LoggedDecisions(y[later], propensity, actions=action, people=people[later]),
        {name: np.stack([1 - q, q], axis=1) for name, q in send.items()}, predicted=chance,
        estimators=["ips", "snips", "dr"], least_effective=500,
    )  # fmt: skip
    values = found.table[found.table["estimator"] == "dr"].set_index("policy")
    pushes = {name: float(np.mean(q)) for name, q in send.items()}
    values = values.assign(pushes=pd.Series(pushes), per_push=values["value"] / pd.Series(pushes))
    print(f"\nto push or not, answers per decision point (doubly robust)\n{values.to_string()}")
    results["send"] = values.reset_index().to_dict("records")
    # learned against delayed uniform, paired: the same people, the same number of pushes
    for k, name in ((1, "best"), (2, "best two")):
        picked = (worth if k == 1 else top2) / (worth if k == 1 else top2).mean() - 1.0
        weight = (action == 1) / propensity
        dr = picked * (chance[:, 1] + weight * (y[later] - chance[:, 1]))
        value = by_people(np.stack([dr, np.ones(later.sum())], axis=1), people[later])
        print(f"answers per push, the common {name} of five against a uniform one: {value[0]:+.3f} "
              f"({value[1]:+.3f} to {value[2]:+.3f})")  # fmt: skip
        results[f"per push, {name}"] = value
    print(
        "\nWhat 24 people can show: that people differ in how often they answer, that the foreseen chances are\n"
        "about right, and that some slots are answered more than others (the morning's least). What they cannot:\n"
        "whether a slot of one's own beats the slot that is best for all (that interval holds 0), nor how large\n"
        "the gain of any slot is: effective samples of some 200 decisions give intervals ten points wide, and by\n"
        "the usual rule (1,000 effective decisions) no value at all."
    )
    for what, name, other in (
        ("common best slot, responses per push", "per push, best", "a uniform slot"),
        (
            "personal best slot, responses",
            "personal best slot, shrunk, against the common best",
            "the common best slot",
        ),
    ):
        gap = [float(one) for one in results[name]]  # type: ignore[attr-defined]
        headline(what, gap[0], beside=other, gap=gap)
    if not asked.quick:
        write("heartsteps", results, default=float)


if __name__ == "__main__":
    main()
