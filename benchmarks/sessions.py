"""What comes next within a session: NextItem beside SessionKNN on DeskDrop's clicks.

    OMNIRECO_DATA=/path/to/data python benchmarks/sessions.py [--every N]

Each model is fitted on all before a midnight (UTC). The truth is the last article that a person opened that day, where
it was known by midnight and new to them; lists are asked for that instant, so that the day's earlier clicks are in the
history. NDCG@10, mean per person, then over people. Settings are chosen on July and August 2016 and reported on
September 2016 to February 2017; intervals are paired with SessionKNN, by person. Writes results/sessions.json.

--revealed is the protocol of SLIST's table (Choi et al., WWW 2021): sessions end after 30 minutes without a click;
items seen less than five times and sessions of one click are left out; a session is revealed click by click, and each
next click is to be found among the first 20: HR@20 and MRR@20. Six parts of 28 days, each after a fit on all before:
the first chooses the settings by MRR, the last five are the test. The models know the session alone. SLIST is computed
from its formula. Writes results/sessions_revealed.json.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, own_span, plainly, write
from _sequence_peers import Slist, asked_with, fitted
from deskdrop import REPORTED, TUNED, K, earned, interval, read

import omnireco as om


def days_of(frame: pd.DataFrame, start: str, stop: str, step: int) -> list[tuple[pd.Timestamp, pd.DataFrame]]:
    """Return each midnight and, per person, the last new article of the day with its instant."""
    at = frame["timestamp"].dt.floor("D")
    first_touch = frame.groupby(["user_id", "item_id"])["timestamp"].transform("min")
    born = frame.groupby("item_id")["timestamp"].transform("min")
    first_of_day = frame.groupby(["user_id", at])["timestamp"].transform("min")
    wanted = (frame["timestamp"] == first_touch) & (born < at) & (frame["timestamp"] > first_of_day)
    wanted &= frame.groupby("user_id")["timestamp"].transform("min") < at
    wanted &= (at >= pd.Timestamp(start)) & (at < pd.Timestamp(stop))
    rows = frame[wanted].sort_values("timestamp").drop_duplicates(["user_id", "item_id"])
    rows = rows.assign(day=rows["timestamp"].dt.floor("D")).groupby(["user_id", "day"]).tail(1)
    return [(day, part) for day, part in rows.groupby("day")][::step]


def run(estimator: Any, whole: om.Dataset, days: list[tuple[pd.Timestamp, pd.DataFrame]]) -> pd.Series:
    """Return each person's mean NDCG@10."""
    rows = []
    for day, truth in days:
        model = estimator.fit(whole.before(day.tz_localize("UTC")), threads=1)
        people, instants = truth["user_id"].to_numpy(), truth["timestamp"].dt.tz_localize("UTC")
        lists = model.recommend(whole.requests(people, at=instants), k=K, threads=1).to_frame()
        key = lists.columns[0]
        names = people if key == "user_id" else np.arange(len(people))
        ranked = {user: part["item_id"].tolist() for user, part in lists.groupby(key, sort=False)}
        asked = truth[["user_id", "item_id"]].assign(user_id=names)
        rows.append(pd.DataFrame({"user_id": people, "value": earned(ranked, asked)}))
    return pd.concat(rows).groupby("user_id")["value"].mean()


def rows_of() -> dict[str, list[Any]]:
    """Return the settings of each row."""
    models, steps = om.models, om.Weights(step_half_life=2.0)
    fresh = om.Popularity(by="weight", weights=om.Weights(half_life="1D"))
    timed = [{"interval_half_life": life, "interval_floor": low} for life in ("1h", "1D", "7D") for low in (0.0, 0.4)]
    return {
        "Popularity, half-life of a day": [fresh],
        "SessionKNN": [models.SessionKNN(half_life=life) for life in ("2D", "7D", "30D")],
        "NextItem": [models.NextItem(regularization=r, weights=steps) for r in (30.0, 100.0)],
        "NextItem, intervals": [models.NextItem(regularization=30.0, weights=steps, **one) for one in timed],
        "NextItem, trend": [
            models.NextItem(regularization=30.0, weights=steps, trend_power=b, trend_window=w)
            for b in (0.25, 0.5)
            for w in ("2D", "14D")
        ],
        "NextItem, intervals and trend": [
            models.NextItem(
                regularization=30.0, weights=steps, interval_half_life="1D", trend_power=b, trend_window="2D"
            )
            for b in (0.5, 1.0)
        ],
    }


