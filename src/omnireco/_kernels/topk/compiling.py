"""How the top-K kernels are compiled: without numba's memory management, and in few pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

from omnireco._core.compute import compiled

__all__ = ["lean", "woven"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def lean(function: _Function) -> _Function:
    """Compile a kernel that takes all its memory from the caller.

    numba then counts no references, which else costs more than the work where many arrays are handed on, and a sixth of
    the time to compile.
    """
    kernel: Any = compiled(function)
    kernel.dispatcher.targetoptions["_nrt"] = False
    return cast(_Function, kernel)


def woven(function: _Function) -> _Function:
    """Write a function into those that call it, before types are known.

    Every function that is compiled for itself is optimised again inside each of its callers: as one piece the kernels
    take three quarters of the time to compile, and a tenth less to run.
    """
    return cast(_Function, njit(nogil=True, error_model="numpy", inline="always")(function))
