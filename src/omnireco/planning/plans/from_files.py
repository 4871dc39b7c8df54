"""Plans of touches that need not fit in memory: parquet files, read twice, people by people."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.compute import Progress, check_progress, one_blas_thread, ticker
from omnireco._kernels.packing.large import MOST_SHARED
from omnireco._kernels.packing.lean import (
    LeanSolution,
    Placed,
    explained,
    ordered,
    person_prices,
    priced_people,
)
from omnireco._kernels.packing.people import People
from omnireco.data.large.parquet import ParquetPart, listed, read_batches
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning.assembling import no_touches
from omnireco.planning.candidates import Candidates, in_order
from omnireco.planning.inputs import check_constraints, check_rules
from omnireco.planning.joining import joined
from omnireco.planning.plan import NO_VALUE, NOT_CHOSEN, SENT, Plan, Price, costs_of
from omnireco.planning.rules import Budget, Capacity, Constraint, Eligibility, FrequencyCap
from omnireco.planning.solving.at_scale import NO_CAP, of_caps
from omnireco.planning.solving.compiling import EACH, checked
from omnireco.planning.sources import Sources
from omnireco.planning.touch_value import LABELS, NUMBERS, TouchValue

if TYPE_CHECKING:
    from omnireco.data.dataset import Dataset
    from omnireco.data.events import EventLog

__all__ = ["plan_files"]

_WHERE = "plan_files"
_KNOWN = (Budget, Capacity, FrequencyCap)
_COLUMNS = ("user_id", "item_id", "channel", "send_at", "value", "probability", *LABELS, *NUMBERS)
_STRETCH = 1 << 22


def plan_files(
    path: str | os.PathLike[str],
    data: Dataset | None = None,
    *,
    constraints: Iterable[Constraint] = (),
    columns: Mapping[str, str] | None = None,
    eligibility: Iterable[Eligibility] = (),
    withdrawals: str | Iterable[str] | EventLog | None = None,
    worth: TouchValue | None = None,
    threads: int | None = None,
    progress: Progress = False,
) -> Plan:
    """Return the plan of touches in parquet files that need not fit in memory, with the same proof as :func:`plan`.

    Parameters
    ----------
    path : str or path
        One file, or a folder of ``*.parquet`` files, in folders below too, read in the order of their names. Columns as
        for ``Candidates.from_frame``. The rows of a person stand one after another: sort by ``user_id``.
    data : Dataset, optional
        As for ``Candidates.from_frame``.
    constraints : iterable of Budget, Capacity and FrequencyCap
        A cap holds for the whole plan, ``per=None``, or for a ``per`` that is longer than the plan.
    columns, eligibility, withdrawals, worth
        As for ``Candidates.from_frame``.
    threads : int, optional
        All cores by default. The plan does not depend on it.
    progress : bool or callable
        One step per file and reading.

    Returns
    -------
    Plan
        Its touches are those that are sent; the others are counted in ``left_out``, by reason. Without reduced values;
        ``with_limit`` and ``accept`` need all touches, and refuse.

    Raises
    ------
    ParameterError
        When a constraint is another one, has shorter windows, or names a channel that nothing has.
    SchemaError
        When rows of a person stand in several places, or as for ``Candidates.from_frame``.
    StorageError
        When there is no such file, or one is no parquet.

    Notes
    -----
    Files are read twice: first values and rows of each touch, some 14 bytes, go to a scratch file from which people
    are priced and rounded; then the touches that are sent are read. Memory is some 10 bytes a touch, 20 a person, the
    touches that are sent, and a million rows of the files. Deterministic. The certificate is that of
    :func:`omnireco.plan`.

    Examples
    --------
    >>> import pandas as pd, tempfile, pathlib, omnireco as om
    >>> frame = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"], "channel": "push",
    ...                       "send_at": pd.to_datetime(["2025-06-01 09:00"] * 3, utc=True), "value": [0.5, 0.2, 0.4]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frame.to_parquet(pathlib.Path(folder) / "touches.parquet")
    ...     made = om.planning.plan_files(folder, constraints=[om.FrequencyCap(1, per=None)])
    >>> made.value, made.to_frame()["user_id"].tolist(), made.left_out
    (0.9, [1, 2], {'FrequencyCap(1, per=None)': 1})
    """
    rules = _known_rules(constraints)
    check_progress(progress)
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"{_WHERE} takes the path of a file or folder. Got {type(path).__name__}.")
    if columns is not None and not isinstance(columns, Mapping):
        raise ParameterError(
            f"{_WHERE}: columns= must map our name to yours, such as {{'user_id': 'household_id'}}. "
            f"Got {type(columns).__name__}."
        )
    costs = costs_of(rules)
    events = tuple(withdrawals) if isinstance(withdrawals, Iterator) else withdrawals  # each batch reads them again
    given = {"columns": columns, "eligibility": check_rules(eligibility), "withdrawals": events, "worth": worth}
    files = [file for file, _ in listed(Path(path), _WHERE)]
    with ticker(2 * len(files), progress, label=_WHERE) as tick, tempfile.TemporaryDirectory() as scratch:
        people, table = _first_reading(files, data, given, rules, Path(scratch), threads, tick)
        limit = np.array(table.limit)
        scale = 1.0 / max(float(people.value.max(initial=0.0)), np.finfo(np.float64).tiny)
        _scale(people, scale, limit.size)
        with one_blas_thread():
            chosen, price, bound = priced_people(people, limit, None, threads)
        used = _use_of(people, chosen, limit.size)
        del people
        found = _Priced(chosen, price / scale, used, bound / scale)
        parts, counts, lines = _second_reading(files, data, given, rules, table, found, threads, tick)
    reasons = (SENT, NO_VALUE, NOT_CHOSEN, *(rule.name for rule in rules))
    touches = _together(parts, dict(zip(reasons[1:], counts[1:].tolist(), strict=True)))
    value = math.fsum(touches.value)
    bound = max(found.bound, value)
    reason = np.zeros(len(touches), np.int8)
    rows = tuple(_lines(rules, table, found, lines))
    exact = bound - value <= 1e-9 * abs(bound)
    return Plan(touches, reason, reasons, value, bound, exact, costs, rows, None, None, rules)


def _scale(people: People, scale: float, none: int) -> None:
    """Scale values and number what is no row, by stretches; no view of a file stays, or Windows cannot remove it."""
    for at in range(0, people.value.size, _STRETCH):
        people.value[at : at + _STRETCH] *= scale
        part = people.row[at : at + _STRETCH]
        part[part == MOST_SHARED] = none


class _Table:
    """Shared rows of all batches: numbered by rule and label as they are met."""

    def __init__(self) -> None:
        self.number: dict[tuple[int, str], int] = {}
        self.limit: list[float] = []
        self.unit: dict[int, float] = {}

    def numbers(self, rule: int, labels: Sequence[str], limit: np.ndarray, unit: float) -> np.ndarray:
        """Return the number of each row of a rule, known or new."""
        self.unit[rule] = unit
        found = np.empty(len(labels), np.int64)
        for i, (label, most) in enumerate(zip(labels, limit.tolist(), strict=True)):
            found[i] = self.number.setdefault((rule, label), len(self.limit))
            if found[i] == len(self.limit):
                self.limit.append(most)
        if len(self.limit) > MOST_SHARED:
            raise ParameterError(
                f"{_WHERE}: these constraints have more than {MOST_SHARED:,} rows together. Use longer cells of time: "
                "om.Capacity('push', per='6h', limit=...)."
            )
        return found


class _Priced(NamedTuple):
    """What was found for everybody: touches in the order of the scratch file, prices and use of rows."""

    chosen: np.ndarray
    price: np.ndarray
    used: np.ndarray
    bound: float


class _Batch(NamedTuple):
    """Some people: their candidates, rows and caps; ``number`` are the rows' numbers among all."""

    touches: Candidates
    placed: Placed
    owner: np.ndarray
    number: np.ndarray
    each: dict[int, np.ndarray]
    cap: np.ndarray


