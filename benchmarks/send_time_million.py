"""From 50 million events of a million people to everybody's best allowed hour, beside the histogram that most use.

Run: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/send_time_million.py [--people N] [--repeat R]

The log is drawn in order of time (four zones, five kinds of weeks). omnireco: `SendTime().fit` (sessions on local
clocks, half-life and strengths of pooling fitted, segments) and `best` (posterior, value of sending, consent and quiet
hours, choice). The peer is what one writes in numpy: offsets by `searchsorted` in each zone's changes, one `bincount`
per person and hour of the week, the peak of the allowed hours; no sessions, no decay, no pooling, no delay. Seconds
are wall clock and CPU; memory is the most that the process held beyond the events, sampled 100 times a second.
"""

import os
import threading
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
from _common import header, headline, write
from _common import options as options_of

import omnireco as om
from omnireco.data.clock import clock_changes
from omnireco.timing import activity, answering, sessions
from omnireco.timing.sending import response_model, send_time

HOUR, WEEK = 3_600_000_000, 168
ZONES = np.array(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Tokyo"], object)
START = pd.Timestamp("2025-01-06", tz="UTC").value // 1000
STAGES = [
    (activity, "count_sessions", "events to sessions on local clocks"),
    (activity, "_sample", "samples of people"),
    (activity, "fit_half_life", "half-life"),
    (activity, "fit_pooling", "strengths of pooling"),
    (activity, "population_profile", "population"),
    (activity, "fit_segments", "segments"),
    (sessions.Counted, "cells", "decayed counts per person"),
    (send_time, "answers_by_kind", "responses of people"),
    (send_time, "sent_on", "messages on local clocks"),
    (answering, "_effect_decay", "effect decay"),
    (answering, "_fit_kinds", "kinds of readers"),
    (answering, "_at_risk", "hours at risk"),
    (answering, "smooth_rates", "smooth hours"),
    (answering, "fit_curve", "slope and lift"),
    (answering, "log_rates", "log rate of each message"),
    (answering, "person_factors", "factors of people"),
    (response_model.SendTimeModel, "_best_slots", "posterior, value, masks, best slot"),
]


def world(n_people: int, n_events: int, days: int = 90, seed: int = 0) -> tuple[om.EventLog, om.Audience]:
    """Return a log in order of time: in each hour, each kind of person in each zone comes as its week says."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24)
    weeks = np.stack(
        [np.tile(np.exp(-0.5 * ((hours - peak + 12) % 24 - 12) ** 2 / 4) + 0.05, 7) for peak in (7, 12, 16, 20, 23)]
    )
    zone, kind = np.arange(n_people, dtype=np.int32) % 4, np.arange(n_people) // 4 % 5
    names = om.data.Vocabulary.from_ids(ZONES)
    at = START + HOUR * np.arange(days * 24, dtype=np.int64)
    local = om.data.clock.hour_of_week(at[:, None], names.codes(ZONES)[None, :], names)
    share = weeks[:, local].transpose(1, 2, 0).reshape(at.size, 20)  # (hours, zone x kind)
    counts = rng.multinomial(n_events, (share / share.sum()).ravel()).reshape(at.size, 20)
    groups = [np.flatnonzero((zone == z) & (kind == k)).astype(np.int32) for z in range(4) for k in range(5)]
    user, when = np.empty(n_events, np.int32), np.empty(n_events, np.int64)
    place = 0
    for hour, row in zip(at.tolist(), counts, strict=True):
        stop = place + int(row.sum())
        user[place:stop] = np.concatenate([g[rng.integers(0, g.size, n)] for g, n in zip(groups, row, strict=True)])
        rng.shuffle(user[place:stop])
        when[place:stop] = hour + np.sort(rng.integers(0, HOUR, stop - place))
        place = stop
    one, zero = om.data.Vocabulary.from_ids(["x"]), np.zeros(n_events, np.int32)
    people = om.data.Vocabulary.from_ids(np.arange(n_people))
    log = om.EventLog(people, one, one, one, user, zero, zero, zero, when, None, {}, START, START + days * 24 * HOUR)
    audience = om.Audience.from_frame(
        pd.DataFrame({"user_id": np.arange(n_people), "timezone": ZONES[zone], "consent_push": True})
    )
    return log, audience


def messages(log: om.EventLog, audience: om.Audience, n_messages: int, seed: int = 1) -> om.MessageLog:
    """Return pushes at random hours, one in ten answered, and more near the hours at which their reader is active."""
    rng = np.random.default_rng(seed)
    n_people, span = log.n_users, (log.end_us - log.start_us) // HOUR - 24
    user = rng.integers(0, n_people, n_messages, dtype=np.int32)
    sent_at = log.start_us + HOUR * rng.integers(0, span, n_messages) + rng.integers(0, HOUR, n_messages)
    order = np.argsort(sent_at)
    user, sent_at = user[order], sent_at[order]
    local = om.data.clock.hour_of_week(sent_at, audience.zone[user], audience.zones) % 24
    peak = np.array([7, 12, 16, 20, 23])[user // 4 % 5]
    near = np.exp(-0.5 * (((local - peak + 12) % 24 - 12) / 3.0) ** 2)
    answered = rng.random(n_messages) < 0.05 + 0.2 * near
    back = sent_at + (HOUR * rng.exponential(2.0, n_messages)).astype(np.int64) + 1
    responded_at = np.where(answered & (back < log.end_us), back, om.data.messages.NEVER)
    one, zero = om.data.Vocabulary.from_ids(["push"]), np.zeros(n_messages, np.int32)
    none = om.data.Vocabulary(np.empty(0, object))
    return om.MessageLog(
        log.users, one, none, none, user, zero, zero - 1, zero - 1, sent_at, responded_at, None, log.end_us
    )


def histogram(log: om.EventLog, audience: om.Audience) -> np.ndarray:
    """Return the peak of each person's raw histogram among the allowed hours, 8:00 to 21:00."""
    zone = audience.zone[log.user]
    local = np.empty(len(log), np.int16)
    instants = log.at
    for code in range(len(audience.zones)):
        rows = np.flatnonzero(zone == code)
        when = instants[rows]
        change, _, offset = clock_changes(audience.zones, np.array([code]), int(instants[0]), int(instants[-1]))
        wall = when + offset[np.searchsorted(change, when, side="right") - 1]
        local[rows] = (wall // HOUR + 72) % WEEK
    best = np.empty(log.n_users, np.int64)
    allowed = (np.arange(WEEK) % 24 >= 8) & (np.arange(WEEK) % 24 < 21)
    counts = np.bincount(log.user.astype(np.int64) * WEEK + local, minlength=log.n_users * WEEK).reshape(-1, WEEK)
    for first in range(0, log.n_users, 100_000):
        best[first : first + 100_000] = np.where(allowed, counts[first : first + 100_000], -1).argmax(axis=1)
    return best


def omnireco(log: om.EventLog, audience: om.Audience, sent: om.MessageLog, threads: int | None) -> int:
    data = om.Dataset(log, audience=audience, messages=sent)
    model = om.SendTime().fit(data, threads=threads)
    day = "2025-04-07"
    return len(model.best(data, day, 1, channel="push", quiet_hours=("21:00", "08:00"), threads=threads))


def one_person(n_people: int = 20_000, calls: int = 200) -> pd.DataFrame:
    """Return the CPU time of one person's answers, milliseconds: on a model in numpy, and on one that is compiled."""
    rows = {}
    for name, people in (("300 people, numpy", 300), (f"{n_people:,} people, compiled", n_people + 1)):
        log, audience = world(people, 50 * people)
        data = om.Dataset(log, audience=audience, messages=messages(log, audience, 20 * people))
        model, week = om.SendTime().fit(data), om.slots("2025-04-07", days=7)
        person = om.Audience.from_frame(pd.DataFrame({"user_id": [5], "timezone": ZONES[:1], "consent_push": True}))
        alone = om.Dataset(log, audience=person)
        at = pd.Series(pd.to_datetime(week.at, unit="us", utc=True))
        touches = om.data.Touches.of(data, np.repeat(5, at.size), channel="push", at=at)
        answers = {
            "best": lambda model=model, alone=alone: model.best(
                alone, "2025-04-07", 7, channel="push", quiet_hours=("21:00", "08:00")
            ),
            "slot_probability, 168 slots": lambda model=model, person=person, week=week: model.slot_probability(
                person, np.zeros(1, np.int64), "push", week.at
            ),
            "probability of 168 touches": lambda model=model, touches=touches: model.probability(touches),
        }
        times: dict[str, list[float]] = {verb: [] for verb in answers}
        for _ in range(calls):
            for verb, answer in answers.items():
                begin = time.thread_time()
                answer()
                times[verb].append(1e3 * (time.thread_time() - begin))
        for verb, found in times.items():
            rows[name, verb] = {"p50_ms": float(np.median(found)), "least_ms": min(found)}
    return pd.DataFrame(rows).T


@contextmanager
def watched(stages: dict[str, tuple[float, float]] | None = None):
    """Time a block and the stages inside it; yield what will hold wall and CPU seconds and the peak of memory."""
    found, originals = {}, []
    for owner, name, label in STAGES if stages is not None else []:
        original = getattr(owner, name)

        def timed(*args, _original=original, _label=label, **options):
            begin = time.perf_counter(), time.process_time()
            try:
                return _original(*args, **options)
            finally:
                wall, cpu = stages.get(_label, (0.0, 0.0))
                stages[_label] = wall + time.perf_counter() - begin[0], cpu + time.process_time() - begin[1]

        originals.append((owner, name, original))
        setattr(owner, name, timed)
    done, peak, before = threading.Event(), [0], resident()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found |= {"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
        done.set()
        watcher.join()
        found["memory_gb"] = max(peak[0] - before, 0) / 1e9
        for owner, name, original in originals:
            setattr(owner, name, original)


def resident() -> int:
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = options_of(__doc__, quick="20,000 people")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events-each", type=int, default=50)
    parser.add_argument("--messages-each", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    machine = header(__doc__)
    options.people = 20_000 if options.quick else options.people
    small = world(5_000, 200_000)
    omnireco(*small, messages(*small, 50_000), options.threads)  # compiles, once per machine
    log, audience = world(options.people, options.people * options.events_each)
    sent = messages(log, audience, options.people * options.messages_each)
    print(f"{len(log):,} events, {len(sent):,} messages, {options.people:,} people, {os.cpu_count()} cores")
    runs: dict[str, list[dict[str, float]]] = {"omnireco": [], "numpy histogram": []}
    stages: dict[str, tuple[float, float]] = {}
    for _ in range(options.repeat):
        with watched(stages) as ours:
            answered = omnireco(log, audience, sent, options.threads)
        with watched() as peer:
            histogram(log, audience)
        runs["omnireco"].append(ours)
        runs["numpy histogram"].append(peer)
    table = pd.DataFrame({name: pd.DataFrame(found).median() for name, found in runs.items()}).T
    table["wall_vs_peer"] = table["wall"] / table.loc["numpy histogram", "wall"]
    seconds = pd.DataFrame(stages, index=["wall", "cpu"]).T / options.repeat
    seconds.loc["ids, frames, the rest"] = table.loc["omnireco", ["wall", "cpu"]] - seconds.sum()
    print(f"{answered:,} people answered\n\nseconds of omnireco per stage\n{seconds.round(2).to_string()}\n")
    print(table.round(2))
    latency = one_person()
    print(f"\none person\n{latency.round(3).to_string()}")
    result = {
        "machine": machine,
        "people": options.people,
        "events": len(log),
        "stages": seconds.to_dict("index"),
        "runs": table.to_dict("index"),
        "one_person_ms": {" ".join(name): row for name, row in latency.to_dict("index").items()},
    }
    ours, peer, what = table.loc["omnireco"], table.loc["numpy histogram"], f"best slots of {answered:,} people"
    headline(
        what, ours["wall"], "s", beside="a numpy histogram", theirs=peer["wall"], ratio=peer["wall"] / ours["wall"]
    )
    headline(f"{what}: CPU", ours["cpu"], "CPU s")
    if not options.quick:
        write("send_time_million", result)


if __name__ == "__main__":
    main()
