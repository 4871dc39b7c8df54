"""Events that an engine holds (polars, DuckDB, Ibis, Spark): the engine groups them, and only cells are fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_columns,
    check_duration,
    check_instant,
    check_known,
    check_names,
    count_of,
    from_microseconds,
)
from omnireco._core.compute import Progress, ticker
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._kernels.log.cells import Coded, sum_cells
from omnireco.data.frames.columns import Frame, open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.large.scan import LogT, check_batchwise
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_names_of, weights_by_kind
from omnireco.errors import EmptyError, IdKindError, ParameterError, SchemaError

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["LazyEvents", "clock_after", "grouped_by_cell", "is_lazy", "lazy_events", "opened_for"]

_log = logging.getLogger(__name__)
_KEYS = ("user_id", "item_id", "channel", "event")
_WHERE = "EventLog.scan"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LazyEvents(Generic[LogT]):
    """Events that an engine holds: a log of any size, of which only the answer is fetched.

    Made by :meth:`EventLog.scan` from a lazy frame. :meth:`matrix` sends one query that groups events by person, item,
    channel and type; :meth:`log` sends one that filters.

    Parameters
    ----------
    frame : polars.LazyFrame, DuckDB relation, Ibis table or PySpark DataFrame
        The table, which stays where it is; queries run in its engine.
    columns : mapping of str to str
        Our name to yours.
    itemless : {"raise", "keep"}
        Whether an event without an item is an error, or an event about no item.
    log_class : type
        What :meth:`log` returns: `EventLog`.
    """

    frame: Any
    columns: Mapping[str, str]
    itemless: Literal["raise", "keep"]
    log_class: type[LogT]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", ReadOnly(self.columns))

    def __repr__(self) -> str:
        return f"LazyEvents({_lazy(self.frame).implementation.name.lower()}, nothing read yet)"

    _repr_html_ = shown_html

    def matrix(
        self,
        weights: Weights | None = None,
        *,
        at: Any = None,
        progress: Progress = False,
        threads: int | None = None,
    ) -> Interactions:
        """Build the behaviour matrix, as ``EventLog.matrix`` would from all the events.

        Parameters
        ----------
        weights : Weights, optional
            As in ``EventLog.matrix``, but for ``deduplicate``, ``step_half_life``, ``targets`` and ``verdicts``, which
            need a person's events side by side.
        at : datetime, date or str, optional
            The clock of the decay; the end of the log by default.
        progress : bool or callable(done, total)
            A bar over the two queries.
        threads : int, optional
            Of the sum over channels; the engine has threads of its own.

        Returns
        -------
        Interactions
            Equal to that of ``EventLog.from_frame`` over all rows; numbers agree to the rounding of float64 sums, since
            the engine adds in an order of its own.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, times carry no zone, or an id or time is missing.
        ParameterError
            When the weights need all events of a person, or ``at`` lies before an event.

        Notes
        -----
        Two queries: counts and the last instant; then the sums by (person, item, channel, type). Memory here: the
        grouped rows as Arrow columns, and 20 bytes a row beside the answer.

        Examples
        --------
        >>> import polars as pl, omnireco as om
        >>> events = om.simulate(n_users=50, n_items=20, seed=1).events
        >>> lazy = pl.from_pandas(events).lazy()
        >>> x = om.EventLog.scan(lazy).matrix(om.Weights(half_life="30D"))
        >>> whole = om.EventLog.from_frame(events).matrix(om.Weights(half_life="30D"))
        >>> x.users == whole.users, x.nnz == whole.nnz
        (True, True)
        """
        weights = check_batchwise(weights, "LazyEvents.matrix")
        with ticker(2, progress, label="query") as tick:
            opened, facts = opened_for(self, weights)
            tick()
            advice = "read up to it: scan.log(end=at).matrix(weights)"
            clock = clock_after(facts["last"], at, "LazyEvents.matrix", advice)
            table = grouped_by_cell(opened, weights, clock).collect().to_arrow()
            tick()
        frame = open_frame(table, _WHERE, needed=_KEYS, optional=("_worth", "_valueless"))
        return self._cells(frame, weights, clock, threads)

    def log(
        self,
        *,
        users: Any = None,
        items: Any = None,
        channels: Iterable[str] | None = None,
        events: Iterable[str] | None = None,
        start: Any = None,
        end: Any = None,
        context: Iterable[str] = (),
    ) -> LogT:
        """Fetch the events of some people, items, channels, types or times as a log, which must fit in memory.

        Parameters
        ----------
        users, items : array-like of ids, optional
            People and items whose events are wanted; all by default.
        channels, events : list of str, optional
            Channels and event types that are wanted; all by default.
        start, end : datetime, date or str, optional
            ``start <= time < end``.
        context : iterable of str
            As in ``EventLog.from_frame``.

        Returns
        -------
        EventLog
            ``log.end`` is just after its last event; cut it to be exact about the window: ``log.before(end)``.

        Raises
        ------
        EmptyError
            When no event is left.
        SchemaError, IdKindError
            As in :meth:`matrix`; or when ids are asked for that are of another kind than the column.
        """
        import narwhals as nw

        context = check_names(context, "context")
        opened = self._opened(*(name for name in ("value", "store_id", "session_id") if self._has(name)), *context)
        kept = opened
        for name, wanted in (("channel", channels), ("event", events)):
            if wanted is not None:
                names = check_names(wanted, f"log: {name}s")
                known = opened.select(name).unique().collect().to_arrow()[name].to_pylist()
                check_known(names, sorted(map(str, known)), f"LazyEvents.log: {name}s", missing=None)
                kept = kept.filter(nw.col(name).is_in(list(names)))
        for name, asked in (("user_id", users), ("item_id", items)):
            if asked is not None:
                kept = kept.filter(nw.col(name).is_in(_ids_like(opened, name, asked)))
        if start is not None:
            kept = kept.filter(nw.col("_us") >= check_instant(start, "start"))
        if end is not None:
            kept = kept.filter(nw.col("_us") < check_instant(end, "end"))
        table = kept.drop("_us").collect().to_arrow()
        if not table.num_rows:
            raise EmptyError("LazyEvents.log: no event is left. Ask for other people, channels or times.")
        return self.log_class.from_frame(table, context=context, itemless=self.itemless)

    def _has(self, name: str) -> bool:
        return self.columns.get(name, name) in _lazy(self.frame).collect_schema().names()

    def _opened(self, *more: str) -> nw.LazyFrame[Any]:
        """Return the frame with our names and the times as whole microseconds, ``_us``; kinds are checked."""
        import narwhals as nw

        names = dict.fromkeys((*_KEYS, "timestamp", *more))
        theirs = {name: self.columns.get(name, name) for name in names}
        schema = _lazy(self.frame).collect_schema()
        check_columns(schema.names(), tuple(theirs.values()), _WHERE)
        _check_times(schema[theirs["timestamp"]], theirs["timestamp"])
        native, micros = _with_microseconds(self.frame, theirs["timestamp"])
        return _lazy(native).select(**{ours: nw.col(name) for ours, name in theirs.items()}, _us=micros)

    def _facts(self, opened: nw.LazyFrame[Any]) -> dict[str, Any]:
        """Return the last instant, and refuse missing ids and times by the engine's own count."""
        import narwhals as nw

        needed = [name for name in (*_KEYS, "_us") if not (name == "item_id" and self.itemless == "keep")]
        counts = {f"missing_{name}": nw.col(name).is_null().cast(nw.Int64()).sum() for name in needed}
        facts = opened.select(rows=nw.len(), last=nw.col("_us").max(), first=nw.col("_us").min(), **counts)
        found: dict[str, Any] = facts.collect().to_arrow().to_pylist()[0]
        for name in needed:
            if n := int(found[f"missing_{name}"] or 0):
                column = "timestamp" if name == "_us" else name
                raise SchemaError(
                    f"{_WHERE}: {column} is missing in {n:,} of {found['rows']:,} rows. Filter them out of the lazy "
                    "frame" + (", or pass itemless='keep'." if name == "item_id" else ".")
                )
        return found

    def _cells(self, frame: Frame, weights: Weights, clock: int, threads: int | None) -> Interactions:
        users, user = frame.ids("user_id")
        items, item = frame.ids("item_id", allow_missing=self.itemless == "keep")
        channels, channel = frame.names("channel")
        events, event = frame.names("event")
        check_names_of(weights, events.ids, channels.ids)
        kind = weights_by_kind(weights, events.ids, channels.ids)[event, channel]
        amount = frame.numbers("_worth", "Filter such events out of the lazy frame.") if frame.n_rows else np.empty(0)
        if "_valueless" in frame and frame.n_rows:
            lost = frame.numbers("_valueless")[(kind != 0) & (item != NONE)].sum()
            if lost:
                raise SchemaError(
                    f"Weights by value: it is missing in {count_of(int(lost), 'event')} about an item. Weigh only "
                    "events that have one: Weights(events={'view': 0}), or fill it in the lazy frame."
                )
        csr, layers = sum_cells(
            [Coded(user, item, channel, np.where(kind == 0, 0.0, kind * amount))],
            (len(users), len(items)),
            len(channels),
            cap=weights.cap,
            binary=weights.binary,
            threads=threads,
        )
        named = {str(name): layer for name, layer in zip(channels.ids, layers, strict=True)}
        x = Interactions(users, items, csr, named, clock, weights=weights)
        _log.info("built %r", x)
        return x


