"""Whether two Datasets can be compared: the state of then, or two periods of equal length with the same people."""

from __future__ import annotations

import warnings

import numpy as np

from omnireco._core.checks import count_of
from omnireco._core.units import DAY_US
from omnireco.data.dataset import Dataset
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, ParameterError

__all__ = ["GROWING", "incomparable"]

GROWING = ("several_kinds", "fresh", "one_price", "one_offer", "channel_known", "needs_known")
"""Measures that grow with the length of the data: in a longer period more people are known, and more is forgotten."""
_ALIKE = 0.1  # lengths may differ by so much
_COMMON = 0.5  # of the people of the smaller side, so many should be in the other
_LINE = "earlier, later = (later for _, later in data.rolling(horizon='28D', n=2))"


def incomparable(data: Dataset, compare: Dataset) -> tuple[str, ...]:
    """Return the measures that two periods say nothing about, with a warning; refuse periods that overlap.

    ``data.before(cut)`` is the state of then: it begins with the data. Otherwise the two are periods.
    """
    now, then = _span(data), _span(compare)
    _same_people(data, compare)
    if now is None or then is None or abs(now[0] - then[0]) < DAY_US:
        return ()
    shared = min(now[1], then[1]) - max(now[0], then[0])
    if shared >= DAY_US:
        raise ParameterError(
            f"scorecard: compare= shares {shared / DAY_US:,.0f} of its {_days(then):,.0f} days with the data and "
            f"begins on another, so each number would partly be compared with itself. Write {_LINE}, and "
            "scorecard(later, compare=earlier); or compare=data.before('2025-06-01'), the state of then."
        )
    short, long = sorted((_days(now), _days(then)))
    if short >= (1 - _ALIKE) * long:
        return ()
    warnings.warn(
        f"scorecard: the data is {_days(now):,.0f} days long and compare= {_days(then):,.0f}: measures that grow with "
        f"the length have no trend ({', '.join(GROWING)}). Take periods of equal length: {_LINE}.",
        DataWarning,
        stacklevel=4,
    )
    return GROWING


def _span(data: Dataset) -> tuple[int, int] | None:
    """Return when the first thing happened and when everything ends, in microseconds; None where nothing did."""
    starts = []
    if data.events is not None and len(data.events):
        starts.append(int(data.events.start_us))
    if data.messages is not None and len(data.messages):
        starts.append(int(data.messages.sent_at[0]))
    return (min(starts), int(data.end_us)) if starts else None


def _days(span: tuple[int, int]) -> float:
    return (span[1] - span[0]) / DAY_US


def _same_people(data: Dataset, compare: Dataset) -> None:
    """Refuse data about other people, and warn where few are in both: a change would be one of who is counted."""
    here, there = _active(data), _active(compare)
    if not len(here) or not len(there):
        return
    with warnings.catch_warnings():  # what is said of ids below says more
        warnings.simplefilter("ignore", DataWarning)
        both = int((match(here, there, ("data", "compare=")) != NONE).sum())
    if not both:
        raise ParameterError(
            f"scorecard: of {count_of(len(there), 'person', 'people')} in compare= none is in the data. Compare "
            "earlier data of the same people, with ids of one kind: compare=data.before('2025-06-01')."
        )
    fewest = min(len(here), len(there))
    if both < _COMMON * fewest:
        warnings.warn(
            f"scorecard: only {both / fewest:.0%} of the people on the smaller side are in both the data and compare=, "
            "so a change may be one of who is counted. Compare segments (segments=), or longer periods.",
            DataWarning,
            stacklevel=4,
        )


def _active(data: Dataset) -> Vocabulary:
    """Return who did or got anything."""
    found = [(log.users, np.unique(log.user)) for log in (data.events, data.messages) if log is not None and len(log)]
    if not found:
        return Vocabulary(np.empty(0, np.int64))
    ids = np.concatenate([users.ids[codes] for users, codes in found])
    return Vocabulary.from_ids(np.unique(ids))
