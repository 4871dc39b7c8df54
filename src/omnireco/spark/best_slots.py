"""Everybody's best slot, per partition of a Spark table of people, by a model that was fitted once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from omnireco._core.checks import check_kind, count_of
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset
from omnireco.data.frames.zone_names import one_name
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.spark.shipping import arrow_kind, check_known, columns_of, opened, private, renamed, ship, spark_frame
from omnireco.timing.sending.response_model import SendTimeModel

__all__ = ["check_people", "send_times"]


def send_times(
    model: SendTimeModel,
    people: Any,
    start: Any,
    days: int | None = None,
    *,
    channel: str,
    quiet_hours: Any = None,
    kind: str | None = None,
    expires_at: Any = None,
    columns: Mapping[str, str] | None = None,
) -> Any:
    """Return everybody's best allowed slot on a channel, for the people of a Spark table, on the executors.

    The model is fitted once, on this machine, on everybody's log or on a sample: whom it knows gets a week of their
    own, the others that of the population. Its file is mapped by every executor.

    Parameters
    ----------
    model : SendTimeModel
        ``om.SendTime().fit(data)``.
    people : pyspark.sql.DataFrame
        One row per person, with the columns of ``Audience.from_frame``: ``user_id timezone consent_<channel>``, and
        ``reachable_<channel>`` and ``consent_<channel>_at`` where given.
    start, days, channel, quiet_hours, kind, expires_at
        As in :meth:`SendTimeModel.best`.
    columns : mapping of str to str, optional
        Our name to yours.

    Returns
    -------
    pyspark.sql.DataFrame
        ``user_id channel send_at send_at_local probability``, in no order; the rows of ``model.best`` on one machine.
        ``send_at`` is an instant, ``send_at_local`` a wall clock without a zone. Nothing runs until it is asked.

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind, or somebody stands in the table twice, for which one query is
        sent.
    ParameterError
        When there is no consent column for the channel, or the slots are none.

    Notes
    -----
    Messages and events by which people withdrew consent are not read here: set ``consent_<channel>`` to false in the
    table. Deterministic; a person's answer depends on neither the partition nor the batch. Memory of an executor: one
    batch of people, and the pages of the model that it reads.
    """
    where = "om.spark.send_times"
    check_kind(model, SendTimeModel, f"{where}: model", "om.SendTime().fit(data)")
    frame = renamed(spark_frame(people, where, "people", "model.best(data, '2025-06-01', 7, channel='email')"), columns)
    kinds = check_people(frame, where)
    if f"consent_{channel}" not in kinds:
        raise ParameterError(
            f"{where}: the table has no column consent_{channel}. Without consent no message: add it, or take another "
            "channel."
        )
    check_known(model.activity.users, kinds["user_id"], where)
    asked = {"channel": channel, "quiet_hours": quiet_hours, "kind": kind, "expires_at": expires_at}
    _best(model, _nobody(kinds), start, days, asked)  # which refuses wrong arguments here
    name = ship(model, frame.sparkSession.sparkContext)

    @private
    def answer(batches: Iterator[Any]) -> Iterator[Any]:
        known = opened(name)
        for batch in batches:
            if batch.num_rows:
                yield from _arrow(_best(known, batch, start, days, asked), kinds["user_id"]).to_batches()

    schema = f"user_id {kinds['user_id']}, channel string, send_at timestamp_ltz, send_at_local timestamp_ntz, "
    return frame.mapInArrow(answer, schema + "probability double")


def check_people(frame: Any, where: str) -> dict[str, str]:
    """Return the kinds of the columns of a table of people, in which nobody stands twice."""
    from pyspark.sql import functions as f

    names = [name for name in frame.columns if name.startswith("consent_")]
    dated = [name for name in names if name.endswith("_at") and name.removesuffix("_at") in names]
    kinds = columns_of(frame, where, user_id="id", timezone="text", **dict.fromkeys(dated, "instant"))
    flags = [name for name in kinds if name.startswith(("consent_", "reachable_")) and name not in dated]
    wrong = [name for name in flags if kinds[name] != "boolean"]
    if wrong and wrong[0].startswith("consent_") and wrong[0].endswith("_at") and "timestamp" in kinds[wrong[0]]:
        alone = wrong[0].removesuffix("_at")
        raise SchemaError(
            f"{where}: {wrong[0]} has no {alone} beside it. The instant alone is no consent: "
            f"frame.withColumn({alone!r}, ...)."
        )
    if wrong:
        raise SchemaError(
            f"{where}: {wrong[0]} is {kinds[wrong[0]]}, and consent is true or false. Cast it: "
            f"frame.withColumn({wrong[0]!r}, F.col({wrong[0]!r}).cast('boolean'))."
        )
    _check_zones(frame, where)
    by_person = frame.groupBy("user_id").count()
    more = f.sum(f.when(f.col("count") > 1, 1).otherwise(0))
    twice, lost = by_person.agg(more, f.sum(f.col("user_id").isNull().cast("int"))).first()
    if lost:
        raise SchemaError(f"{where}: user_id is missing in some rows. Filter them: frame.where('user_id is not null').")
    if twice:
        raise SchemaError(
            f"{where}: {count_of(int(twice), 'person stands', 'people stand')} in the table more than once. Keep one "
            "row each: frame.dropDuplicates(['user_id'])."
        )
    return kinds


def _check_zones(frame: Any, where: str) -> None:
    """Refuse zones of which none is an IANA region, and warn of some, as ``Audience.from_frame`` does of all people."""
    names = [str(row[0]) for row in frame.select("timezone").where("timezone is not null").distinct().collect()]
    given = [name for name in names if name.strip()]
    unknown = [name for name in given if one_name(name) is None]
    if not unknown:
        return
    what = (
        f"{where}: timezone holds {count_of(len(unknown), 'name')} that {'is' if len(unknown) == 1 else 'are'} not an "
        "IANA region. Write 'Europe/Berlin' or 'America/New_York'; a fixed offset or an abbreviation is wrong after "
        "the next clock change."
    )
    if len(unknown) == len(given):
        raise SchemaError(f"{what} Leave it missing where it is not known.")
    warnings.warn(f"{what} Those people have no zone now.", DataWarning, stacklevel=4)


def _nobody(kinds: dict[str, str]) -> Any:
    """Return the table of no people, with the columns of these kinds."""
    import pyarrow as pa

    of = {"boolean": pa.bool_(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    return pa.table({name: pa.array([], of.get(kind, pa.string())) for name, kind in kinds.items()})


def _best(model: SendTimeModel, batch: Any, start: Any, days: int | None, asked: dict[str, Any]) -> Any:
    """Return the best slots of a batch of people."""
    import pyarrow as pa

    table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    return model.best(Dataset(audience=Audience.from_frame(table, on_invalid="drop")), start, days, threads=1, **asked)


def _arrow(found: Any, kind: str) -> Any:
    """Return the slots as Arrow, as the schema has them."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("user_id", arrow_kind(kind)),
            ("channel", pa.string()),
            ("send_at", pa.timestamp("us", "UTC")),
            ("send_at_local", pa.timestamp("us")),
            ("probability", pa.float64()),
        ]
    )
    return pa.Table.from_pandas(found[schema.names], schema=schema, preserve_index=False)
