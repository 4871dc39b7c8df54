"""Candidates of everybody, made on the executors from lists, people and messages in Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from omnireco._core.checks import check_kind, shown
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import Slots
from omnireco.data.dataset import Dataset
from omnireco.data.messages import MessageLog
from omnireco.data.recommendations import Recommendations
from omnireco.errors import OmnirecoError, SchemaError
from omnireco.planning.candidates import Candidates
from omnireco.planning.choosing import candidates as made
from omnireco.planning.inputs import check_rules, check_verb
from omnireco.planning.per_person import PerPerson
from omnireco.planning.rules import Eligibility
from omnireco.planning.touch_value import TouchValue
from omnireco.spark.best_slots import check_people
from omnireco.spark.shipping import (
    arrow_kind,
    check_known,
    check_same_ids,
    columns_of,
    opened,
    private,
    ship,
    spark_frame,
)
from omnireco.timing.sending.response_model import SendTimeModel

__all__ = ["MESSAGE_COLUMNS", "candidates", "message_columns"]

_WHERE = "om.spark.candidates"
MESSAGE_COLUMNS = {
    "user_id": "id",
    "channel": "text",
    "sent_at": "instant",
    "responded_at": "instant",
    "clicked_at": "instant?",
    "unsubscribed_at": "instant?",
    "kind": "text?",
}


def candidates(
    lists: Any,
    people: Any,
    timing: Any,
    slots: Slots,
    *,
    channels: str | Iterable[str],
    messages: Any = None,
    catalog: Catalog | None = None,
    eligibility: Iterable[Eligibility] = (),
    per_person: PerPerson | None = None,
    value: TouchValue | None = None,
    attributes: Iterable[str] = (),
) -> Any:
    """Return the touches worth planning of everybody in Spark, as ``om.candidates`` makes them on one machine.

    Parameters
    ----------
    lists : pyspark.sql.DataFrame
        ``user_id item_id rank``, such as those of :func:`recommend`.
    people : pyspark.sql.DataFrame
        One row per person, with the columns of ``Audience.from_frame``.
    timing : fitted SendTime, or any Timing
        Fitted here; its file is mapped by every executor. A class of your own is pickled.
    slots, channels, catalog, eligibility, per_person, value
        As in :func:`omnireco.candidates`; ``catalog`` is that of a Dataset.
    messages : pyspark.sql.DataFrame, optional
        What people had before, with the columns of ``MessageLog.from_frame``: who unsubscribed has no consent on that
        channel.
    attributes : iterable of str
        Columns of ``people`` that rules read.

    Returns
    -------
    pyspark.sql.DataFrame
        One row per touch, ``user_id item_id channel send_at probability value``, in no order. A frame has no rules:
        those that limit touches together are given to :func:`plan`, ``om.planning.OncePerItem()`` and the gap,
        ``om.FrequencyCap(1, per="4h")``, among them.

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind, or somebody stands in ``people`` twice.
    ParameterError
        As :func:`omnireco.candidates`.

    Notes
    -----
    Lists and messages are brought to their person (a shuffle each), and each executor works through batches of people
    (``spark.sql.execution.arrow.maxRecordsPerBatch``): its memory does not grow with the people. Deterministic.
    """
    from pyspark.sql import functions as f

    lists = spark_frame(lists, _WHERE, "lists", "om.candidates(recs, data, timing, slots)")
    people = spark_frame(people, _WHERE, "people", "om.candidates(recs, data, timing, slots)")
    names = tuple(attributes)
    kinds = columns_of(lists, f"{_WHERE}: lists", user_id="id", item_id="id", rank="number")
    own = check_people(people, f"{_WHERE}: people")
    check_same_ids(kinds["user_id"], own["user_id"], _WHERE, ("lists", "people"))
    if lacking := [name for name in names if name not in own]:
        raise SchemaError(
            f"{_WHERE}: people have no column {shown(lacking[0])}. Add it, or leave it out of attributes=."
        )
    if isinstance(timing, SendTimeModel):
        check_known(timing.activity.users, own["user_id"], _WHERE)
    check_kind(slots, Slots, "slots", "om.slots('2025-06-01', days=7)")
    check_kind(catalog, Catalog, "catalog", "om.Catalog.from_frame(items)", none=True)
    check_verb(timing, "slot_probability", "timing", "timing=om.SendTime().fit(data)")
    rules = check_rules(eligibility)
    asked = {"slots": slots, "channels": channels, "eligibility": rules, "per_person": per_person, "value": value}
    ranked = lists.groupBy("user_id").agg(f.collect_list(f.struct("item_id", "rank")).alias("_lists"))
    of_person = [f.struct(*people.columns).alias("_person"), "user_id"]
    joined = people.select(*of_person).join(ranked, "user_id", "inner")
    if messages is not None:
        log = spark_frame(messages, _WHERE, "messages", "om.candidates(recs, data, timing, slots)")
        sent = message_columns(log, f"{_WHERE}: messages")
        check_same_ids(dict(sent.dtypes)["user_id"], own["user_id"], _WHERE, ("messages", "people"))
        had = sent.groupBy("user_id").agg(f.collect_list(f.struct(*sent.columns)).alias("_sent"))
        joined = joined.join(had, "user_id", "left")
    fetch = _shipped(timing, people.sparkSession.sparkContext)
    schema = (
        f"user_id {own['user_id']}, item_id {kinds['item_id']}, channel string, send_at timestamp_ltz, "
        "probability double, value double"
    )

    @private
    def answer(batches: Iterator[Any]) -> Iterator[Any]:
        model = fetch()
        for batch in batches:
            if batch.num_rows:
                found = _made(batch, model, catalog, names, asked)
                if len(found):
                    yield from _arrow(found, own["user_id"], kinds["item_id"]).to_batches()

    return joined.drop("user_id").mapInArrow(answer, schema)


def message_columns(frame: Any, where: str) -> Any:
    """Return a frame of messages with the columns that rules read, checked by kind."""
    found = columns_of(frame, where, **MESSAGE_COLUMNS)
    return frame.select(*(name for name in MESSAGE_COLUMNS if name in found))


def _shipped(value: Any, context: Any) -> Any:
    """Return the function by which an executor has a value: from a mapped file, else pickled."""
    try:
        name = ship(value, context)
    except OmnirecoError:
        return lambda: value
    return lambda: opened(name)


def _made(
    batch: Any, timing: Any, catalog: Catalog | None, attributes: tuple[str, ...], asked: dict[str, Any]
) -> Candidates:
    """Return the candidates of a batch of people."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches([batch])
    people = pa.Table.from_struct_array(table.column("_person"))
    ids = people.column("user_id").combine_chunks()

    def flat(name: str) -> Any:
        rows = table.column(name).combine_chunks()
        owner = pc.list_parent_indices(rows)
        found = pa.Table.from_struct_array(pc.list_flatten(rows))
        return found if "user_id" in found.column_names else found.append_column("user_id", ids.take(owner))

    log = None
    if "_sent" in table.column_names and (sent := flat("_sent")).num_rows:
        log = MessageLog.from_frame(sent)
    audience = Audience.from_frame(people, attributes=attributes, on_invalid="drop")
    data = Dataset(audience=audience, messages=log, catalog=catalog)
    return made(Recommendations.from_frame(flat("_lists")), data, timing, **asked)


def _arrow(found: Candidates, user: str, item: str) -> Any:
    """Return candidates as Arrow, as the schema has them."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("user_id", arrow_kind(user)),
            ("item_id", arrow_kind(item)),
            ("channel", pa.string()),
            ("send_at", pa.timestamp("us", "UTC")),
            ("probability", pa.float64()),
            ("value", pa.float64()),
        ]
    )
    return pa.Table.from_pandas(found.to_frame()[schema.names], schema=schema, preserve_index=False)
