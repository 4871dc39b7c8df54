"""The inner product of the int8 tier: one tile of 64 items against a group of users, as LLVM vector code.

Two families of instructions; the type of the packed items says which.

**VNNI** (items int8). ``vpdpbusd`` multiplies 64 unsigned bytes with 64 signed bytes and adds them in fours into 16
int32: 128 operations at once. The picture for one step of four factors::

                        items  0-15   16-31   32-47   48-63      64 bytes each: item 0 factors 0-3,
                             +------+-------+-------+-------+                   item 1 factors 0-3, ...
    user 0, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    the 4 bytes of a user are copied into
    user 1, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    all 16 lanes of a register
      ...                    |      |       |       |       |
    user 5, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    24 accumulators of 16 int32: 24 of the
                             +------+-------+-------+-------+    32 registers there are

Users are bytes 1..255 (their value plus 128): the accumulators start at -128 times the sum of the item's bytes, which
takes the offset off again. CPUs with AVX-VNNI but no AVX-512 get the same with half as wide registers, 3 users, two
passes of 32 items.

**AVX2** (items uint8). ``vpmaddubsw`` multiplies unsigned item bytes (value + 90) with signed user bytes and adds pairs
into int16, ``vpaddw`` sums these **modulo 2^16**: only the final sum of a lane must fit, and by Cauchy-Schwarz it does,
since the bytes of a lane have a norm of at most 181 on both sides (181^2 < 2^15). A lane is half of an item's factors,
of 64 at most; then ``vpmaddwd`` adds the two lanes of each item into int32. The only sum that could saturate, the pair
inside ``vpmaddubsw``, is at most 2 x 90 x 180 = 32,400. The offset comes off in the start value of the user. 6 users
x 16 items are 12 accumulators of 16 registers; four passes make a tile.

After the last step each sum is compared with its user's threshold, and only a 64-bit mask of hits per user leaves;
sums are written to memory only where something was hit. No compiled extension is needed: numba hands the code to LLVM
through ``@intrinsic``. ``tile_emulated`` does the same, instruction by instruction, in slow numpy for tests on any CPU.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.core import config
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from omnireco._kernels.topk.packing import TILE

__all__ = [
    "SHAPES",
    "Shape",
    "bits_of",
    "eight_sums",
    "fetch_row",
    "float_of",
    "halved",
    "lowest_bit",
    "reach_count",
    "reach_mask",
    "shapes_of",
    "tile_hits",
    "tile_hits_one",
]

cgutils: Any = untyped_cgutils
I32, I64 = ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()
_PART = 16  # steps of four factors whose sums fit into int16: 64 factors, 32 to a lane


def _typed_as_any(typing_function: Any) -> Any:
    """Make a numba intrinsic, whose callers do not pass the typing context that is written first."""
    return intrinsic(typing_function)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a tile is cut: int32 lanes of a register, registers across the items, users down.

    ``halves`` is the family: sums in int16 that wrap (AVX2), or int32 at once (VNNI).
    """

    lanes: int
    vectors: int
    users: int
    halves: bool = False

    @property
    def passes(self) -> int:
        """Return how many times the factors are walked for the 64 items of a tile."""
        return TILE // (self.lanes * self.vectors)

    @property
    def name(self) -> str:
        """Return LLVM's name of the instruction."""
        return "llvm.x86.avx2.pmadd.ub.sw" if self.halves else f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"

    def for_one(self) -> Shape:
        """Return the shape for a single user: registers that users leave free take more items."""
        return Shape(self.lanes, TILE // self.lanes, 1, True) if self.halves else Shape(self.lanes, self.vectors, 1)


def shapes_of(features: dict[str, bool]) -> dict[str, Shape]:
    """Return the shapes for a CPU with these LLVM features, the fastest first, by the name of their tier."""
    found = {}
    if features.get("avx512vnni") and features.get("avx512f") and features.get("avx512bw"):
        found["int8-vnni"] = Shape(lanes=16, vectors=4, users=6)
    elif features.get("avxvnni") and features.get("avx2"):
        found["int8-vnni"] = Shape(lanes=8, vectors=4, users=3)
    if features.get("avx2"):
        found["int8-avx2"] = Shape(lanes=8, vectors=2, users=6, halves=True)
    return found


def _features() -> dict[str, bool]:
    """Return the features numba compiles for: those of the host, unless NUMBA_CPU_FEATURES says otherwise."""
    asked = getattr(config, "CPU_FEATURES", None)
    if asked is not None:
        words = str(asked).split(",")
        return {word[1:]: word[0] == "+" for word in words if word}
    return dict(llvm.get_host_cpu_features())


SHAPES = shapes_of(_features())


@functools.cache
def _byte_operands(name: str, lanes: int) -> bool:
    """Return whether this LLVM types the factors of the instruction as bytes (since 22) or as int32."""
    wide, byte = ir.VectorType(I32, lanes), ir.VectorType(ir.IntType(8), 4 * lanes)
    for operand in (byte, wide):
        module = ir.Module()
        kind = ir.FunctionType(wide, [wide, operand, operand])
        probe = ir.Function(module, kind, "probe")
        builder = ir.IRBuilder(probe.append_basic_block())
        builder.ret(builder.call(ir.Function(module, kind, name), probe.args))  # only calls are verified
        try:
            parsed = llvm.parse_assembly(str(module))
            parsed.verify()
        except RuntimeError:
            continue
        if f"declare {wide} @{name}({wide}, {operand}, {operand})" in str(parsed):
            return operand is byte
    raise RuntimeError(f"LLVM does not know {name}")


def _splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """Return a vector with ``value`` in every lane."""
    vector = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _load(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value, kind: ir.Type) -> ir.Value:
    """Load a vector from ``base`` (any pointer) at ``offset`` elements; rows start anywhere, so align 4."""
    address = builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())
    return builder.load(address, align=4)


