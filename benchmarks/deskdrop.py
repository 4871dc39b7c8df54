"""Several behaviours on several channels of the same people: DeskDrop, one day after another.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop.py [--quick] [--peers]

Every day each model is fitted on all that happened before its midnight (UTC). The truth are the day's likes, bookmarks,
comments and follows of people and articles that are known by then, where the person never touched the article before;
all articles they have not touched are ranked, and each target earns 1 / log2(1 + rank) within the first 10, which is
NDCG@10 of one relevant item. The mean is taken per person, then over people. Settings are chosen on July and August 2016,
every third day of them, and reported on September 2016 to February 2017. Intervals are paired, by person, from 2,000
resamples. Writes results/deskdrop.json.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
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
