"""Lists for everybody in a Spark table of events, answered by the executors with a model that was fitted here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import check_flag, check_k, check_kind
from omnireco._kernels.log.cells import Coded
from omnireco.data.events import EventLog
from omnireco.data.interactions import Interactions
from omnireco.data.large.lazy import LazyEvents, clock_after, grouped_by_cell, lazy_events, opened_for
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights, check_names_of, weights_by_kind
from omnireco.errors import ParameterError
from omnireco.models.base import Model
from omnireco.spark.shipping import arrow_kind, columns_of, opened, private, renamed, ship, spark_frame

__all__ = ["answering", "recommend"]


def recommend(
    model: Model,
    events: Any,
    *,
    k: int,
    at: Any = None,
    eligible: Any = None,
    exclude: Any = None,
    exclude_seen: bool = True,
    columns: Mapping[str, str] | None = None,
    itemless: Literal["raise", "keep"] = "raise",
) -> Any:
    """Rank items for everybody in a Spark table of events, on the executors.

    Spark groups the events by person, weighed as the model weighs them; each executor opens the model once and answers
    batch by batch. Items in a person's own history are left out, which Spark's own ALS cannot do.

    Parameters
    ----------
    model : Model
        Fitted on one machine; its file is shipped to the executors with ``SparkContext.addFile``.
    events : pyspark.sql.DataFrame
        One row per event, with the columns of ``EventLog.from_frame``.
    k : int
        Length of the lists.
    at : datetime, date or str, optional
        The clock of the decay; the end of the events by default, for which one more query is sent.
    eligible, exclude : optional
        Item ids, or bool arrays over ``model.items``, for everybody.
    exclude_seen : bool
        Leave out items in the person's own history.
    columns : mapping of str to str, optional
        Our name to yours.
    itemless : {"raise", "keep"}
        As in ``EventLog.from_frame``.

    Returns
    -------
    pyspark.sql.DataFrame
        ``user_id item_id rank score``, as ``model.recommend(...).to_frame()`` has them; nothing runs until it is asked.

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind, or an id or time is missing.
    ParameterError
        When the model was fitted on a matrix of unknown weights, or its weights need all events of a person.

    Notes
    -----
    The lists of ``model.recommend(data.requests(), k=k)`` on one machine, but for the rounding of sums that Spark adds
    in another order. Deterministic. Memory of an executor: the model, and one batch of people
    (``spark.sql.execution.arrow.maxRecordsPerBatch``), however many there are.
    """
    check_kind(model, Model, "recommend: model", "om.ALS().fit(data)")
    k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
    events = spark_frame(events, "om.spark.recommend", "events", "model.recommend(data.requests(), k=10)")
    weights = model.event_weights
    if weights is None:
        raise ParameterError(
            "om.spark.recommend: the model was fitted on a matrix of unknown weights. Fit it on events: "
            "om.ALS(weights=om.Weights(...)).fit(om.EventLog.scan(events))."
        )
    log = lazy_events(events, EventLog, columns=columns, itemless=itemless)
    columns_of(renamed(events, columns), "om.spark.recommend: events", user_id="id?", item_id="id?")
    grouped = _grouped(log, weights, at)
    kinds = {field.name: field.dataType.simpleString() for field in grouped.schema.fields}
    inside = grouped.schema["cells"].dataType.elementType["item_id"].dataType.simpleString()
    name = ship(model, events.sparkSession.sparkContext)
    rules = {"k": k, "eligible": eligible, "exclude": exclude, "exclude_seen": exclude_seen}
    schema = f"user_id {kinds['user_id']}, item_id {inside}, rank int, score float"
    return grouped.mapInArrow(answering(name, rules, (kinds["user_id"], inside)), schema)


def _grouped(log: LazyEvents[EventLog], weights: Weights, at: Any) -> Any:
    """Return one row per person: user_id, and cells of item, channel, type and worth."""
    from pyspark.sql import functions as f

    ours, facts = opened_for(log, weights)
    clock = clock_after(facts["last"], at, "om.spark.recommend", "filter the events")
    cells = grouped_by_cell(ours, weights, clock).to_native()
    names = {name: [row[0] for row in cells.select(name).distinct().collect()] for name in ("event", "channel")}
    check_names_of(weights, names["event"], names["channel"])
    cell = f.struct("item_id", "channel", "event", "_worth")
    return cells.groupBy("user_id").agg(f.collect_list(cell).alias("cells"))


def answering(name: str, rules: dict[str, Any], kinds: tuple[str, str]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return what an executor does with batches of people and their cells, by a model that was shipped.

    ``kinds`` are those of ids of people and items, as Spark has them.
    """

    @private
    def answer(batches: Iterator[Any]) -> Iterator[Any]:
        model = opened(name)
        for batch in batches:
            if batch.num_rows:
                recs = model.recommend(_histories(batch, model), threads=1, **rules)
                table = recs.to_arrow()
                for at, kind in enumerate(kinds):
                    table = table.set_column(at, table.column_names[at], table.column(at).cast(arrow_kind(kind)))
                yield from table.to_batches()

    return answer


def _histories(batch: Any, model: Any) -> Interactions:
    """Return the histories of a batch of people, over the items of the model."""
    weights = model.event_weights
    users, user = Vocabulary.encode(batch.column("user_id"), "user_id")
    lists = batch.column("cells")
    cells = lists.flatten()
    lengths = np.diff(lists.offsets.to_numpy())
    items, item = Vocabulary.encode(cells.field("item_id"), "item_id", allow_missing=True)
    known = np.append(model.items.codes(items.ids, missing="none"), -1).astype(np.int32)
    names, codes = {}, {}
    for name in ("channel", "event"):
        names[name], codes[name] = Vocabulary.encode(cells.field(name), name)
    kind = weights_by_kind(weights, names["event"].ids, names["channel"].ids)[codes["event"], codes["channel"]]
    worth = kind * cells.field("_worth").to_numpy(zero_copy_only=False)
    coded = Coded(np.repeat(user, lengths), known[item], codes["channel"], np.where(kind == 0, 0.0, worth))
    return Interactions.from_cells(
        users, model.items, coded, channels=names["channel"], cap=weights.cap, binary=weights.binary, weights=weights
    )