class _Loop:
    """A counting loop in LLVM code, with values that are carried from turn to turn."""

    def __init__(self, builder: ir.IRBuilder, first: ir.Value, carried: list[ir.Value]) -> None:
        self.builder, before = builder, builder.basic_block
        self.block = builder.append_basic_block("turn")
        builder.branch(self.block)
        builder.position_at_end(self.block)
        self.turn = builder.phi(I64)
        self.turn.add_incoming(first, before)
        self.held = [builder.phi(value.type) for value in carried]
        for phi, value in zip(self.held, carried, strict=True):
            phi.add_incoming(value, before)

    def close(self, last: ir.Value, carried: list[ir.Value]) -> None:
        """Go on until ``last`` turns are done; at least one is."""
        builder, end = self.builder, self.builder.basic_block
        following = builder.add(self.turn, I64(1))
        self.turn.add_incoming(following, end)
        for phi, value in zip(self.held, carried, strict=True):
            phi.add_incoming(value, end)
        after = builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed("<", following, last), self.block, after)
        builder.position_at_end(after)


def _emit(builder: ir.IRBuilder, shape: Shape, data: dict[str, ir.Value]) -> ir.Value:
    """Emit the tile product; return whether anything was hit (i64), with masks and sums written where it was."""
    lanes, users = shape.lanes, shape.users
    wide = ir.VectorType(I32, lanes)
    nothing = ir.Constant(ir.VectorType(I64, users), [0] * users)
    builder.store(nothing, builder.bitcast(data["masks"], nothing.type.as_pointer()), align=8)
    passes = _Loop(builder, I64(0), [ir.Constant(I64, 0)])
    first = builder.mul(passes.turn, I64(lanes * shape.vectors))
    totals = (_sums_of_halves if shape.halves else _sums)(builder, shape, first, data)
    hits, any_hit = [], None
    for u, row in enumerate(totals):
        least = _splat(builder, builder.load(builder.gep(data["least"], [I64(u)])), lanes)
        hits.append([builder.icmp_signed(">", total, least) for total in row])
        for hit in hits[-1]:
            any_hit = hit if any_hit is None else builder.or_(any_hit, hit)
    found = builder.icmp_unsigned("!=", builder.bitcast(any_hit, ir.IntType(lanes)), ir.IntType(lanes)(0))
    with builder.if_then(found, likely=False):
        for u, row in enumerate(hits):
            mask: ir.Value = I64(0)
            for v, hit in enumerate(row):
                bits = builder.zext(builder.bitcast(hit, ir.IntType(lanes)), I64)
                mask = builder.or_(mask, builder.shl(bits, I64(v * lanes)))
            place = builder.gep(data["masks"], [I64(u)])
            builder.store(builder.or_(builder.load(place), builder.shl(mask, first)), place)
            for v, total in enumerate(totals[u]):
                address = builder.gep(data["sums"], [builder.add(first, I64(TILE * u + v * lanes))])
                builder.store(total, builder.bitcast(address, wide.as_pointer()), align=4)
    result = builder.or_(passes.held[0], builder.zext(found, I64))
    passes.close(I64(shape.passes), [result])
    return result


