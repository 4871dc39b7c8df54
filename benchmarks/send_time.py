"""Does a personal hour foresee the next visit, for whom, and what does sending by it earn? And how fast?

    OMNIRECO_DATA=/path/to/data python benchmarks/send_time.py [--cut 0.8] [--people 100000]

1. Real logs, cut in time: nats per later session over the population's weekday x hour, with 95 % intervals over
   people, and hits of the 1 and 3 highest hours of the day, by how many sessions of history people have. Raw personal
   histograms and the hour of the last visit stand in the same table.
2. Simulated worlds: share of the gap between "10:00 for everybody" and an oracle who knows all reading hours.
3. Seconds per stage for many people.

Part 1 is skipped when OMNIRECO_DATA is not set. Writes results/send_time.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

import omnireco as om
from omnireco.evaluation.timing import timing_skill
from omnireco.response.sessions import local_hours, session_starts

GAP = 30 * 60_000_000
HOUR = 3_600_000_000


def commits(folder: Path) -> tuple[om.EventLog, str | None]:
    frame = pd.read_parquet(folder / "commit_activity_rails" / "events.parquet")
    frame = pd.DataFrame(
        {
            "user_id": frame["user_id"].astype("int64"),
            "item_id": "rails",
            "channel": "git",
            "event": frame["event_type"].astype(str),
            "timestamp": frame["event_time_utc"].dt.tz_localize("UTC"),
            "utc_offset_min": frame["utc_offset_min"].astype(str),
        }
    )
    return om.EventLog.from_frame(frame, context=["utc_offset_min"]), None


def purchases(folder: Path) -> tuple[om.EventLog, str | None]:
    columns = ["household_id", "basket_id", "transaction_timestamp"]
    frame = pd.read_parquet(folder / "complete_journey" / "transactions.parquet", columns=columns)
    frame = frame.drop_duplicates("basket_id").assign(channel="store", event="purchase")
    names = {"user_id": "household_id", "item_id": "basket_id", "timestamp": "transaction_timestamp"}
    return om.EventLog.from_frame(frame, columns=names), "America/New_York"


def hours_of(log: om.EventLog, users: om.Vocabulary, audience: om.Audience) -> tuple[np.ndarray, np.ndarray]:
    """Return sessions per person and local hour, and each person's last hour (-1: none)."""
    rows = session_starts(log.user, log.at, GAP)
    hours = local_hours(log, audience, rows)
    user = users.codes(log.users.ids, missing="none")[log.user[rows]]
    known = (user >= 0) & (hours >= 0)
    user, hours = user[known], hours[known]
    cells = np.bincount(user.astype(np.int64) * 168 + hours, minlength=len(users) * 168)
    last = np.full(len(users), -1)
    last[user] = hours  # sessions are in order of time within a person: the last one stays
    return cells.reshape(len(users), 168).astype(float), last


def skill(log: om.EventLog, zone: str | None, share: float) -> pd.DataFrame:
    cut = pd.Timestamp(int(np.quantile(log.at, share)), unit="us", tz="UTC").to_pydatetime()
    train, test = log.split(cut)
    audience = om.Audience.from_frame(pd.DataFrame({"user_id": log.users.ids, "timezone": zone, "consent_x": True}))
    past, last = hours_of(train, train.users, audience)
    later, _ = hours_of(test, train.users, audience)
    population = past.sum(axis=0) + 1.0
    population /= population.sum()
    begin = perf_counter()
    fitted = om.ActivityProfile().fit(train, audience)
    print(f"\n{fitted}\n  fitted in {perf_counter() - begin:.1f} s; cut {cut:%Y-%m-%d}; {fitted.pooling}")
    flat = om.ActivityProfile(segments=1).fit(train, audience)
    daily = np.tile(population.reshape(7, 24).sum(axis=0) / 7, 7)
    n = past.sum(axis=1, keepdims=True)
    raw = np.where(n > 0, (past + 1e-3) / (n + 0.168), population)
    latest = np.full(past.shape, 0.5 / 168)
    latest[np.arange(last.size), last] += 0.5 * (last >= 0)
    latest[last < 0] = population
    profiles = {
        "omnireco": fitted.hour_of_week(train.users.ids),
        "omnireco, no segments": flat.hour_of_week(train.users.ids),
        "population hour": np.tile(daily, (past.shape[0], 1)),
        "population weekday x hour": np.tile(population, (past.shape[0], 1)),
        "raw personal histogram": raw,
        "last hour": latest,
    }
    return timing_skill(profiles, population, later, past.sum(axis=1))


