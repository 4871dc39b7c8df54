"""Logs larger than memory: parquet read batch by batch, straight into the cells of a behaviour matrix."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np

from omnireco._core.checks import (
    check_choice,
    check_columns,
    check_instant,
    check_known,
    check_names,
    count_of,
    from_microseconds,
)
from omnireco._core.compute import Progress, ticker
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._kernels.log.cells import Coded, merge_cells, sum_cells
from omnireco.data.frames.columns import Frame, instants_to_arrow, open_frame
from omnireco.data.interactions import Interactions
from omnireco.data.large.id_column import IdColumn
from omnireco.data.large.parquet import BATCH, ParquetPart, listed, read_batches
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights, check_names_of, event_weights
from omnireco.errors import EmptyError, IdKindError, ParameterError, SchemaError

__all__ = ["NEEDED", "EventScan", "LogT", "check_batchwise", "scan"]

_log = logging.getLogger(__name__)
_VALUELESS = (
    "Say what such an event is worth: fill them in upstream; or read what fits, where only events about an item need "
    "one: scan.log(start=...).matrix(weights)."
)
NEEDED = ("user_id", "item_id", "channel", "event", "timestamp")
_HELD = 1 << 26  # events held before they are summed per cell (20 bytes each)


class Log(Events, Protocol):
    """A log that is read from a frame: the class of it makes the parts of a scan."""

    @classmethod
    def from_frame(
        cls, frame: Any, *, context: Iterable[str] = (), itemless: Literal["raise", "keep"] = "raise"
    ) -> Self:
        """Read a frame of events."""


LogT = TypeVar("LogT", bound=Log)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventScan(Generic[LogT]):
    """Events in parquet files, not read yet: a log that need not fit in memory.

    Made by :meth:`EventLog.scan`. Every verb reads the files from front to back, batch by batch, and keeps only what
    its answer needs.

    Parameters
    ----------
    files : tuple
        The files with their numbers of rows, in order of their names.
    columns : mapping of str to str
        Our name to yours.
    itemless : {"raise", "keep"}
        Whether an event without an item is an error, or an event about no item.
    log_class : type
        What :meth:`log` returns: `EventLog`.
    """

    files: tuple[ParquetPart, ...]
    columns: Mapping[str, str]
    itemless: Literal["raise", "keep"]
    log_class: type[LogT]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", ReadOnly(self.columns))

    def __len__(self) -> int:
        return sum(file.n_rows for file in self.files)

    def __repr__(self) -> str:
        return f"EventScan({count_of(len(self), 'event')} in {count_of(len(self.files), 'file')})"

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
            The clock of the decay; the end of the log by default, for which the times are read once more.
        progress : bool or callable(done, total)
            A bar over batches of a million rows.
        threads : int, optional
            All usable cores by default; never changes the result.

        Returns
        -------
        Interactions
            Equal to that of ``EventLog.from_frame`` over all rows, whatever the order of rows and files; sums agree
            to the rounding of float32.

        Raises
        ------
        SchemaError
            When a column is missing, of the wrong kind, or of two kinds in two files; the message names the file.
        StorageError
            When a file is damaged.
        ParameterError
            When the weights need more than one batch, or ``at`` lies before an event.

        Notes
        -----
        Memory: three batches (some 0.3 GB), the vocabularies, and 20 bytes per event until 67 million are held;
        then they are summed, and it is 20 bytes per distinct (person, item, channel), or twice that for a moment.
        The answer itself takes 8 bytes per cell of the whole and of each layer.

        Examples
        --------
        >>> import tempfile, omnireco as om
        >>> events = om.simulate(n_users=50, n_items=20, seed=1).events
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part in range(3):
        ...         events[part::3].to_parquet(f"{folder}/part-{part}.parquet")
        ...     x = om.EventLog.scan(folder).matrix(om.Weights(half_life="30D"))
        >>> whole = om.EventLog.from_frame(events).matrix(om.Weights(half_life="30D"))
        >>> x.users == whole.users, x.nnz == whole.nnz
        (True, True)
        """
        weights = check_batchwise(weights, "EventScan.matrix")
        names = NEEDED if weights.value is None else (*NEEDED, "value")
        steps = self._steps() * (2 if at is None else 1)
        with ticker(steps, progress, label="scan") as tick:
            clock = self._end(tick) if at is None else check_instant(at, "at")
            users, items = IdColumn("user_id"), IdColumn("item_id", may_miss=self.itemless == "keep")
            channels, events = _Names(), _Names()
            parts: list[Coded] = []
            held, limit = 0, _HELD
            with ThreadPoolExecutor(2) as pool:
                for frame in self._frames(names, tick):
                    jobs = [pool.submit(ids.codes, frame) for ids in (users, items)]
                    channel, weight = _weighed(frame, channels, events, weights, clock, self.log_class)
                    user, item = (job.result() for job in jobs)
                    parts.append(Coded(user, item, channel, weight))
                    held += user.size
                    if held > limit:
                        parts = [merge_cells(parts, (users.n, max(items.n, 1)), channels.n)]
                        held = parts[0].user.size
                        limit = max(_HELD, 2 * held)
        known, rank = users.vocabulary()
        goods, item_rank = items.vocabulary()
        check_names_of(weights, events.code, channels.code)
        names_known, channel_rank = channels.vocabulary()
        tables = [np.append(table, np.int32(NONE)) for table in (rank, item_rank, channel_rank)]
        for place, part in enumerate(parts):
            coded = [table[codes] for table, codes in zip(tables, part[:3], strict=True) if codes is not None]
            parts[place] = Coded(coded[0], coded[1], coded[2], part.weight)
        csr, layers = sum_cells(
            parts,
            (len(known), len(goods)),
            len(names_known),
            cap=weights.cap,
            binary=weights.binary,
            threads=threads,
        )
        named = {str(name): layer for name, layer in zip(names_known.ids, layers, strict=True)}
        x = Interactions(known, goods, csr, named, clock, weights=weights)
        _log.info("built %r", x)
        return x

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
        progress: Progress = False,
    ) -> LogT:
        """Read the events of some people, items, channels, types or times into a log, which must fit in memory.

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
        progress : bool or callable(done, total)
            True shows a bar; a function is called with the steps done and their number; False, the default, shows
            nothing.

        Returns
        -------
        EventLog
            ``log.end`` is just after its last event; cut it to be exact about the window: ``log.before(end)``.

        Raises
        ------
        EmptyError
            When no event is left.
        SchemaError, StorageError
            As in :meth:`matrix`.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        context = check_names(context, "context")
        wanted = {
            name: ids if name in ("user_id", "item_id") else check_names(ids, f"log: {name}s")
            for name, ids in (("user_id", users), ("item_id", items), ("channel", channels), ("event", events))
            if ids is not None
        }
        low = None if start is None else check_instant(start, "start")
        high = None if end is None else check_instant(end, "end")
        vocabularies = {name: Vocabulary.from_ids(ids, name) for name, ids in wanted.items()}
        names = tuple(dict.fromkeys((*NEEDED, *context)))
        kept: list[Any] = []
        seen: dict[str, set[str]] = {name: set() for name in wanted if name in ("channel", "event")}
        kinds: dict[str, str] = {}
        with ticker(self._steps(), progress, label="scan") as tick:
            for frame in self._frames(names, tick, optional=("value", "store_id", "session_id")):
                at = frame.instants("timestamp")
                _check_kinds(frame, kinds)
                keep = np.ones(frame.n_rows, np.bool_)
                keep &= True if low is None else at >= low
                keep &= True if high is None else at < high
                for name, vocabulary in vocabularies.items():
                    known, codes = frame.ids(name, allow_missing=True)
                    if name in seen:
                        seen[name].update(known.ids)
                    keep &= np.append(vocabulary.codes(known.ids, missing="none") >= 0, False)[codes]
                if keep.any():
                    table = pa.table({**frame.columns, "timestamp": instants_to_arrow(at)})  # one unit, one zone
                    kept.append(table.filter(pa.array(keep)))
        for name, here in seen.items():
            check_known(wanted[name], sorted(here), f"EventScan.log: {name}s", missing=None)
        if not kept:
            raise EmptyError(
                f"EventScan.log: none of {len(self):,} events is left. Ask for other people, channels or times."
            )
        plain = [_without_dictionaries(table, pc) for table in kept]
        try:
            whole = pa.concat_tables(plain, promote_options="permissive")
        except (pa.ArrowException, TypeError) as error:
            raise SchemaError(
                f"EventScan.log: a column is of other kinds in other files ({type(error).__name__}). "
                "Write it as one kind in all files."
            ) from None
        return self.log_class.from_frame(whole, context=context, itemless=self.itemless)

    def _steps(self) -> int:
        return sum(-(-file.n_rows // BATCH) for file in self.files)

    def _end(self, tick: Callable[[], object]) -> int:
        """Return the instant just after the last event: one pass over the times alone."""
        last = [int(frame.instants("timestamp").max()) for frame in self._frames(("timestamp",), tick)]
        if not last:
            return 0
        return max(last) + 1

    def _frames(
        self, names: tuple[str, ...], tick: Callable[[], object], optional: tuple[str, ...] = ()
    ) -> Iterator[Frame]:
        """Yield every batch of every file, opened and checked; the next one is decoded meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            for file in self.files:
                steps = done = 0
                batches = read_batches(file, [self.columns.get(n, n) for n in (*names, *optional)], rows=BATCH)
                ahead = pool.submit(next, batches, None)
                while (table := ahead.result()) is not None:
                    ahead = pool.submit(next, batches, None)
                    where = f"EventLog.scan: {file.path.name}, from row {done:,}"
                    renamed = {ours: theirs for ours, theirs in self.columns.items() if ours in (*names, *optional)}
                    frame = open_frame(table, where, needed=names, optional=optional, columns=renamed)
                    done += frame.n_rows
                    if frame.n_rows:
                        yield frame
                    while steps < done // BATCH:
                        steps += 1
                        tick()
                for _ in range(-(-file.n_rows // BATCH) - steps):
                    tick()


def scan(
    path: str | os.PathLike[str],
    log_class: type[LogT],
    *,
    columns: Mapping[str, str] | None = None,
    itemless: Literal["raise", "keep"] = "raise",
) -> EventScan[LogT]:
    """Return the events of a parquet file or folder, to be read later; see :meth:`EventLog.scan`."""
    check_choice(itemless, "itemless", ("raise", "keep"))
    if columns is not None and not isinstance(columns, Mapping):
        raise ParameterError(
            "EventLog.scan: columns= must map our name to yours, such as {'user_id': 'household_id'}. "
            f"Got {type(columns).__name__}."
        )
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"EventLog.scan takes the path of a file or folder. Got {type(path).__name__}.")
    root = Path(path)
    renamed = {str(ours): str(theirs) for ours, theirs in (columns or {}).items()}
    files = []
    for file, present in listed(root, "EventLog.scan"):
        mapped = [ours for ours, theirs in renamed.items() if theirs in present]
        check_columns([*mapped, *present], NEEDED, f"EventLog.scan: {file.path.name}")
        files.append(file)
    return EventScan(tuple(files), renamed, itemless, log_class)


def check_batchwise(weights: Weights | None, where: str) -> Weights:
    """Return weights that an event can be weighed by alone; refuse those that need its neighbours."""
    weights = Weights() if weights is None else weights
    if not isinstance(weights, Weights):
        raise ParameterError(f"weights must be a Weights. Got {type(weights).__name__}: write Weights(events=...).")
    for name in ("deduplicate", "step_half_life", "targets", "verdicts"):
        if getattr(weights, name) is not None:
            raise ParameterError(
                f"{where}: Weights({name}=...) needs all events of a person side by side, and a scan sees "
                f"one batch at a time. Leave it out, or read what fits: scan.log(start=...).matrix(weights)."
            )
    return weights


class _Names:
    """Channels or event types, met batch by batch: few strings, coded by first occurrence."""

    def __init__(self) -> None:
        self.code: dict[str, int] = {}

    @property
    def n(self) -> int:
        return len(self.code)

    def codes(self, frame: Frame, name: str) -> np.ndarray:
        known, codes = frame.names(name)
        table = [self.code.setdefault(value, len(self.code)) for value in known.ids]
        return np.array(table, np.int32)[codes]

    def vocabulary(self) -> tuple[Vocabulary, np.ndarray]:
        """Return the sorted names and the new code of each old one."""
        ids = np.array(list(self.code), object)
        order = np.argsort(ids)
        rank = np.empty(order.size, np.int32)
        rank[order] = np.arange(order.size, dtype=np.int32)
        return Vocabulary(ids[order]), rank


def _weighed(
    frame: Frame, channels: _Names, events: _Names, weights: Weights, clock: int, log_class: Callable[..., Events]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the channel and the weight of every event of a batch."""
    channel, event, at = channels.codes(frame, "channel"), events.codes(frame, "event"), frame.instants("timestamp")
    if int(at.max()) > clock:
        raise ParameterError(
            f"{frame.where}: an event lies after at={from_microseconds(clock).isoformat()}, so its weight would exceed "
            "1. Take a later at, or read up to it: scan.log(end=at).matrix(weights)."
        )
    everybody, nothing = Vocabulary(np.zeros(1, np.int64)), Vocabulary(np.empty(0, np.int64))
    channels_known, events_known = (Vocabulary(np.array(list(names.code), object)) for names in (channels, events))
    user, item = np.zeros(at.size, np.int32), np.full(at.size, NONE, np.int32)
    value = frame.numbers("value", _VALUELESS) if weights.value is not None else None
    vocabularies = (everybody, nothing, channels_known, events_known)
    part = log_class(*vocabularies, user, item, channel, event, at, value, {}, 0, clock)
    return channel, event_weights(part, weights, clock)


def _check_kinds(frame: Frame, kinds: dict[str, str]) -> None:
    """Refuse ids or names that are integers in one file and strings in another; ``kinds`` remembers what was seen."""
    import pyarrow.types as pt

    for name, column in frame.columns.items():
        if name in ("timestamp", "value"):
            continue
        kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
        if pt.is_null(kind) or pt.is_floating(kind):  # the door says what to do about floats
            continue
        found = "integers" if pt.is_integer(kind) else "strings"
        if kinds.setdefault(name, found) != found:
            raise IdKindError(
                f"{frame.where}: {name} holds {found} here and {kinds[name]} in files before it: 1 and '1' are never "
                "one. Write it as one kind in all files."
            )


def _without_dictionaries(table: Any, pc: Any) -> Any:
    """Return a table with plain columns, so that batches with other dictionaries can be joined."""
    import pyarrow as pa

    plain = {}
    for name in table.column_names:
        column = table[name]
        plain[name] = pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return pa.table(plain)
