"""Switchbacks: messages on and off by blocks of time, where people share what is limited."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_array,
    check_duration,
    check_instant,
    check_instants,
    check_integer,
    check_known,
    check_number,
    count_of,
)
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, flags
from omnireco._core.random import stream
from omnireco._core.small import INSTANT, Number, Whole
from omnireco._core.units import HOUR_US
from omnireco._kernels.log.order import distinct
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Frame
from omnireco.errors import DataWarning, EmptyError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Switchback", "SwitchbackReport", "switchback"]

_MOST_BLOCKS = 100_000
_LEAST_PAIRS = 5
_CLEAR = 0.98  # 99 % on the one side that carry-over lies on
_COLUMNS = ("outcome", "on", "off", "effect", "low", "high", "carried", "carried_low", "carried_high", "early", "late")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SwitchbackReport:
    """What messages being on earned per hour; made by `Switchback.report`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``outcome on off effect low high carried carried_low carried_high early late``: means per hour with messages on
        and off, and the difference with its interval. ``carried``: what the state of the block before still adds,
        with its interval; ``early late``: the effect in the first and in the second half of the counted time. All three
        tell of effects that last longer than the washout. A row per outcome.
    pairs : int
        Pairs of blocks that were compared.
    left_out : int
        Blocks without a partner inside the data.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    table: pd.DataFrame
    pairs: int
    left_out: int
    confidence: float

    parts: ClassVar[Parts] = {
        "table": Frame(
            ("outcome",),
            ("on", "off", "effect", "low", "high", "carried", "carried_low", "carried_high", "early", "late"),
        ),
        "pairs": Whole(),
        "left_out": Whole(),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        row = self.table.iloc[0]
        return (
            f"SwitchbackReport({count_of(self.pairs, 'pair')} of blocks, {row['effect']:+.4g} ({row['low']:+.4g} to "
            f"{row['high']:+.4g}) {row['outcome']} per hour)"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Switchback:
    """Blocks of time in which messages are on or off, drawn in pairs; made by :func:`switchback`.

    Attributes
    ----------
    on : ndarray of shape (n_blocks,), bool
        Whether messages are on in each block, in order of time.
    start_us : int
        Start of the first block, UTC microseconds.
    length_us, washout_us : int
        Length of a block, and of the time at its start that is not counted: what went before still works.
    """

    on: np.ndarray
    start_us: int
    length_us: int
    washout_us: int

    parts: ClassVar[Parts] = {
        "on": flags("blocks"),
        "start_us": INSTANT,
        "length_us": Whole(1),
        "washout_us": Whole(),
    }

    def __post_init__(self) -> None:
        declare(self)

    def __repr__(self) -> str:
        return (
            f"Switchback({count_of(self.on.size, 'block')} of {self.length_us / HOUR_US:g} hours, the first "
            f"{self.washout_us / HOUR_US:g} of each not counted)"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return ``start_at counted_from end_at on propensity``: when messages are on, a row per block."""
        import pandas as pd

        start = self.start_us + np.arange(self.on.size) * self.length_us
        return pd.DataFrame(
            {
                "start_at": instants_to_pandas(start),
                "counted_from": instants_to_pandas(start + self.washout_us),
                "end_at": instants_to_pandas(start + self.length_us),
                "on": self.on,
                "propensity": np.full(self.on.size, 0.5),
            }
        )

    def is_on(self, at: Any) -> np.ndarray:
        """Return whether messages are on at some instants, bool (n,).

        Parameters
        ----------
        at : array-like of instants
            UTC microseconds (int64), or a datetime, date or str.

        Raises
        ------
        ParameterError
            When one lies outside the blocks.
        """
        single = not hasattr(at, "dtype") and not isinstance(at, (list, tuple))
        when = np.array([check_instant(at, "at")]) if single else check_instants(check_array(at, "at"), "at")
        block = (when - self.start_us) // self.length_us
        if ((block < 0) | (block >= self.on.size)).any():
            raise ParameterError(
                f"at: {int(((block < 0) | (block >= self.on.size)).sum()):,} instants lie outside the blocks of this "
                "switchback. Draw a longer one: om.causal.switchback(start, end, every='6h')."
            )
        return np.asarray(self.on[block])

    @says_the_line("om.causal.switchback('2025-02-01', '2025-04-01').report(data, completes='purchase')")
    def report(
        self, data: Any, *, completes: str = "purchase", confidence: float = 0.95, k: int = 5
    ) -> SwitchbackReport:
        """Compare blocks with messages on and off.

        Parameters
        ----------
        data : Dataset, EventLog or frame of events
            The events of everybody while the blocks lasted.
        completes : str
            The event that is counted.
        confidence : float
            Confidence of the intervals, between 0 and 1, such as 0.95.
        k : int
            Events of fewer people are refused.

        Returns
        -------
        SwitchbackReport

        Raises
        ------
        ParameterError
            When the event is unknown.
        EmptyError
            When fewer than five pairs of blocks lie inside the data: no interval is honest then. When the events are
            of fewer than ``k`` people.

        Warns
        -----
        DataWarning
            When what was sent in one block still works in the counted time of the next: draw longer washouts.

        Notes
        -----
        Each pair of neighbouring blocks has one with messages on and one without, in an order drawn by lot; the mean
        of their differences has Student's interval over pairs. A trend over days cancels, the hour of the day by the
        lot. An effect that lasts longer than the washout leaks into the other block and is understated. It is looked
        for in two ways: pairs that begin as the block before ended have a larger difference than pairs that begin with
        a switch, by what is carried over; and the difference grows from the first half of the counted time to the
        second. Either beyond 99 % (of Student's t; both looked at, so in one of 50 tests by chance) is warned of. A
        weak effect can be carried over unnoticed: its whole interval is then wide.

        References
        ----------
        Bojinov, Simchi-Levi and Zhao (2023), Design and analysis of switchback experiments, Management Science 69.
        """
        import pandas as pd

        log = dataset_of(data, "Switchback.report", ("events",)).part("events", "Switchback.report")
        require_events(log, "Switchback.report")
        confidence = check_number(confidence, "confidence", above=0.0, high=0.9999)
        n = self.on.size // 2 * 2
        start = self.start_us + np.arange(n) * self.length_us
        inside = (start >= log.start_us) & (start + self.length_us <= log.end_us)
        pairs = inside.reshape(-1, 2).all(axis=1)
        halves = self._sums(log, completes, check_integer(k, "k", low=1))
        if pairs.sum() < _LEAST_PAIRS:
            raise EmptyError(
                f"Switchback.report: {int(pairs.sum())} pairs of blocks lie inside the data, and {_LEAST_PAIRS} are "
                "needed. Wait, or draw shorter blocks: om.causal.switchback(start, end, every='6h')."
            )
        rows, leaks = [], False
        hours = (self.length_us - self.washout_us) / HOUR_US
        first = self.on[:n].reshape(-1, 2)[pairs][:, 0]
        continued, known = self._continued(pairs, inside)
        for name, values in halves.items():
            both = values[:, :n].reshape(2, -1, 2)[:, pairs] / hours
            on, off = np.where(first, both[..., 0], both[..., 1]), np.where(first, both[..., 1], both[..., 0])
            early, late = 2 * (on - off)
            gap = (on - off).sum(axis=0)
            low, high = _student(gap, confidence)
            carried = _two_means(gap[known & continued], gap[known & ~continued], confidence)
            clear = _two_means(gap[known & continued], gap[known & ~continued], _CLEAR)
            leaks |= clear[1] > 0 or _student(late - early, _CLEAR)[0] > 0
            ends = (low, high, *carried, early.mean(), late.mean())
            rows.append((name, on.sum(axis=0).mean(), off.sum(axis=0).mean(), gap.mean(), *ends))
        if leaks:
            warnings.warn(
                "Switchback.report: what was sent in one block still works in the counted time of the next, so the "
                "effect is understated. Draw another with a longer washout and longer blocks: "
                "om.causal.switchback(start, end, every='1D', washout='8h').",
                DataWarning,
                stacklevel=3,
            )
        table = pd.DataFrame(rows, columns=list(_COLUMNS))
        return SwitchbackReport(table, int(pairs.sum()), int(self.on.size - 2 * pairs.sum()), confidence)

    def _continued(self, pairs: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the pairs begin as the block before them ended, and of which it is known, bool."""
        which = np.flatnonzero(pairs)
        before = np.maximum(2 * which - 1, 0)
        known = (which > 0) & inside[before]
        return self.on[2 * which] == self.on[before], known

    def _sums(self, log: EventLog, completes: str, k: int) -> dict[str, np.ndarray]:
        """Return what each block got in the first and in the second half of its counted time, (2, n_blocks)."""
        check_known([completes], log.events.ids, "Switchback.report: completes", missing=None)
        rows = np.flatnonzero(log.event == log.events.codes([completes])[0])
        since = np.take(log.at, rows) - self.start_us
        block, into = since // self.length_us, since % self.length_us - self.washout_us
        counts = (block >= 0) & (block < self.on.size) & (into >= 0)
        rows, size = rows[counts], self.on.size
        if rows.size and distinct(log.user[rows]).size < k:
            raise EmptyError(
                f"Switchback.report: fewer than k={k} people did {completes!r} in these blocks, and of so few nothing "
                "is said. Wait for more."
            )
        late = 2 * into[counts] >= self.length_us - self.washout_us
        cell = block[counts] + size * late
        found: dict[str, np.ndarray] = {"conversions": np.bincount(cell, minlength=2 * size).astype(np.float64)}
        if log.value is not None:
            found["value"] = np.bincount(cell, weights=np.nan_to_num(log.value[rows]), minlength=2 * size)
        return {name: values.reshape(2, size) for name, values in found.items()}


@says_the_line("om.causal.switchback('2025-06-01', '2025-06-29', every='6h', washout='1h', seed=7)")
def switchback(start: Any, end: Any, *, every: Any = "6h", washout: Any = "1h", seed: int = 0) -> Switchback:
    """Draw blocks of time in which messages are on or off: a test for what people share.

    Where a call centre, a stock or the tables of a restaurant are shared, people held out gain from what the others
    do not get, and a holdout says too much. Then everybody is switched together.

    Parameters
    ----------
    start, end : datetime, date or str
        Blocks lie between, pairs of them; what is left at the end is not used.
    every : str or timedelta
        Length of a block: longer than effects last, short enough for many pairs.
    washout : str or timedelta
        At the start of each block, not counted: what was sent before still works. "0h" is no duration; write
        ``washout="1us"`` for none.
    seed : int
        Of the random draws, 0 or more; the same seed gives the same result. 0 by default.

    Returns
    -------
    Switchback

    Raises
    ------
    ParameterError
        When there is no pair of blocks, more than 100,000 blocks, or the washout is not shorter than a block.

    Examples
    --------
    >>> design = switchback("2025-06-01", "2025-06-15", every="12h", washout="2h", seed=7)
    >>> design, int(design.on.sum())
    (Switchback(28 blocks of 12 hours, the first 2 of each not counted), 14)
    """
    begin, stop = check_instant(start, "start"), check_instant(end, "end")
    length, wash = check_duration(every, "every"), check_duration(washout, "washout")
    n = (stop - begin) // length // 2 * 2
    if n < 2 or n > _MOST_BLOCKS:
        raise ParameterError(
            f"switchback: every= makes {max(0, n):,} blocks between start and end, and 2 to {_MOST_BLOCKS:,} are "
            "needed. "
            "Write every='6h' and an end some weeks after the start."
        )
    if wash >= length:
        raise ParameterError("washout must be shorter than a block, every. Write every='6h', washout='1h'.")
    first = stream(check_integer(seed, "seed", low=0), "causal/switchback").random(n // 2) < 0.5
    return Switchback(np.stack([first, ~first], axis=1).ravel(), begin, length, wash)


def _student(values: np.ndarray, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    half = stdtrit(values.size - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(values.size)
    return float(values.mean() - half), float(values.mean() + half)


def _two_means(a: np.ndarray, b: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Return the difference of two means with Welch's interval; NaN where one has fewer than two values."""
    from scipy.special import stdtrit

    if min(a.size, b.size) < 2:
        return float("nan"), float("nan"), float("nan")
    parts = [one.var(ddof=1) / one.size for one in (a, b)]
    variance = sum(parts)
    freedom = variance**2 / max(sum(e**2 / (x.size - 1) for e, x in zip(parts, (a, b), strict=True)), 1e-300)
    half = float(stdtrit(max(freedom, 1.0), (1 + confidence) / 2) * np.sqrt(variance))
    mean = float(a.mean() - b.mean())
    return mean, mean - half, mean + half
