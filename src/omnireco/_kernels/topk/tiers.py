"""Which tier answers: what this machine can run, and the size of work below which no compiler is loaded."""

from __future__ import annotations

import functools
import os
import sys

from omnireco._core.checks import check_choice, shown
from omnireco._core.compute import pays
from omnireco.errors import ParameterError

__all__ = ["TIERS", "WORTH_COMPILING", "available", "tier", "tier_for"]

TIERS = ("int8-vnni", "int8-avx2", "numba", "numpy")
WORTH_COMPILING = 1 << 33  # multiplications: about a second of the numpy tier, as long as compiled code takes to load
_PER_CALL, _PER_ROW = 1 << 20, 1 << 17  # what a call and a row cost the numpy tier besides, in the same unit
_KERNELS = "omnireco._kernels.topk.kernels"
_done_in_numpy = 0


def tier() -> str:
    """Return the fastest tier here: ``"int8-vnni"``, ``"int8-avx2"``, ``"numba"`` or ``"numpy"``.

    All tiers give the same bytes; they differ in speed only. Small work is done by the ``numpy`` tier anyway, so that
    it need not wait for a compiler. The environment variable ``OMNIRECO_TOPK_TIER`` overrides the choice, for tests and
    for comparing; ``int8`` stands for the faster of the two.

    Raises
    ------
    ParameterError
        If the variable names no tier, or one that this machine does not have.

    Examples
    --------
    >>> tier() in ("int8-vnni", "int8-avx2", "numba", "numpy")
    True
    """
    return _asked() or available()[0]


def tier_for(rows: int, per_row: int) -> str:
    """Return the tier for a call of so many rows, of so many multiplications each.

    The numpy tier, until it has done as much in this process as loading the compiled kernels costs, or until they are
    loaded anyway: whatever comes, at most about twice the time of the better choice is spent.
    """
    global _done_in_numpy
    if (asked := _asked()) is not None:
        return asked
    if _KERNELS in sys.modules:
        return available()[0]
    cost = _PER_CALL + rows * (_PER_ROW + per_row)
    if not pays(_done_in_numpy + cost, WORTH_COMPILING):
        _done_in_numpy += cost
        return "numpy"
    return available()[0]


def _asked() -> str | None:
    """Return the tier that the environment asks for, None where it does not."""
    asked = os.environ.get("OMNIRECO_TOPK_TIER")
    if not asked:
        return None
    check_choice(asked, "OMNIRECO_TOPK_TIER", ("int8", *TIERS))
    found = next((name for name in available() if name == asked or (asked == "int8" and name.startswith(asked))), None)
    if found is None:
        raise ParameterError(
            f"OMNIRECO_TOPK_TIER={shown(asked)} is not available on this machine, which has "
            f"{', '.join(available())}. Unset the variable to use the best of them."
        )
    return found


@functools.cache
def available() -> tuple[str, ...]:
    """Return the tiers of this machine, fastest first."""
    try:
        from omnireco._kernels.topk.tile_product import SHAPES
    except ImportError:
        return ("numpy",)
    return (*SHAPES, "numba", "numpy")
