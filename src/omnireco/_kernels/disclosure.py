"""Cells of a table that too few people stand behind, and further ones so that no hidden cell follows from a total."""

from __future__ import annotations

import numpy as np

from omnireco._kernels.log.order import distinct

__all__ = ["hidden_cells", "hidden_groups"]


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


def hidden_groups(
    cell: np.ndarray, person: np.ndarray, n_cells: int, k: int, size: np.ndarray | None = None
) -> np.ndarray:
    """Return which cells of one line to hide whose total is known, where one person may stand in several; bool.

    Parameters
    ----------
    cell, person : ndarray of shape (n,), int64
        Rows that add up to the line: the cell of each, from 0, and who stands behind it.
    n_cells : int
    k : int
        Smallest number of people behind a shown cell, and behind all the hidden ones together.
    size : ndarray of shape (max person + 1,), optional
        How many people each of them is; 1 by default.

    Examples
    --------
    >>> one_in_both = np.array([0, 1, 1, 1, 2, 2, 2]), np.array([7, 7, 8, 9, 1, 2, 3])
    >>> hidden_groups(*one_in_both, n_cells=3, k=3).tolist()
    [True, True, False]
    """
    n = int(person.max(initial=-1)) + 1
    pair = distinct(cell.astype(np.int64) * max(1, n) + person)
    cell, person = pair // max(1, n), pair % max(1, n)
    weight = np.ones(n) if size is None else size
    people = np.bincount(cell, weights=weight[person], minlength=n_cells)

    def behind(hide: np.ndarray) -> float:
        there = np.zeros(n, np.bool_)
        there[person[hide[cell]]] = True
        return float(weight[:n][there].sum())

    hide: np.ndarray = (people > 0) & (people < k)
    while hide.any() and (hide.sum() < 2 or behind(hide) < k):
        left = np.flatnonzero(~hide & (people > 0))
        if not left.size:
            break
        hide[left[np.argmin(people[left])]] = True
    return hide
