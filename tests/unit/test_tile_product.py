"""The instructions of the int8 tier, emulated one by one in numpy: their arithmetic holds on any processor."""

import numpy as np
import pytest

from omnireco._kernels.topk.packing import LANE_NORM, MOST_HALVES, TILE, pack

numba = pytest.importorskip("numba")

from omnireco._kernels.topk import kernels  # noqa: E402
from omnireco._kernels.topk.tile_product import SHAPES, Shape, shapes_of, tile_hits, tile_hits_one  # noqa: E402


def vpdpbusd(total, unsigned, signed):
    """Add the products of four bytes each to int32 (VNNI; does not saturate)."""
    products = unsigned.astype(np.int64) * signed.astype(np.int64)
    return (total + products.reshape(-1, 4).sum(axis=1)).astype(np.int32)


def vpmaddubsw(unsigned, signed):
    """Add the products of two bytes each, saturated to int16."""
    pairs = (unsigned.astype(np.int64) * signed.astype(np.int64)).reshape(-1, 2).sum(axis=1)
    return np.clip(pairs, -(2**15), 2**15 - 1).astype(np.int16)


def vpaddw(one, other):
    """Add int16 modulo 2^16."""
    return (one.view(np.uint16) + other.view(np.uint16)).view(np.int16)


def vpmaddwd(one, other):
    """Add the products of two int16 each, as int32."""
    return (one.astype(np.int64) * other.astype(np.int64)).reshape(-1, 2).sum(axis=1).astype(np.int32)


