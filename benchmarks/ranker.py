"""Does the situation help to rank? Complete Journey, cut in time: the ranker beside its own candidates, and shuffled.

    OMNIRECO_DATA=/path/to/data python benchmarks/ranker.py [--kinds logit lambdamart lightgbm] [--households 700]

What a household puts into its next basket, out of the 5,881 promoted products. Context: local hour of the week,
store, days since the last visit (in seven classes), and, as facts by product, store and week, mailer and display.
Tables and proposing models are learned up to a first cut, the order on baskets up to a second, and one basket per
household of the two weeks after it is ranked. "Shuffled" is the same ranker, fitted and asked with the context of
other baskets. Its parameters are the defaults; the logit chooses its penalty in the learning window. Writes
results/ranker.json after every kind of ranker.
"""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _common import data_folder, header, headline_of, options, own_log, own_span, plainly, write

import omnireco as om

LEARN, TEST, DAYS = "2017-10-15", "2017-11-15", 14
ZONE, K = "America/New_York", 10
CONTEXT = ["hour", "store_id", "away", "week"]


def read(folder: Path, households: int | None) -> tuple[om.EventLog, pd.DataFrame, om.Catalog]:
    """Return the baskets with their situation, what is promoted where and when, and the catalogue."""
    place = folder / "complete_journey"
    columns = ["household_id", "store_id", "product_id", "week", "transaction_timestamp"]
    rows = pd.read_parquet(place / "transactions.parquet", columns=columns)
    promoted = pd.read_parquet(place / "promotions_top_products.parquet")
    if households is not None:
        people = np.sort(rows["household_id"].unique())
        rows = rows[rows["household_id"].isin(np.random.default_rng(0).choice(people, households, replace=False))]
    rows = rows[rows["product_id"].isin(promoted["product_id"].unique())]
    rows = rows.rename(
        columns={"household_id": "user_id", "product_id": "item_id", "transaction_timestamp": "timestamp"}
    )
    local = rows["timestamp"].dt.tz_convert(ZONE)
    rows["hour"] = (local.dt.day_of_week * 24 + local.dt.hour).astype("int64")
    visits = rows[["user_id", "timestamp"]].drop_duplicates().sort_values(["user_id", "timestamp"])
    days = visits.groupby("user_id")["timestamp"].diff().dt.total_seconds() / 86_400
    visits["away"] = np.digitize(days.fillna(99), [0.5, 1.5, 3.5, 7.5, 14.5, 30.5]).astype("int64")
    rows = rows.merge(visits, on=["user_id", "timestamp"]).assign(channel="store", event="purchase")
    rows["week"] = rows["week"].astype("int64")
    log = om.EventLog.from_frame(rows, context=["hour", "away", "week"])
    facts = promoted.rename(columns={"product_id": "item_id"})
    facts["display"] = (facts.pop("display_location").astype(str) != "0").astype(float)
    facts["mailer"] = (facts.pop("mailer_location").astype(str) != "0").astype(float)
    facts = (
        facts[facts["week"] >= 38].groupby(["item_id", "store_id", "week"], as_index=False)[["display", "mailer"]].max()
    )
    facts["week"] = facts["week"].astype("int64")
    goods = pd.read_parquet(place / "products.parquet", columns=["product_id", "product_category"])
    goods = goods.rename(columns={"product_id": "item_id", "product_category": "category"})
    return log, facts, om.Catalog.from_frame(goods[goods["item_id"].isin(rows["item_id"].unique())])


def shuffled(asked: tuple[om.Requests, om.Interactions], seed: int) -> tuple[om.Requests, om.Interactions]:
    """Give every request the whole situation of another one."""
    requests, chosen = asked
    order = np.random.default_rng(seed).permutation(len(requests))
    labels = {name: (known, code[order]) for name, (known, code) in requests.labels.items()}
    return type(asked)(dataclasses.replace(requests, labels=labels), chosen)


def main() -> None:
    parser = options(
        __doc__,
        quick="logit alone on 200 households, 300 requests of 30 candidates",
        data="user_id, item_id and timestamp; the last two weeks are the test",
    )
    parser.add_argument("--context", nargs="*", default=[], metavar="COLUMN", help="with --data: besides the hour")
    parser.add_argument("--timezone", default="UTC", help="with --data: of the hour")
    parser.add_argument("--kinds", nargs="+", default=["logit", "lambdamart", "lightgbm"])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--households", type=int, help="a drawn part of them, for a quick look")
    arguments = parser.parse_args()
    header(__doc__)
    if arguments.quick:
        arguments.kinds, arguments.households, arguments.requests, arguments.candidates = ["logit"], 200, 300, 30
    if arguments.data is not None:
        with plainly(arguments.data):
            compare(own(arguments.data, arguments.context, arguments.timezone), arguments)
        return
    log, facts, catalog = read(data_folder("complete_journey"), arguments.households)
    span = (pd.Timestamp(LEARN, tz="UTC"), pd.Timestamp(TEST, tz="UTC"), pd.Timedelta(days=DAYS))
    compare(Asked(log, CONTEXT, ZONE, *span, {"catalog": catalog}, facts), arguments)


