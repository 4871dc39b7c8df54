"""The next item on Amazon Toys and Games, under the protocol of the published table: ours beside it, with intervals.

    OMNIRECO_DATA=/path/to/data python benchmarks/sequences.py [--tune] [--sessions]

Protocol, published numbers and settings stand in omnireco/worlds/published.py; om.worlds.reproduce runs them.
--tune prints what mixes of the two models give on the last but one item, which the parameters never see either.
Learning on that item as well would raise such numbers by 15 to 18 %; no number here does. Writes
results/sequences.json.

--sessions runs SessionKNN beside NextItem instead, in pairs, and writes results/sequences_sessions.json. The data have
an order and no times, so that a whole sequence is one session and none is younger. How many neighbors speak, and how
fast the asking session fades, is chosen on the last but one item of 3,000 drawn people; both then rank the last
item of the same people.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import numpy as np
from _common import data_folder, header, headline, headline_of, options, own_log, plainly

import omnireco as om
from omnireco._kernels.bootstrap import percentile_interval, resampled_means
from omnireco.worlds.published import DECAYED, TABLES, Mix
from omnireco.worlds.reproduce import fit_sequences, read_sequences, sequence_gains

NAME = "amazon_toys_seq"
ALONE = Mix(1.0, 0.0)
RESULTS = Path(__file__).parent / "results"


def tune(folder: Path) -> None:
    train, known, target = read_sequences(folder / NAME / "sequences.parquet", back=1)
    parts, histories = fit_sequences(TABLES[NAME], train)[0], known.matrix(DECAYED)
    for mix in (0.0, 0.25, 0.5, 1.0, 2.0):
        value = sequence_gains(parts, Mix(1.0, mix), histories, target, k=10)[:, 1].mean()
        print(f"  last but one item, NextItem + {mix:g} x EASE: NDCG@10 {value:.4f}", flush=True)


def sessions(folder: Path) -> None:
    """Print SessionKNN, NextItem and their paired difference."""
    file, ways = (
        folder / NAME / "sequences.parquet",
        {"default": om.models.SessionKNN().weights, "0.7 per step": DECAYED},
    )
    train, known, target = read_sequences(file, back=1)
    some = np.sort(np.random.default_rng(0).choice(known.n_users, 3_000, replace=False))
    best = (-1.0, 0, "")
    for neighbors in (100, 500):
        model = om.models.SessionKNN(neighbors=neighbors, gap="100000D", half_life=None).fit(train)
        for name, weights in ways.items():
            histories = known.matrix(weights).with_items(train.items).take(some)
            value = float(sequence_gains({"next_item": model}, ALONE, histories, target, k=10)[:, 1].mean())
            print(f"  last but one item, {neighbors} neighbors, fading {name}: NDCG@10 {value:.4f}", flush=True)
            best = max(best, (value, neighbors, name))
    train, known, target = read_sequences(file)
    following = TABLES[NAME].mixed[0]
    ours = om.models.SessionKNN(neighbors=best[1], gap="100000D", half_life=None, weights=ways[best[2]])
    gains, rows = {}, []
    for name, estimator, weights in (("NextItem", following, DECAYED), ("SessionKNN", ours, ways[best[2]])):
        start = process_time()
        model = estimator.fit(train)
        middle = process_time()
        histories = known.matrix(weights).with_items(train.items).take(some)
        gains[name] = sequence_gains({"next_item": model}, ALONE, histories, target, k=10)
        spent = {"fit cpu s": middle - start, "rank cpu s": process_time() - middle, "setting": repr(estimator)}
        rows.append({"model": name} | summary(gains[name]) | spent)
        print(f"  {rows[-1]}", flush=True)
    rows.append({"model": "SessionKNN less NextItem"} | summary(gains["SessionKNN"] - gains["NextItem"]))
    print(f"  {rows[-1]}; split {om.data.fingerprint(train, known)}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sequences_sessions.json").write_text(json.dumps(rows, indent=1))


def own(path: Path) -> None:
    """Print who finds the last item of each person, where it is new to them, from all that came before it."""
    frame = own_log(path, times=("timestamp",), defaults={"channel": "all", "event": "view"})
    frame = frame[["user_id", "item_id", "channel", "event", "timestamp"]].sort_values("timestamp", kind="stable")
    last = ~frame.duplicated("user_id", keep="last")
    truth = frame[last & ~frame.duplicated(["user_id", "item_id"])]
    train = om.Dataset(om.EventLog.from_frame(frame[~last]))
    known = np.isin(truth["user_id"], train.users.ids) & np.isin(truth["item_id"], train.events.items.ids)
    truth = truth.loc[known, ["user_id", "item_id"]]
    if truth.empty:
        raise SystemExit(f"{path.name}: nobody's last item is new to them and known from others.")
    rows = {
        "NextItem": om.models.NextItem(),
        "SessionKNN": om.models.SessionKNN(gap="100000D", half_life=None),
        "EASE": om.EASE(),
        "Popularity": om.Popularity(),
    }
    asked = train.requests(truth["user_id"].to_numpy())
    lists = {name: one.fit(train).recommend(asked, k=10) for name, one in rows.items()}
    report = om.evaluate(lists, truth, k=10, metrics=[om.ndcg, om.recall])
    print(report.to_frame().round(4).to_string(index=False))
    for name in ("SessionKNN", "EASE", "Popularity"):
        headline_of(report, "NextItem", name, "NDCG@10, NextItem, the last item")


def summary(values: np.ndarray) -> dict[str, float]:
    """Return the means of (hit, NDCG) over people, with 95 % intervals."""
    low, high = percentile_interval(resampled_means(values, n_draws=1000, seed=0), 0.95)
    means = dict(zip(("", " low", " high"), (values.mean(axis=0), low, high), strict=True))
    return {
        f"{name}{part}": round(float(row[n]), 4)
        for n, name in enumerate(("recall", "ndcg"))
        for part, row in means.items()
    }


def main() -> None:
    parser = options(__doc__, quick="NextItem alone", data="user_id, item_id and timestamp")
    parser.add_argument("--tune", action="store_true", help="print mixes on the last but one item, choose none by hand")
    parser.add_argument("--sessions", action="store_true", help="SessionKNN beside NextItem, nothing else")
    arguments = parser.parse_args()
    header(__doc__)
    if arguments.data is not None:
        with plainly(arguments.data):
            own(arguments.data)
        return
    folder = data_folder(NAME)
    if arguments.sessions:
        sessions(folder)
        return
    if arguments.tune and not arguments.quick:
        tune(folder)
    done = om.worlds.reproduce(NAME, folder, models=["NextItem"] if arguments.quick else None)
    print(done)
    frame, metric = done.to_frame(), done.columns[-1]
    best = frame.sort_values(metric).groupby("by").tail(1).set_index("by")
    if "published" in best.index:
        ours, theirs = best.loc["ours"], best.loc["published"]
        gap = [ours[metric] - theirs[metric], ours["low"] - theirs[metric], ours["high"] - theirs[metric]]
        what, beside = f"{metric}, {ours['model']}", f"{theirs['model']}, published"
        headline(what, ours[metric], beside=beside, theirs=theirs[metric], gap=gap)
    if arguments.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sequences.json").write_text(json.dumps(done.to_frame().to_dict("records"), indent=1))


if __name__ == "__main__":
    main()