def clicks_of(frame: pd.DataFrame, gap: str = "30min") -> pd.DataFrame:
    """Return clicks by session: a user_id of its own for each, items seen five times, at least two clicks."""
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable")
    away = frame["timestamp"].diff() > pd.Timedelta(gap)
    session = (away | (frame["user_id"] != frame["user_id"].shift())).cumsum()
    frame = frame.assign(person=frame["user_id"], user_id=session, channel="all", event="view")
    frame = frame[frame["item_id"] != frame["item_id"].shift().where(session == session.shift())]  # reloads
    frame = frame[frame.groupby("item_id")["item_id"].transform("size") >= 5]
    return frame[frame.groupby("user_id")["item_id"].transform("size") >= 2]


def halves(clicks: pd.DataFrame, cut: pd.Timestamp, days: int = 28) -> tuple[om.EventLog, pd.DataFrame]:
    """Return the log of sessions that end before a cut, and the known clicks of those that begin in the days after."""
    whole = clicks.groupby("user_id")["timestamp"]
    first, last = whole.transform("min"), whole.transform("max")
    before, after = last < cut, (first >= cut) & (first < cut + pd.Timedelta(days=days))
    columns = ["user_id", "item_id", "channel", "event", "timestamp"]
    log = om.EventLog.from_frame(clicks.loc[before, columns])
    asked = clicks[after & clicks["item_id"].isin(log.items.ids)]
    return log, asked[asked.groupby("user_id")["item_id"].transform("size") >= 2]


def revealed(model: Any, asked: pd.DataFrame, weights: om.Weights, k: int = 20) -> pd.DataFrame:
    """Return hit and reciprocal rank of each next click, given the clicks of its session before it."""
    place = asked.groupby("user_id").cumcount().to_numpy()
    row = np.arange(len(asked))
    event = np.repeat(row, place)  # every click asks with all clicks before it
    back = np.arange(event.size) - np.repeat(np.cumsum(place) - place, place)
    past = row[event] - 1 - back
    faded = 1.0 if weights.step_half_life is None else np.exp2(-back / weights.step_half_life)
    frame = pd.DataFrame({"user_id": event, "item_id": asked["item_id"].to_numpy()[past], "weight": faded})
    x = om.Interactions.from_frame(frame)
    found = model.recommend(x, k=k, exclude_seen=False, threads=1)
    target = model.items.codes(asked["item_id"].to_numpy()[np.asarray(found.users.ids)])
    same = found.codes == target[:, None]
    rank = np.where(same.any(axis=1), same.argmax(axis=1) + 1.0, np.inf)
    session = asked["user_id"].to_numpy()[np.asarray(found.users.ids)]
    return pd.DataFrame({"session": session, "hr": np.isfinite(rank).astype(float), "mrr": 1 / rank})