def _known_rules(constraints: Any) -> tuple[Constraint, ...]:
    """Refuse constraints whose rows depend on touches that are not in hand."""
    rules = check_constraints(constraints)
    for rule in rules:
        if type(rule) not in _KNOWN:
            raise ParameterError(
                f"{_WHERE} takes Budget, Capacity and FrequencyCap, which can be counted batch by batch. Got "
                f"{rule.name}. "
                "For other rules read what fits: om.plan(om.planning.Candidates.from_frame(frame), constraints=[...])."
            )
    return rules


def _first_reading(
    files: Sequence[ParquetPart],
    data: Any,
    given: Mapping[str, Any],
    rules: tuple[Constraint, ...],
    scratch: Path,
    threads: int | None,
    tick: Any,
) -> tuple[People, _Table]:
    """Write values and rows of all touches to scratch files, person by person, and return them as arrays on disk."""
    table, width = _Table(), _width_of(rules)
    weighted = any(len(set(rule.costs.values()) - {0.0}) > 1 for rule in rules if isinstance(rule, Budget))
    sizes, caps, hashes = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    names = set[str]()
    with ExitStack() as opened:
        values, rows, weights = (
            opened.enter_context((scratch / name).open("wb")) for name in ("value", "row", "weight")
        )
        for frame, user in _batches(files, given["columns"], tick):
            batch = _read(frame, data, given, rules, table)
            hashes.append(_hashed(frame.column(user)))
            names.update(batch.touches.touches.named)
            people = _ordered(batch, threads).people
            sizes.append(np.diff(people.start))
            caps.append(people.cap)
            wide = np.full((people.value.size, width), MOST_SHARED, np.int16)
            wide[:, : people.row.shape[1]] = people.row[:, :width]
            people.value.tofile(values)
            wide.tofile(rows)
            if weighted:
                heavy = np.zeros(wide.shape)
                heavy[:, : people.row.shape[1]] = people.weight if people.weight.shape[0] else 1.0
                heavy.tofile(weights)
    if not hashes:
        raise SchemaError(f"{_WHERE}: these files have no row. Check the path.")
    _refuse_scattered(hashes)
    _check_channels(rules, names)
    start = np.concatenate([np.zeros(1, np.int64), *sizes]).cumsum()
    cap = np.concatenate([np.empty(0, np.int64), *caps])
    n = int(start[-1])
    value, row = _on_disk(scratch / "value", np.float64, (n,)), _on_disk(scratch / "row", np.int16, (n, width))
    weight = _on_disk(scratch / "weight", np.float64, (n, width)) if weighted else np.empty((0, width))
    return People(start, value, row, weight, cap), table


