"""What contact on one channel does to conversions on every channel, where contacts were drawn by lot."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_choice,
    check_duration,
    check_integer,
    check_known,
    check_number,
    check_one_or_more,
    count_of,
    name_rows,
)
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts
from omnireco._core.small import Number, Whole
from omnireco._kernels.log.order import distinct
from omnireco.data.dataset import dataset_of
from omnireco.data.events import EventLog, require_events
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Frame
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ContactEffects", "contact_effects"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
ALL = "(all channels)"
_FEW = 20  # conversions under which the variance of a side is not trusted
_SURE = 1e-4  # of a warning that right propensities get once in ten thousand


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ContactEffects:
    """Effects of contact on conversions, by channel of both; made by :func:`contact_effects`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``contacted converted effect low high without decisions people``: the change of conversions on ``converted``
        within the window, per decision to contact on ``contacted``, with its interval; ``without`` is their mean where
        there was no contact. The rows ``(all channels)`` are net of what is taken from other channels. NaN where fewer
        than ``k`` people are behind a side.
    unknown : int
        Decisions whose window reaches past the data: left out.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    """

    table: pd.DataFrame
    unknown: int
    confidence: float

    parts: ClassVar[Parts] = {
        "table": Frame(("contacted", "converted"), ("effect", "low", "high", "without")),
        "unknown": Whole(),
        "confidence": Number(0.0, 1.0),
    }

    def __repr__(self) -> str:
        per = self.table.drop_duplicates("contacted")
        n = count_of(len(per), "channel")
        return f"ContactEffects({n} of contact, {per['decisions'].sum():,} decisions)"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    @property
    def matrix(self) -> pd.DataFrame:
        """Effects with contacted channels in rows and converted ones in columns."""
        return self.table.pivot(index="contacted", columns="converted", values="effect")


@says_the_line("om.causal.contact_effects(contacts, data, within='7D')")
def contact_effects(
    contacts: Any,
    data: Any,
    *,
    completes: str | Iterable[str] = "purchase",
    within: Any = "7D",
    measure: str = "conversions",
    confidence: float = 0.95,
    k: int = 5,
) -> ContactEffects:
    """Estimate what contact on each channel adds to, or takes from, conversions on every channel.

    Parameters
    ----------
    contacts : pandas, polars or pyarrow frame
        Decisions, those not to contact among them: ``user_id``, ``channel``, ``decided_at`` (with a time zone),
        ``contacted`` (True or False) and ``propensity`` (the probability with which ``contacted`` was True), strictly
        between 0 and 1.
    data : Dataset, EventLog or frame of events
        The events among which conversions are looked for.
    completes : str or iterable of str
        Events that are conversions.
    within : str or timedelta
        Conversions so soon after a decision count; decisions whose window ends after the data are left out.
    measure : {"conversions", "value"}
        Whether conversions are counted, or their value is summed. Conversions by default.
    confidence : float
        Confidence of the intervals, between 0 and 1, such as 0.95.
    k : int
        Cells with fewer people on a side are left out.

    Returns
    -------
    ContactEffects

    Raises
    ------
    SchemaError
        When a column is missing, a propensity is not strictly between 0 and 1, or a decision is there twice.
    EmptyError
        When no decision's window lies inside the data.

    Warns
    -----
    DataWarning
        When people were contacted more or less often than their propensities say.

    Notes
    -----
    Both sides are weighted by 1 over the probability of what happened, each normalised (Hajek); intervals are clustered
    by person. With contacts drawn by lot only the propensities are needed: nothing is assumed of who buys. Where
    windows of one person overlap, the effect is that of a decision given the later ones that follow it. Deterministic;
    O(decisions + events).

    References
    ----------
    Boruvka, Almirall, Witkiewitz and Murphy (2018), Assessing time-varying causal effect moderation in mobile health,
    JASA 113; Hajek (1971).

    Examples
    --------
    >>> import omnireco as om, numpy as np, pandas as pd
    >>> data = om.simulate(n_users=300, n_items=20, days=60, seed=1).dataset()
    >>> rng = np.random.default_rng(0)
    >>> contacts = pd.DataFrame({"user_id": data.users.ids, "channel": "email", "contacted": rng.random(300) < 0.5,
    ...                          "decided_at": pd.Timestamp("2025-02-01", tz="UTC"), "propensity": 0.5})
    >>> found = contact_effects(contacts, data)
    >>> row = found.table[found.table["converted"] == "(all channels)"].iloc[0]
    >>> bool(row["low"] < 0 < row["high"])
    True
    """
    log = dataset_of(data, "contact_effects", ("events",)).part("events", "contact_effects")
    require_events(log, "contact_effects")
    names = check_one_or_more(completes, "completes")
    check_known(names, log.events.ids, "contact_effects: completes", missing=None)
    span, k = check_duration(within, "within"), check_integer(k, "k", low=1)
    check_choice(measure, "measure", ("conversions", "value"))
    confidence = check_number(confidence, "confidence", above=0.0, high=0.9999)
    if measure == "value" and log.value is None:
        raise ParameterError("contact_effects: the events have no value. Write measure='conversions'.")
    opened = open_frame(
        contacts, "contact_effects", needed=("user_id", "channel", "decided_at", "contacted", "propensity")
    )
    users, user = opened.ids("user_id")
    channels, channel = opened.names("channel")
    at, propensity = opened.instants("decided_at"), opened.numbers("propensity")
    treated = opened.flags("contacted", missing=False)
    if (bad := treated != opened.flags("contacted", missing=True)).any():
        raise SchemaError(f"contact_effects: contacted is missing in {name_rows(bad)}. Leave out what is not known.")
    if (bad := ~((propensity > 0) & (propensity < 1))).any():
        raise SchemaError(
            f"contact_effects: propensity must lie strictly between 0 and 1; it does not in {name_rows(bad)}. "
            "Somebody who is "
            "always (or never) contacted has nobody to be compared with: leave them out."
        )
    if ALL in log.channels.ids.tolist():
        raise ParameterError(f"contact_effects: a channel is called {ALL!r}, the name of the sum of all. Rename it.")
    _check_decisions(user, channel, at, treated, propensity)
    inside = (at >= log.start_us) & (at + span <= log.end_us)
    if not inside.any():
        raise EmptyError("contact_effects: no decision's window lies inside the data. Write a shorter within, or wait.")
    y = _after(log, match(log.users, users, ("events", "contacts"))[user], at, span, names, measure)
    rows = []
    for code, name in enumerate(channels.ids):
        mine = np.flatnonzero(inside & (channel == code))
        people = distinct(user[mine]).size
        sides = [distinct(user[mine][treated[mine] == side]).size for side in (True, False)]
        for column, place in enumerate([*log.channels.ids, ALL]):
            if min(sides) < k:
                found = (np.nan,) * 4
            else:
                found = _weighted(y[mine, column], treated[mine], propensity[mine], user[mine], confidence)
            rows.append((name, place, *found, *((mine.size, people) if people >= k else (0, 0))))
    import pandas as pd

    head = ["contacted", "converted", "effect", "low", "high", "without", "decisions", "people"]
    table = pd.DataFrame(rows, columns=head).astype(dict.fromkeys(head[2:6], np.float64))
    report = ContactEffects(table, int((~inside).sum()), confidence)
    _log.info("contact_effects: %d decisions", int(inside.sum()))
    return report


def _check_decisions(
    user: np.ndarray, channel: np.ndarray, at: np.ndarray, treated: np.ndarray, propensity: np.ndarray
) -> None:
    """Refuse decisions that are there twice; warn of propensities that are not those of these decisions."""
    from scipy.special import erfc

    order = np.lexsort([at, channel, user])
    same = np.zeros(user.size, np.bool_)
    same[1:] = (np.diff(user[order]) == 0) & (np.diff(channel[order]) == 0) & (np.diff(at[order]) == 0)
    if same.any():
        twice = np.zeros(user.size, np.bool_)
        twice[order[same]] = True
        raise SchemaError(
            f"contact_effects: {name_rows(twice)} repeat a decision (one person, channel and decided_at). Keep "
            f"one of each: "
            "contacts.drop_duplicates(['user_id', 'channel', 'decided_at'])."
        )
    for code in range(int(channel.max(initial=-1)) + 1):
        mine = np.flatnonzero(channel == code)
        away = np.bincount(user[mine], treated[mine] - propensity[mine])
        lots = float((propensity[mine] * (1 - propensity[mine])).sum())
        spread = np.sqrt(max(float((away**2).sum()), lots))
        if mine.size and erfc(abs(away.sum()) / spread / np.sqrt(2)) < _SURE:
            warnings.warn(
                f"contact_effects: of {mine.size:,} decisions {int(treated[mine].sum()):,} were to contact, and "
                f"{propensity[mine].sum():,.0f} are expected from their propensities: they are of another "
                f"policy, or decisions "
                "were lost. The effects are not to be trusted.",
                DataWarning,
                stacklevel=3,
            )


def _after(log: EventLog, user: np.ndarray, at: np.ndarray, span: int, names: Any, measure: str) -> np.ndarray:
    """Return outcomes within the window after each decision, per channel and in all, (n, n_channels + 1)."""
    done = np.flatnonzero(np.isin(log.event, log.events.codes(list(names))))
    worth = np.ones(done.size) if measure == "conversions" else np.nan_to_num(log.value[done])  # type: ignore[index]
    # one order of (user, time) and sums up to each row: a window is a difference of two of them
    order = np.argsort(log.user[done], kind="stable")
    done, worth = done[order], worth[order]
    who, when, where = log.user[done].astype(np.int64), np.take(log.at, done), log.channel[done]
    ranks = distinct(np.concatenate([when, at, at + span]))
    key = who * ranks.size + np.searchsorted(ranks, when)
    begin, end = (
        np.searchsorted(key, np.maximum(user, 0).astype(np.int64) * ranks.size + np.searchsorted(ranks, edge))
        for edge in (at, at + span)
    )
    found = np.zeros((at.size, len(log.channels) + 1))
    for column in range(found.shape[1]):
        part = worth if column == len(log.channels) else worth * (where == column)
        upto = np.concatenate([[0.0], np.cumsum(part)])
        found[:, column] = np.where(user == NONE, 0.0, upto[end] - upto[begin])
    return found


def _weighted(
    y: np.ndarray, treated: np.ndarray, propensity: np.ndarray, user: np.ndarray, confidence: float
) -> tuple[float, float, float, float]:
    """Return the weighted difference, its interval clustered by person, and the mean without contact."""
    from scipy.special import stdtrit

    weight = np.where(treated, 1.0 / propensity, 1.0 / (1.0 - propensity))
    means, residual, spread, lacking = [], np.zeros(y.size), float(y.var()), 0.0
    for side in (True, False):
        rows = treated == side
        total = weight[rows].sum()
        means.append(float(weight[rows] @ y[rows] / total))
        residual[rows] = (1 if side else -1) * weight[rows] * (y[rows] - means[-1]) / total
        if int((y[rows] != 0).sum()) < min(
            _FEW, rows.sum() / 2
        ):  # a side on which hardly anybody converted looks too sure of it
            usual = spread * float((weight[rows] ** 2).sum()) / total**2
            lacking += max(0.0, usual - float((residual[rows] ** 2).sum()))
    effect = means[0] - means[1]
    if not spread:
        return effect, np.nan, np.nan, means[1]
    people, code = np.unique(user, return_inverse=True)
    m = people.size
    error = float(np.sqrt((np.bincount(code, residual, minlength=m) ** 2).sum() * m / max(1, m - 1) + lacking))
    half = float(stdtrit(max(1, m - 1), (1 + confidence) / 2)) * error
    return effect, effect - half, effect + half, means[1]
