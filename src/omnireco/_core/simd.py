"""Vectors of one 512-bit register as numba values, so that a kernel says which sums stay in registers.

LLVM vectorises long loops well and the short ones of factor models (64 numbers) badly: half of the time goes to
checks and leftovers. Here a kernel names its registers instead: ``load``, ``fma``, ``store``. The order of every
sum is written in the code, so nothing is left to the compiler's choice, and fastmath is not needed. On a CPU with
narrower registers LLVM splits a vector into two or four; the answer is the same wherever there is fused
multiply-add. Imported by kernel modules only, which are imported when first needed.
"""

# mypy: ignore-errors
# Made of numba and llvmlite, which are untyped.
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["divide", "fma", "load", "load_wide", "load_word", "prefetch", "spread", "store", "sums_of_8", "total"]

_BITS = 512


class Vector(types.Type):
    """The numba type of one register: 16 float32 or 8 float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.lanes = dtype, _BITS // dtype.bitwidth
        super().__init__(name=f"vector({self.lanes} x {dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(manager[kind.dtype].get_value_type(), kind.lanes))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, position: Any) -> tuple[Any, int]:
    """Return a pointer to the vector that starts at a position of a flat array, and its alignment."""
    data = context.make_array(kind)(context, builder, array).data
    vector = context.get_value_type(Vector(kind.dtype))
    return builder.bitcast(builder.gep(data, [position]), vector.as_pointer()), kind.dtype.bitwidth // 8


@intrinsic
def load(typing: Any, array: Any, position: Any) -> Any:
    """Return ``array[position : position + lanes]`` of a contiguous 1-D array; bounds are the caller's."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, align = _pointer(context, builder, signature.args[0], *values)
        return builder.load(pointer, align=align)

    return Vector(array.dtype)(array, types.intp), code


@intrinsic
def load_wide(typing: Any, array: Any, position: Any) -> Any:
    """Return 8 float32 of a contiguous 1-D array, from a position on, as a vector of float64."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        narrow = ir.VectorType(ir.FloatType(), 8)
        pointer = builder.bitcast(builder.gep(data, [values[1]]), narrow.as_pointer())
        return builder.fpext(builder.load(pointer, align=4), context.get_value_type(signature.return_type))

    return Vector(types.float64)(array, types.intp), code


@intrinsic
def load_word(typing: Any, array: Any, position: Any) -> Any:
    """Return the 8 bytes of a contiguous uint8 array from any position on, as one uint64; bounds are the caller's."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        pointer = builder.bitcast(builder.gep(data, [values[1]]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(array, types.intp), code


@intrinsic
def store(typing: Any, array: Any, position: Any, vector: Any) -> Any:
    """Write a vector to ``array[position : position + lanes]`` of a contiguous 1-D array."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, align = _pointer(context, builder, signature.args[0], *values[:2])
        builder.store(values[2], pointer, align=align)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), code


@intrinsic
def prefetch(typing: Any, array: Any, position: Any) -> Any:
    """Ask for the cache line of ``array[position]``, which will be read soon."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer, _ = _pointer(context, builder, signature.args[0], *values)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, level, data = word(0), word(2), word(1)
        builder.call(function, [builder.bitcast(pointer, byte), read, level, data])
        return context.get_dummy_value()

    return types.none(array, types.intp), code


@intrinsic
def spread(typing: Any, number: Any) -> Any:
    """Return a vector that holds one number in every lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), values[0], ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)

    return Vector(number)(number), code


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` by lane, rounded once where the CPU can."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        letter = {16: "v16f32", 8: "v8f64"}[kind.count]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{letter}"
        )
        return builder.call(function, values)

    return a(a, a, a), code


@intrinsic
def divide(typing: Any, a: Any, b: Any) -> Any:
    """Return ``a / b`` by lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fdiv(*values)

    return a(a, b), code


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """Return the sum of the lanes, halves added to halves."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector = values[0]
        while vector.type.count > 1:
            half = vector.type.count // 2
            low, high = (_pick(builder, vector, vector, range(start, start + half)) for start in (0, half))
            vector = builder.fadd(low, high)
        return builder.extract_element(vector, ir.IntType(32)(0))

    return a.dtype(a), code


@intrinsic
def sums_of_8(typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Return a vector whose first 8 lanes are the sums of the lanes of 8 vectors.

    Eight trees at once: vectors are merged in pairs, so three steps do the work of eight horizontal sums.
    """

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vectors, lanes = list(values), values[0].type.count
        width = lanes  # lanes of one vector's part
        while len(vectors) > 1:
            vectors = [_merge(builder, x, y, lanes, width) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
            width //= 2
        vector = vectors[0]
        while width > 1:  # each part is still some lanes wide
            parts = lanes // width
            half = width // 2
            low = [part * width + lane for part in range(parts) for lane in range(half)]
            low_half = _pick(builder, vector, vector, low)
            high_half = _pick(builder, vector, vector, [lane + half for lane in low])
            vector, lanes, width = builder.fadd(low_half, high_half), lanes // 2, half
        return _pick(builder, vector, vector, [lane % 8 for lane in range(values[0].type.count)])

    return a(a, a, a, a, a, a, a, a), code


def _merge(builder: Any, x: Any, y: Any, lanes: int, width: int) -> Any:
    """Return x and y with each part's halves added: the parts of x first, then those of y."""
    half = width // 2
    low = [part * width + lane for part in range(2 * lanes // width) for lane in range(half)]
    return builder.fadd(_pick(builder, x, y, low), _pick(builder, x, y, [lane + half for lane in low]))


def _pick(builder: Any, x: Any, y: Any, lanes: Any) -> Any:
    """Return the vector of some lanes of x followed by y."""
    chosen = list(lanes)
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen))