def _second_reading(
    files: Sequence[ParquetPart],
    data: Any,
    given: Mapping[str, Any],
    rules: tuple[Constraint, ...],
    table: _Table,
    found: _Priced,
    threads: int | None,
    tick: Any,
) -> tuple[list[Candidates], np.ndarray, dict[int, tuple[float, ...]]]:
    """Return the touches that are sent, how many are not for each reason, and sums of the caps."""
    parts, counts, at = [], np.zeros(3 + len(rules), np.int64), 0
    lines: dict[int, tuple[float, ...]] = {i: (0.0,) * 4 for i, rule in enumerate(rules) if type(rule) is FrequencyCap}
    padded = np.zeros(MOST_SHARED)
    padded[: found.price.size] = found.price
    for frame, _ in _batches(files, given["columns"], tick):
        batch = _read(frame, data, given, rules, table)
        touches, one = batch.touches, _ordered(batch, threads)
        sent, person = np.zeros(len(touches), np.bool_), np.zeros(batch.cap.size)
        sent[one.touch[found.chosen[at : at + one.touch.size]]] = True
        at += one.touch.size
        person[one.user] = person_prices(one.people, padded, threads)
        part = LeanSolution(sent, 0.0, 0.0, found.price[batch.number], person, False)
        caps, sums = of_caps(touches.touches.user, batch.each, batch.cap, part)
        for i, more in sums.items():
            lines[i] = tuple(a + b for a, b in zip(lines[i], more, strict=True))
        used = found.used[batch.number]
        shown = explained(touches.value, touches.touches.user, batch.placed, batch.owner, part, caps, used, threads)
        reason = np.where(shown.block >= 0, shown.block + 3, 2)
        reason[touches.value <= 0] = 1
        reason[sent] = 0
        counts += np.bincount(reason, minlength=counts.size)
        parts.append(_only(touches, np.flatnonzero(sent)))
    return parts, counts, lines


