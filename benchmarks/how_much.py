"""How much data it takes: lists by weeks of history and by people, on a year of groceries.

    python benchmarks/how_much.py [--quick] [--data LOG]

Complete Journey (product types), the four weeks before 2018 as truth, NDCG@10 against `Popularity` fitted on the same
rows, in pairs with 95 % intervals. First the last N weeks before the cut, everybody; then all weeks of N households
drawn at random, asked for 500 others that no model was fitted on. Settings are the defaults. ``--data`` puts your own
log in its place: its last four weeks, or the last quarter of a short log, are the truth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _common import header, headline_of, options, own_log, own_span, plainly

import omnireco as om

CUT, K = pd.Timestamp("2017-12-04", tz="UTC"), 10


def row(amount: str, past: om.Dataset, asked: om.Dataset, later: om.EventLog, *, again: bool) -> dict[str, object]:
    """Return what each model gains over popularity when fitted on one amount of data."""
    models = {"popular": om.Popularity(), "buy again": om.BuyAgain(), "ease": om.EASE(), "als": om.ALS(seed=7)}
    if not again:
        del models["buy again"]
    wanted = later if again else fresh(asked, later)
    lists = {
        name: model.fit(past).recommend(asked.requests(), k=K, exclude_seen=not again) for name, model in models.items()
    }
    report = om.evaluate(lists, wanted, k=K, metrics=[om.ndcg])
    base = report.to_frame().set_index("model").loc["popular"]
    found: dict[str, object] = {"fitted on": amount, "people": past.events.n_users, "popular": f"{base['mean']:.3f}"}
    for _, one in report.differences("popular").iterrows():
        headline_of(report, str(one["model"]), "popular", f"NDCG@{K}, {amount}, {one['model']}")
        found[str(one["model"])] = f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
    return found


def fresh(asked: om.Dataset, later: om.EventLog) -> pd.DataFrame:
    """Return the later pairs that are new to the person."""
    keys = ["user_id", "item_id"]
    pairs, had = (log.matrix().to_frame()[keys] for log in (later, asked.events))
    return pairs.merge(had, how="left", indicator=True).query("_merge == 'left_only'")[keys]


def groceries() -> tuple[pd.DataFrame, pd.DataFrame, pd.Timestamp]:
    """Return the purchases before the cut, those after it, and the cut."""
    past, later = om.worlds.complete_journey().dataset().split(CUT, horizon="28D")
    logs = (data.events.select(events=["purchase"]) for data in (past, later))
    store, bought = (log.to_frame().dropna(subset="item_id") for log in logs)
    return store, bought, CUT


def own(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.Timestamp]:
    """Return the same of one's own log."""
    given = {"channel": "all", "event": "choice"}
    frame = own_log(path, times=("timestamp",), defaults=given)[["user_id", "item_id", "timestamp", *given]]
    last, horizon = own_span(frame, days=28)
    return frame[frame["timestamp"] < last - horizon], frame[frame["timestamp"] >= last - horizon], last - horizon


def main() -> None:
    asked = options(__doc__, quick="three amounts each", data="user_id, item_id and timestamp").parse_args()
    header(__doc__)
    if asked.data is None:
        curves(*groceries(), quick=asked.quick)
    else:
        with plainly(asked.data):
            curves(*own(asked.data), quick=asked.quick)


def curves(store: pd.DataFrame, bought: pd.DataFrame, cut: pd.Timestamp, *, quick: bool) -> None:
    """Print both tables."""
    truth = om.EventLog.from_frame(bought)
    longest = int(np.ceil((cut - store["timestamp"].min()) / pd.Timedelta(weeks=1)))
    rows = []
    for weeks in sorted({min(weeks, longest) for weeks in ((1, 8, 48) if quick else (1, 2, 4, 8, 16, 32, 48))}):
        lately = om.Dataset(om.EventLog.from_frame(store[store["timestamp"] >= cut - pd.Timedelta(weeks=weeks)]))
        rows.append(row(f"{weeks} week{'' if weeks == 1 else 's'}", lately, lately, truth, again=True))
    print(f"\nwhat they buy next, known products included\n{pd.DataFrame(rows).to_string(index=False)}", flush=True)

    order = np.random.default_rng(0).permutation(store["user_id"].unique())
    few = min(500, order.size // 3)
    others, rest = order[:few], order[few:]
    strangers, theirs = (frame[frame["user_id"].isin(others)] for frame in (store, bought))
    rows = []
    sizes = (50, 500, len(rest)) if quick else (20, 50, 100, 200, 500, 1000, len(rest))
    for people in sorted({min(size, len(rest)) for size in sizes}):
        some = store[store["user_id"].isin(rest[:people])]
        known = strangers[strangers["item_id"].isin(some["item_id"])]  # a model refuses products that it never saw
        data = [om.Dataset(om.EventLog.from_frame(frame)) for frame in (some, known)]
        rows.append(row(f"{people} households", *data, om.EventLog.from_frame(theirs), again=False))
    print(f"\nwhat is new to them, of {few} other households\n{pd.DataFrame(rows).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
