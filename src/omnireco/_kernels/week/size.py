"""Up to which size the numpy path answers, without a compiler; above it compiled walks do, with the same answer.

The size is that of what was learned from, so a model asked for one person and for all takes one path.
"""

from __future__ import annotations

from omnireco._core.compute import pays

__all__ = ["small"]

_PEOPLE = 20_000  # a quarter of a second per pass over them
_ROWS = 1_000_000  # events: a sort of them takes 0.1 s


def small(n_people: int, n_rows: int = 0) -> bool:
    """Return whether numpy is fast enough for so many people and rows."""
    return not (pays(n_people, _PEOPLE + 1) or pays(n_rows, _ROWS + 1))