def _operands(
    builder: ir.IRBuilder, shape: Shape, first: ir.Value, step: ir.Value, kind: ir.Type, data: dict[str, ir.Value]
) -> tuple[list[ir.Value], list[ir.Value]]:
    """Return the bytes of one step: vectors of items from ``first`` on, and for each user four bytes everywhere."""
    at = builder.add(data["packed_at"], builder.mul(builder.add(builder.mul(step, I64(TILE)), first), I64(4)))
    items = [
        _load(builder, data["packed"], builder.add(at, I64(4 * v * shape.lanes)), kind) for v in range(shape.vectors)
    ]
    fours = []
    for u in range(shape.users):
        where = builder.add(builder.mul(step, I64(shape.users)), I64(u))
        four = _splat(builder, builder.load(builder.gep(data["users"], [where]), align=4), shape.lanes)
        fours.append(builder.bitcast(four, kind))
    return items, fours


def _sums(builder: ir.IRBuilder, shape: Shape, first: ir.Value, data: dict[str, ir.Value]) -> list[list[ir.Value]]:
    """Emit the products with VNNI: sums[user][vector], int32."""
    wide = ir.VectorType(I32, shape.lanes)
    byte = ir.VectorType(ir.IntType(8), 4 * shape.lanes)
    kind = byte if _byte_operands(shape.name, shape.lanes) else wide
    dot = cgutils.get_or_insert_function(builder.module, ir.FunctionType(wide, [wide, kind, kind]), shape.name)
    place = builder.add(data["start_at"], first)
    starts = [
        _load(builder, data["start"], builder.add(place, I64(v * shape.lanes)), wide) for v in range(shape.vectors)
    ]
    loop = _Loop(builder, I64(0), starts * shape.users)
    items, fours = _operands(builder, shape, first, loop.turn, kind, data)
    pairs = [(four, item) for four in fours for item in items]
    sums = [builder.call(dot, [held, *pair]) for held, pair in zip(loop.held, pairs, strict=True)]
    loop.close(data["steps"], sums)
    return [sums[u * shape.vectors : (u + 1) * shape.vectors] for u in range(shape.users)]


def _sums_of_halves(
    builder: ir.IRBuilder, shape: Shape, first: ir.Value, data: dict[str, ir.Value]
) -> list[list[ir.Value]]:
    """Emit the products with AVX2: int16 sums that wrap over 64 factors, added into sums[user][vector], int32."""
    wide = ir.VectorType(I32, shape.lanes)
    short, byte = ir.VectorType(ir.IntType(16), 2 * shape.lanes), ir.VectorType(ir.IntType(8), 4 * shape.lanes)
    multiply = cgutils.get_or_insert_function(builder.module, ir.FunctionType(short, [byte, byte]), shape.name)
    join = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(wide, [short, short]), "llvm.x86.avx2.pmadd.wd"
    )
    ones, zero = ir.Constant(short, [1] * (2 * shape.lanes)), ir.Constant(wide, [0] * shape.lanes)
    parts = builder.sdiv(builder.add(data["steps"], I64(_PART - 1)), I64(_PART))
    outer = _Loop(builder, I64(0), [zero] * (shape.users * shape.vectors))
    starts = []
    for u in range(shape.users):
        where = builder.add(builder.mul(outer.turn, I64(shape.users)), I64(u))
        start = _splat(builder, builder.load(builder.gep(data["offsets"], [where]), align=4), shape.lanes)
        starts += [builder.bitcast(start, short)] * shape.vectors
    begin = builder.mul(outer.turn, I64(_PART))
    end = builder.add(begin, I64(_PART))
    end = builder.select(builder.icmp_signed("<", end, data["steps"]), end, data["steps"])
    loop = _Loop(builder, begin, starts)
    items, fours = _operands(builder, shape, first, loop.turn, byte, data)
    pairs = [(item, four) for four in fours for item in items]
    halves = [builder.add(held, builder.call(multiply, pair)) for held, pair in zip(loop.held, pairs, strict=True)]
    loop.close(end, halves)
    sums = [builder.add(held, builder.call(join, [half, ones])) for held, half in zip(outer.held, halves, strict=True)]
    outer.close(parts, sums)
    return [sums[u * shape.vectors : (u + 1) * shape.vectors] for u in range(shape.users)]


