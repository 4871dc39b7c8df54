"""Hour-of-week profiles of everybody in Spark, from their events there, under a population that was learned here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_choice, check_duration, check_kind, check_names, count_of, shown
from omnireco._core.compute import always_compiled
from omnireco._core.units import QUARTER_US, WEEK
from omnireco._kernels.week.curves import Cells
from omnireco._kernels.week.curves import profiles as curves
from omnireco._kernels.week.size import small
from omnireco._kernels.week.strengths import trust_of
from omnireco.data.audience import Audience
from omnireco.data.events import EventLog
from omnireco.data.frames.dates import FEWEST_MIXED, FEWEST_OF_UTC
from omnireco.data.large.lazy import clock_after
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import NONE
from omnireco.errors import ParameterError, SchemaError
from omnireco.spark.best_slots import check_people
from omnireco.spark.shipping import check_known, check_same_ids, columns_of, opened, private, ship, spark_frame
from omnireco.timing.activity import ActivityModel, on_channel
from omnireco.timing.sending.response_model import SendTimeModel
from omnireco.timing.sessions import count_sessions

__all__ = ["profiles"]

_WHERE = "om.spark.profiles"
_PEOPLE = 10_000  # of a part
_EVENTS = {"user_id": "id", "item_id": "id", "channel": "text", "event": "text", "timestamp": "instant"}
_SENT = ("channel", "sent_at", "responded_at", "clicked_at")


class _Asked(NamedTuple):
    """What is asked of every part."""

    clock: int
    channel: str | None
    gap_us: int
    context: tuple[str, ...]


def profiles(
    model: ActivityModel | SendTimeModel,
    events: Any,
    people: Any,
    *,
    messages: Any = None,
    at: Any = None,
    channel: str | None = None,
    session_gap: Any = "30min",
    context: Iterable[str] = (),
    timestamp: str = "detect",
) -> Any:
    """Return everybody's hour-of-week profile, from their own events in Spark, on the executors.

    What a population does at which hour is learned once, on this machine, on everybody's log or on a sample. A person's
    own sessions are counted where they lie, so that whom the sample does not know gets a week of their own too.

    Parameters
    ----------
    model : ActivityModel or SendTimeModel
        ``om.timing.ActivityProfile().fit(data)``, or a SendTime, whose profiles of activity are taken.
    events : pyspark.sql.DataFrame
        One row per event, with the columns of ``EventLog.from_frame``; ``item_id`` may be missing in some.
    people : pyspark.sql.DataFrame
        One row per person: ``user_id timezone``. Who has no zone gets the hours of the population.
    messages : pyspark.sql.DataFrame, optional
        ``user_id channel sent_at responded_at``, and ``clicked_at`` where given: sessions that a message caused do not
        count, as in ``ActivityProfile.fit``.
    at : datetime, date or str, optional
        The clock of the decay; the end of the events by default.
    channel : str, optional
        One of the ``channels`` of the estimator, as in :meth:`ActivityModel.hour_of_week`.
    session_gap : duration
        That of the estimator.
    context : iterable of str
        ``"timezone"`` or ``"utc_offset_min"`` where events carry a clock of their own, as in ``EventLog.from_frame``.
    timestamp : {"detect", "instant"}
        ``"detect"`` refuses events whose times look like dates without an hour; ``"instant"`` takes them as they are.

    Returns
    -------
    pyspark.sql.DataFrame
        ``user_id n_sessions hour_of_week``, in no order: sessions that count, and 168 probabilities from Monday 00:00
        local on. Nothing runs until it is asked.

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind, an id, name or time is missing, ids are numbers in one table and
        strings in another, or somebody stands in ``people`` twice.
    ParameterError
        When the model has no profiles of the channel, an event lies after ``at``, or times look like dates.

    Notes
    -----
    The rows of ``model.hour_of_week`` on one machine, where the model was fitted on these events, to the bit (profiles
    of a channel, and those of more than 20,000 people, to rounding). Segments that follow from attributes are those of
    the people that the model knows. Two queries check the tables; then each person's rows meet in one shuffle of events
    and one of messages. Deterministic, whatever the partitions. Memory of an executor: some 10,000 people and their
    events.
    """
    from pyspark.sql import functions as f

    check_kind(model, (ActivityModel, SendTimeModel), f"{_WHERE}: model", "om.timing.ActivityProfile().fit(data)")
    profile = model.activity if isinstance(model, SendTimeModel) else model
    names, gap = check_names(context, "context"), check_duration(session_gap, "session_gap")
    check_choice(timestamp, "timestamp", ("detect", "instant"))
    if channel is not None and (not isinstance(channel, str) or channel not in profile.channels):
        known = ", ".join(map(repr, profile.channels)) or "none"
        raise ParameterError(
            f"{_WHERE}: channel must be one that has profiles of its own ({known}). Got {shown(channel)}: write "
            f"ActivityProfile(channels=({shown(channel)},))."
        )
    instead = "model.hour_of_week(user_ids)"
    log, audience = spark_frame(events, _WHERE, "events", instead), spark_frame(people, _WHERE, "people", instead)
    theirs = columns_of(log, f"{_WHERE}: events", **_EVENTS, **dict.fromkeys(names, "any"))
    own = check_people(audience, f"{_WHERE}: people")
    check_same_ids(theirs["user_id"], own["user_id"], _WHERE, ("events", "people"))
    check_known(profile.users, own["user_id"], _WHERE)
    last = _checked_events(log, timestamp)
    asked = _Asked(clock_after(last, at, _WHERE, "filter the events"), channel, gap, names)
    n_parts = max(1, -(-int(audience.agg(f.approx_count_distinct("user_id")).first()[0]) // _PEOPLE))
    part = f.pmod(f.xxhash64(f.col("user_id").cast("string")), f.lit(n_parts)).alias("part")
    wide = "string" if own["user_id"] == "string" else "bigint"  # a narrower number would wrap
    who = f.col("user_id").cast(wide).alias("user_id")
    left = log.select(part, who, *(name for name in _EVENTS if name != "user_id"), *names)
    right = _with_messages(audience.select(part, who, "timezone"), messages, part, who, own["user_id"])
    name = ship(profile, audience.sparkSession.sparkContext)

    @private
    def one_part(happened: Any, known: Any) -> Iterator[Any]:
        yield _profiles_of(opened(name), happened, known, asked)

    def run(happened: Any, known: Any) -> Any:
        return next(one_part(happened, known))

    schema = f"user_id {wide}, n_sessions int, hour_of_week array<double>"
    both = (side.repartition(n_parts, "part").groupBy("part") for side in (left, right))
    found = next(both).cogroup(next(both)).applyInArrow(run, schema)
    return found.select(f.col("user_id").cast(own["user_id"]).alias("user_id"), "n_sessions", "hour_of_week")


def _checked_events(log: Any, timestamp: str) -> int | None:
    """Return the last instant; missing ids, names and times are refused, and times that look like dates: one query."""
    from pyspark.sql import functions as f

    needed = ("user_id", "channel", "event", "timestamp")
    lost = [f.sum(f.col(name).isNull().cast("long")).alias(f"no_{name}") for name in needed]
    us = f.unix_micros("timestamp")
    whole = f.sum((us % QUARTER_US == 0).cast("long")).alias("whole")
    found = log.groupBy("channel", "event").agg(f.count(f.lit(1)).alias("rows"), f.max(us).alias("last"), whole, *lost)
    kinds = [row.asDict() for row in found.collect()]
    for name in needed:
        if n := sum(one[f"no_{name}"] for one in kinds):
            raise SchemaError(
                f"{_WHERE}: {name} is missing in {count_of(n, 'row')} of the events. Filter them out: "
                f"events.where('{name} is not null')."
            )
    rows, quarters = (sum(one[name] or 0 for one in kinds) for name in ("rows", "whole"))
    doubtful = [one for one in kinds if one["rows"] >= FEWEST_OF_UTC and one["whole"] == one["rows"]]
    doubtful += [one for one in kinds if one["rows"] >= FEWEST_MIXED and 2 * one["whole"] > one["rows"]]
    if timestamp == "detect" and (doubtful or (rows >= FEWEST_OF_UTC and quarters == rows)):
        n = sum(one["whole"] for one in doubtful) or quarters
        raise ParameterError(
            f"{_WHERE}: {count_of(n, 'event')} of a channel and type lie on whole quarters of an hour, as dates do, of "
            "which no hour can be learned. Filter those out, or say that they are instants: "
            "om.spark.profiles(model, events, people, timestamp='instant')."
        )
    return max((one["last"] for one in kinds), default=None)


def _with_messages(people: Any, messages: Any, part: Any, who: Any, own: str) -> Any:
    """Return people, and below them the messages that they had, in one frame."""
    from pyspark.sql import functions as f

    if messages is None:
        return people
    log = spark_frame(messages, _WHERE, "messages", "ActivityProfile().fit(data)")
    where = f"{_WHERE}: messages"
    kinds = columns_of(
        log, where, user_id="id", channel="text", sent_at="instant", responded_at="instant", clicked_at="instant?"
    )
    check_same_ids(kinds["user_id"], own, _WHERE, ("messages", "people"))
    sent = log.select(part, who, *(name for name in _SENT if name in kinds)).withColumn("_sent", f.lit(True))
    return people.unionByName(sent, allowMissingColumns=True)


def _profiles_of(model: ActivityModel, events: Any, known: Any, asked: _Asked) -> Any:
    """Return the profiles of a part of the people."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = known.schema.field("user_id").type
    schema = pa.schema([("user_id", kind), ("n_sessions", pa.int32()), ("hour_of_week", pa.list_(pa.float64()))])
    sent, messages = None, known.slice(0, 0)
    if "_sent" in known.column_names:
        sent = pc.fill_null(known.column("_sent"), False)
        messages, known = known.filter(sent), known.filter(pc.invert(sent))
    if not known.num_rows:  # events or messages of nobody in the table
        return schema.empty_table()
    audience = Audience.from_frame(known.select(["user_id", "timezone"]), on_invalid="drop")
    n, users = len(audience), audience.users
    mine = events.filter(pc.is_in(events.column("user_id"), known.column("user_id").combine_chunks()))
    history, indptr = np.zeros(n, np.int64), np.zeros(n + 1, np.int64)
    hour, weight, counts = np.empty(0, np.uint8), np.empty(0, np.float32), np.zeros((n, WEEK))
    if mine.num_rows:
        table = mine.drop_columns(["part"])
        log = EventLog.from_frame(table, context=asked.context, itemless="keep", timestamp="instant")
        log = replace(log, end_us=asked.clock)
        caused = None
        if messages.num_rows:
            columns = [name for name in ("user_id", *_SENT) if name in messages.column_names]
            caused = MessageLog.from_frame(messages.select(columns))
        counted = count_sessions(log, audience, caused, asked.gap_us, threads=1)
        place = users.codes(log.users.ids)
        start, hour, weight = counted.cells(log, model.half_life_us, threads=1)
        history[place] = counted.history
        indptr[place + 1] = np.diff(start)
        indptr = np.cumsum(indptr)
        code = NONE if asked.channel is None else int(log.channels.codes([asked.channel], missing="none")[0])
        if code != NONE:
            there = counted.of_channel(log, code).cells(log, model.half_life_us)
            row = np.repeat(place, np.diff(there[0]))
            counts[row, there[1]] = there[2]
    known = model.users.codes(users.ids, missing="none")
    group = (
        np.append(model.groups.group, 0)[known].astype(np.int64) if model.groups.group.size else np.zeros(n, np.int64)
    )
    trust = np.where(history > 0, trust_of(history, model.trust), -1.0)
    cells = Cells(indptr, hour, weight)
    # Which code answers depends on the size of the model, here as on one machine.
    with contextlib.nullcontext() if small(len(model)) else always_compiled():
        found = curves(np.arange(n), trust, cells, model.tables()._replace(group=group), threads=1)
    if asked.channel is not None:
        found = on_channel(model, found, model.channels[asked.channel].strength, counts)
    flat = pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * WEEK), pa.array(found.ravel()))
    ids = pa.array(users.ids.tolist(), kind)
    return pa.table([ids, pa.array(history.astype(np.int32)), flat], schema=schema)
