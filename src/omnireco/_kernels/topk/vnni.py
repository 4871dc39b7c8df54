"""The inner product of the int8 tier: one tile of 64 items against a group of users, as LLVM vector code.

AVX-512 VNNI has an instruction, ``vpdpbusd``, that multiplies 64 unsigned bytes with 64 signed bytes and adds
them in fours into 16 int32: 128 operations at once. The picture for one step of four factors::

                        items  0-15   16-31   32-47   48-63      64 bytes each: item 0 factors 0-3,
                             +------+-------+-------+-------+                   item 1 factors 0-3, ...
    user 0, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    the 4 bytes of a user are copied into
    user 1, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    all 16 lanes of a register
      ...                    |      |       |       |       |
    user 5, factors 0-3  ->  | acc  |  acc  |  acc  |  acc  |    24 accumulators of 16 int32: 24 of the
                             +------+-------+-------+-------+    32 registers there are

After d/4 steps each accumulator is compared with its user's threshold, and only a 64-bit mask of hits per
user leaves; sums are written to memory only for users with a hit. Users are bytes 1..255 (their value plus
128): the accumulators start at -128 times the sum of the item's bytes, which takes the offset off again.

CPUs with AVX-VNNI but no AVX-512 get the same with half as wide registers, 3 users, two passes of 32 items.
No compiled extension is needed: numba hands the code to LLVM through ``@intrinsic``.
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

__all__ = [
    "GROUP",
    "SHAPE",
    "TILE",
    "Shape",
    "bits_of",
    "eight_sums",
    "fetch_row",
    "float_of",
    "lowest_bit",
    "reach_count",
    "reach_mask",
    "shape_of",
    "tile_hits",
    "tile_hits_bias",
    "tile_hits_bias_one",
    "tile_hits_one",
]

cgutils: Any = untyped_cgutils
I32, I64 = ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()
TILE = 64


def _typed_as_any(typing_function: Any) -> Any:
    """Make a numba intrinsic, whose callers do not pass the typing context that is written first."""
    return intrinsic(typing_function)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a tile is cut: int32 lanes of a register, registers across the items, users down."""

    lanes: int
    vectors: int
    users: int

    @property
    def passes(self) -> int:
        """Return how many times the factors are walked for the 64 items of a tile."""
        return TILE // (self.lanes * self.vectors)

    @property
    def name(self) -> str:
        """Return LLVM's name of the instruction."""
        return f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"


def shape_of(features: dict[str, bool]) -> Shape | None:
    """Return the shape for a CPU with these LLVM features, or None when it has no VNNI."""
    if features.get("avx512vnni") and features.get("avx512f") and features.get("avx512bw"):
        return Shape(lanes=16, vectors=4, users=6)
    if features.get("avxvnni") and features.get("avx2"):
        return Shape(lanes=8, vectors=4, users=3)
    return None


def _features() -> dict[str, bool]:
    """Return the features numba compiles for: those of the host, unless NUMBA_CPU_FEATURES says otherwise."""
    asked = getattr(config, "CPU_FEATURES", None)
    if asked is not None:
        words = str(asked).split(",")
        return {word[1:]: word[0] == "+" for word in words if word}
    return dict(llvm.get_host_cpu_features())


SHAPE = shape_of(_features())
GROUP = SHAPE.users if SHAPE else 1


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


def _emit(builder: ir.IRBuilder, shape: Shape, users: int, data: dict[str, ir.Value]) -> ir.Value:
    """Emit the tile product for ``users`` users; return the OR of all hit masks (i64)."""
    lanes = shape.lanes
    wide = ir.VectorType(I32, lanes)
    byte = ir.VectorType(ir.IntType(8), 4 * lanes)
    bytes_in = _byte_operands(shape.name, lanes)
    operand = byte if bytes_in else wide
    dot = cgutils.get_or_insert_function(builder.module, ir.FunctionType(wide, [wide, operand, operand]), shape.name)
    masks: list[ir.Value] = [I64(0)] * users
    sums: list[list[ir.Value]] = [[] for _ in range(users)]
    for half in range(shape.passes):
        first = half * lanes * shape.vectors
        starts = [
            _load(builder, data["start"], builder.add(data["start_at"], I64(first + v * lanes)), wide)
            for v in range(shape.vectors)
        ]
        before = builder.basic_block
        loop = builder.append_basic_block("factors")
        done = builder.append_basic_block("factors.done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(I64)
        step.add_incoming(I64(0), before)
        acc = [[builder.phi(wide) for _ in range(shape.vectors)] for _ in range(users)]
        for row in acc:
            for v, phi in enumerate(row):
                phi.add_incoming(starts[v], before)
        at = builder.add(data["packed_at"], builder.mul(step, I64(4 * TILE)))
        items = [
            _load(builder, data["packed"], builder.add(at, I64(4 * (first + v * lanes))), operand)
            for v in range(shape.vectors)
        ]
        for u, row in enumerate(acc):
            where = builder.add(builder.mul(step, I64(users)), I64(u))
            four = _splat(builder, builder.load(builder.gep(data["users"], [where]), align=4), lanes)
            if bytes_in:
                four = builder.bitcast(four, byte)
            for v, phi in enumerate(row):
                phi.add_incoming(builder.call(dot, [phi, four, items[v]]), loop)
        following = builder.add(step, I64(1))
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, data["steps"]), loop, done)
        builder.position_at_end(done)
        ends = [[phi.incomings[1][0] for phi in row] for row in acc]
        biases = _biases(builder, shape, first, data)
        for u, row in enumerate(ends):
            sums[u] += row
            hits = _compare(builder, shape, u, row, biases, data)
            for v, hit in enumerate(hits):
                bits = builder.zext(builder.bitcast(hit, ir.IntType(lanes)), I64)
                masks[u] = builder.or_(masks[u], builder.shl(bits, I64(first + v * lanes)))
    anything: ir.Value = I64(0)
    for u, mask in enumerate(masks):
        builder.store(mask, builder.gep(data["masks"], [I64(u)]))
        anything = builder.or_(anything, mask)
    with builder.if_then(builder.icmp_unsigned("!=", anything, I64(0)), likely=False):
        for u, mask in enumerate(masks):
            with builder.if_then(builder.icmp_unsigned("!=", mask, I64(0)), likely=False):
                for v, total in enumerate(sums[u]):
                    address = builder.gep(data["sums"], [I64(TILE * u + v * lanes)])
                    builder.store(total, builder.bitcast(address, wide.as_pointer()), align=4)
    return anything


