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

--peers runs SLIST and TALE, from their formulas, on the same split, and counts targets of the head (the fifth of the
items with the most training events) and of the tail apart. Their settings are chosen on the last but one item of 1,500
drawn people, in sequences of the 1,500 most popular items, where one costs little; NextItem's are the table's. Writes
results/sequences_peers.json.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from _common import data_folder, header, headline, headline_of, options, own_log, plainly
from _sequence_peers import PEERS, asked_with, by_popularity, choices, fitted

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


def peers(folder: Path, *, people: int | None, quick: bool) -> None:
    """Print SLIST, TALE, NextItem and NextItem with EASE, all targets, those of the head and those of the tail."""
    file, popular = folder / NAME / "sequences.parquet", 500 if quick else 1_500
    train, _, target = read_sequences(file, back=1)
    small = popular_part(train, popular)
    inner = target[target.isin(small.items.ids) & target.index.isin(small.users.ids)]
    inner = inner.sample(min(1_500, len(inner)), random_state=0).sort_index()
    best = {name: best_of(name, small, inner) for name in PEERS}
    train, known, target = read_sequences(file)
    if quick:
        train, known = (popular_part(one, popular) for one in (train, known))
        target = target[target.isin(train.items.ids)]
        known = om.EventLog.from_frame(known.to_frame().query("user_id in @target.index"))
    elif people is not None:
        some = np.sort(np.random.default_rng(0).choice(known.users.ids, people, replace=False))
        known = om.EventLog.from_frame(known.to_frame().query("user_id in @some"))
    head = by_popularity(train, target.reindex(known.users.ids).to_numpy())
    gains, rows = {}, []
    print(f"  {head.mean():.1%} of {head.size:,} targets are of the head; split {om.data.fingerprint(train, known)}")
    for name, peer in best.items():
        start = process_time()
        model, histories = fitted(peer, train), known.matrix(asked_with(peer)).with_items(train.items)
        gains[name] = sequence_gains({"next_item": model}, ALONE, histories, target, k=10)
        rows.append({"model": name, "setting": repr(peer), "cpu s": process_time() - start})
        del model
    start = process_time()
    parts, histories = fit_sequences(TABLES[NAME], train)[0], known.matrix(DECAYED).with_items(train.items)
    for name, mix in (("NextItem", ALONE), ("NextItem + 0.5 x EASE", Mix(1.0, 0.5))):
        gains[name] = sequence_gains(parts, mix, histories, target, k=10)
        rows.append({"model": name, "setting": repr(mix), "cpu s": process_time() - start})
    for row in rows:
        for part, some in (("all", head | True), ("head", head), ("tail", ~head)):
            row |= {f"{part} {key}": one for key, one in summary(gains[row["model"]][some]).items()}
            gap = gains[row["model"]][some, 1] - gains["SLIST"][some, 1]
            low, high = percentile_interval(resampled_means(gap[:, None], n_draws=1000, seed=0), 0.95)
            row[f"{part} ndcg over SLIST"] = f"{gap.mean():+.4f} [{low[0]:+.4f}, {high[0]:+.4f}]"
        print(f"  {row}", flush=True)
    for name in ("NextItem", "NextItem + 0.5 x EASE"):
        for peer in PEERS:
            gap = gains[name][:, 1] - gains[peer][:, 1]
            low, high = percentile_interval(resampled_means(gap[:, None], n_draws=1000, seed=0), 0.95)
            mine, theirs = gains[name][:, 1].mean(), gains[peer][:, 1].mean()
            headline(f"NDCG@10, {name}", mine, beside=peer, theirs=theirs, gap=[mine - theirs, low[0], high[0]])
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "sequences_peers.json").write_text(json.dumps(rows, indent=1))


def popular_part(log: om.EventLog, n: int) -> om.EventLog:
    """Return the events of the most popular items, of people who have two of them."""
    frame = log.to_frame()
    frame = frame[frame["item_id"].isin(frame["item_id"].value_counts().index[:n])]
    return om.EventLog.from_frame(frame[frame.groupby("user_id")["item_id"].transform("size") > 1])


def best_of(name: str, log: om.EventLog, target: Any) -> Any:
    """Return the best setting of a peer by NDCG@10 on targets of some people."""
    model, before, tried = None, None, []
    asked = om.EventLog.from_frame(log.to_frame().query("user_id in @target.index"))
    for peer in choices(name):
        if before is None or replace(peer, asked=before.asked) != before:
            model, before = fitted(peer, log), peer
        histories = asked.matrix(asked_with(peer)).with_items(log.items)
        value = sequence_gains({"next_item": model}, ALONE, histories, target, k=10)[:, 1].mean()
        tried.append((float(value), peer))
    found = max(tried, key=lambda pair: pair[0])
    print(f"  last but one item, {name}: {found[1]} with NDCG@10 {found[0]:.4f}, of {len(tried)} tried", flush=True)
    return found[1]


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
    parser.add_argument("--peers", action="store_true", help="SLIST and TALE beside NextItem, head and tail apart")
    parser.add_argument("--people", type=int, metavar="N", help="so many drawn people are asked of --peers")
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
    if arguments.peers:
        peers(folder, people=arguments.people, quick=arguments.quick)
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
