"""Several behaviours on several channels of the same people: DeskDrop, one day after another.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop.py [--quick] [--every N]

Every day each model is fitted on all that happened before its midnight (UTC). The truth are the day's likes, bookmarks,
comments and follows of people and articles that are known by then, where the person never touched the article before;
all articles they have not touched are ranked, and each target earns 1 / log2(1 + rank) within the first 10, which is
NDCG@10 of one relevant item. The mean is taken per person, then over people. Six settings a row are tried on July and
August 2016, every sixth day of them, and the best is reported on September 2016 to February 2017, once. Intervals are
paired, by person, from 2,000 resamples. What behaviours and channels are worth: in popularity that ages ("fresh"), in
RP3beta ("taste"), and in both together ("mixed"). Every model, and other libraries: deskdrop_models.py. Writes
results/deskdrop.json.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write

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

    def fit(self, past: om.Dataset, *, threads: int | None = None) -> Any:
        end = pd.Timestamp(past.end_us, unit="us", tz="UTC")
        recent = past.events.between(end - pd.Timedelta(self.days), end)
        return self.estimator.fit(om.Dataset(recent, audience=past.audience), threads=threads)


def touched(past: om.Dataset, people: np.ndarray) -> list[np.ndarray]:
    """Return what each of these people touched on any channel, whatever it weighs: a view counts, too."""
    cells = past.events.matrix().rows(people)
    return [cells.items.ids[row] for row in np.split(cells.csr.indices, cells.csr.indptr[1:-1])]


def run(ask: Ask, log: om.EventLog | om.Dataset, days: Days) -> tuple[pd.Series, float]:
    """Return the mean of each person over the days, and the CPU seconds of a day."""
    data, rows, spent = log if isinstance(log, om.Dataset) else om.Dataset(log), [], process_time()
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


LIVES = ("6h", "12h", "1D", "2D", "4D", "7D")
HAND = {"view": 1.0, "like": 3.0, "bookmark": 3.0, "comment_created": 5.0, "follow": 5.0}
TABLES: dict[str, dict[str, float]] = {"target alone": {"view": 0.0}, "pooled, all ones": {}, "hand-set": HAND}
TASTE = om.models.RP3beta
MIXES = tuple(itertools.product(("12h", "1D"), (0.25, 0.5, 1.0)))  # half-life of what is popular, share of taste


def learned(name: str, start: Any, log: om.EventLog, n: int) -> Any:
    """Return weights learned from the days that choose, each a window of its own."""
    past = om.Dataset(log).before(pd.Timestamp(REPORTED[0], tz="UTC"))
    found = om.learn_weights(start, past, horizon=past.rolling(horizon="1D", n=n), target=TARGETS, exclude_seen=True)
    print(
        f"learn_weights, {name}: {found}\n{found.found}\n{found.to_frame().round(4).to_string(index=False)}\n",
        flush=True,
    )
    return found


def behaviours(life: str, found: Any) -> dict[str, list[Any]]:
    """Return the rows that differ in what behaviours count only, six settings each; learned ones had their search."""
    models = om.models
    rows: dict[str, list[Any]] = {
        f"fresh: {name}": [fresh(om.Weights(events=table, half_life=one)) for one in LIVES]
        for name, table in TABLES.items()
    }
    rows["fresh: learn_weights"] = [fresh(found.weights)]
    for name, table in TABLES.items():
        rows[f"taste: {name}"] = [TASTE(weights=om.Weights(events=table, half_life=one)) for one in LIVES]
    rows["taste: learn_weights"] = [TASTE(weights=replace(found.weights, half_life=one)) for one in LIVES]
    rows["taste: CrossChannel"] = [
        models.CrossChannel(estimator=TASTE(weights=om.Weights(half_life=one)), lift=0.0, saturation=how)
        for one in ("1D", "2D", "4D")
        for how in ("log", "none")
    ]
    rows["taste: TypedEASE"] = [
        Recent(models.TypedEASE(target=TARGETS, regularization=ridge), days)
        for ridge in (3.0, 10.0, 30.0)
        for days in ("3D", "7D")
    ]
    for name, table in TABLES.items():
        rows[f"mixed: {name}"] = [
            mixed(om.Weights(events=table, half_life=one), TASTE(weights=om.Weights(events=table, half_life=life)), w)
            for one, w in MIXES
        ]
    rows["mixed: learn_weights"] = [
        mixed(replace(found.weights, half_life=one), TASTE(weights=replace(found.weights, half_life=life)), w)
        for one, w in MIXES
    ]
    rows["mixed: CrossChannel"] = [
        mixed(
            om.Weights(half_life=one),
            models.CrossChannel(estimator=TASTE(weights=om.Weights(half_life=life)), lift=0.0),
            w,
        )
        for one, w in MIXES
    ]
    rows["mixed: TypedEASE"] = [
        Recent(mixed(om.Weights(half_life="12h"), models.TypedEASE(target=TARGETS, regularization=ridge), w), "7D")
        for ridge in (3.0, 30.0)
        for w in (0.1, 0.25, 0.5)
    ]
    rows["mixed: both, and TypedEASE"] = [
        Recent(
            om.Blend(
                models={
                    "fresh": fresh(om.Weights(half_life="12h")),
                    "taste": TASTE(weights=om.Weights(half_life=life)),
                    "typed": models.TypedEASE(target=TARGETS, regularization=ridge),
                },
                weights={"taste": 1.0, "typed": w},
            ),
            "14D",
        )
        for ridge in (3.0, 30.0)
        for w in (0.05, 0.1, 0.25)
    ]
    return rows


def ablations(popular: om.Popularity) -> dict[str, Any]:
    """Return what is popular by all ones, without each behaviour and without each channel."""
    names = ("web_desktop", "web_mobile", "app_android", "app_ios", "unknown")
    left_out = [("events", name) for name in ("view", *TARGETS)] + [("channels", name) for name in names]
    return {
        f"fresh: without {name}": fresh(replace(popular.weights, **{kind: {name: 0.0}}, missing="ignore"))
        for kind, name in left_out  # the log may not have it yet
    }


HEADLINES = (
    ("fresh: pooled, all ones", "fresh: target alone"),
    ("fresh: hand-set", "fresh: pooled, all ones"),
    ("fresh: learn_weights", "fresh: pooled, all ones"),
    ("mixed: pooled, all ones", "fresh: pooled, all ones"),
)


def main() -> None:
    parser = options(__doc__, quick="every twentieth day, one setting a row")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth day only, for a quick run")
    arguments = parser.parse_args()
    header(__doc__)
    log, choosing, reporting, split, step = asked_of(arguments)
    found = learned("fresh", fresh(om.Weights(half_life="12h")), log, 5 if arguments.quick else 60)
    print("settings, each with what it earned on the days that choose")
    tried = {name: part[:1] if arguments.quick else part for name, part in behaviours("2D", found).items()}
    rows = choose(tried, log, choosing)
    asks = {name: asking(lambda past, one=one: one) for name, one in rows.items()}
    if not arguments.quick:
        asks |= {
            name: asking(lambda past, one=one: one) for name, one in ablations(rows["fresh: pooled, all ones"]).items()
        }
    report(asks, {name: str(one) for name, one in rows.items()}, log, reporting, split, step)


def asked_of(arguments: Any, *, one_in: int = 6) -> tuple[om.EventLog, Days, Days, str, int]:
    """Return the log, the days that choose (one in six of the step) and those reported, and the hash of the targets."""
    frame = read(data_folder("deskdrop_articles"))
    log = om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC")))
    step = 20 if arguments.quick else arguments.every
    choosing, reporting = days_of(frame, *TUNED, step=one_in * step), days_of(frame, *REPORTED, step=step)
    split = fingerprint(days_of(frame, *TUNED) + days_of(frame, *REPORTED))
    n_targets = sum(len(part) for _, part in reporting)
    people = {user for _, part in reporting for user in part["user_id"]}
    print(f"split {split}; reported: {n_targets:,} targets of {len(people):,} people on {len(reporting)} days\n")
    return log, choosing, reporting, split, step


def report(
    asks: Mapping[str, Ask], settings: Mapping[str, str], log: om.EventLog, days: Days, split: str, step: int
) -> None:
    """Print each row on the days that are reported, paired with the pooled one and with the target alone."""
    values, table = {}, []
    for name, ask in asks.items():
        values[name], seconds = run(ask, log, days)
        group = name.partition(":")[0]
        row: dict[str, Any] = {"model": name, "ndcg": values[name].mean(), "seconds_a_day": seconds}
        row |= {"setting": settings.get(name, ""), "people": {str(k): float(v) for k, v in values[name].items()}}
        others = ("pooled", f"{group}: pooled, all ones"), ("target", f"{group}: target alone")
        for title, other in (*others, ("fresh", "fresh: pooled, all ones")):
            if other in values and name != other:
                gaps = (values[name] - values[other]).to_numpy()
                row |= {f"to_{title}": gaps.mean(), f"{title}_interval": "{:+.4f} {:+.4f}".format(*interval(gaps))}
        table.append(row)
        print(f"  {name}: {row['ndcg']:.4f}, {seconds:.2f} s a day", flush=True)
        write("deskdrop", {"split": split, "every": step, "days": len(days), "rows": table})  # what is done is kept
    print("\n" + pd.DataFrame(table).drop(columns=["setting", "people"]).round(4).to_string(index=False), flush=True)
    for name, other in HEADLINES:
        if {name, other} <= set(values):
            gaps = (values[name] - values[other]).to_numpy()
            ours, theirs = float(values[name].mean()), float(values[other].mean())
            headline(f"NDCG@{K}, {name}", ours, beside=other, theirs=theirs, gap=[gaps.mean(), *interval(gaps)])


if __name__ == "__main__":
    main()