def emulated(tiles, tile, words, offsets, steps):
    """Return the 64 sums of one user and one tile, as the instructions make them."""
    packed = tiles.packed.reshape(-1, steps, TILE * 4)[tile]
    users = words.view(np.uint8).reshape(steps, 4)
    if tiles.packed.dtype == np.int8:
        total = tiles.start[tile * TILE : (tile + 1) * TILE]
        for step in range(steps):
            total = vpdpbusd(total, np.tile(users[step], TILE), packed[step])
        return total
    total = np.zeros(TILE, np.int32)
    for part in range(0, steps, 16):
        lanes = np.tile(offsets[part // 16 : part // 16 + 1].view(np.int16), TILE)
        for step in range(part, min(part + 16, steps)):
            lanes = vpaddw(lanes, vpmaddubsw(packed[step], np.tile(users[step].view(np.int8), TILE)))
        total = total + vpmaddwd(lanes, np.ones_like(lanes))
    return total


def quantised(query, halves):
    """Return (asked, words, offsets) of one user, by the code of the kernel run as plain Python."""
    steps = -(-query.size // 4)
    asked, words = np.empty(4), np.empty(steps + -(-steps // 16), np.int32)
    with np.errstate(all="ignore"):
        kernels._quantise.py_func(query, steps, halves, asked, words, float(np.linalg.norm(query)))
    return asked, words[:steps], words[steps:]


def hostile(kind, n, d, rng):
    """Factors at the edges of what bytes and lanes can hold."""
    rows = rng.standard_normal((n, d))
    if kind == "alike":
        rows = np.abs(rows) * 0.01 + 1.0
    elif kind == "opposed":
        rows = np.where(rng.random((n, 1)) < 0.5, 1.0, -1.0) * np.ones((n, d))
    elif kind == "one huge":
        rows[np.arange(n), rng.integers(0, d, n)] = 1e4
    elif kind == "sparse":
        rows *= rng.random((n, d)) < 0.1
        rows[:, 0] = 1.0
    elif kind == "tiny":
        rows *= 1e-18
    return rows.astype(np.float32)


KINDS = ("iid", "alike", "opposed", "one huge", "sparse", "tiny")


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_instructions_give_the_product_of_the_bytes_and_the_bound_holds(halves, kind):
    for d in (1, 3, 4, 63, 64, 65, 130, 513):
        rng = np.random.default_rng(d)
        items, users = hostile(kind, 70, d, rng), hostile(kind, 5, d, rng)
        norms = np.linalg.norm(items.astype(np.float64), axis=1) * (1 + 1e-9)
        tiles, steps = pack(items, norms, halves=halves), -(-d // 4)
        unpacked = tiles.packed.reshape(-1, steps, TILE, 4).astype(np.int64) - (90 if halves else 0)
        rows = unpacked.transpose(0, 2, 1, 3).reshape(-1, 4 * steps)
        code = tiles.order
        for user in users:
            asked, words, offsets = quantised(user, halves)
            bytes_of = words.view(np.int8 if halves else np.uint8).astype(np.int64) - (0 if halves else 128)
            sums = np.concatenate([emulated(tiles, t, words, offsets, steps) for t in range(2)])
            there = code >= 0
            assert np.array_equal(sums[there], (rows @ bytes_of)[there])
            exact = items[code[there]].astype(np.float64) @ user.astype(np.float64)
            scale, norm, error = (np.repeat(tiles.facts[:, i], TILE)[there] for i in range(3))
            away = asked[2] * norm + asked[3] * error
            assert (np.abs(sums[there] * asked[0] * scale - exact) <= away + 1e-43).all()
            if halves:
                assert np.abs(bytes_of).max() <= MOST_HALVES
                lanes = np.pad(bytes_of, (0, -bytes_of.size % 64)).reshape(-1, 16, 2, 2)
                assert (np.sqrt((lanes**2).sum(axis=(1, 3))) <= 181).all()


def test_a_lane_at_its_limit_is_still_an_int16_and_sums_in_between_may_wrap():
    assert (LANE_NORM + 0.5 * 32**0.5) ** 2 < 2**15
    user = np.ones(64, np.float32)
    items = np.ones((64, 64), np.float32)
    tiles = pack(items, np.full(64, 8.0), halves=True)
    _, words, offsets = quantised(user, True)
    largest = int(words.view(np.int8)[0])
    assert emulated(tiles, 0, words, offsets, 16)[0] == 64 * largest * (int(tiles.packed[0]) - 90)
    start = offsets.view(np.int16)[0]
    assert start != -90 * 32 * largest  # it has wrapped, and comes back


def test_a_tile_without_items_scores_zero_on_avx2_and_never_hits_on_vnni():
    items = np.ones((1, 8), np.float32)
    for halves, value in ((True, 0), (False, -(2**30))):
        tiles = pack(items, np.full(1, 3.0), halves=halves)
        _, words, offsets = quantised(np.ones(8, np.float32), halves)
        sums = emulated(tiles, 0, words, offsets, 2)
        assert sums[1] == value if halves else sums[1] < value + 2**20


@numba.njit
def _run(packed, at, start, place, words, offsets, steps, least, masks, sums):
    return tile_hits(packed, at, start, place, words, offsets, steps, least, masks, sums)


@numba.njit
def _run_one(packed, at, start, place, words, offsets, steps, least, masks, sums):
    return tile_hits_one(packed, at, start, place, words, offsets, steps, least, masks, sums)


@pytest.mark.parametrize("name", list(SHAPES))
@pytest.mark.parametrize("d", [7, 64, 200])
def test_this_processor_does_what_the_emulation_does(name, d):
    rng = np.random.default_rng(d)
    halves, steps = SHAPES[name].halves, -(-d // 4)
    items = hostile("iid", 128, d, rng)
    tiles = pack(items, np.linalg.norm(items, axis=1).astype(np.float64), halves=halves)
    for group, run in ((SHAPES[name].users, _run), (1, _run_one)):
        users = [quantised(user, halves)[1:] for user in hostile("iid", group, d, rng)]
        words = np.stack([word for word, _ in users], axis=1).ravel()
        offsets = np.stack([offset for _, offset in users], axis=1).ravel()
        for tile in range(2):
            truth = np.stack([emulated(tiles, tile, *user, steps) for user in users])
            least = np.full(8, np.sort(truth.ravel())[-5], np.int32)  # four are above
            masks, sums = np.full(8, 99, np.uint64), np.zeros(group * TILE, np.int32)
            rest = (words, offsets, steps, least, masks, sums)
            hit = run(tiles.packed, tile * steps * 256, tiles.start, tile * TILE, *rest)
            bits = (masks[:group, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
            assert hit == 1
            assert np.array_equal(bits.astype(bool), truth > least[0])
            assert np.array_equal(sums.reshape(group, TILE)[bits.astype(bool)], truth[bits.astype(bool)])
            least[:] = 2**30
            assert run(tiles.packed, 0, tiles.start, 0, *rest) == 0
            assert (masks[:group] == 0).all()


def test_the_shapes_of_processors():
    assert list(shapes_of({})) == []
    assert shapes_of({"avx2": True}) == {"int8-avx2": Shape(lanes=8, vectors=2, users=6, halves=True)}
    laptop = shapes_of({"avx2": True, "avxvnni": True})
    assert list(laptop) == ["int8-vnni", "int8-avx2"]
    assert laptop["int8-vnni"].users == 3
    server = shapes_of({"avx2": True, "avx512vnni": True, "avx512f": True, "avx512bw": True})
    assert server["int8-vnni"].passes == 1
    assert server["int8-avx2"].passes == 4
    assert server["int8-avx2"].for_one().passes == 1