class Asked(NamedTuple):
    """What is ranked: a log with its situation, the three instants that part it, and what else is known."""

    log: om.EventLog
    context: list[str]
    zone: str
    learn: pd.Timestamp
    test: pd.Timestamp
    horizon: pd.Timedelta
    known: dict[str, Any]
    facts: pd.DataFrame | None


def own(path: Path, context: list[str], zone: str) -> Asked:
    """Return one's own log: the order is learned in the weeks before the test, a sixth of a short log each."""
    needs = ("user_id", "item_id", *context)
    frame = own_log(path, needs=needs, times=("timestamp",), defaults={"channel": "all", "event": "any"})
    last, horizon = own_span(frame, days=14, parts=6)
    try:
        local = frame["timestamp"].dt.tz_convert(zone)
    except (KeyError, ValueError):
        raise SystemExit(f"There is no time zone {zone}. Pass --timezone a name such as America/New_York.") from None
    frame["hour"] = (local.dt.day_of_week * 24 + local.dt.hour).astype("int64")
    names = ["hour", *context]
    columns = ["user_id", "item_id", "channel", "event", "timestamp", *names]
    log = om.EventLog.from_frame(frame[list(dict.fromkeys(columns))], context=[n for n in names if n != "channel"])
    return Asked(log, names, zone, last - 2 * horizon, last - horizon, horizon, {}, None)


def compare(what: Asked, arguments: Any) -> None:
    """Fit each kind of ranker, with its context, with that of others and without, and print what it earns."""
    log, context_names = what.log, what.context
    past, later = om.Dataset(log).split(what.test, horizon=what.horizon)
    train, test = past.events, later.events
    learn = om.Requests.from_log(train.between(what.learn, what.test), context=context_names)
    final = om.Requests.from_log(test, context=context_names, per_user=1)
    print(f"{train}; {final.requests}; split {om.data.fingerprint(train, test)}", flush=True)
    again = om.Weights(half_life="60D")
    lists, costs = {}, {}
    people = train.users.codes(final.requests.users.ids, missing="none")[final.requests.user]
    asking = np.flatnonzero(people >= 0)
    final = type(final)(final.requests.take(asking), final.chosen.take(asking))
    for name, estimator in (("BuyAgain", om.BuyAgain(weights=again)), ("ItemKNN", om.ItemKNN(weights=again))):
        lists[name] = estimator.fit(past).recommend(final.requests.on(past), k=K, exclude_seen=False)
    base = {
        "models": {"again": om.BuyAgain(), "knn": om.ItemKNN()},
        "weights": again,
        "exclude_seen": False,
        "n_candidates": arguments.candidates,
        "n_requests": arguments.requests,
        "requests_from": what.learn,
        "timezone": what.zone,
    }
    pairs: dict[str, dict[str, object]] = {}
    for kind in arguments.kinds:
        for name, context, teach, ask in (
            (f"{kind}, no context", [], learn, final),
            (f"{kind}, shuffled", context_names, shuffled(learn, 1), shuffled(final, 2)),
            (f"{kind}, context", context_names, learn, final),
        ):
            if not context and kind != arguments.kinds[0]:
                continue
            shown = [what.facts] if context and what.facts is not None else []
            ranker = om.Ranker(**base, context=context, ranker=kind)
            wall, cpu = perf_counter(), process_time()
            model = ranker.fit(om.Dataset(train, **what.known, facts=shown, asked=teach))
            fitted = perf_counter() - wall, process_time() - cpu
            wall, cpu = perf_counter(), process_time()
            lists[name] = model.recommend(ask.requests.on(om.Dataset(log, **what.known, facts=shown)), k=K)
            asked = perf_counter() - wall, process_time() - cpu
            costs[name] = {
                "fit s": fitted[0],
                "fit cpu s": fitted[1],
                "rank s": asked[0],
                "rank cpu s": asked[1],
                "candidates per cpu s": len(ask.requests) * arguments.candidates / asked[1],
                "ece": model.calibration.get("", (np.nan, 0))[0],
                "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
            print(f"  {name}: { ({key: round(value, 4) for key, value in costs[name].items()}) }", flush=True)
        report = om.evaluate(lists, final, k=K, metrics=[om.ndcg, om.recall, om.hit_rate])
        for against in ("BuyAgain", "ItemKNN", f"{kind}, shuffled", f"{arguments.kinds[0]}, no context"):
            found = report.differences(against)
            row = found[(found["model"] == f"{kind}, context") & (found["metric"] == "ndcg")]
            pairs[f"{kind}, context less {against}"] = row.iloc[0].to_dict()
            print(f"  {kind}, context less {against}: {row.to_string(header=False, index=False)}", flush=True)
        for against in ("BuyAgain", f"{kind}, shuffled"):
            headline_of(report, f"{kind}, context", against, f"NDCG@{K}, {kind}, context")
        table = report.to_frame()
        print(table[table["metric"] == "ndcg"].to_string(), flush=True)
        result = {"metrics": table.to_dict("records"), "differences": pairs, "costs": costs}
        if not arguments.quick and arguments.data is None:
            write("ranker", result, default=float)


if __name__ == "__main__":
    main()
