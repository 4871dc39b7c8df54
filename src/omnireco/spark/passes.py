"""One pass over the parts of a plan: here where their blocks fit, else a job of the cluster that sends sums back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from omnireco._core.compute import in_parallel, split_evenly
from omnireco._kernels.packing.people import descended
from omnireco.spark.blocks import Block, Height, Taken, check_same, height_of, taken_of, unpacked
from omnireco.spark.parts import Part, Parts
from omnireco.spark.pricing import Sums
from omnireco.spark.shipping import fetched, private

__all__ = ["first_prices", "sent", "summed", "taken"]

_FEW = 30_000  # people who say about what prices are, before everybody is asked
_CHUNKS = 4  # in which sums are taken here, whatever the threads
_PASSES, _ENOUGH = 80, 1e-6  # of the sample, as on one machine


def first_prices(parts: Parts, blocks: Mapping[int, Block], band: float) -> np.ndarray | None:
    """Return prices of some parts under limits in proportion: a sample of everybody; None where there is no part."""
    few: dict[int, Block] = {}
    people = 0
    for part in parts.known:
        if part.number in blocks and part.people and (not few or people < _FEW or not parts.here):
            few[part.number] = blocks[part.number]
            people += part.people
    share = people / max(1, sum(part.people for part in parts.known))
    if not few or (share == 1.0 and parts.here):
        return None
    some = parts._replace(known=tuple(part for part in parts.known if part.number in few), here=few)
    limit, least = parts.limit * share, parts.least * share

    def run(price: np.ndarray, width: float) -> Sums:
        return _here(some, price, width, limit, least)[0]

    return descended(run, limit, least, np.zeros(limit.size), band, passes=_PASSES, enough=_ENOUGH).price


def summed(parts: Parts, price: np.ndarray, band: float) -> tuple[Sums, float]:
    """Return the dual of everybody at some prices, and how far its sum may be rounded."""
    if parts.here:
        return _here(parts, price, band, parts.limit, parts.least)
    return _there(parts, price, band)


def _here(parts: Parts, price: np.ndarray, band: float, limit: np.ndarray, least: np.ndarray) -> tuple[Sums, float]:
    """Return sums over blocks that are here, part by part in their order, whatever the threads."""
    n, known = price.size, parts.known

    def chunk(some: slice) -> Height:
        return _added(((part, parts.here[part.number]) for part in known[some]), price, band)

    work: list[Callable[[], Height]] = [partial(chunk, some) for some in split_evenly(len(known), _CHUNKS)]
    found = in_parallel(work, None)
    used, bend = np.zeros(n), np.zeros((n, n) if band > 0 else (0, 0))
    for one in found:
        used += one.used
        bend += one.bend
    height, rounding, crowd = (sum(getattr(one, name) for one in found) for name in ("height", "rounding", "crowd"))
    return _with_limits(Sums(height, used, bend, crowd), rounding, price, limit, least, len(known))


def _added(blocks: Iterable[tuple[Part, Block]], price: np.ndarray, band: float) -> Height:
    """Return the sums of some parts, added in their order."""
    n = price.size
    height, rounding, crowd = 0.0, 0.0, 0.0
    used, bend = np.zeros(n), np.zeros((n, n) if band > 0 else (0, 0))
    for part, block in blocks:
        mine = part.shared
        one = height_of(block, price[mine], band)
        height, rounding, crowd = height + one.height, rounding + one.rounding, crowd + one.crowd
        used[mine] += one.used
        if band > 0:
            bend[np.ix_(mine, mine)] += one.bend
    return Height(height, rounding, used, bend, crowd)


def _there(parts: Parts, price: np.ndarray, band: float) -> tuple[Sums, float]:
    """Return sums over the parts, by one job.

    Each task adds its parts up in their order before anything is sent; tasks are added in the order of their first.
    """
    import pyarrow as pa

    n, known = price.size, parts.by_number
    schema = pa.schema(
        {"part": pa.int32(), "height": pa.float64(), "rounding": pa.float64(), "crowd": pa.float64()}
        | {"used": pa.binary(), "bend": pa.binary()}
    )

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        first: list[int] = []

        def noted() -> Iterator[tuple[Part, Block]]:
            for part, block in _blocks(batches, known):
                first.append(part.number)
                yield part, block

        one = _added(noted(), price, band)
        if first:
            line: dict[str, Any] = {"part": first[0], "height": one.height, "rounding": one.rounding}
            line |= {"crowd": one.crowd, "used": one.used.tobytes(), "bend": one.bend.tobytes()}
            yield from pa.Table.from_pylist([line], schema=schema).to_batches()

    kinds = "part int, height double, rounding double, crowd double, used binary, bend binary"
    found = fetched(parts.frame.select("part", "block").mapInArrow(run, kinds)).sort_by("part").to_pylist()
    used = np.sum([np.frombuffer(one["used"]) for one in found], axis=0)
    bend = np.sum([np.frombuffer(one["bend"]) for one in found], axis=0).reshape((n, n) if band > 0 else (0, 0))
    height, rounding, crowd = (sum(one[name] for one in found) for name in ("height", "rounding", "crowd"))
    sums = Sums(height, used, bend, crowd)
    return _with_limits(sums, rounding, price, parts.limit, parts.least, len(parts.known))


def _with_limits(
    sums: Sums, rounding: float, price: np.ndarray, limit: np.ndarray, least: np.ndarray, n_parts: int
) -> tuple[Sums, float]:
    """Return sums over people with what the limits are worth, and how far all of it may be rounded."""
    paid = float(price[price > 0] @ limit[price > 0] + price[price < 0] @ least[price < 0])
    eps = float(np.finfo(np.float64).eps)
    rounding += (8 + n_parts + price.size) * eps * (abs(sums.height) + abs(paid))
    return sums._replace(height=sums.height + paid), rounding


def _blocks(batches: Iterator[Any], known: Mapping[int, Part]) -> Iterator[tuple[Part, Block]]:
    """Yield parts and their blocks on an executor."""
    for batch in batches:
        for number, data in zip(batch.column("part").to_pylist(), batch.column("block"), strict=True):
            yield known[number], unpacked(data.as_py(), known[number].checksum)


def taken(parts: Parts, price: np.ndarray, quota: Mapping[int, np.ndarray], near: float) -> list[dict[str, Any]]:
    """Return what each part sends within its share, in the order of the parts; with ``chosen`` where they are here."""
    import pyarrow as pa

    n = price.size

    def line(part: Part, one: Taken) -> dict[str, Any]:
        found: dict[str, Any] = {"part": part.number, "value": one.value, "n": int(one.chosen.sum())}
        for name in ("used", "wanted", "unmet"):
            wide = np.zeros(n)
            wide[part.shared] = getattr(one, name)
            found[name] = wide.tolist()
        return found

    if parts.here:
        work: list[Callable[[], Taken]] = [
            partial(taken_of, parts.here[part.number], price[part.shared], quota[part.number], near)
            for part in parts.known
        ]
        done = zip(parts.known, in_parallel(work, None), strict=True)
        return [line(part, one) | {"chosen": one.chosen} for part, one in done]
    many = pa.list_(pa.float64())
    schema = pa.schema(
        {"part": pa.int32(), "value": pa.float64(), "n": pa.int64(), "used": many, "wanted": many, "unmet": many}
    )
    known = parts.by_number

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for part, block in _blocks(batches, known):
            one = taken_of(block, price[part.shared], quota[part.number], near)
            yield from pa.Table.from_pylist([line(part, one)], schema=schema).to_batches()

    kinds = "part int, value double, n bigint, used array<double>, wanted array<double>, unmet array<double>"
    found = fetched(parts.frame.select("part", "block").mapInArrow(run, kinds))
    return sorted(found.to_pylist(), key=lambda one: one["part"])


def sent(
    parts: Parts,
    price: np.ndarray,
    quota: Mapping[int, np.ndarray],
    near: float,
    lines: list[dict[str, Any]],
    schema: Any,
    chance: float | None,
) -> Any:
    """Return the touches that the parts send, as a frame of Spark, with the chance of each where people are held out.

    What was chosen here goes there by its position, so that another processor there cannot choose otherwise.
    """
    import pyarrow as pa

    known = parts.by_number
    place = {
        one["part"]: np.sort(parts.here[one["part"]].touch[one["chosen"]]).astype(np.uint32)
        for one in lines
        if parts.here
    }

    def rows_of(part: Part, data: Any) -> np.ndarray:
        if part.number in place:
            return place[part.number]
        block = unpacked(data.as_py(), part.checksum)
        one = taken_of(block, price[part.shared], quota[part.number], near)
        return np.sort(block.touch[one.chosen])

    @private
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            data = batch.column("block") if "block" in batch.schema.names else [None] * batch.num_rows
            lines = zip(batch.column("part").to_pylist(), data, batch.column("touches"), strict=True)
            for number, block, touches in lines:
                part, stream = known[number], touches.as_py()
                check_same(zlib.crc32(stream), part.stamp)
                found = pa.ipc.open_stream(stream).read_all().take(pa.array(rows_of(part, block)))
                if chance is not None:
                    found = found.append_column("propensity", pa.array(np.full(found.num_rows, chance)))
                yield from found.to_batches()

    needed = ["part", "touches"] if parts.here else ["part", "block", "touches"]
    return parts.frame.select(*needed).mapInArrow(run, schema)
