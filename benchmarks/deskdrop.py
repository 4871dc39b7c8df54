"""Several behaviours on several channels of the same people: DeskDrop, one day after another.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop.py [--quick] [--peers]

Every day each model is fitted on all that happened before its midnight (UTC). The truth are the day's likes, bookmarks,
comments and follows of people and articles that are known by then, where the person never touched the article before;
all articles they have not touched are ranked, and each target earns 1 / log2(1 + rank) within the first 10, which is
NDCG@10 of one relevant item. The mean is taken per person, then over people. Settings are chosen on July and August
2016, every third day of them, and reported on September 2016 to February 2017. Intervals are paired, by person, from
2,000 resamples. Writes results/deskdrop.json.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _common import header, options, write

import omnireco as om

TARGETS = ("like", "bookmark", "comment_created", "follow")
TUNED, REPORTED = ("2016-07-01", "2016-09-01"), ("2016-09-01", "2017-03-01")
K = 10
Days = list[tuple[pd.Timestamp, pd.DataFrame]]


def read(folder: Path) -> pd.DataFrame:
    """Return the events, with the columns that a log has."""
    frame = pd.read_parquet(folder / "deskdrop_articles" / "events.parquet")
    frame = frame.rename(columns={"event_time_utc": "timestamp"})
    return frame[["user_id", "item_id", "channel", "event", "timestamp"]].sort_values("timestamp", kind="stable")


def days_of(frame: pd.DataFrame, start: str, stop: str, *, step: int = 1) -> Days:
    """Return each midnight and the targets of the day after it: user_id and item_id."""
    at = frame["timestamp"].dt.floor("D")
    pair = pd.MultiIndex.from_frame(frame[["user_id", "item_id"]])
    touched = frame.groupby(pair)["timestamp"].min()
    new_on = touched.dt.floor("D").reindex(pair).to_numpy()
    born = frame.groupby("item_id")["timestamp"].transform("min")
    known = frame.groupby("user_id")["timestamp"].transform("min")
    wanted = frame["event"].isin(TARGETS) & (new_on == at) & (born < at) & (known < at)
    wanted &= (at >= pd.Timestamp(start)) & (at < pd.Timestamp(stop))
    chosen = frame[wanted].drop_duplicates(["user_id", "item_id"])
    groups = chosen.groupby(chosen["timestamp"].dt.floor("D"))
    return [(day, rows[["user_id", "item_id"]]) for day, rows in groups][::step]


def fingerprint(days: Days) -> str:
    """Return the hash of a split: every midnight with its targets."""
    rows = (f"{day.date()},{user},{item}\n" for day, part in days for user, item in sorted(part.to_numpy().tolist()))
    return hashlib.sha256("".join(rows).encode()).hexdigest()[:16]


def earned(ranked: Mapping[Any, list[Any]], truth: pd.DataFrame) -> list[float]:
    """Return NDCG@10 of each target."""
    found = []
    for user, item in truth.to_numpy().tolist():
        items = ranked.get(user, [])
        found.append(1.0 / np.log2(2.0 + items.index(item)) if item in items else 0.0)
    return found


Ask = Callable[[om.Dataset, np.ndarray], Mapping[Any, list[Any]]]


def asking(make: Callable[[om.Dataset], Any]) -> Ask:
    """Return a function from the past and people to lists, by an estimator that may depend on the past."""

    def ask(past: om.Dataset, people: np.ndarray) -> Mapping[Any, list[Any]]:
        requests = past.requests(people, exclude=touched(past, people))
        lists = make(past).fit(past, threads=1).recommend(requests, k=K, threads=1).to_frame()
        return {user: rows["item_id"].tolist() for user, rows in lists.groupby("user_id", sort=False)}

    return ask


@dataclass(frozen=True)
class Recent:
    """An estimator that learns from the last days alone: what it cannot forget by weights, it never sees."""

    estimator: Any
    days: str = "60D"

    def fit(self, past: om.Dataset, *, threads: int) -> Any:
        end = pd.Timestamp(past.end_us, unit="us", tz="UTC")
        return self.estimator.fit(past.events.between(end - pd.Timedelta(self.days), end), threads=threads)


def touched(past: om.Dataset, people: np.ndarray) -> list[np.ndarray]:
    """Return what each of these people touched on any channel, whatever it weighs: a view counts, too."""
    cells = past.events.matrix().rows(people)
    return [cells.items.ids[row] for row in np.split(cells.csr.indices, cells.csr.indptr[1:-1])]


def run(ask: Ask, log: om.EventLog, days: Days) -> tuple[pd.Series, float]:
    """Return the mean of each person over the days, and the CPU seconds of a day."""
    data, rows, spent = om.Dataset(log), [], process_time()
    for day, truth in days:
        past = data.before(day.tz_localize("UTC"))
        ranked = ask(past, truth["user_id"].unique())
        rows.append(truth[["user_id"]].assign(value=earned(ranked, truth)))
    spent = (process_time() - spent) / len(days)
    return pd.concat(rows).groupby("user_id")["value"].mean(), spent


def choose(rows: Mapping[str, list[Any]], log: om.EventLog, days: Days) -> dict[str, Any]:
    """Return the best setting of each row on the days that choose, and print what each earned."""
    best = {}
    for name, settings in rows.items():
        means = [float(run(asking(lambda past, one=one: one), log, days)[0].mean()) for one in settings]
        best[name] = settings[int(np.argmax(means))]
        print(f"  {name}: {' '.join(f'{mean:.4f}' for mean in means)}  {best[name]}", flush=True)
    return best


def interval(gaps: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the mean over people."""
    draw = np.random.default_rng(seed).integers(0, gaps.size, (2000, gaps.size))
    low, high = np.percentile(gaps[draw].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def fresh(weights: om.Weights) -> om.Popularity:
    """Return popularity that ages."""
    return om.Popularity(by="weight", weights=weights)


def mixed(weights: om.Weights, taste: Any, share: float) -> om.Blend:
    """Return what is popular now, and what suits the person."""
    return om.Blend(models={"fresh": fresh(weights), "taste": taste}, weights={"taste": share})


LIVES = ("12h", "1D", "2D")
HAND = {"view": 1.0, "like": 3.0, "bookmark": 3.0, "comment_created": 5.0, "follow": 5.0}


def learned(log: om.EventLog) -> Any:
    """Return the weights learned from the days that choose, each a window of its own."""
    past = om.Dataset(log).before(pd.Timestamp(REPORTED[0], tz="UTC"))
    windows = past.rolling(horizon="1D", n=60)
    start = fresh(om.Weights(half_life="1D"))
    found = om.learn_weights(start, past, horizon=windows, target=TARGETS, exclude_seen=True)
    print(f"learn_weights: {found}\n{found.weights}\n{found.to_frame().round(4).to_string(index=False)}\n", flush=True)
    return found


def behaviours(learned_weights: om.Weights, taste: Any, share: float) -> dict[str, list[Any]]:
    """Return the rows that differ in what behaviours count only; three half-lives each, but for learned ones."""
    tables = {
        "target alone": {"view": 0.0},
        "pooled, all ones": {},
        "hand-set": HAND,
    }
    rows = {
        f"fresh: {name}": [fresh(om.Weights(events=table, half_life=life)) for life in LIVES]
        for name, table in tables.items()
    }
    rows["fresh: learn_weights"] = [fresh(learned_weights)]
    for name, table in tables.items():
        rows[f"mixed: {name}"] = [mixed(om.Weights(events=table, half_life=life), taste, share) for life in LIVES]
    rows["mixed: learn_weights"] = [mixed(learned_weights, taste, share)]
    return rows


def alone() -> dict[str, list[Any]]:
    """Return the models of the library by themselves, three settings each."""
    models, recent = om.models, [om.Weights(half_life=life) for life in ("2D", "7D", "30D")]
    return {
        "Popularity": [om.Popularity()],
        "ItemKNN": [om.ItemKNN(weights=w) for w in recent],
        "RP3beta": [models.RP3beta(weights=w) for w in recent],
        "ALS": [om.ALS(weights=w) for w in recent],
        "EASE": [om.EASE(weights=w) for w in recent],
        "NextItem": [models.NextItem(weights=om.Weights(step_half_life=n)) for n in (1.0, 2.0, 4.0)],
        "TypedEASE": [Recent(models.TypedEASE(target=TARGETS, regularization=r)) for r in (30.0, 100.0)],
        "CrossChannel": [models.CrossChannel(estimator=om.ALS(weights=w), lift=0.0) for w in recent],
    }


def ablations(learned_weights: om.Weights) -> dict[str, Any]:
    """Return the learned weights without each behaviour, and without each channel."""
    events, channels = dict(learned_weights.events or {}), dict(learned_weights.channels or {})
    without: dict[str, Any] = {}
    for name in ("view", *TARGETS):
        without[f"without {name}"] = fresh(learned_weights_with(learned_weights, events={**events, name: 0.0}))
    for name in ("web_desktop", "web_mobile", "app_android", "app_ios", "unknown"):
        without[f"without {name}"] = fresh(learned_weights_with(learned_weights, channels={**channels, name: 0.0}))
    return without


def learned_weights_with(weights: om.Weights, **changes: Any) -> om.Weights:
    """Return weights with other tables; a name that the log does not have yet is passed over."""
    return replace(weights, missing="ignore", **changes)


def implicit_rows() -> dict[str, list[Ask]]:
    """Return implicit's models with as many settings as ours: its ALS, and its BM25 neighbours."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender

    def asks(make: Callable[[], Any], life: str) -> Ask:
        def ask(past: om.Dataset, people: np.ndarray) -> Mapping[Any, list[Any]]:
            x = past.matrix(om.Weights(half_life=life))
            model, own = make(), x.rows(people).csr.astype(np.float32)
            model.fit(x.csr.astype(np.float32), show_progress=False)
            own = sp.csr_matrix((own.data.copy(), own.indices.copy(), own.indptr.copy()), own.shape)
            every = past.events.matrix().rows(people).csr
            codes, scores = model.recommend(np.arange(len(people)), own, N=200, recalculate_user=True)
            lists = {}
            for row, user in enumerate(people):
                old = set(every[row].indices)
                good = [int(c) for c, s in zip(codes[row], scores[row], strict=True) if c >= 0 and s > -1e30]
                lists[user] = [x.items.ids[code] for code in good if code not in old][:K]
            return lists

        return ask

    lives = ("2D", "7D", "30D")
    als = [asks(lambda: AlternatingLeastSquares(factors=64, random_state=0, num_threads=1), life) for life in lives]
    near = [asks(lambda: BM25Recommender(K=100, num_threads=1), life) for life in lives]
    return {"implicit ALS": als, "implicit BM25": near}


def main() -> None:
    parser = options(__doc__, quick="every twentieth day, and no other models")
    parser.add_argument("--peers", action="store_true", help="implicit's models too")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth day only, for a quick run")
    arguments = parser.parse_args()
    header(__doc__)
    if not (folder := os.environ.get("OMNIRECO_DATA")):
        sys.exit("Set OMNIRECO_DATA to the folder that holds deskdrop_articles")
    frame = read(Path(folder))
    log = om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC")))
    step = 20 if arguments.quick else arguments.every
    choosing, reporting = days_of(frame, *TUNED, step=3 * step), days_of(frame, *REPORTED, step=step)
    split = fingerprint(days_of(frame, *TUNED) + days_of(frame, *REPORTED))
    n_targets = sum(len(part) for _, part in reporting)
    people = {user for _, part in reporting for user in part["user_id"]}
    print(f"split {split}; reported: {n_targets:,} targets of {len(people):,} people on {len(reporting)} days\n")
    found = learned(log)
    taste = [om.ALS(weights=om.Weights(half_life=life)) for life in ("7D", "30D")]
    shares = [mixed(om.Weights(half_life="1D"), *pair) for pair in itertools.product(taste, (0.25, 0.5, 1.0))]
    print("settings, each with what it earned on the days that choose")
    start = choose({"mixed": shares}, log, choosing)["mixed"]
    own, share = start.models["taste"], start.weights["taste"]
    rows = choose(behaviours(found.weights, own, share), log, choosing)
    if not arguments.quick:
        rows |= choose(alone(), log, choosing)
        rows["mixed: CrossChannel"] = mixed(found.weights, rows["CrossChannel"], share)
    asks = {name: asking(lambda past, one=one: one) for name, one in rows.items()}
    if arguments.peers:
        for name, settings in implicit_rows().items():
            means = [float(run(one, log, choosing)[0].mean()) for one in settings]
            asks[name] = settings[int(np.argmax(means))]
    if not arguments.quick:
        asks |= {name: asking(lambda past, one=one: one) for name, one in ablations(found.weights).items()}
    report(asks, log, reporting, split, step)


def report(asks: Mapping[str, Ask], log: om.EventLog, days: Days, split: str, step: int) -> None:
    """Print each row on the days that are reported, paired with the pooled one and with the target alone."""
    values, table = {}, []
    for name, ask in asks.items():
        values[name], seconds = run(ask, log, days)
        group = "mixed" if name.startswith("mixed") else "fresh"
        against = f"{group}: learn_weights" if name.startswith("without") else f"{group}: pooled, all ones"
        row: dict[str, Any] = {"model": name, "ndcg": values[name].mean(), "seconds_a_day": seconds}
        for title, other in (("pooled", against), ("target", f"{group}: target alone")):
            if other in values and name != other:
                gaps = (values[name] - values[other]).to_numpy()
                row |= {f"to_{title}": gaps.mean(), f"{title}_interval": "{:+.4f} {:+.4f}".format(*interval(gaps))}
        table.append(row)
        print(f"  {name}: {row['ndcg']:.4f}, {seconds:.2f} s a day", flush=True)
        write("deskdrop", {"split": split, "every": step, "days": len(days), "rows": table})  # what is done is kept
    print("\n" + pd.DataFrame(table).round(4).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
