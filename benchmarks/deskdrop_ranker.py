"""Do the channel, the device and the hour of a visit help to rank? DeskDrop, asked at the instant of the visit.

    OMNIRECO_DATA=/path/to/data python benchmarks/deskdrop_ranker.py [--kinds logit lightgbm] [--every N]

The targets of deskdrop.py, of every eighth day reported, each asked at the instant at which the person first opened
the article, in the situation of that visit: the local hour, and the channel, which is the device (desktop web, mobile
web, Android, iOS). Models and rankers are fitted on what was before midnight; a ranker learns from the requests of
the 7 days before it, described by tables that are learned again every midnight (``refresh="1D"``), but for the row
whose tables end where those requests begin. Histories are read up to the instant. "Shuffled" is the same fitted
ranker, asked in the situation of another visit. Nothing is tuned. Intervals of NDCG@10 are paired, by person, from
2,000 resamples.
Writes results/deskdrop_ranker.json.
"""

from __future__ import annotations

import re
import warnings
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, write
from deskdrop import TASTE, K, asked_of, fresh, interval, mixed, read, touched

import omnireco as om
from omnireco.errors import DataWarning

ZONE = "America/Sao_Paulo"
STALE = "no context, tables of two weeks before"
SITUATIONS: dict[str, tuple[str, ...]] = {
    STALE: (),
    "no context": (),
    "channel (device)": ("channel",),
    "channel and hour": ("channel", "hour"),
}


def visits_of(frame: pd.DataFrame, truth: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Return when and on which channel each target was first opened."""
    that = frame[(frame["timestamp"] >= day) & (frame["timestamp"] < day + pd.Timedelta("1D"))]
    return truth.merge(that.drop_duplicates(["user_id", "item_id"])[["user_id", "item_id", "channel", "timestamp"]])


def earned_by(lists: om.Recommendations, visits: pd.DataFrame) -> np.ndarray:
    """Return NDCG@10 of each visit, whose lists are in the same order."""
    items = lists.items.ids[np.maximum(lists.codes, 0)]
    hit = (items == visits["item_id"].to_numpy()[:, None]) & (lists.codes >= 0)
    return (hit / np.log2(np.arange(K) + 2.0)).sum(axis=1)


def main() -> None:
    parser = options(__doc__, quick="every fortieth day, logit alone")
    parser.add_argument("--every", type=int, default=8, metavar="N", help="every Nth day reported")
    parser.add_argument("--kinds", nargs="+", default=["logit", "lightgbm"])
    parser.add_argument("--situations", nargs="+", default=list(SITUATIONS), choices=list(SITUATIONS))
    arguments = parser.parse_args()
    header(__doc__)
    quick = arguments.quick
    arguments.quick, arguments.every = False, 40 if quick else arguments.every
    kinds = ["logit"] if quick else arguments.kinds
    log, _, reporting, split, step = asked_of(arguments)
    frame, data, draw = read(data_folder("deskdrop_articles")), om.Dataset(log), np.random.default_rng(0)
    now, slow = om.Weights(half_life="12h"), om.Weights(half_life="3D")
    taste = TASTE(weights=om.Weights(half_life="2D"))
    rows: list[pd.DataFrame] = []
    spent: dict[str, float] = {}

    def ask(name: str, model: Any, visits: pd.DataFrame, past: om.Dataset, order: np.ndarray) -> None:
        people = visits["user_id"].to_numpy()
        once = np.unique(people)
        seen = dict(zip(once.tolist(), touched(past, once), strict=True))
        channel = visits["channel"].to_numpy()[order]
        hours = pd.to_datetime(visits["timestamp"].to_numpy()[order]).tz_localize("UTC").tz_convert(ZONE)
        requests = data.requests(  # histories end at each instant
            people,
            at=[at.tz_localize("UTC").to_pydatetime() for at in visits["timestamp"]],
            channel=channel,
            context={"hour": (hours.day_of_week * 24 + hours.hour).to_numpy()},
            exclude=[seen[user] for user in people.tolist()],
        )
        values = earned_by(model.recommend(requests, k=K, threads=1), visits)
        rows.append(visits[["user_id"]].assign(model=name, value=values))

    for day, truth in reporting:
        visits = visits_of(frame, truth, day)
        past, still = data.before(day.tz_localize("UTC")), np.arange(len(visits))
        other = draw.permutation(len(visits))
        for name, estimator in (("popularity that ages", fresh(now)), ("blended with RP3beta", mixed(now, taste, 0.5))):
            ask(name, estimator.fit(past, threads=1), visits, past, still)
        for kind in kinds:
            for name, context in ((name, SITUATIONS[name]) for name in arguments.situations):
                began = process_time()
                ranker = om.Ranker(
                    models={"now": fresh(now), "slow": fresh(slow), "taste": taste},
                    context=context,
                    ranker=kind,
                    half_lives=("12h", "7D"),
                    requests_from="14D" if name == STALE else "7D",
                    refresh=None if name == STALE else "1D",
                    timezone=ZONE,
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DataWarning)  # that the tables are stale is what one row is about
                    model = ranker.fit(past, threads=1)
                spent[f"{kind}, {name}"] = spent.get(f"{kind}, {name}", 0.0) + process_time() - began
                ask(f"{kind}, {name}", model, visits, past, still)
                if context:
                    ask(f"{kind}, {name}, shuffled", model, visits, past, other)
        table = table_of(pd.concat(rows), kinds)
        if not quick:
            write(
                "deskdrop_ranker", {"split": split, "every": step, "rows": table.to_dict("records"), "seconds": spent}
            )
    print(table.round(4).to_string(index=False), flush=True)
    for line in table.to_dict("records"):
        for title, other in (("less popularity", "popularity that ages"), ("less no context", "no context")):
            if line["model"].endswith("channel and hour"):
                gap = [float(one) for one in re.findall(r"[-+][\d.]+", line[title])]
                headline(f"NDCG@{K}, {line['model']}", line["ndcg"], beside=other, gap=gap)
    print({name: round(seconds / len(reporting), 2) for name, seconds in spent.items()}, "CPU seconds a fit")


def table_of(rows: pd.DataFrame, kinds: list[str]) -> pd.DataFrame:
    """Return each row's mean, and its paired differences: to the same ranker without context, and shuffled."""
    wide = rows.groupby(["model", "user_id"])["value"].mean().unstack("model")
    table = []
    for name in rows["model"].unique():
        line: dict[str, Any] = {"model": name, "ndcg": wide[name].mean(), "people": len(wide)}
        kind = name.partition(",")[0]
        plain = f"{kind}, no context" if kind in kinds else ""
        for title, other in (
            ("less popularity", "popularity that ages"),
            ("less no context", plain),
            ("less stale", f"{kind}, {STALE}"),
            ("less shuffled", f"{name}, shuffled"),
        ):
            if other in wide and other != name:
                gaps = (wide[name] - wide[other]).to_numpy()
                line[title] = f"{gaps.mean():+.4f} " + "[{:+.4f}, {:+.4f}]".format(*interval(gaps))
        table.append(line)
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