def _biases(builder: ir.IRBuilder, shape: Shape, first: int, data: dict[str, ir.Value]) -> list[ir.Value]:
    """Load the items' biases, when this variant has them."""
    if "bias" not in data:
        return []
    kind = ir.VectorType(F32, shape.lanes)
    return [
        _load(builder, data["bias"], builder.add(data["start_at"], I64(first + v * shape.lanes)), kind)
        for v in range(shape.vectors)
    ]


def _compare(
    builder: ir.IRBuilder,
    shape: Shape,
    u: int,
    row: list[ir.Value],
    biases: list[ir.Value],
    data: dict[str, ir.Value],
) -> list[ir.Value]:
    """Compare sums with the user's threshold: as integers, or as sum * scale + bias in float32."""
    if not biases:
        least = _splat(builder, builder.load(builder.gep(data["least"], [I64(u)])), shape.lanes)
        return [builder.icmp_signed(">=", total, least) for total in row]
    least = _splat(builder, builder.load(builder.gep(data["least_float"], [I64(u)])), shape.lanes)
    scale = _splat(builder, builder.load(builder.gep(data["scale"], [I64(u)])), shape.lanes)
    floats = ir.VectorType(F32, shape.lanes)
    return [
        builder.fcmp_ordered(">=", builder.fadd(builder.fmul(builder.sitofp(total, floats), scale), bias), least)
        for total, bias in zip(row, biases, strict=True)
    ]


_NAMES = ("packed", "packed_at", "start", "start_at", "users", "steps", "least", "masks", "sums")
_BIAS_NAMES = ("bias", "least_float", "scale")


def _lowered(users: int, names: tuple[str, ...], kinds: tuple[Any, ...]) -> tuple[Signature, Any]:
    """Return the signature and the code generator of a tile product whose arguments are ``names``."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = {}
        for name, kind, value in zip(names, sig.args, args, strict=True):
            if isinstance(kind, types.Array):
                value = cgutils.create_struct_proxy(kind)(context, builder, value=value).data
            data[name] = value
        return _emit(builder, SHAPE or Shape(lanes=16, vectors=4, users=6), users, data)

    return types.uint64(*kinds), codegen


def _plain(users: int) -> Any:
    @_typed_as_any
    def tile_hits(
        typingctx: Any, packed: Any, packed_at: Any, start: Any, start_at: Any,
        users_bytes: Any, steps: Any, least: Any, masks: Any, sums: Any,
    ) -> tuple[Signature, Any]:  # fmt: skip
        kinds = (packed, packed_at, start, start_at, users_bytes, steps, least, masks, sums)
        return _lowered(users, _NAMES, kinds)

    return tile_hits


def _biased(users: int) -> Any:
    @_typed_as_any
    def tile_hits_bias(
        typingctx: Any, packed: Any, packed_at: Any, start: Any, start_at: Any,
        users_bytes: Any, steps: Any, least: Any, masks: Any, sums: Any,
        bias: Any, least_float: Any, scale: Any,
    ) -> tuple[Signature, Any]:  # fmt: skip
        kinds = (packed, packed_at, start, start_at, users_bytes, steps, least, masks, sums)
        return _lowered(users, _NAMES + _BIAS_NAMES, (*kinds, bias, least_float, scale))

    return tile_hits_bias


tile_hits = _plain(GROUP)
tile_hits_one = _plain(1)
tile_hits_bias = _biased(GROUP)
tile_hits_bias_one = _biased(1)


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
