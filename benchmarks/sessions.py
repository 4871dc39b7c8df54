"""What comes next within a session: NextItem beside SessionKNN on DeskDrop's clicks.

    OMNIRECO_DATA=/path/to/data python benchmarks/sessions.py [--every N]

Each model is fitted on all before a midnight (UTC). The truth is the last article that a person opened that day, where
it was known by midnight and new to them; lists are asked for that instant, so that the day's earlier clicks are in the
history. NDCG@10, mean per person, then over people. Settings are chosen on July and August 2016 and reported on
September 2016 to February 2017; intervals are paired with SessionKNN, by person. Writes results/sessions.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, own_span, plainly, write
from deskdrop import REPORTED, TUNED, K, earned, interval, read

import omnireco as om


def days_of(frame: pd.DataFrame, start: str, stop: str, step: int) -> list[tuple[pd.Timestamp, pd.DataFrame]]:
    """Return each midnight and, per person, the last new article of the day with its instant."""
    at = frame["timestamp"].dt.floor("D")
    first_touch = frame.groupby(["user_id", "item_id"])["timestamp"].transform("min")
    born = frame.groupby("item_id")["timestamp"].transform("min")
    first_of_day = frame.groupby(["user_id", at])["timestamp"].transform("min")
    wanted = (frame["timestamp"] == first_touch) & (born < at) & (frame["timestamp"] > first_of_day)
    wanted &= frame.groupby("user_id")["timestamp"].transform("min") < at
    wanted &= (at >= pd.Timestamp(start)) & (at < pd.Timestamp(stop))
    rows = frame[wanted].sort_values("timestamp").drop_duplicates(["user_id", "item_id"])
    rows = rows.assign(day=rows["timestamp"].dt.floor("D")).groupby(["user_id", "day"]).tail(1)
    return [(day, part) for day, part in rows.groupby("day")][::step]


def run(estimator: Any, whole: om.Dataset, days: list[tuple[pd.Timestamp, pd.DataFrame]]) -> pd.Series:
    """Return each person's mean NDCG@10."""
    rows = []
    for day, truth in days:
        model = estimator.fit(whole.before(day.tz_localize("UTC")), threads=1)
        people, instants = truth["user_id"].to_numpy(), truth["timestamp"].dt.tz_localize("UTC")
        lists = model.recommend(whole.requests(people, at=instants), k=K, threads=1).to_frame()
        key = lists.columns[0]
        names = people if key == "user_id" else np.arange(len(people))
        ranked = {user: part["item_id"].tolist() for user, part in lists.groupby(key, sort=False)}
        asked = truth[["user_id", "item_id"]].assign(user_id=names)
        rows.append(pd.DataFrame({"user_id": people, "value": earned(ranked, asked)}))
    return pd.concat(rows).groupby("user_id")["value"].mean()


def rows_of() -> dict[str, list[Any]]:
    """Return the settings of each row."""
    models, steps = om.models, om.Weights(step_half_life=2.0)
    fresh = om.Popularity(by="weight", weights=om.Weights(half_life="1D"))
    timed = [{"interval_half_life": life, "interval_floor": low} for life in ("1h", "1D", "7D") for low in (0.0, 0.4)]
    return {
        "Popularity, half-life of a day": [fresh],
        "SessionKNN": [models.SessionKNN(half_life=life) for life in ("2D", "7D", "30D")],
        "NextItem": [models.NextItem(regularization=r, weights=steps) for r in (30.0, 100.0)],
        "NextItem, intervals": [models.NextItem(regularization=30.0, weights=steps, **one) for one in timed],
        "NextItem, trend": [
            models.NextItem(regularization=30.0, weights=steps, trend_power=b, trend_window=w)
            for b in (0.25, 0.5)
            for w in ("2D", "14D")
        ],
        "NextItem, intervals and trend": [
            models.NextItem(
                regularization=30.0, weights=steps, interval_half_life="1D", trend_power=b, trend_window="2D"
            )
            for b in (0.5, 1.0)
        ],
    }


def main() -> None:
    parser = options(
        __doc__, quick="every twentieth day", data="user_id, item_id and timestamp; the last quarter is reported"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth day only")
    arguments = parser.parse_args()
    header(__doc__)
    step = 20 if arguments.quick and arguments.data is None else arguments.every
    if arguments.data is not None:
        with plainly(arguments.data):
            compare(*own(arguments.data, step), step=step, keep=False)
        return
    frame = read(data_folder("deskdrop_articles"))
    whole = om.Dataset(om.EventLog.from_frame(frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC"))))
    choosing, reporting = days_of(frame, *TUNED, 3 * step), days_of(frame, *REPORTED, step)
    compare(whole, choosing, reporting, step=step, keep=not arguments.quick)


Days = list[tuple[pd.Timestamp, pd.DataFrame]]


def own(path: Path, step: int) -> tuple[om.Dataset, Days, Days]:
    """Return one's own log, the days that choose (those of its third quarter) and those that are reported."""
    frame = own_log(path, times=("timestamp",), defaults={"channel": "all", "event": "view"})
    frame = frame[["user_id", "item_id", "channel", "event", "timestamp"]]
    whole, (last, part) = om.Dataset(om.EventLog.from_frame(frame)), own_span(frame, days=90)
    plain = frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None))
    first, middle, stop = ((last - n * part).tz_localize(None) for n in (2, 1, 0))
    parts = days_of(plain, str(first), str(middle), step), days_of(plain, str(middle), str(stop), step)
    if not all(parts):
        raise SystemExit(
            f"{path.name}: no day of the last {2 * part} has somebody who opens two items, the later one new to them "
            f"and older than a day. A longer log is needed."
        )
    return whole, *parts


def compare(whole: om.Dataset, choosing: Days, reporting: Days, *, step: int, keep: bool) -> None:
    """Choose each row's setting on the days that choose, and print what it earns on those reported."""
    values, table = {}, []
    for name, settings in rows_of().items():
        means = [0.0] if len(settings) == 1 else [float(run(one, whole, choosing).mean()) for one in settings]
        best = settings[int(np.argmax(means))]
        values[name] = run(best, whole, reporting)
        row: dict[str, Any] = {"model": name, "ndcg": float(values[name].mean()), "people": values[name].size}
        for other in ("SessionKNN", "NextItem"):
            if name.startswith("NextItem") and name != other:
                row[f"over {other}"] = "{:+.4f} {:+.4f}".format(*interval((values[name] - values[other]).to_numpy()))
        table.append(row | {"setting": repr(best), "chosen of": [round(mean, 4) for mean in means]})
        print(table[-1], flush=True)
        if "over SessionKNN" in row:
            base = float(values["SessionKNN"].mean())
            gap = [row["ndcg"] - base, *map(float, row["over SessionKNN"].split())]
            headline(f"NDCG@{K}, {name}", row["ndcg"], beside="SessionKNN", theirs=base, gap=gap)
        if keep:
            write("sessions", {"every": step, "rows": table})


if __name__ == "__main__":
    main()
