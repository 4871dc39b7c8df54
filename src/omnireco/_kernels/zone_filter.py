"""The compiled forward filter of a hidden Markov model whose state is the time zone of a person."""

from __future__ import annotations

import numpy as np

from omnireco._core.compute import compiled

__all__ = ["forward"]


@compiled
def forward(
    settled: np.ndarray,
    moving: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    day: np.ndarray,
    fits: np.ndarray,
    today: int,
    stay: float,
    abroad: float,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (n, Z): begin as ``settled``, move to ``moving`` with ``1 - stay`` a day, see ``fits`` (m, Z).

    Person i has the observations start[i]..stop[i], in order of ``day``; one that does not fit has the probability
    ``abroad``.
    """
    n_zones = settled.shape[1]
    p = np.empty(n_zones)
    for i in range(settled.shape[0]):
        p[:] = settled[i]
        last = day[start[i]]
        for o in range(start[i], stop[i] + 1):
            until = today if o == stop[i] else day[o]
            kept = stay ** max(until - last, 0)
            total = 0.0
            for z in range(n_zones):
                p[z] = kept * p[z] + (1.0 - kept) * moving[i, z]
                if o < stop[i]:
                    p[z] *= 1.0 - abroad if fits[o, z] else abroad
                total += p[z]
            for z in range(n_zones):
                p[z] /= total
            last = until
        out[i] = p