def is_lazy(value: Any) -> bool:
    """Return whether something is a lazy frame of an engine that is understood."""
    import narwhals as nw

    if hasattr(value, "__fspath__") or isinstance(value, str):
        return False
    native = nw.to_native(value, pass_through=True)
    return isinstance(nw.from_native(native, pass_through=True), nw.LazyFrame)


def lazy_events(
    frame: Any,
    log_class: type[LogT],
    *,
    columns: Mapping[str, str] | None = None,
    itemless: Literal["raise", "keep"] = "raise",
) -> LazyEvents[LogT]:
    """Return the events of a lazy frame, its columns checked by name and kind; see :meth:`EventLog.scan`."""
    check_choice(itemless, "itemless", ("raise", "keep"))
    renamed = {str(ours): str(theirs) for ours, theirs in (columns or {}).items()}
    found: LazyEvents[LogT] = LazyEvents(frame, renamed, itemless, log_class)
    found._opened()
    return found


def opened_for(log: LazyEvents[LogT], weights: Weights) -> tuple[nw.LazyFrame[Any], dict[str, Any]]:
    """Return the frame with our names, as weights need it, and the last instant; missing ids are refused."""
    opened = log._opened(*(("value",) if weights.value is not None else ()))
    return opened, log._facts(opened)