_NAMES = ("packed", "packed_at", "start", "start_at", "users", "offsets", "steps", "least", "masks", "sums")


def _product(one: bool) -> Any:
    """Return the tile product for a group of users, or for one."""

    @_typed_as_any
    def tile_hits(
        typingctx: Any, packed: Any, packed_at: Any, start: Any, start_at: Any,
        users: Any, offsets: Any, steps: Any, least: Any, masks: Any, sums: Any,
    ) -> tuple[Signature, Any]:  # fmt: skip
        kinds = (packed, packed_at, start, start_at, users, offsets, steps, least, masks, sums)
        shape: Shape = SHAPES["int8-avx2" if packed.dtype == types.uint8 else "int8-vnni"]

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            data = {}
            for name, kind, value in zip(_NAMES, sig.args, args, strict=True):
                if isinstance(kind, types.Array):
                    value = cgutils.create_struct_proxy(kind)(context, builder, value=value).data
                data[name] = value
            return _emit(builder, shape.for_one() if one else shape, data)

        return types.uint64(*kinds), codegen

    return tile_hits


tile_hits = _product(one=False)
tile_hits_one = _product(one=True)


@_typed_as_any
def halved(typingctx: Any, packed: Any) -> tuple[Signature, Any]:
    """Return whether packed items are of the AVX2 family, known when the kernel is compiled."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.boolean, sig.args[0].dtype == types.uint8)

    return types.boolean(packed), codegen


@_typed_as_any
def reach_mask(typingctx: Any, values: Any, at: Any, least: Any) -> tuple[Signature, Any]:
    """Return which of 64 float32, ``values[at:at+64]``, reach ``least``, as bits of a uint64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).data
        lanes, mask = 16, I64(0)
        least = _splat(builder, args[2], lanes)
        for first in range(0, TILE, lanes):
            where = builder.add(args[1], I64(first))
            row = _load(builder, data, where, ir.VectorType(F32, lanes))
            bits = builder.bitcast(builder.fcmp_ordered(">=", row, least), ir.IntType(lanes))
            mask = builder.or_(mask, builder.shl(builder.zext(bits, I64), I64(first)))
        return mask

    return types.uint64(values, types.int64, types.float32), codegen


@_typed_as_any
def fetch_row(typingctx: Any, items: Any, at: Any) -> tuple[Signature, Any]:
    """Ask for the first 256 bytes of ``items[at:]`` to be brought nearer: they are needed soon."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).data
        byte = ir.IntType(8).as_pointer()
        fetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32]), "llvm.prefetch.p0"
        )
        for line in range(4):
            address = builder.bitcast(builder.gep(data, [builder.add(args[1], I64(16 * line))]), byte)
            builder.call(fetch, [address, I32(0), I32(2), I32(1)])
        return context.get_dummy_value()

    return types.none(items, types.int64), codegen


@_typed_as_any
def reach_count(typingctx: Any, keys: Any, vectors: Any, least: Any) -> tuple[Signature, Any]:
    """Return how many of the first ``16 * vectors`` int32 keys reach ``least``; vectors is at least 1."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).data
        wide = ir.VectorType(I32, 16)
        least, zero = _splat(builder, args[2], 16), ir.Constant(wide, [0] * 16)
        before = builder.basic_block
        loop, done = builder.append_basic_block("count"), builder.append_basic_block("count.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, total = builder.phi(I64), builder.phi(wide)
        step.add_incoming(I64(0), before)
        total.add_incoming(zero, before)
        row = _load(builder, data, builder.mul(step, I64(16)), wide)
        added = builder.add(total, builder.zext(builder.icmp_signed(">=", row, least), wide))
        following = builder.add(step, I64(1))
        step.add_incoming(following, loop)
        total.add_incoming(added, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[1]), loop, done)
        builder.position_at_end(done)
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(I32, [wide]), "llvm.vector.reduce.add.v16i32"
        )
        return builder.zext(builder.call(reduce, [added]), I64)

    return types.int64(keys, types.int64, types.int32), codegen


