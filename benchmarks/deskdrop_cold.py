"""New articles and new people, as they really come: DeskDrop, where articles are born and die within days.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop_cold.py [--every N]

Three questions, September 2016 to February 2017, by default every fourth day; nothing is chosen, settings are those
of deskdrop.py. **Articles by age**: the protocol of deskdrop.py, its targets apart by the article's age at midnight.
**Articles born that day**: likes, bookmarks, comments and follows of known people on articles first seen on the same
day, which no model of midnight can know; the lists are asked at the very instant, out of all that happened before it,
refitted every hour. **New people**: people who first come after June 2016; the next five articles they open after
their first 1, 2 or 5, of articles known at midnight, are the truth, asked with nothing but those first ones
(fold-in); four times as many days. Validity windows are those of a Catalog in which an article is valid for some days
from its first event. There are no attributes
of articles; of people there is the region. Intervals are paired, by person, from 2,000 resamples.
Writes results/deskdrop_cold.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write
from deskdrop import REPORTED, TARGETS, TASTE, K, Recent, asked_of, earned, fresh, interval, mixed, read, touched
from deskdrop_models import regions

import omnireco as om

NEW_FROM, SEEN = "2016-07-01", (1, 2, 5)
EVENT_COLUMNS = ["user_id", "item_id", "channel", "event", "timestamp"]
AGES = {"born the day before": (0, 1), "one to three days": (1, 3), "older": (3, 10_000)}


def catalog_of(log: om.EventLog, days: float) -> om.Catalog:
    """Return a catalogue in which an article is valid for some days from its first event."""
    first = np.full(log.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, log.item, log.at)
    begin = pd.to_datetime(first, unit="us", utc=True)
    frame = {"item_id": log.items.ids, "valid_from": begin, "valid_until": begin + pd.Timedelta(days=days)}
    return om.Catalog.from_frame(pd.DataFrame(frame))


def rows_of() -> dict[str, tuple[Any, float | None]]:
    """Return estimators, each with the days that an article may be shown (None: for ever)."""
    half_day = om.Weights(half_life="12h")
    taste = TASTE(weights=om.Weights(half_life="2D"))
    return {
        "Popularity of all time": (om.Popularity(), None),
        "Popularity of all time, valid for 3 days": (om.Popularity(), 3.0),
        "Popularity that ages": (fresh(half_day), None),
        "Popularity that ages, valid for 3 days": (fresh(half_day), 3.0),
        "RP3beta": (taste, None),
        "Popularity that ages, blended with RP3beta": (mixed(half_day, taste, 0.5), None),
    }


def asked(model: Any, past: om.Dataset, people: Any, at: Any, days: float | None) -> Mapping[Any, list[Any]]:
    """Return lists of people, without what they touched, of what is valid at an instant."""
    valid = None if days is None else catalog_of(past.events, days).offered(at, items=model.items)
    lists = model.recommend(past.requests(people, exclude=touched(past, people)), k=K, eligible=valid, threads=1)
    return {user: rows["item_id"].tolist() for user, rows in lists.to_frame().groupby("user_id", sort=False)}


def by_age(data: om.Dataset, days: Any) -> pd.DataFrame:
    """Return one row per target and model: user_id, value and the age of the article in days."""
    log, found = data.events, []
    born = pd.Series(log.at).groupby(log.items.ids[log.item]).min()
    for day, truth in days:
        at = day.tz_localize("UTC")
        past, people = data.before(at), truth["user_id"].unique()
        age = (at.value // 1000 - born.loc[truth["item_id"]].to_numpy()) / 86_400e6
        for name, (estimator, valid) in rows_of().items():
            ranked = asked(estimator.fit(past, threads=1), past, people, at, valid)
            found.append(truth[["user_id"]].assign(model=name, value=earned(ranked, truth), age=age))
    return pd.concat(found)


def born_today(frame: pd.DataFrame, data: om.Dataset, step: int) -> pd.DataFrame:
    """Return one row per target and model of articles that were born on the day of the target."""
    at = frame["timestamp"].dt.floor("D")
    pairs = frame.groupby(["user_id", "item_id"])["timestamp"].transform("min")
    born = frame.groupby("item_id")["timestamp"].transform("min")
    known = frame.groupby("user_id")["timestamp"].transform("min")
    wanted = frame["event"].isin(TARGETS) & (pairs.dt.floor("D") == at) & (born >= at) & (known < at)
    wanted &= (born < pairs) & (at >= pd.Timestamp(REPORTED[0])) & (at < pd.Timestamp(REPORTED[1]))
    chosen = frame[wanted].assign(moment=pairs[wanted]).drop_duplicates(["user_id", "item_id"])
    dates = np.sort(chosen["timestamp"].dt.floor("D").unique())[::step]
    chosen = chosen[chosen["timestamp"].dt.floor("D").isin(dates)].sort_values("moment", kind="stable")
    rows = {name: pair for name, pair in rows_of().items() if "RP3beta" not in name}
    rows["Popularity that ages, half-life 3 hours"] = (fresh(om.Weights(half_life="3h")), None)
    rows["Popularity that ages, of midnight"] = rows["Popularity that ages"]
    found, fitted = [], {}
    for user, item, moment in chosen[["user_id", "item_id", "moment"]].itertuples(index=False):
        for name, (estimator, valid) in rows.items():
            every = "D" if name.endswith("of midnight") else "h"
            since = moment.floor(every).tz_localize("UTC")
            if fitted.get(name, (None,))[0] != since:
                fitted[name] = since, estimator.fit(data.before(since), threads=1)
            past = data.before(moment.tz_localize("UTC"))  # their own touches up to now are left out
            ranked = asked(fitted[name][1], past, [user], moment.tz_localize("UTC"), valid)
            value = earned(ranked, pd.DataFrame({"user_id": [user], "item_id": [item]}))[0]
            found.append({"user_id": user, "model": name, "value": value})
    return pd.DataFrame(found)


def new_people(frame: pd.DataFrame, data: om.Dataset, step: int) -> pd.DataFrame:
    """Return one row per target, model and number of articles seen, of people who came in the time that is judged.

    The next five articles that they opened after the first 1, 2 or 5, of those known at midnight, are the truth. Models
    are fitted at each midnight; the history that is asked with is those first articles and nothing else.
    """
    at = frame["timestamp"].dt.floor("D")
    first = frame.groupby("user_id")["timestamp"].transform("min")
    born = frame.groupby("item_id")["timestamp"].transform("min")
    own = frame.assign(day=at, known=born < at)[first >= pd.Timestamp(NEW_FROM)]
    opened = own.drop_duplicates(["user_id", "item_id"])
    opened = opened.assign(nth=opened.groupby("user_id").cumcount())
    own = own.merge(opened[["user_id", "item_id", "nth"]], on=["user_id", "item_id"])
    targets = opened[opened["known"] & (opened["nth"] > 0) & (opened["nth"] < max(SEEN) + 5)]
    found = []
    for day, part in list(targets.groupby("day"))[::step]:
        midnight = day.tz_localize("UTC")
        past = data.before(midnight)
        here = set(past.events.items.ids[np.unique(past.events.item[past.events.item >= 0])].tolist())
        rows = {name: one.fit(past, threads=1) for name, (one, valid) in rows_of().items() if valid is None}
        half_day = om.Weights(half_life="12h")
        regional = om.models.SegmentPopularity(prior_strength=20.0, weights=half_day)
        rows["UserKNN, of the last 7 days"] = Recent(om.models.UserKNN(weights=om.Weights(half_life="2D")), "7D").fit(
            past
        )
        rows["SegmentPopularity that ages, by region"] = Recent(regional, "7D").fit(past)
        for seen in SEEN:
            truth = part[(part["nth"] >= seen) & (part["nth"] < seen + 5)]
            people = truth["user_id"].unique()
            if not len(people):
                continue
            kept = own[own["user_id"].isin(people) & (own["nth"] < seen)]
            stamps = kept["timestamp"].dt.tz_localize("UTC")
            before = om.EventLog.from_frame(kept[EVENT_COLUMNS].assign(timestamp=stamps))
            known = om.Dataset(before, audience=data.audience)
            old = opened[opened["day"] < day].groupby("user_id")["item_id"].apply(list)
            had = kept.groupby("user_id")["item_id"].apply(list)
            out = [sorted(here & {*old.get(user, []), *had[user]}) for user in people.tolist()]
            requests = known.requests(people, exclude=out)
            for name, model in rows.items():
                lists = model.recommend(requests, k=K, threads=1).to_frame()
                ranked = {user: one["item_id"].tolist() for user, one in lists.groupby("user_id", sort=False)}
                pairs = truth[["user_id", "item_id"]]
                found.append(pairs.assign(model=name, seen=seen, value=earned(ranked, pairs)))
    return pd.concat(found)


def table_of(rows: pd.DataFrame, against: str = "Popularity that ages") -> pd.DataFrame:
    """Return NDCG@10 of each model, by person, and its paired difference to popularity that ages."""
    wide = rows.groupby(["model", "user_id"])["value"].mean().unstack("model")
    table = []
    for name in rows["model"].unique():
        line: dict[str, Any] = {"model": name, "ndcg": wide[name].mean(), "people": len(wide)}
        line["targets"] = int((rows["model"] == name).sum())
        if name != against:
            gaps = (wide[name] - wide[against]).to_numpy()
            line |= {"gap": gaps.mean(), "interval": "{:+.4f} {:+.4f}".format(*interval(gaps))}
        table.append(line)
    return pd.DataFrame(table)


def main() -> None:
    parser = options(__doc__, quick="every fortieth day")
    parser.add_argument("--only-people", action="store_true", help="new people alone")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="every Nth day")
    arguments = parser.parse_args()
    header(__doc__)
    arguments.every = 40 if arguments.quick else arguments.every
    arguments.quick, quick = False, arguments.quick
    log, _, reporting, split, step = asked_of(arguments)
    folder = data_folder("deskdrop_articles")
    frame, data = read(folder), om.Dataset(log, audience=regions(folder))
    tables = {}
    if not arguments.only_people:
        aged = by_age(data, reporting)
        for name, (low, high) in AGES.items():
            tables[name] = table_of(aged[(aged["age"] > low) & (aged["age"] <= high)])
        tables["born that day"] = table_of(born_today(frame, data, step))
    new = new_people(frame, data, max(1, step // 4))
    for seen in SEEN:
        tables[f"new people, {seen} seen"] = table_of(new[new["seen"] == seen])
    for name, table in tables.items():
        print(f"\n{name}\n{table.round(4).to_string(index=False)}", flush=True)
        best, base = table.sort_values("ndcg").iloc[-1], table[table["gap"].isna()].iloc[0]
        if best["model"] != base["model"]:
            gap = [best["gap"], *map(float, best["interval"].split())]
            what = f"NDCG@10, {name}: {best['model']}"
            headline(what, best["ndcg"], beside=base["model"], theirs=base["ndcg"], gap=gap)
        else:
            headline(f"NDCG@10, {name}: {base['model']} is the best", base["ndcg"])
    if not quick:
        result = {name: table.to_dict("records") for name, table in tables.items()}
        write("deskdrop_cold", {"split": split, "every": step, "tables": result})


if __name__ == "__main__":
    main()