def oracle_gap(n_users: int, seed: int) -> pd.DataFrame:
    """Return the share of the gap to the oracle that each way to choose an hour closes, per channel."""
    world = om.simulate(n_users=n_users, n_items=30, days=56, seed=seed, messages_per_week=3, share_without_zone=0.0)
    log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    sent = om.MessageLog.from_frame(world.messages)
    model = om.SendTime().fit(log, sent, audience)
    ids, every = world.users["user_id"].to_numpy(), np.arange(n_users)
    raw = model.activity.counts(model.activity.users.codes(ids, missing="none"))
    answered = sent.responded
    at_open = om.data.clock.hour_of_week(
        sent.responded_at[answered],
        audience.zone[audience.users.codes(sent.users.ids)[sent.user[answered]]],
        audience.zones,
    )
    opens = np.zeros((n_users, 168))
    np.add.at(opens, (audience.users.codes(sent.users.ids)[sent.user[answered]], at_open), 1.0)
    rows = []
    monday = om.slots("2025-06-02", days=9, every="1h").at
    for channel in ("email", "push"):
        # a week on everybody's own clock: the instant at which it is hour h there
        hour = om.data.clock.hour_of_week(monday[None], audience.zone[:, None], audience.zones)
        at = monday[(hour[:, :, None] == np.arange(168)).argmax(axis=1)]
        value = np.stack([world.response_probability(ids, channel, at[:, h]) for h in range(168)], axis=1)
        curves = np.stack([model.curve(user, channel) for user in ids])
        picks = {
            "10:00 for everybody": np.full(n_users, -1),
            "best single hour": np.full(n_users, value.mean(axis=0).argmax()),
            "peak of raw opens": np.where(opens.any(axis=1), opens.argmax(axis=1), -1),
            "peak of raw activity": raw.argmax(axis=1),
            "peak of the profile": model.activity.hour_of_week(ids).argmax(axis=1),
            "omnireco": curves.argmax(axis=1),
        }
        ten = value[:, 10 + 24 * np.arange(7)].mean(axis=1)
        oracle = value.max(axis=1)
        for name, pick in picks.items():
            got = np.where(pick < 0, ten, value[every, pick])
            rows.append((channel, name, got.mean(), (got - ten).sum() / (oracle - ten).sum()))
        rows.append((channel, "oracle", oracle.mean(), 1.0))
    return pd.DataFrame(rows, columns=["channel", "hour chosen by", "mean chance", "share of the gap"])


def speed(n_users: int, per_user: int) -> pd.DataFrame:
    """Return seconds per stage, from events to best slots."""
    random = np.random.default_rng(0)
    n = n_users * per_user
    user = random.integers(0, n_users, n)
    at = pd.Timestamp("2025-01-06").value // 1000 + random.integers(0, 90 * 24 * HOUR, n)
    nobody = om.MessageLog.from_frame(
        pd.DataFrame({"user_id": [0], "channel": "email", "sent_at": pd.to_datetime(["2025-01-07"], utc=True),
                      "responded_at": pd.to_datetime([None], utc=True)})
    )  # fmt: skip
    zones = np.array(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Tokyo"], object)
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": np.arange(n_users), "timezone": zones[np.arange(n_users) % 4], "consent_email": True})
    )
    order = np.argsort(at, kind="stable")
    one = om.Vocabulary.from_ids(["x"])
    zero = np.zeros(n, np.int32)
    people = om.Vocabulary.from_ids(np.arange(n_users))
    at = at[order]
    log = om.EventLog(people, one, one, one, user[order].astype(np.int32), zero, zero, zero, at, None, {},
                      int(at[0]), int(at[-1]) + 1)  # fmt: skip
    rows, begin = [], perf_counter()
    model = om.SendTime().fit(log, nobody, audience)
    rows.append((f"fit, {n:,} events", perf_counter() - begin))
    begin = perf_counter()
    best = model.best(audience, "2025-06-02", 1, channel="email", quiet_hours=("21:00", "08:00"))
    rows.append((f"best of 24 slots, {len(best):,} people", perf_counter() - begin))
    return pd.DataFrame(rows, columns=["stage", "seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cut", type=float, default=0.8)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--world", type=int, default=2_000)
    options = parser.parse_args()
    pd.set_option("display.width", 140, "display.float_format", "{:.4f}".format)
    results: dict[str, object] = {"machine": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
    folder = os.environ.get("OMNIRECO_DATA")
    if folder:
        for name, load in (("commits", commits), ("purchases", purchases)):
            table = skill(*load(Path(folder)), options.cut)
            print(
                f"{name}: nats per later session over the population's weekday x hour\n{table.to_string(index=False)}"
            )
            results[name] = table.to_dict("records")
    else:
        print("OMNIRECO_DATA is not set: the tables on real logs are skipped")
    gap = oracle_gap(options.world, seed=1)
    print(f"\nsimulated world of {options.world:,} people\n{gap.to_string(index=False)}")
    stages = speed(options.people, 50)
    print(f"\n{stages.to_string(index=False)}")
    results |= {"gap": gap.to_dict("records"), "seconds": stages.to_dict("records")}
    target = Path(__file__).parent / "results" / "send_time.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
