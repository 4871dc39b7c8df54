"""Named, derived random streams: every draw in omnireco comes from here.

Two streams with different names are independent, and adding a new one never moves another. NumPy's
global generator is never touched.
"""

from __future__ import annotations

import hashlib

import numpy as np

from omnireco._core.checks import check_integer

__all__ = ["GOLDEN", "lot", "mixed", "numbers_of_ids", "stream", "unit"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


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


def lot(seed: int, name: str, ids: np.ndarray) -> np.ndarray:
    """Return a number in (0, 1) per id that belongs to (seed, name, id) and to nothing else, float64 (n,).

    No state and no order: whoever is drawn with a name is drawn again, whoever else is there.
    """
    seed = check_integer(seed, "seed", low=0)
    key = np.uint64(int.from_bytes(hashlib.sha256(f"{seed}/{name}/lot".encode()).digest()[:8], "little"))
    with np.errstate(over="ignore"):
        return unit(mixed(mixed(numbers_of_ids(np.asarray(ids)) ^ key) + key))


def numbers_of_ids(ids: np.ndarray) -> np.ndarray:
    """Return an unsigned number per id; strings by a hash."""
    if ids.dtype.kind in "iu":
        return ids.astype(np.int64).view(np.uint64)
    digests = [hashlib.blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mixed(x: np.ndarray) -> np.ndarray:
    """Return x with its bits well mixed (Steele et al. 2014)."""
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def unit(x: np.ndarray) -> np.ndarray:
    """Return 53 bits as numbers inside (0, 1)."""
    return np.asarray(((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
