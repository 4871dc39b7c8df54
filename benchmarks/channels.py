"""Do other channels, and learned weights, help? Complete Journey, split in time, with paired intervals.

    python benchmarks/channels.py

Needs omnireco[demo]. Weights are learned on windows before the cut only; the truth is what households bought in the
store in the four weeks after it. "No gain" is an answer. Writes results/channels.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import omnireco as om

CUT, HORIZON, K = "2017-12-04", "28D", 10


def main() -> None:
    train, test = om.datasets.complete_journey(level="product_type").log.split(CUT, horizon=HORIZON)
    print(f"{train}; cut {CUT}, split {om.fingerprint(train, test)}", flush=True)
    ease, hand, store = om.EASE(regularization=500), om.Weights(half_life="90D", cap=20), ["store"]
    learned = om.learn_weights(
        train,
        ease,
        horizon=HORIZON,
        start=hand,
        target_channels=store,
        events=[],
        half_lives=["30D", "60D", "180D"],
        exclude_seen=False,
        k=K,
    )
    print(f"{learned}\nfound: {learned.found}\n{learned.to_frame().round(4).to_string()}", flush=True)
    only_store = train.select(channels=store)
    rows = {
        "store only, by hand": (only_store, hand),
        "store only, every pair 1": (only_store, om.Weights(binary=True)),
        "all channels, by hand": (train, hand),
        "all channels, learned": (train, learned.weights),
    }
    lists = {}
    for name, (log, weights) in rows.items():
        x = log.matrix(weights)
        lists[name] = ease.fit(x).recommend(x, k=K, exclude_seen=False)
    x = only_store.matrix(hand)
    lists["buy again"] = om.BuyAgain().fit(x).recommend(x, k=K, exclude_seen=False)
    report = om.evaluate(lists, test.select(channels=store), k=K, metrics=[om.ndcg, om.recall])
    table, gaps = report.to_frame(), report.differences("store only, by hand")
    print(f"\n{table.round(4).to_string()}\n\n{gaps.round(4).to_string()}")
    target = Path(__file__).parent / "results"
    target.mkdir(exist_ok=True)
    found = {"means": table.to_dict("records"), "differences": gaps.to_dict("records"), "learned": repr(learned)}
    (target / "channels.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
