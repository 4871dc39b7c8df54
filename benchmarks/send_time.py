"""Does a personal hour foresee the next visit, for whom, and what does sending by it earn? And how fast?

    OMNIRECO_DATA=/path/to/data python benchmarks/send_time.py [--cut 0.8] [--world 2000] [--seeds 5] [--quick]
    python benchmarks/send_time.py --worlds [--seeds 5] [--people 200] [--messages 24000]

1. Real logs, cut in time: nats per later session over the population's weekday x hour, with 95 % intervals over
   people, and hits of the 1 and 3 highest hours of the day, by how many sessions of history people have. Raw personal
   histograms and the hour of the last visit stand in the same table.
2. Simulated worlds of two kinds, several seeds: share of the gap between "10:00 for everybody" and an oracle that knows
   all reading hours, beside the posterior under the true model, which is the best possible from the data.

3. Ten worlds of known truth, each of which breaks an assumption (`_clock_worlds.py`): value of the recommended hours
   beside the best common slot, the rule that knows activity only, and the oracle; the highest chance that is promised
   beside the truth's; and how true the chances of the sender's next messages are, by fifths. ``--worlds`` does this
   part alone, ``--quick`` all parts small.

4. The simulator's own months: eight weeks are learned from, and the chances of the messages of the next four are held
   against what was answered, by fifths. Not a random half of the messages: a session that somebody began by answering a
   message that is left out would stand in their activity, and tell the answer (then the lowest fifth of pushes comes
   out 4 times too high, and of e-mails 1.7 times).

send_time_million.py has the seconds.

Intervals are over seeds (Student's t, 95 %). Part 1 is skipped when OMNIRECO_DATA is not set. Writes
results/send_time.json.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from _clock_worlds import CLOCK_WORLDS, judge
from _common import header, headline, left_out, own_log, plainly, write
from _common import options as options_of
from scipy import stats
from scipy.special import gammaln

import omnireco as om
from omnireco.timing.sessions import local_hours, session_starts
from omnireco.timing.skill import timing_skill
from omnireco.worlds import world as _world

GAP = 30 * 60_000_000


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


def hours_of(log: om.EventLog, users: om.data.Vocabulary, audience: om.Audience) -> tuple[np.ndarray, np.ndarray]:
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
    fitted = om.timing.ActivityProfile().fit(om.Dataset(train, audience=audience))
    print(f"\n{fitted}\n  fitted in {perf_counter() - begin:.1f} s; cut {cut:%Y-%m-%d}; {fitted.pooling}")
    flat = om.timing.ActivityProfile(segments=1).fit(om.Dataset(train, audience=audience))
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


WORLDS = {
    "anyone": {"reading_like": "anyone"},  # 40 % of reading follows a week that only answers can tell
    "own kind": {"reading_like": "own kind", "answer_rate": 3.0},  # some four answers each, and activity tells more
}


def oracle_gap(n_users: int, seed: int, options: dict[str, object]) -> pd.DataFrame:
    """Return the share of the gap to the oracle that each way to choose an hour closes, per channel.

    Eight weeks, some 22 sessions and 24 messages each, 60 % of them sent at 10:00, 30 % in office hours.
    """
    company = om.worlds.Company(messages_per_week=3, share_without_zone=0.0, **options)
    world = om.simulate(n_users, 30, days=56, seed=seed, company=company)
    log, audience = om.EventLog.from_frame(world.events), om.Audience.from_frame(world.users)
    sent = om.MessageLog.from_frame(world.messages)
    model = om.SendTime().fit(om.Dataset(log, messages=sent, audience=audience))
    ids, every = world.users["user_id"].to_numpy(), np.arange(n_users)
    counts = counted(log, audience, sent, ids)
    observed = Observed.of(sent, audience)
    knowing = posterior_reading(counts, observed, options["reading_like"])
    opens = np.zeros((n_users, 168))
    np.add.at(opens, (observed.user[observed.answered], observed.read[observed.answered]), 1.0)
    rows = []
    for code, channel in enumerate(_world.MESSAGES):
        gladly = 168.0 * _world.BASE_RESPONSE[code] * world.truth.appetite[:, [code]]
        value = np.minimum(gladly * attention(world.truth.reading, code), _world.HIGHEST_RESPONSE)
        picks = {
            "10:00 for everybody": np.full(n_users, -1),
            "best single hour": np.full(n_users, value.mean(axis=0).argmax()),
            "peak of raw opens": np.where(opens.any(axis=1), opens.argmax(axis=1), -1),
            "peak of raw activity": counts.argmax(axis=1),
            "peak of the profile": model.activity.hour_of_week(ids).argmax(axis=1),
            "omnireco": model.hour_probability(ids, channel).argmax(axis=1),
            "oracle: the true model": attention(knowing, code).argmax(axis=1),
        }
        ten = value[:, 10 + 24 * np.arange(7)].mean(axis=1)
        oracle = value.max(axis=1)
        for name, pick in picks.items():
            got = np.where(pick < 0, ten, value[every, pick])
            rows.append((channel, name, (got - ten).sum() / (oracle - ten).sum()))
    return pd.DataFrame(rows, columns=["channel", "hour chosen by", "share"])


def gaps(n_users: int, seeds: int) -> pd.DataFrame:
    """Return the mean share of the gap over worlds of several seeds, with a 95 % interval (Student's t)."""
    tables = [
        oracle_gap(n_users, seed, options).assign(world=name, seed=seed)
        for name, options in WORLDS.items()
        for seed in range(1, seeds + 1)
    ]
    table = pd.concat(tables).groupby(["world", "channel", "hour chosen by"], sort=False)["share"]
    spread = stats.t.ppf(0.975, max(seeds - 1, 1)) * table.std().fillna(0.0) / np.sqrt(seeds)
    found = pd.DataFrame({"share": table.mean(), "low": table.mean() - spread, "high": table.mean() + spread})
    return found.reset_index()


def clock_worlds(n_people: int, n: int, seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return value and highest chance in each world, and its calibration by fifths, as means with intervals."""
    value, fifths = [], []
    for name, make in CLOCK_WORLDS.items():
        judged = [judge(make(n_people, n, seed)) for seed in range(1, seeds + 1)]
        over = {what: [part.value - getattr(part, what) for part in judged] for what in ("common", "activity")}
        value.append(
            {
                "world": name,
                **{what: np.mean([getattr(j, what) for j in judged]) for what in ("value", "common", "activity")},
                "oracle": np.mean([j.oracle for j in judged]),
                **{f"over {what}": _interval(found) for what, found in over.items()},
                "highest": np.mean([j.highest for j in judged]),
                "its low end": np.mean([j.highest_low for j in judged]),
                "truth's highest": np.mean([j.most for j in judged]),
                "above": np.mean([j.above for j in judged]),
                "covered": np.mean([j.inside for j in judged]),
            }
        )
        ratio = np.array([part.foreseen / part.true for part in judged])
        fifths.append({"world": name, **{f"fifth {k + 1}": _interval(ratio[:, k]) for k in range(5)}})
    return pd.DataFrame(value), pd.DataFrame(fifths)


def later_fifths(n_users: int, seeds: int) -> pd.DataFrame:
    """Return foreseen and seen shares of answers to messages of the weeks after the log, by fifths, over seeds."""
    rows = []
    for name, options in WORLDS.items():
        company = om.worlds.Company(messages_per_week=3, share_without_zone=0.0, **options)
        found: dict[str, list[np.ndarray]] = {channel: [] for channel in _world.MESSAGES}
        for seed in range(1, seeds + 1):
            world = om.simulate(n_users, 30, days=84, seed=seed, company=company)
            cut = world.messages["sent_at"].min().normalize() + pd.Timedelta(days=56)
            data = world.dataset()
            model = om.SendTime().fit(data.split(cut)[0])
            end = world.messages["sent_at"].max() - pd.Timedelta(days=1)  # answers within a day are seen
            later = world.messages[(world.messages["sent_at"] >= cut) & (world.messages["sent_at"] < end)]
            for channel, part in later.groupby("channel"):
                touches = om.data.Touches.of(data, part["user_id"].to_numpy(), channel=channel, at=part["sent_at"])
                foreseen, seen = model.probability(touches), part["responded_at"].notna().to_numpy()
                fifths = np.array_split(np.argsort(foreseen, kind="stable"), 5)
                found[channel].append(np.array([[x[k].mean() for k in fifths] for x in (foreseen, seen)]))
        for channel, tables in found.items():
            foreseen, seen = np.mean(tables, axis=0)
            spread = np.std([t[0] - t[1] for t in tables], axis=0, ddof=min(1, seeds - 1)) / np.sqrt(seeds)
            half = stats.t.ppf(0.975, max(seeds - 1, 1)) * spread / seen
            cells = {f"fifth {k + 1}": f"{foreseen[k] / seen[k]:.2f} ± {half[k]:.2f}" for k in range(5)}
            rows.append({"world": name, "channel": channel, **cells})
    return pd.DataFrame(rows)


def _interval(values: object) -> str:
    """Return a mean and half of the width of its 95 % interval."""
    found = np.asarray(values, float)
    half = stats.t.ppf(0.975, max(found.size - 1, 1)) * found.std(ddof=min(1, found.size - 1)) / np.sqrt(found.size)
    return f"{found.mean():.3f} ± {half:.3f}"


def counted(log: om.EventLog, audience: om.Audience, sent: om.MessageLog, ids: np.ndarray) -> np.ndarray:
    """Return undecayed sessions per person and local hour, without those that messages caused."""
    model = om.timing.ActivityProfile(half_life=None, segments=1).fit(om.Dataset(log, messages=sent, audience=audience))
    return model.counts(model.users.codes(ids, missing="none"))


@dataclass(frozen=True)
class Observed:
    """What each message says: person, channel, local hours of sending and of the answer."""

    user: np.ndarray
    channel: np.ndarray
    sent: np.ndarray
    read: np.ndarray
    answered: np.ndarray
    n_users: int

    @classmethod
    def of(cls, sent: om.MessageLog, audience: om.Audience) -> Observed:
        user = audience.users.codes(sent.users.ids)[sent.user]
        zone, answered = audience.zone[user], sent.responded
        channel = np.array([_world.MESSAGES.index(name) for name in sent.channels.ids])[sent.channel]
        local = om.data.clock.hour_of_week
        read = local(np.where(answered, sent.responded_at, sent.sent_at), zone, audience.zones)
        return cls(user, channel, local(sent.sent_at, zone, audience.zones), read, answered, audience.n_users)


def attention(reading: np.ndarray, channel: int) -> np.ndarray:
    """Return what a message sent at each hour gets of the reading in the 24 hours that follow, (n, 168)."""
    weight = np.exp(-np.arange(_world.DELAY_HOURS) / _world.ATTENTION_HOURS[channel])
    return sum(w * np.roll(reading, -delay, axis=1) for delay, w in enumerate(weight / weight.sum()))


def posterior_reading(counts: np.ndarray, observed: Observed, reading_like: object) -> np.ndarray:
    """Return the mean reading of each person under the world's own law, given all that a company sees.

    Exact over archetypes (125 combinations) but for the Dirichlet draw around them, which enters with its posterior
    mean, and for the tastes that make some messages more welcome. Nobody can do much better with these data.
    """
    weeks, share = _world._archetype_hours(), np.array([0.2, 0.25, 0.3, 0.1, 0.15])
    n, total = observed.n_users, counts.sum(axis=1)
    channels = range(len(_world.MESSAGES))
    inside = [observed.channel == code for code in channels]
    sends, answers = np.zeros((2, n, 168)), np.zeros((2, n, 168))
    for code in channels:
        np.add.at(sends[code], (observed.user[inside[code]], observed.sent[inside[code]]), 1.0)
        seen = inside[code] & observed.answered
        np.add.at(answers[code], (observed.user[seen], observed.read[seen]), 1.0)
    # attention ahead of a send at h, laid out by the hour it falls on: attention of one-hot weeks
    ahead = [attention(np.eye(168), code).T for code in channels]
    exposed = [sends[code] @ ahead[code].T for code in channels]
    rate = [168.0 * observed.answered[inside[code]].mean() for code in channels]
    logs, readings = [], []
    for first in range(5):
        for second in range(5):
            alpha = 90.0 * (0.85 * weeks[first] + 0.15 * weeks[second])
            log = (
                np.log(share[first] / 5)
                - gammaln(90.0 + total)
                + (gammaln(alpha + counts) - gammaln(alpha)).sum(axis=1)
            )
            hours = (alpha + counts) / (90.0 + total)[:, None]
            for other in range(5) if reading_like == "anyone" else [first]:
                reading = 0.6 * hours + 0.4 * weeks[other]
                so_far = log
                for code in channels:
                    expected = rate[code] * (exposed[code] * reading).sum(axis=1)
                    so_far = so_far + (answers[code] * np.log(reading)).sum(axis=1)
                    so_far = so_far - (2.0 + answers[code].sum(axis=1)) * np.log(2.0 + expected)
                logs.append(so_far)
                readings.append(reading)
    weight = np.exp(np.stack(logs) - np.max(logs, axis=0))
    weight /= weight.sum(axis=0)
    return sum(w[:, None] * reading for w, reading in zip(weight, readings, strict=True))


def main() -> None:
    parser = options_of(
        __doc__,
        quick="3 seeds, 400 people, 8,000 messages",
        data="user_id, channel, sent_at, responded_at, and timezone if you know it; the last fifth is foreseen",
    )
    parser.add_argument("--events", type=Path, metavar="FILE", help="with --data: a log of events of the same people")
    parser.add_argument("--cut", type=float, default=0.8)
    parser.add_argument("--world", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=200, help="in each of the ten worlds")
    parser.add_argument("--messages", type=int, default=24_000, help="in each of the ten worlds")
    parser.add_argument("--worlds", action="store_true", help="the ten worlds only")
    options = parser.parse_args()
    if options.quick:
        options.world, options.seeds, options.people, options.messages = 400, 3, 120, 8_000
    pd.set_option("display.width", 200, "display.float_format", "{:.4f}".format, "display.max_columns", 20)
    machine = header(__doc__)
    if options.data is not None:
        if options.events is None:
            parser.error("--data holds messages; pass --events FILE too, a log with user_id and timestamp")
        own_messages(options.data, options.events, options.cut)
        return
    value, fifths = clock_worlds(options.people, options.messages, options.seeds)
    print(
        f"ten worlds of {options.people:,} people and {options.messages:,} messages, {options.seeds} seeds\n"
        f"{value.to_string(index=False)}\n\nforeseen / true, by fifths of what was foreseen\n"
        f"{fifths.to_string(index=False)}\n"
    )
    worlds = {"worlds": value.to_dict("records"), "fifths": fifths.astype(str).to_dict("records")}
    if options.worlds:
        if not options.quick:
            write("send_time_worlds", worlds)
        return
    results: dict[str, object] = {"machine": machine}
    folder = os.environ.get("OMNIRECO_DATA")
    if folder:
        for name, load in (("commits", commits), ("purchases", purchases)):
            table = skill(*load(Path(folder)), options.cut)
            print(
                f"{name}: nats per later session over the population's weekday x hour\n{table.to_string(index=False)}"
            )
            results[name] = table.to_dict("records")
    else:
        left_out("tables on real logs", "OMNIRECO_DATA is not set")
    gap = gaps(options.world, options.seeds)
    print(f"\nsimulated worlds of {options.world:,} people, {options.seeds} seeds\n{gap.to_string(index=False)}")
    later = later_fifths(options.world, options.seeds)
    print(f"\nforeseen / seen in the four weeks after the log, by fifths\n{later.to_string(index=False)}")
    shares = gap.set_index(["world", "channel", "hour chosen by"])
    for world, channel in gap[["world", "channel"]].drop_duplicates().itertuples(index=False):
        ours, best = (shares.loc[(world, channel, who)] for who in ("omnireco", "oracle: the true model"))
        what = f"share of the gap to the best hour, {world}, {channel}"
        headline(what, ours["share"], beside="the true model", theirs=best["share"])
    parts = {"gap": gap.to_dict("records"), "later": later.to_dict("records")}
    if not options.quick:
        write("send_time", results | worlds | parts)


def own_messages(path: Path, events: Path, share: float) -> None:
    """Learn from the first part of a log of messages, and foresee whether the others are answered."""
    frame = own_log(path, needs=("user_id", "channel", "sent_at"), times=("sent_at", "responded_at"))
    columns = ["user_id", "channel", "sent_at", "responded_at"]
    stand_ins = {"item_id": "any", "channel": "all", "event": "visit"}
    visits = own_log(events, needs=("user_id",), times=("timestamp",), defaults=stand_ins)
    with plainly(events):
        log = om.EventLog.from_frame(visits[["user_id", "item_id", "channel", "event", "timestamp"]], itemless="keep")
    with plainly(path):
        sent = om.MessageLog.from_frame(frame[columns])
        audience = None
        if "timezone" in frame:
            people = frame.drop_duplicates("user_id", keep="last")[["user_id", "timezone"]]
            consents = {f"consent_{channel}": True for channel in frame["channel"].unique()}
            audience = om.Audience.from_frame(people.assign(**consents))
        data = om.Dataset(log, messages=sent, audience=audience)
        cut = frame["sent_at"].quantile(share).floor("s")
        past, end = data.before(cut), frame["sent_at"].max() - pd.Timedelta("1D")  # answers within a day are seen
        later = frame[(frame["sent_at"] >= cut) & (frame["sent_at"] < end)]
        later = later[later["channel"].isin(past.messages.channels.ids)]
        if later.empty:
            raise SystemExit(f"{path.name}: no message is younger than {cut:%Y-%m-%d %H:%M} and older than a day.")
        model = om.SendTime().fit(past)
        print(model)
        touches = om.data.Touches.of(
            past, later["user_id"].to_numpy(), channel=later["channel"].to_numpy(), at=later["sent_at"]
        )
        foreseen = model.probability(touches)
    back = later["responded_at"] - later["sent_at"]
    seen = (back.notna() & (back <= pd.Timedelta("1D"))).to_numpy(float)
    usual = (frame.loc[frame["sent_at"] < cut, "responded_at"] < cut).mean()
    fifths = np.array_split(np.argsort(foreseen, kind="stable"), 5)
    table = pd.DataFrame(
        [(len(k), foreseen[k].mean(), seen[k].mean()) for k in fifths if len(k)],
        columns=["messages", "foreseen", "seen"],
    )
    print(f"\n{len(later):,} messages sent from {cut:%Y-%m-%d} on, by fifths of what was foreseen\n{table}")
    chance, common = np.clip(foreseen, 1e-6, 1 - 1e-6), np.clip(usual, 1e-6, 1 - 1e-6)
    loss, base = (-(seen * np.log(p) + (1 - seen) * np.log(1 - p)) for p in (chance, np.full(seen.size, common)))
    loss, base = (pd.Series(one).groupby(later["user_id"].to_numpy()).mean().to_numpy() for one in (loss, base))
    gain = base - loss
    draws = np.random.default_rng(0).choice(gain, (2000, gain.size)).mean(axis=1)
    gap = [gain.mean(), *np.quantile(draws, [0.025, 0.975])]
    what, beside = "log loss of later messages, mean of people, nats", "the share answered before"
    headline(what, loss.mean(), beside=beside, theirs=base.mean(), gap=gap, goal="> 0")


if __name__ == "__main__":
    main()
