"""Decisions that wait for their rewards: the newest of them, in a ring."""

from __future__ import annotations

import numpy as np

from omnireco.data.vocabulary import NONE

__all__ = ["remember"]


def remember(
    have: dict[str, np.ndarray], ids: np.ndarray, x: np.ndarray, serial: np.ndarray, *, most: int, decided: int
) -> dict[str, np.ndarray]:
    """Return the ring with newer decisions in it, where decision i lies at i modulo its size.

    Parameters
    ----------
    have : dict of ``id`` (size,), ``x`` (size, d) and ``serial`` (size, slots), or empty
        Changed in place, or left for a larger one.
    ids, x, serial : ndarray of shape (n,), (n, d) and (n, k)
        Decisions in order, their contexts, and the numbers of their arms; -1 for none.
    most : int
        Of decisions that are kept.
    decided : int
        How many decisions there were ever.
    """
    k = serial.shape[1]
    size = len(have["id"]) if have else 0
    wide = max(k, have["serial"].shape[1] if have else 1)
    need = min(most, max(64, size))
    while need < min(most, decided):
        need = min(most, 2 * need)
    if need != size or (have and wide > have["serial"].shape[1]):
        fresh = {"id": np.full(need, -1), "x": np.zeros((need, x.shape[1])), "serial": np.full((need, wide), NONE)}
        if have:  # a ring only grows before it is full, so everything lies where it did
            fresh["id"][:size], fresh["x"][:size] = have["id"], have["x"]
            fresh["serial"][:size, : have["serial"].shape[1]] = have["serial"]
        have = fresh
    ids, x, serial = ids[-need:], x[-need:], serial[-need:]
    start = int(ids[0]) % need if ids.size else 0
    head = min(ids.size, need - start)  # what does not fit before the end goes to the beginning
    parts = [(slice(head), slice(start, start + head)), (slice(head, None), slice(ids.size - head))]
    for rows, at in parts if head < ids.size else parts[:1]:
        have["id"][at], have["x"][at], have["serial"][at, :k] = ids[rows], x[rows], serial[rows]
        if k < wide:
            have["serial"][at, k:] = NONE
    return have