@_typed_as_any
def eight_sums(typingctx: Any, items: Any, places: Any, query: Any, blocks: Any, sums: Any) -> tuple[Signature, Any]:
    """Add ``query[j] * items[places[i] + j]`` to ``sums[i]`` for eight i, and j = 0 to 8 * blocks in order.

    All in float64. Eight rows times eight factors are multiplied, transposed in registers, and added
    factor by factor: eight sums that each keep their order, at a quarter of the scalar cost.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointers = [
            cgutils.create_struct_proxy(kind)(context, builder, value=value).data
            for kind, value in zip(sig.args, args, strict=True)
            if isinstance(kind, types.Array)
        ]
        floats, doubles = ir.VectorType(F32, 8), ir.VectorType(F64, 8)
        rows = [builder.load(builder.gep(pointers[1], [I64(i)])) for i in range(8)]
        start = _load(builder, pointers[3], I64(0), doubles)
        before = builder.basic_block
        loop, done = builder.append_basic_block("eight"), builder.append_basic_block("eight.done")
        builder.cbranch(builder.icmp_signed(">", args[3], I64(0)), loop, done)
        builder.position_at_end(loop)
        step, total = builder.phi(I64), builder.phi(doubles)
        step.add_incoming(I64(0), before)
        total.add_incoming(start, before)
        at = builder.mul(step, I64(8))
        asked = _load(builder, pointers[2], at, doubles)
        terms = [
            builder.fmul(asked, builder.fpext(_load(builder, pointers[0], builder.add(row, at), floats), doubles))
            for row in rows
        ]
        added: ir.Value = total
        for column in _transposed(builder, terms):
            added = builder.fadd(added, column)
        following = builder.add(step, I64(1))
        step.add_incoming(following, loop)
        total.add_incoming(added, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[3]), loop, done)
        builder.position_at_end(done)
        end = builder.phi(doubles)
        end.add_incoming(start, before)
        end.add_incoming(added, loop)
        builder.store(end, builder.bitcast(pointers[3], doubles.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.none(items, places, query, types.int64, sums), codegen


def _transposed(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Return the columns of 8 x 8 numbers: three rounds of exchanging pieces of 4, 2 and 1 between rows."""
    for width in (4, 2, 1):
        first = [i for i in range(8) if not i & width]
        left = ir.Constant(ir.VectorType(I32, 8), [i if not i & width else i - width + 8 for i in range(8)])
        right = ir.Constant(ir.VectorType(I32, 8), [i + width if not i & width else i + 8 for i in range(8)])
        out = list(rows)
        for i in first:
            out[i] = builder.shuffle_vector(rows[i], rows[i + width], left)
            out[i + width] = builder.shuffle_vector(rows[i], rows[i + width], right)
        rows = out
    return rows


@_typed_as_any
def bits_of(typingctx: Any, value: Any) -> tuple[Signature, Any]:
    """Return the bits of a float32 as an int32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], I32)

    return types.int32(types.float32), codegen


@_typed_as_any
def float_of(typingctx: Any, value: Any) -> tuple[Signature, Any]:
    """Return the float32 that has the bits of an int32."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], F32)

    return types.float32(types.int32), codegen


@_typed_as_any
def lowest_bit(typingctx: Any, value: Any) -> tuple[Signature, Any]:
    """Return the place of the lowest bit that is set in a uint64 (undefined for 0)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen
