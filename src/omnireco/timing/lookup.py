"""Chances of touches out of tables of people by local hour: what every model of hours does with what it is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnireco._core.compute import row_blocks
from omnireco._kernels.week.pooling import WEEK
from omnireco.data.touches import Touches, check_touches

__all__ = ["hours_of_touches"]


def hours_of_touches(touches: Touches, table: Callable[[np.ndarray, str], np.ndarray], where: str) -> np.ndarray:
    """Look up, for each touch, its hour in the table of its person, float64 (n,).

    Parameters
    ----------
    touches : Touches
    table : callable of (ids, channel) to ndarray of shape (n_people, 169)
        By local hour of the week; the last column is for people without a zone. Asked once for everybody on a channel,
        in blocks of people.
    where : str
        Begins an error: ``"SendTimeModel.probability"``.
    """
    check_touches(touches, where)
    hour, found = touches.hour_of_week, np.empty(len(touches))
    for code, name in enumerate(touches.channels.ids):
        mine = np.flatnonzero(touches.channel == code)
        people, place = np.unique(touches.user[mine], return_inverse=True)
        order = np.argsort(place, kind="stable")
        for block in row_blocks(people.size, 24 * 8 * WEEK):
            low, high = np.searchsorted(place[order], [block.start, block.stop])
            some = order[low:high]
            of_people = table(touches.users.ids[people[block]], str(name))
            at = hour[mine[some]]
            found[mine[some]] = of_people[place[some] - block.start, np.where(at < 0, WEEK, at)]
    return found