def _read(frame: Any, data: Any, given: Mapping[str, Any], rules: tuple[Constraint, ...], table: _Table) -> _Batch:
    """Return the candidates of some people and their rows under the rules."""
    touches = Candidates.from_frame(frame, data, **given)
    t, n = touches.touches, len(touches)
    placed, owner, number = Placed(n), [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    each: dict[int, np.ndarray] = {}
    cap = np.full(len(t.users), NO_CAP, np.int64)
    for i, rule in enumerate(map(_lenient, rules)):
        if isinstance(rule, FrequencyCap):
            most = rule._each_person(t)
            if most is None:
                raise ParameterError(
                    f"{_WHERE}: {rule.name} holds in windows shorter than the plan, or for some of the touches alone, "
                    f"and {_WHERE} counts all messages of a person over the whole plan. Write "
                    "om.FrequencyCap(3, per=None), or plan shorter: files of the touches of one window."
                )
            each[i] = most
            np.minimum(cap, most, out=cap)
            continue
        rows = checked(rule, rule.rows(t), n)
        placed.add(rows.row, rows.touch, rows.weight, rows.limit)
        numbers = table.numbers(i, rows.labels or (), np.asarray(rows.limit), rows.unit)
        number.append(numbers)
        owner.append(np.full(numbers.size, i))
    return _Batch(touches, placed, np.concatenate(owner), np.concatenate(number), each, cap)


def _ordered(batch: _Batch, threads: int | None) -> Any:
    """Return the touches of a batch person by person, rows by their numbers among all."""
    limit = np.concatenate([np.empty(0), *batch.placed.limit])
    touches, useful = batch.touches, np.ones(len(batch.touches), np.bool_)
    return ordered(
        touches.value, touches.touches.user, batch.placed, batch.cap, limit, useful, 1.0, threads,
        rank=batch.number, none=MOST_SHARED,
    )  # fmt: skip


def _lenient(rule: Constraint) -> Constraint:
    """Return the rule for a batch that may have no touch of its channel; all together are checked in the end."""
    one: Any = rule
    return cast("Constraint", replace(one, missing="ignore"))


def _check_channels(rules: tuple[Constraint, ...], names: set[str]) -> None:
    """Refuse a rule whose channel no batch has."""
    nobody = Vocabulary(np.empty(0, object))
    channels = Vocabulary(np.array(sorted(names), object))
    nothing = no_touches(nobody, nobody, channels, Sources())
    for rule in rules:
        rule.rows(nothing)


def _width_of(rules: Iterable[Constraint]) -> int:
    """Return how many shared rows a touch can use: those of its channel."""
    named: dict[str, int] = {}
    for rule in rules:
        for channel in rule.costs if isinstance(rule, Budget) else [rule.channel] if isinstance(rule, Capacity) else ():
            named[channel] = named.get(channel, 0) + 1
    return max(named.values(), default=1)


def _batches(files: Sequence[ParquetPart], columns: Mapping[str, str] | None, tick: Any) -> Iterator[tuple[Any, str]]:
    """Yield the rows of whole people, some million at a time, with the name of the column of their ids."""
    import pyarrow as pa

    mapped = {str(ours): str(theirs) for ours, theirs in (columns or {}).items()}
    names = {*_COLUMNS, *mapped.values()}
    user = mapped.get("user_id", "user_id")
    rest = None
    for file in files:
        for batch in read_batches(file, names, where=_WHERE):
            if user not in batch.column_names:
                raise SchemaError(
                    f"{_WHERE}: {file.path.name} has no column {user!r}. Pass the mapping of your columns: "
                    "columns={'user_id': 'customer'}."
                )
            table = _decoded(batch)
            table = table if rest is None else pa.concat_tables([rest, table], promote_options="permissive")
            cut = _last_person(table.column(user))
            rest = table.slice(cut)
            if cut:
                yield table.slice(0, cut), user
        tick()
    if rest is not None and len(rest):
        yield rest, user


def _decoded(table: Any) -> Any:
    """Return a table without dictionaries, so that batches can be joined."""
    import pyarrow as pa
    import pyarrow.types as pt

    plain = [one.cast(one.type.value_type) if pt.is_dictionary(one.type) else one for one in table.columns]
    return pa.table(plain, names=table.column_names)


def _last_person(ids: Any) -> int:
    """Return where the rows of the last person begin."""
    import pyarrow.compute as pc

    if not len(ids):
        return 0
    other = pc.fill_null(pc.not_equal(ids, ids[len(ids) - 1]), True).to_numpy()
    before = np.flatnonzero(other)
    return int(before[-1]) + 1 if before.size else 0


def _hashed(ids: Any) -> np.ndarray:
    """Return a 64-bit number for each person of a batch."""
    import pandas as pd
    import pyarrow.compute as pc

    known = pc.unique(ids).to_pandas()
    return np.asarray(pd.util.hash_array(known.to_numpy(), categorize=False), np.uint64)


def _refuse_scattered(hashes: list[np.ndarray]) -> None:
    """Refuse people whose rows stand in several batches: their caps would be counted by batch."""
    every = np.sort(np.concatenate([np.empty(0, np.uint64), *hashes]))
    twice = np.unique(every[1:][every[1:] == every[:-1]]).size
    if twice:
        raise SchemaError(
            f"{_WHERE}: rows of {count_of(twice, 'person', 'people')} stand in several places, so that their messages "
            "cannot be counted. Sort before writing: frame.sort_values('user_id').to_parquet('touches.parquet')."
        )


def _on_disk(path: Path, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a scratch file as an array."""
    return np.asarray(np.memmap(path, kind, "r+", shape=shape)) if shape[0] else np.empty(shape, kind)


def _use_of(people: People, chosen: np.ndarray, n_rows: int) -> np.ndarray:
    """Return how much of each row is used."""
    at = np.flatnonzero(chosen)
    weight = None if people.weight.shape[0] == 0 else people.weight[at].ravel()
    return np.bincount(people.row[at].ravel(), weight, n_rows + 1)[:n_rows].astype(np.float64)


def _only(touches: Candidates, rows: np.ndarray) -> Candidates:
    """Return some of the touches, in their order."""
    return replace(
        touches,
        touches=touches.touches.take(rows),
        value=touches.value[rows],
        probability=None if touches.probability is None else touches.probability[rows],
        labels={name: (known, codes[rows]) for name, (known, codes) in touches.labels.items()},
        terms={name: known[rows] for name, known in touches.terms.items()},
    )


def _together(parts: Sequence[Candidates], counts: Mapping[str, int]) -> Candidates:
    """Return the touches of all parts as one set, without what it would take to plan them again."""
    found = joined(parts)
    known = {name for part in parts for name in part.left_out}
    left_out = {name: n for name, n in found.left_out.items() if name in known}
    left_out |= {name: left_out.get(name, 0) + n for name, n in counts.items() if n}
    whole = in_order(*found._replace(kept=np.arange(found.value.size), left_out=left_out))
    return replace(whole, made_of=parts[0].made_of, sources=replace(whole.sources, complete=False))


def _lines(
    rules: tuple[Constraint, ...], table: _Table, found: _Priced, lines: Mapping[int, tuple[float, ...]]
) -> Iterator[Price]:
    """Yield a price per row, as a plan in memory has them."""
    for i, rule in enumerate(rules):
        if i in lines:
            used, most, paid, n = lines[i]
            yield Price(rule.name, EACH, used, most, paid / max(n, 1))
            continue
        for (number, label), row in sorted(table.number.items()):
            if number == i:
                unit = table.unit[i]
                price = float(found.price[row] / unit) if unit else float(found.price[row])
                yield Price(rule.name, label, float(found.used[row] * unit), table.limit[row] * unit, price)