def revealed_rows() -> dict[str, list[tuple[Any, om.Weights]]]:
    """Return the settings of each row, with the weights of the session that is asked."""
    models, plain = om.models, om.Weights()
    steps = [om.Weights(step_half_life=half) for half in (0.5, 1.0, 2.0)]
    trends: list[dict[str, Any]] = [{"trend_power": 0.5, "trend_window": window} for window in ("2D", "14D")]
    return {
        "Popularity, half-life of a day": [(om.Popularity(by="weight", weights=om.Weights(half_life="1D")), plain)],
        "SessionKNN": [
            (models.SessionKNN(gap="30min", half_life=life, neighbors=n, weights=w), w)
            for life in ("2D", "7D", "30D")
            for n in (100, 500)
            for w in steps[1:]
        ],
        "SLIST, its formula": [
            (one, asked_with(one))
            for one in (Slist(alpha=a, delta=d, asked=d, ridge=10.0) for a in (0.2, 0.5, 0.8) for d in (1.0, 2.0))
        ],
        "NextItem": [(models.NextItem(regularization=r, weights=w), w) for r in (3.0, 10.0, 30.0) for w in steps],
        "NextItem and EASE": [
            (om.Blend(models={"next": models.NextItem(regularization=r), "ease": om.EASE()}, weights={"ease": a}), w)
            for r in (3.0, 10.0)
            for a in (0.3, 1.0)
            for w in steps[:2]
        ],
        "NextItem, trend": [
            (models.NextItem(regularization=r, weights=w, **one), w)
            for one in trends
            for r in (1.0, 10.0)
            for w in steps[:2]
        ],
    }


def compare_revealed(frame: pd.DataFrame, *, quick: bool) -> None:
    """Choose each row's setting by MRR@20 on the first of six parts, and print what it gives on the others."""
    clicks = clicks_of(frame)
    end = clicks["timestamp"].max().ceil("D")
    choosing, *reporting = (halves(clicks, end - pd.Timedelta(days=28 * n)) for n in range(6, 0, -1))
    n_sessions = sum(asked["user_id"].nunique() for _, asked in reporting)
    print(f"{reporting[-1][0]!r}; {n_sessions:,} sessions asked; split {split_of(reporting)}", flush=True)
    table, values = [], {}
    for name, settings in revealed_rows().items():
        tried = [float(run_revealed(*one, [choosing])["mrr"].mean()) for one in (settings[:1] if quick else settings)]
        estimator, weights = settings[int(np.argmax(tried))]
        found = run_revealed(estimator, weights, reporting)
        values[name] = found.groupby("session")[["hr", "mrr"]].sum(), found.groupby("session").size()
        row: dict[str, Any] = {"model": name, "hr@20": float(found["hr"].mean()), "mrr@20": float(found["mrr"].mean())}
        row["clicks"] = len(found)
        if "SessionKNN" in values and name != "SessionKNN":
            row |= over(values[name], values["SessionKNN"])
        table.append(row | {"setting": repr(estimator), "asked with": repr(weights), "chosen of": len(tried)})
        print(table[-1], flush=True)
    best = next(row for row in table if row["model"] == "SessionKNN")
    for row in table[2:]:
        headline(f"MRR@20 revealed, {row['model']}", row["mrr@20"], beside="SessionKNN", theirs=best["mrr@20"])
    if not quick:
        write("sessions_revealed", {"rows": table})


def run_revealed(estimator: Any, weights: om.Weights, parts: list[tuple[om.EventLog, pd.DataFrame]]) -> pd.DataFrame:
    """Return hits and reciprocal ranks over some parts, each after a fit on what lies before it."""
    models = (fitted(estimator, log) if isinstance(estimator, Slist) else estimator.fit(log) for log, _ in parts)
    return pd.concat([revealed(model, asked, weights) for model, (_, asked) in zip(models, parts, strict=True)])


def split_of(parts: list[tuple[om.EventLog, pd.DataFrame]]) -> str:
    """Return a fingerprint of the clicks that are asked."""
    rows = pd.concat([asked[["user_id", "item_id", "timestamp"]] for _, asked in parts])
    return sha256(rows.to_csv(index=False).encode()).hexdigest()[:16]