def clock_after(last: int | None, at: Any, where: str, otherwise: str) -> int:
    """Return the instant that weights count from: ``at``, or just after the last event; no event may lie after it."""
    clock = (0 if last is None else last + 1) if at is None else check_instant(at, "at")
    if last is not None and last > clock:
        raise ParameterError(
            f"{where}: an event lies after at={from_microseconds(clock).isoformat()}, so its weight would exceed 1. "
            f"Take a later at, or {otherwise}."
        )
    return clock


def grouped_by_cell(opened: nw.LazyFrame[Any], weights: Weights, clock: int) -> nw.LazyFrame[Any]:
    """Return the query of what events are worth by value and age, summed by person, item, channel and type."""
    import narwhals as nw

    worth = opened.with_columns(_worth=_worth(weights, clock)).group_by(*_KEYS)
    return worth.agg(nw.col("_worth").sum(), **_valueless(weights))


def _lazy(frame: Any) -> nw.LazyFrame[Any]:
    import narwhals as nw

    return nw.from_native(nw.to_native(frame, pass_through=True))


def _check_times(kind: Any, name: str) -> None:
    """Refuse times that are no instants."""
    import narwhals as nw

    if not isinstance(kind, nw.Datetime):
        raise SchemaError(f"{_WHERE}: {name} must hold times with a time zone. Got {kind}. Cast it in the lazy frame.")
    if kind.time_zone is None:
        raise SchemaError(
            f"{_WHERE}: {name} has no time zone, so its times are no instants. Say which zone they are in: in polars "
            f"pl.col({name!r}).dt.replace_time_zone('UTC'), in SQL {name} AT TIME ZONE 'UTC'."
        )


def _with_microseconds(frame: Any, name: str) -> tuple[Any, Any]:
    """Return the frame and the expression of a column of times as whole microseconds since 1970, per engine."""
    import narwhals as nw

    engine = _lazy(frame).implementation
    native = nw.to_native(frame, pass_through=True)
    if engine.is_polars():
        return native, nw.col(name).dt.timestamp("us")
    if engine.is_duckdb():
        return native, (nw.col(name) - nw.lit(from_microseconds(0))).dt.total_microseconds()
    if engine.is_pyspark():
        from pyspark.sql import functions

        return native.withColumn("_micros", functions.unix_micros(functions.col(name))), nw.col("_micros")
    if engine.is_ibis():
        whole = native[name].epoch_seconds() * 1_000_000 + native[name].microsecond()
        return native.mutate(_micros=whole), nw.col("_micros")
    raise SchemaError(
        f"{_WHERE} reads lazy frames of polars, DuckDB, Ibis and PySpark. Got one of {engine.name.lower()}: collect "
        "it, EventLog.from_frame(frame), or write parquet and scan that."
    )


def _worth(weights: Weights, clock: int) -> Any:
    """Return the expression of what an event is worth by value and age; its type and channel weigh later."""
    import narwhals as nw

    worth: Any = nw.lit(1.0)
    if weights.value is not None:
        value = nw.when(_missing_value()).then(nw.lit(0.0)).otherwise(nw.col("value").cast(nw.Float64()))
        if weights.value == "log":
            size = (nw.lit(1.0) + value.abs()).log()
            value = nw.when(value < 0).then(nw.lit(0.0) - size).otherwise(size)
        worth = value
    if weights.half_life is not None:
        age = (nw.lit(clock) - nw.col("_us")).cast(nw.Float64())
        worth = worth * (nw.lit(0.5) ** (age / float(check_duration(weights.half_life, "half_life"))))
    return worth


def _valueless(weights: Weights) -> dict[str, Any]:
    import narwhals as nw

    return {} if weights.value is None else {"_valueless": _missing_value().cast(nw.Int64()).sum()}


def _missing_value() -> Any:
    """Return the expression of whether the value of an event is missing: null, or NaN."""
    import narwhals as nw

    value = nw.col("value").cast(nw.Float64())
    return value.is_null() | value.is_nan()


def _ids_like(opened: Any, name: str, asked: Any) -> list[Any]:
    """Return ids to filter by, which must be of the column's kind: 1 and '1' are never one."""
    ids = Vocabulary.from_ids(asked, name).ids
    of_integers = opened.collect_schema()[name].is_integer()
    if ids.size and of_integers != (ids.dtype.kind in "iu"):
        here, there = ("integers", "strings") if of_integers else ("strings", "integers")
        raise IdKindError(f"LazyEvents.log: {name} holds {here}, and {there} are asked for. Cast them to one kind.")
    return list(ids.tolist())
