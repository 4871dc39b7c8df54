"""When will it be bought again? Complete Journey, cut in time: om.journeys.Refills against the item's median.

    OMNIRECO_DATA=/path/to/data python benchmarks/refills.py

Intervals between purchases of one product category by one household, learned before the cut. Asked at the cut: pairs
with at least three purchases, the last one within 60 days. Calibration: of pairs whose 80 % interval ends inside the
test window, the share that buys inside it, among those that buy in it at all, and among all. Error: |log(days until
the purchase / days predicted)| for pairs that come back inside the window, against the same of the category's median
interval (at least one day ahead). Intervals over households. Writes results/refills.json.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd
from _common import data_folder, header, headline, options, own_log, own_span, plainly, write

import omnireco as om
from omnireco._kernels.bootstrap import percentile_interval, resampled_means

CUT, DAYS = "2017-10-01", 90


def over_people(values: pd.Series, people: pd.Series) -> tuple[float, float, float]:
    """Return the mean over people of their own mean, with a 95 % interval."""
    mine = values.groupby(people).mean().to_numpy(float)[:, None]
    low, high = percentile_interval(resampled_means(mine, n_draws=1000, seed=0), 0.95)
    return float(mine.mean()), float(low[0]), float(high[0])


def main() -> None:
    data = "user_id, item_id and timestamp of purchases; the last 90 days, or the last quarter, are the test"
    asked = options(__doc__, quick="300 drawn households", data=data).parse_args()
    header(__doc__)
    if asked.data is not None:
        frame = own_log(asked.data, times=("timestamp",))[["user_id", "item_id", "timestamp"]]
        last, horizon = own_span(frame, days=DAYS)
        with plainly(asked.data):
            compare(frame.drop_duplicates().assign(channel="all", event="purchase"), last - horizon, horizon)
        return
    place = data_folder("complete_journey") / "complete_journey"
    rows = pd.read_parquet(
        place / "transactions.parquet", columns=["household_id", "product_id", "transaction_timestamp"]
    )
    goods = pd.read_parquet(place / "products.parquet", columns=["product_id", "product_category"]).dropna()
    rows = rows.merge(goods, on="product_id").rename(
        columns={"household_id": "user_id", "product_category": "item_id", "transaction_timestamp": "timestamp"}
    )
    rows = rows[["user_id", "item_id", "timestamp"]].drop_duplicates().assign(channel="store", event="purchase")
    if asked.quick:
        some = np.random.default_rng(0).choice(rows["user_id"].unique(), 300, replace=False)
        rows = rows[rows["user_id"].isin(some)]
    result = compare(rows, pd.Timestamp(CUT, tz="UTC"), pd.Timedelta(days=DAYS))
    if not asked.quick:
        write("refills", result)


def compare(rows: pd.DataFrame, cut: pd.Timestamp, horizon: pd.Timedelta) -> dict[str, object]:
    """Return calibration and error on what was bought in a horizon after a cut, beside the item's median."""
    past, later = om.Dataset(om.EventLog.from_frame(rows)).split(cut, horizon=horizon)
    train, test = past.events, later.events
    start = process_time()
    model = om.journeys.Refills().fit(past)
    due = model.due(past.requests(at=cut))
    seconds = process_time() - start
    end = cut + horizon
    first = test.to_frame().groupby(["user_id", "item_id"], as_index=False)["timestamp"].min()
    due = due.merge(first, on=["user_id", "item_id"], how="left")
    window = due["timestamp"].notna() & (due["timestamp"] < cut + pd.Timedelta("7D"))
    result = {
        "pairs": len(due),
        "cpu seconds": seconds,
        "chance of the next 7 days": float(due["probability"].mean()),
        "happened": float(window.mean()),
        "calibration error": om.models.calibration_error(due["probability"], window),
    }
    due = due[(due["purchases"] >= 3) & (due["last_at"] >= cut - pd.Timedelta("60D"))]
    came = due["timestamp"].notna()
    if came.sum() < 2:
        raise SystemExit("Fewer than two pairs of three purchases come back after the cut: nothing can be judged.")
    inside = came & (due["timestamp"] >= due["low_at"]) & (due["timestamp"] <= due["high_at"])
    ended = due["high_at"] < end
    result["coverage of 80 %, of those who came back"] = over_people(
        inside[ended & came].astype(float), due["user_id"][ended & came]
    )
    result["coverage of 80 %, of all"] = over_people(inside[ended].astype(float), due["user_id"][ended])
    frame = train.to_frame().sort_values(["user_id", "item_id", "timestamp"])
    gap = frame.groupby(["user_id", "item_id"])["timestamp"].diff().dt.total_seconds() / 86_400
    median = gap.groupby(frame["item_id"]).median()
    seen = due[came]
    actual = (seen["timestamp"] - cut).dt.total_seconds() / 86_400
    ours = (seen["due_at"] - cut).dt.total_seconds() / 86_400
    simple = (seen["last_at"] - cut).dt.total_seconds() / 86_400 + seen["item_id"].map(median)
    errors = {
        name: np.abs(np.log(np.maximum(actual, 0.5)) - np.log(np.maximum(days, 1.0)))
        for name, days in (("refills", ours), ("item median", simple))
    }
    for name, values in errors.items():
        result[f"error, {name}"] = over_people(values, seen["user_id"])
    result["error, refills less median"] = over_people(errors["refills"] - errors["item median"], seen["user_id"])
    result["days off, refills"] = over_people(np.abs(actual - ours), seen["user_id"])
    result["days off, item median"] = over_people(np.abs(actual - np.maximum(simple, 1.0)), seen["user_id"])
    for name, value in result.items():
        print(f"{name}: {value}")
    error, theirs = result["error, refills"][0], result["error, item median"][0]
    gap = result["error, refills less median"]
    headline("when it is bought again, log error", error, beside="the item's median", theirs=theirs, gap=gap)
    headline("coverage of 80 % intervals, who came back", result["coverage of 80 %, of those who came back"][0])
    headline("calibration error of the next 7 days", result["calibration error"])
    return result


if __name__ == "__main__":
    main()
