"""Do other channels, and learned weights, help? Complete Journey, split in time, with paired intervals.

    python benchmarks/channels.py
    python benchmarks/channels.py --days

Needs omnireco[demo]. Weights are learned on windows before the cut only; the truth is what households bought in the
store in the four weeks after it. "No gain" is an answer. Writes results/channels.json. With --days the channels are
weekdays and weekends, and joined channels are held against one pooled matrix and against each alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _common import header, headline_of, options, own_log, own_span, plainly, write

import omnireco as om

CUT, HORIZON, K = "2017-12-04", "28D", 10
RIDGES = [0.5, 2.0, 8.0, 31.25, 125.0, 500.0]
LEARNED = "all channels, learned"


def groceries(quick: bool) -> None:
    """Print what the other channels add to the lists of the store."""
    level = "product_category" if quick else "product_type"
    past, later = om.Dataset(om.worlds.complete_journey(item_level=level).log).split(CUT, horizon=HORIZON)
    found = compare(past, later, "store", horizon=HORIZON, quick=quick)
    if not quick:
        write("channels", found)


def own(path: Path, target: str | None, quick: bool) -> None:
    """Print what the other channels of one's own log add to the lists of one of them."""
    frame = own_log(path, needs=("user_id", "item_id", "channel"), times=("timestamp",), defaults={"event": "any"})
    counts = frame["channel"].value_counts()
    if len(counts) < 2:
        raise SystemExit(f"{path.name} has one channel, {counts.index[0]}: there is nothing to compare.")
    if target is not None and target not in counts:
        raise SystemExit(f"{path.name} has no channel {target}; it has {', '.join(map(str, counts.index[:10]))}.")
    last, horizon = own_span(frame, days=28, parts=6)
    with plainly(path):
        log = om.EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]])
        past, later = om.Dataset(log).split(last - horizon, horizon=horizon)
        compare(past, later, str(target or counts.index[0]), horizon=horizon, quick=quick)


def compare(past: om.Dataset, later: om.Dataset, target: str, *, horizon: Any, quick: bool) -> dict[str, Any]:
    """Return, and print, the quality of lists for one channel, by that channel alone and by all."""
    print(f"{past}; lists for {target}, split {om.data.fingerprint(past.events, later.events)}", flush=True)
    hand, store = om.Weights(half_life="90D", cap=20), [target]
    ease = om.EASE(regularization=500, weights=hand)
    search = om.evaluation.Search(
        events=[],
        half_lives=["60D"] if quick else ["30D", "60D", "180D"],
        parameters={
            "regularization": RIDGES[:1] if quick else RIDGES
        },  # one wide grid for both sides: neither is ahead by its ridge
    )
    learned = om.learn_weights(
        ease, past, horizon=horizon, target_channels=store, exclude_seen=False, k=K, search=search
    )
    print(f"{learned}\nfound: {learned.found}\n{learned.to_frame().round(4).to_string()}", flush=True)
    only_store = om.Dataset(past.events.select(channels=store))
    print(
        f"ridge tuned with the weights by hand {learned.start_estimator}, with the found {learned.estimator}",
        flush=True,
    )
    rows = {
        f"{target} only, by hand": (only_store, ease),
        f"{target} only, every pair 1": (only_store, ease.replace(weights=om.Weights(binary=True))),
        "all channels, by hand": (past, ease),
        "all channels, by hand, ridge tuned": (past, learned.start_estimator),
        LEARNED: (past, learned.estimator),
        "buy again": (only_store, om.BuyAgain(weights=hand)),
    }
    lists = {
        name: estimator.fit(data).recommend(data.requests(), k=K, exclude_seen=False)
        for name, (data, estimator) in rows.items()
    }
    report = om.evaluate(lists, later.events.select(channels=store), k=K, metrics=[om.ndcg, om.recall])
    table, gaps = report.to_frame(), report.differences(f"{target} only, by hand")
    print(f"\n{table.round(4).to_string()}\n\n{gaps.round(4).to_string()}")
    tuned = report.differences("all channels, by hand, ridge tuned")
    print(f"\nagainst the tuned ridge\n{tuned.query('model == @LEARNED').round(4).to_string()}")
    for name in (LEARNED, "all channels, by hand"):
        headline_of(report, name, f"{target} only, by hand", f"NDCG@{K}, {name}")
    headline_of(report, LEARNED, "all channels, by hand, ridge tuned", f"NDCG@{K}, {LEARNED}")
    return {"means": table.to_dict("records"), "differences": gaps.to_dict("records"), "learned": repr(learned)}


def days() -> None:
    """Weekdays and weekends as two channels: one pooled matrix, joined channels, each alone."""
    lines = om.worlds.complete_journey(item_level="product_type").log.select(channels=["store"]).to_frame()
    lines = lines[lines["item_id"].notna()]
    weekend = lines["timestamp"].dt.tz_convert("America/New_York").dt.day_of_week >= 5
    lines["channel"] = weekend.map({True: "weekend", False: "weekday"})
    log = om.EventLog.from_frame(lines[["user_id", "item_id", "channel", "event", "timestamp"]])
    cross = om.models.CrossChannel(
        estimator=om.ALS(factors=64, unobserved_weight=1.0), saturation="binary"
    )  # chosen before the cut
    past, later = om.Dataset(log).rolling(horizon=HORIZON, n=1)[0]
    for exclude_seen in (True, False):
        compared = om.evaluation.compare_channels(cross, past, later, k=K, exclude_seen=exclude_seen)
        print(f"\nseen items {'left out' if exclude_seen else 'allowed'}: {compared}", flush=True)


def main() -> None:
    parser = options(
        __doc__,
        quick="product categories, one half-life and one ridge are tried",
        data="user_id, item_id, channel and timestamp; the last four weeks are the test",
    )
    parser.add_argument("--days", action="store_true", help="weekdays and weekends as two channels, nothing else")
    parser.add_argument("--target", metavar="CHANNEL", help="with --data: the channel of the lists; the largest one")
    asked = parser.parse_args()
    header(__doc__)
    if asked.data is not None:
        own(asked.data, asked.target, asked.quick)
    elif asked.days:
        days()
    else:
        groceries(asked.quick)


if __name__ == "__main__":
    main()