def over(mine: Any, theirs: Any) -> dict[str, str]:
    """Return differences of means over clicks, with 95 % intervals from sessions drawn again."""
    (a, n), (b, _) = mine, theirs
    gap, n = (a - b).to_numpy(), n.to_numpy()
    draw = np.random.default_rng(0).integers(0, len(n), (1000, len(n)))
    drawn = gap[draw].sum(axis=1) / n[draw].sum(axis=1)[:, None]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    mean = gap.sum(axis=0) / n.sum()
    return {
        f"{one} over SessionKNN": f"{mean[at]:+.4f} [{low[at]:+.4f}, {high[at]:+.4f}]"
        for at, one in enumerate(("hr@20", "mrr@20"))
    }


def main() -> None:
    parser = options(
        __doc__, quick="every twentieth day", data="user_id, item_id and timestamp; the last quarter is reported"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth day only")
    parser.add_argument("--revealed", action="store_true", help="HR@20 and MRR@20, a session revealed click by click")
    arguments = parser.parse_args()
    header(__doc__)
    if arguments.revealed:
        if arguments.data is None:
            clicks = read(data_folder("deskdrop_articles")).query("event == 'view'")
            clicks = clicks.assign(timestamp=clicks["timestamp"].dt.tz_localize("UTC"))
        else:
            clicks = own_log(arguments.data, times=("timestamp",))
        with plainly(arguments.data or Path("deskdrop_articles")):
            compare_revealed(clicks, quick=arguments.quick)
        return
    step = 20 if arguments.quick and arguments.data is None else arguments.every
    if arguments.data is not None:
        with plainly(arguments.data):
            compare(*own(arguments.data, step), step=step, keep=False)
        return
    frame = read(data_folder("deskdrop_articles"))
    whole = om.Dataset(om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC"))))
    choosing, reporting = days_of(frame, *TUNED, 3 * step), days_of(frame, *REPORTED, step)
    compare(whole, choosing, reporting, step=step, keep=not arguments.quick)


Days = list[tuple[pd.Timestamp, pd.DataFrame]]


def own(path: Path, step: int) -> tuple[om.Dataset, Days, Days]:
    """Return one's own log, the days that choose (those of its third quarter) and those that are reported."""
    frame = own_log(path, times=("timestamp",), defaults={"channel": "all", "event": "view"})
    frame = frame[["user_id", "item_id", "channel", "event", "timestamp"]]
    whole, (last, part) = om.Dataset(om.EventLog.from_frame(frame)), own_span(frame, days=90)
    plain = frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None))
    first, middle, stop = ((last - n * part).tz_localize(None) for n in (2, 1, 0))
    parts = days_of(plain, str(first), str(middle), step), days_of(plain, str(middle), str(stop), step)
    if not all(parts):
        raise SystemExit(
            f"{path.name}: no day of the last {2 * part} has somebody who opens two items, the later one new to them "
            f"and older than a day. A longer log is needed."
        )
    return whole, *parts


def compare(whole: om.Dataset, choosing: Days, reporting: Days, *, step: int, keep: bool) -> None:
    """Choose each row's setting on the days that choose, and print what it earns on those reported."""
    values, table = {}, []
    for name, settings in rows_of().items():
        means = [0.0] if len(settings) == 1 else [float(run(one, whole, choosing).mean()) for one in settings]
        best = settings[int(np.argmax(means))]
        values[name] = run(best, whole, reporting)
        row: dict[str, Any] = {"model": name, "ndcg": float(values[name].mean()), "people": values[name].size}
        for other in ("SessionKNN", "NextItem"):
            if name.startswith("NextItem") and name != other:
                row[f"over {other}"] = "{:+.4f} {:+.4f}".format(*interval((values[name] - values[other]).to_numpy()))
        table.append(row | {"setting": repr(best), "chosen of": [round(mean, 4) for mean in means]})
        print(table[-1], flush=True)
        if "over SessionKNN" in row:
            base = float(values["SessionKNN"].mean())
            gap = [row["ndcg"] - base, *map(float, row["over SessionKNN"].split())]
            headline(f"NDCG@{K}, {name}", row["ndcg"], beside="SessionKNN", theirs=base, gap=gap)
        if keep:
            write("sessions", {"every": step, "rows": table})


if __name__ == "__main__":
    main()
