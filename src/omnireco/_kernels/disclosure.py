"""Cells of a table that too few people stand behind, and further ones so that no hidden cell follows from a total."""

from __future__ import annotations

import numpy as np

__all__ = ["hidden_cells"]


def hidden_cells(people: np.ndarray, k: int, axes: tuple[int, ...] = ()) -> np.ndarray:
    """Return which cells of a table of people to hide, bool of the same shape.

    Parameters
    ----------
    people : ndarray of int64
        People per cell. A cell of nobody is shown: it is about nobody.
    k : int
        Smallest number of people behind a shown cell.
    axes : tuple of int
        Along which totals are known elsewhere. On every such line either nothing is hidden, or at least two cells that
        hold k people or more together: the next smallest go too.

    Notes
    -----
    Primary and complementary suppression (Willenborg and de Waal 2001, "Elements of Statistical Disclosure Control",
    chapter 6), by the smallest cell, repeated until no line changes. Not the fewest possible cells. Ties by position.

    Examples
    --------
    >>> hidden_cells(np.array([3, 40, 9, 0]), 5, axes=(0,)).tolist()
    [True, False, True, False]
    >>> hidden_cells(np.array([3, 40, 9, 0]), 5).tolist()
    [True, False, False, False]
    """
    hide = (people > 0) & (people < k)
    changed = bool(axes) and bool(hide.any())
    while changed:
        changed = False
        for axis in axes:
            lines = np.moveaxis(people, axis, -1).reshape(-1, people.shape[axis])
            masks = np.moveaxis(hide, axis, -1).reshape(lines.shape).copy()
            for line, mask in zip(lines, masks, strict=True):
                while mask.any() and (mask.sum() < 2 or line[mask].sum() < k):
                    left = np.flatnonzero(~mask & (line > 0))
                    if not left.size:
                        break
                    mask[left[np.argmin(line[left])]] = True
                    changed = True
            shape = np.moveaxis(hide, axis, -1).shape
            hide = np.moveaxis(masks.reshape(shape), -1, axis).copy()
    return hide
