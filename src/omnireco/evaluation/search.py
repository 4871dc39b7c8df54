"""What a search for weights tries, and how sure it must be to accept what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnireco._core.checks import check_duration, check_integer, check_mapping, check_names, check_number, shown
from omnireco._core.contract import described
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.data.events import EventLog
from omnireco.errors import ParameterError

__all__ = ["HALF_LIVES", "Search", "half_lives_of"]

HALF_LIVES = ("1min", "5min", "15min", "1h", "4h", "12h", "2D", "7D", "30D", "90D", "365D", "1095D")
_TRIED = 5


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Search:
    """What :func:`omnireco.learn_weights` tries, and when it accepts what it found.

    Parameters
    ----------
    half_lives : sequence, optional
        Half-lives to try. By default none, and the five longest of :data:`HALF_LIVES` that are no longer than the log:
        2 to 365 days of a year's log, and an hour to a week of nine days'. Shorter ones too, down to half a window:
        who is asked for the next day may need what faded in hours.
    channels : iterable of str, optional
        Which to weigh; all that occur by default, none where there is only one. An empty list searches none of them.
    events : iterable of str, or mapping of str to iterable of str, optional
        Types to weigh one by one, or groups of types that share one factor: ``{"against": ["hide", "dislike"]}``.
        All that occur, one by one, by default; an empty list searches none of them.
    slopes : sequence of float, optional
        Powers of the targets of the weights begun with: 2 makes 0, 1/2, 1 into 0, 1/4, 1, and what stands between
        counts less. By default 1/4, 1/2, 2 and 4 where there are targets between 0 and 1, else none.
    targets : iterable of str
        Types whose own target is searched, among 0, 1/4, 1/2, 3/4 and 1.
    parameters : mapping of str to sequence, optional
        The estimator's hyper-parameters to tune along, and the values to try. By default its ``unobserved_weight`` and
        ``regularization``, where it has them, at 1/4, 1/2, 2 and 4 times the present value: larger cells need
        more of both, and a gain of theirs is no gain of the weights. The start is tuned as often as what was found, and
        then tries the parameters of the found too. Empty: none.
    sweeps : int
        How often to go over all numbers.
    confidence : float
        Probability the intervals are made for, between 0 and 1.
    n_bootstrap, seed : int
        Resamples of people of the intervals, and where they come from.

    Raises
    ------
    ParameterError
        When a value is of another kind or outside its range.

    Examples
    --------
    >>> Search(events=[], half_lives=[None, "30D"])
    Search(half_lives=(None, '30D'), events=())
    """

    half_lives: Sequence[Any] | None = None
    channels: Iterable[str] | None = None
    events: Iterable[str] | Mapping[str, Iterable[str]] | None = None
    slopes: Sequence[float] | None = None
    targets: Iterable[str] = ()
    parameters: Mapping[str, Sequence[Any]] | None = None
    sweeps: int = 1
    confidence: float = 0.95
    n_bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        changed = {
            "half_lives": _listed(self.half_lives, "half_lives", "durations, such as ['7D', '30D']"),
            "channels": None if self.channels is None else check_names(self.channels, "channels"),
            "events": self._groups(),
            "slopes": _listed(self.slopes, "slopes", "numbers, such as [0.5, 2.0]"),
            "targets": check_names(self.targets, "targets"),
            "parameters": self._grid(),
        }
        for name, value in changed.items():
            object.__setattr__(self, name, value)
        for slope in self.slopes or ():
            check_number(slope, "slopes", above=0)
        check_integer(self.sweeps, "sweeps", low=1, high=100)
        check_number(self.confidence, "confidence", above=0, high=0.9999)
        check_integer(self.n_bootstrap, "n_bootstrap", low=1, high=1_000_000)
        check_integer(self.seed, "seed", low=0)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html

    @property
    def weighs(self) -> tuple[str, ...]:
        """Names of what is asked to be searched about the weights; empty where only defaults or nothing are."""
        return tuple(name for name in ("half_lives", "channels", "events", "slopes", "targets") if getattr(self, name))

    def _groups(self) -> Any:
        if isinstance(self.events, Mapping):
            return ReadOnly(
                {str(name): check_names(types, f"events[{shown(name)}]") for name, types in self.events.items()}
            )
        return None if self.events is None else check_names(self.events, "events")

    def _grid(self) -> Any:
        if self.parameters is None:
            return None
        grid = check_mapping(self.parameters, "parameters", "{'regularization': [10, 100]}")
        if wrong := [name for name, values in grid.items() if not _is_list(values)]:
            raise ParameterError(f"parameters[{shown(wrong[0])}] must be a list of values to try.")
        return ReadOnly({str(name): tuple(values) for name, values in grid.items()})


def half_lives_of(log: EventLog, window: int | None = None) -> tuple[str | None, ...]:
    """Return the half-lives to try by default: none, the longest that the log can show, and down to half a window.

    ``window`` is the length of the windows that are judged, in microseconds.
    """
    length = log.end_us - int(log.at[0]) if len(log) else 0
    within = [value for value in HALF_LIVES if check_duration(value, "half_lives") <= length]
    short = [] if window is None else [value for value in within if 2 * check_duration(value, "half_lives") >= window]
    return (None, *within[-max(_TRIED, len(short)) :])


def _listed(values: Any, name: str, what: str) -> tuple[Any, ...] | None:
    if values is None:
        return None
    if not _is_list(values):
        raise ParameterError(f"{name} must be a list of {what}. Got {shown(values)}.")
    return tuple(values)


def _is_list(values: Any) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, (str, bytes))
