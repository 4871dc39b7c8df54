"""Which behaviour and channel adds signal? Closed-form models of all behaviours, on simulated shops and groceries.

    OMNIRECO_DATA=/path/to/data python benchmarks/behaviours.py [--quick]

The last window of each log is the test. Every row has the same few settings, half-lives times ridges, and the window
before the test chooses (whether lists may repeat is what learn_weights inferred there). ``TypedEASE`` is the closed
form of several behaviours: one ridge regression from all types of event to the purchases that followed. Then each
behaviour and each channel is left out of the pooled model. Shops (_shops.py) are simulated, and it is known what is
true of them: the feed is noise. Intervals of NDCG@10 are paired with all behaviours counting 1, by person. The hash
of each split is printed.
Writes results/behaviours.json.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from _common import data_folder, header, headline_of, options, write
from _shops import HAND, Shop
from learned_weights import groceries

import omnireco as om

K, POOLED = 10, "pooled, each 1"
SMALL = {"users": 2_500, "items": 500}
LOGS: dict[str, tuple[Shop, str]] = {
    "30 days, people buy again, a feed": (Shop(days=30, visits=14, again=0.3, feed=1.0, **SMALL), "5D"),
    "30 days, seldom again, a feed": (Shop(days=30, visits=14, again=0.01, feed=1.0, after=3.0, **SMALL), "5D"),
    "6 months, favourites long before": (
        Shop(days=182, visits=30, again=0.02, marks=0.2, wants=0.1, marked=60, **SMALL), "14D"
    ),
}  # fmt: skip


def settings_of(
    hand: Mapping[str, float], target: list[str], events: list[str], lives: tuple[Any, ...], *, repeats: bool
) -> dict[str, list[Any]]:
    """Return the rows, each with the same number of settings."""
    alone = {name: 0.0 for name in events if name not in target}

    def pooled(table: Mapping[str, float]) -> list[Any]:
        return [
            om.EASE(regularization=ridge, weights=om.Weights(events=dict(table), half_life=life))
            for ridge, life in itertools.product((20.0, 200.0), lives)
        ]

    rows: dict[str, list[Any]] = {
        "target behaviour alone": pooled(alone),
        POOLED: pooled({}),
        "pooled, by hand": pooled(hand),
    }
    rows["CrossChannel of EASE"] = [om.models.CrossChannel(estimator=one, lift=0.0) for one in pooled({})]
    for by in ("event", "channel and event"):
        rows[f"TypedEASE, by {by}"] = [
            om.models.TypedEASE(target=target, by=by, regularization=ridge, input_half_life=life, repeats=repeats)
            for ridge, life in itertools.product((20.0, 200.0), lives)
        ]
    if repeats:
        rows["BuyAgain"] = [om.BuyAgain(weights=om.Weights(events=alone, half_life=life)) for life in lives]
    return rows


def compare(name: str, log: om.EventLog, horizon: str, target: list[str], hand: Mapping[str, float], lives: Any) -> Any:
    """Return the rows of one log."""
    before, (past, later) = om.Dataset(log).rolling(horizon=horizon, n=2)
    events, channels = (list(map(str, names.ids)) for names in (log.events, log.channels))
    found = om.learn_weights(om.EASE(), past, horizon=horizon, target=target)
    repeats = not found.exclude_seen
    split = om.data.fingerprint(past.events, later.events)
    print(f"\n{name}: {past.events}; split {split}\n  {found}\n  {found.found}", flush=True)

    def ask(estimators: Mapping[str, Any], cut: Any) -> Any:
        truth = cut[1].events.select(events=target)
        lists = {
            key: one.fit(cut[0], threads=1).recommend(cut[0].requests(), k=K, exclude_seen=not repeats)
            for key, one in estimators.items()
        }
        return om.evaluate(lists, truth, k=K, metrics=[om.ndcg], n_bootstrap=1000)

    rows = {}
    for key, settings in settings_of(hand, target, events, lives, repeats=repeats).items():
        report = ask({str(n): one for n, one in enumerate(settings)}, before).to_frame()
        rows[key] = settings[int(report.loc[report["mean"].idxmax(), "model"])]
    rows["pooled, learn_weights"] = found.estimator
    base = rows[POOLED]
    for kind, names in (("events", events), ("channels", channels if len(channels) > 1 else [])):
        for one in names:
            rows[f"pooled without {one}"] = base.replace(weights=replace(base.weights, **{kind: {one: 0.0}}))
    report = ask(rows, (past, later))
    means, gaps = report.to_frame().set_index("model")["mean"], report.differences(POOLED).set_index("model")
    table = []
    for key, one in rows.items():
        line = {"log": name, "split": split, "model": key, "ndcg": float(means[key]), "setting": str(one)}
        if key in gaps.index:
            line |= {"gap": gaps.loc[key, "difference"], "low": gaps.loc[key, "low"], "high": gaps.loc[key, "high"]}
        table.append(line)
    print(pd.DataFrame(table).drop(columns=["log", "split", "setting"]).round(4).to_string(index=False), flush=True)
    headline_of(report, "TypedEASE, by event", POOLED, f"NDCG@{K}, {name}, TypedEASE")
    return table


def main() -> None:
    parser = options(__doc__, quick="the first shop alone")
    arguments = parser.parse_args()
    header(__doc__)
    table = []
    for name, (shop, horizon) in list(LOGS.items())[: 1 if arguments.quick else None]:
        lives = (None, "12h", "4D") if shop.days < 100 else (None, "7D", "60D")
        table += compare(name, shop.log(), horizon, ["purchase"], HAND, lives)
        if not arguments.quick:
            write("behaviours", {"rows": table})
    if not arguments.quick:
        log, how = groceries(data_folder("complete_journey"), None)
        counts = log.to_frame()["item_id"].value_counts()
        frame = log.to_frame()
        frame = frame[frame["item_id"].isin(counts.index[:500])]
        log = om.EventLog.from_frame(frame)
        table += compare("groceries, 500 types", log, "14D", ["full price"], how["hand"], (None, "30D", "90D"))
        write("behaviours", {"rows": table})


if __name__ == "__main__":
    main()
