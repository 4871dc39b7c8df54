"""Named, derived random streams: every draw in omnireco comes from here.

Two streams with different names are independent, and adding a new one never moves another. NumPy's
global generator is never touched.
"""

from __future__ import annotations

import hashlib

import numpy as np

from omnireco._core.checks import check_integer

__all__ = ["stream"]


def stream(seed: int, *keys: str | int) -> np.random.Generator:
    """Return the generator that belongs to ``seed`` and a name.

    Parameters
    ----------
    seed : int
        The caller's seed, 0 or greater.
    *keys : str or int
        The name of the stream, for example ``"als/init"``, and any number of further keys (a date, a
        fold). Equal arguments give equal draws on every machine.

    Examples
    --------
    >>> a, b = stream(7, "als/init"), stream(7, "als/init")
    >>> bool((a.random(3) == b.random(3)).all())
    True
    """
    seed = check_integer(seed, "seed", low=0)
    name = "\0".join(f"{type(key).__name__}:{key}" for key in keys)
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
