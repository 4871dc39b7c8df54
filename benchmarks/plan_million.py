"""A million random people with hostile zones, consents and clocks: no message of a plan breaks a rule, ever.

    python benchmarks/plan_million.py [--quick] [--people N]

People in zones of half and quarter hours, on a day when clocks change, or without a zone; consents given, withdrawn and
given again; messages of last week; caps, gaps, quiet hours, a budget, hourly capacities, people held out, one in twenty
explored, and triggered messages beside the plan. The check shares nothing with the library: pandas' clocks and sorted
differences. It prints how many messages were checked, and the violations of each kind.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pandas as pd
from _common import header, headline, options

import omnireco as om

ZONES = np.array(
    ["Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "America/St_Johns", "Europe/London",
     "Pacific/Chatham", "Pacific/Kiritimati", None], object,
)  # fmt: skip
START = pd.Timestamp("2025-04-05", tz="UTC")  # clocks go back in Lord Howe and Chatham on the next day
CHANNELS = np.array(["email", "push", "sms"], object)
CAPS = ((2, 72, None), (1, 20, None), (1, 168, "sms"))  # messages, hours, channel
QUIET = (21, 8)
COST = 0.05


class World(NamedTuple):
    """Frames of one random world."""

    people: pd.DataFrame
    touches: pd.DataFrame
    sent: pd.DataFrame
    withdrawn: pd.DataFrame


def world(n: int, seed: int, each: int = 3) -> World:
    """Return people, touches that could be sent, messages of last week, and withdrawals."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(3 * n)[:n]
    days = START + pd.to_timedelta(rng.integers(-30, 0, n), unit="D")
    people = pd.DataFrame({"user_id": ids, "timezone": pd.array(ZONES[rng.integers(0, ZONES.size, n)], "string")})
    for channel in CHANNELS:
        people[f"consent_{channel}"] = rng.random(n) < 0.8
        people[f"reachable_{channel}"] = rng.random(n) < 0.9
    people["consent_email_at"] = pd.Series(days).where(rng.random(n) < 0.5)
    m = n * each
    touches = pd.DataFrame(
        {
            "user_id": np.where(rng.random(m) < 0.02, 3 * n + rng.integers(0, n, m), np.repeat(ids, each)),
            "item_id": rng.integers(0, 50, m),
            "channel": CHANNELS[rng.integers(0, 3, m)],
            "send_at": START + pd.to_timedelta(rng.integers(0, 4 * 24 * 4, m) * 15, unit="min"),
            "value": rng.gamma(1.0, 1.0, m) - 0.1,
        }
    )
    old = n // 2
    sent = pd.DataFrame(
        {
            "user_id": rng.choice(ids, old),
            "channel": CHANNELS[rng.integers(0, 3, old)],
            "sent_at": START - pd.to_timedelta(rng.integers(1, 7 * 24 * 60, old), unit="min"),
            "responded_at": pd.Series([None] * old, dtype="datetime64[us, UTC]"),
        }
    )
    left = sent["sent_at"] + pd.to_timedelta(rng.integers(1, 30, old), unit="min")
    sent["unsubscribed_at"] = left.where(rng.random(old) < 0.1)
    gone = max(1, n // 20)
    withdrawn = pd.DataFrame(
        {
            "user_id": rng.choice(ids, gone),
            "item_id": "settings",
            "channel": rng.choice(np.array(["email", "web"], object), gone),
            "event": "left",
            "timestamp": START + pd.to_timedelta(rng.integers(-20 * 24, 24, gone), unit="h"),
        }
    )
    return World(people, touches, sent, withdrawn)


def planned(made: World, seed: int):
    """Return the plan of a world, and how many messages an hour and how much money it may use."""
    n = len(made.people)
    log = om.EventLog.from_frame(made.withdrawn)
    data = om.Dataset(log, messages=om.MessageLog.from_frame(made.sent), audience=om.Audience.from_frame(made.people))
    touches = om.planning.Candidates.from_frame(
        made.touches, data, eligibility=[om.QuietHours(f"{QUIET[0]}:00", f"0{QUIET[1]}:00")], withdrawals=["left"],
        once_per_item=True,
    )  # fmt: skip
    caps = [om.FrequencyCap(count, per=f"{hours}h", channels=channel) for count, hours, channel in CAPS]
    total, limit = 0.004 * n, max(1, n // 300)
    rules = [*caps, om.Budget("sms", cost=COST, total=total), om.Capacity("push", per="1h", limit=limit)]
    return om.plan(touches, constraints=rules, holdout=0.05, explore=0.05, seed=seed), limit, total


def violations(made: World, sent: pd.DataFrame, limit: int, total: float, held: np.ndarray) -> dict[str, int]:
    """Count what messages break, by plain pandas: nothing here comes from the library."""
    people = made.people.set_index("user_id")
    known = sent["user_id"].isin(people.index)
    found = {"strangers": int((~known).sum())}
    sent = sent[known].assign(send_at=pd.to_datetime(sent["send_at"][known], utc=True))
    row = people.loc[sent["user_id"]]
    yes, address, closed = (np.zeros(len(sent), bool) for _ in range(3))
    for channel in CHANNELS:
        mine = (sent["channel"] == channel).to_numpy()
        yes[mine] = row[f"consent_{channel}"].to_numpy()[mine]
        address[mine] = row[f"reachable_{channel}"].to_numpy()[mine]
    email = (sent["channel"] == "email").to_numpy()
    given = row["consent_email_at"].reset_index(drop=True).where(email)
    no = made.sent[made.sent["unsubscribed_at"].notna()]
    no = no[["user_id", "channel", "unsubscribed_at"]].rename(columns={"unsubscribed_at": "at"})
    left = made.withdrawn.rename(columns={"timestamp": "at"})
    every = [left[left["channel"] == "web"].assign(channel=channel) for channel in CHANNELS]
    no = pd.concat([no, left[left["channel"] == "email"], *every])[["user_id", "channel", "at"]]
    last = no.groupby(["user_id", "channel"])["at"].max()
    key = pd.MultiIndex.from_arrays([sent["user_id"], sent["channel"]])
    gone = last.reindex(key).reset_index(drop=True)
    closed = (gone.notna() & ~(given > gone)).to_numpy()
    early = (given > sent["send_at"].reset_index(drop=True)).to_numpy()
    found |= {"no consent": int((~yes | closed | early).sum()), "no address": int((~address).sum())}
    hour = np.full(len(sent), -1)
    for zone in [zone for zone in ZONES if zone]:
        mine = (row["timezone"] == zone).fillna(False).to_numpy(bool)
        hour[mine] = sent["send_at"][mine].dt.tz_convert(zone).dt.hour
    found["no zone"] = int((hour < 0).sum())
    found["quiet hours"] = int(((hour >= QUIET[0]) | ((hour >= 0) & (hour < QUIET[1]))).sum())
    for count, hours, channel in CAPS:
        found[f"more than {count} in {hours} h"] = _over(made, sent, count, hours, channel)
    found["an item twice"] = int(sent.duplicated(["user_id", "item_id"]).sum())
    found["budget"] = int(COST * (sent["channel"] == "sms").sum() > total * (1 + 1e-9))
    cells = sent[sent["channel"] == "push"]["send_at"].dt.floor("1h").value_counts()
    found["capacity"] = int((cells > limit).sum())
    found["held out"] = int(sent["user_id"].isin(held).sum())
    return found


def _over(made: World, sent: pd.DataFrame, count: int, hours: int, channel: str | None) -> int:
    """Count the windows with a planned message that hold too many."""
    past = made.sent.rename(columns={"sent_at": "send_at"})[["user_id", "channel", "send_at"]].assign(new=False)
    both = pd.concat([past, sent[["user_id", "channel", "send_at"]].assign(new=True)])
    both = both if channel is None else both[both["channel"] == channel]
    both = both.assign(send_at=pd.to_datetime(both["send_at"], utc=True))
    both = both.sort_values(["user_id", "send_at"], kind="stable")
    user = both["user_id"].to_numpy()
    at = both["send_at"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    new = np.concatenate([[0], np.cumsum(both["new"].to_numpy())])
    near = (user[count:] == user[:-count]) & (at[count:] - at[:-count] < hours * 3_600_000_000)
    return int((near & (new[count + 1 :] > new[: -count - 1])).sum())


def triggered(made: World, plan, limit: int, total: float, n: int, seed: int) -> tuple[pd.DataFrame, float]:
    """Return the messages of the plan and those accepted beside it, and the microseconds of CPU per answer."""
    more = world(max(10, n // 3), seed + 1).touches.head(n)
    more["user_id"] = np.random.default_rng(seed).choice(made.people["user_id"], len(more))
    live = om.planning.LivePlan(plan)
    rows = more.to_dict("records")
    live.accept(rows[0])
    start = time.thread_time()
    yes = [live.accept(row).accepted for row in rows[1:]]
    spent = time.thread_time() - start
    kept = more.iloc[1:][np.array(yes)]
    first = plan.to_frame()[["user_id", "item_id", "channel", "send_at"]]
    return pd.concat([first, kept[first.columns]], ignore_index=True), 1e6 * spent / max(1, len(yes))


def main() -> None:
    """Print the counts."""
    parser = options(__doc__, quick="20,000 people")
    parser.add_argument("--people", type=int, default=1_000_000)
    args = parser.parse_args()
    header(__doc__)
    n = 20_000 if args.quick else args.people
    made = world(n, 0)
    start, cpu = time.perf_counter(), time.process_time()
    plan, limit, total = planned(made, 0)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{plan}; {wall:.0f} s, {cpu:.0f} s of CPU", flush=True)
    headline(f"plan of a week of {n:,} people", cpu, "CPU s")
    held = plan.holdout.users.ids[plan.holdout.held]
    week = plan.to_frame()
    print(f"{len(week):,} messages to {n:,} people, {int(week['explored'].sum()):,} of them explored")
    broken = violations(made, week, limit, total, held)
    print("violations:", broken)
    headline("violations of any rule by the plan", sum(broken.values()), goal="<= 0")
    every, micro = triggered(made, plan, limit, total, 20_000, 0)
    print(
        f"{len(every) - len(week):,} triggered messages accepted beside it, {micro:.0f} microseconds of CPU per answer"
    )
    broken = violations(made, every, limit, total, held)
    print("violations:", broken)
    headline("violations with triggered messages beside it", sum(broken.values()), goal="<= 0")
    headline("one triggered message accepted or not", micro, "CPU us")


if __name__ == "__main__":
    main()
