"""Bot opens and bot clicks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from omnireco._core.checks import shown
from omnireco._core.units import SECOND_US
from omnireco.errors import SchemaError

__all__ = ["machine_responses"]

_AGENT = re.compile(
    r"^Mozilla/5\.0$"  # Apple Mail Privacy Protection loads every picture, and calls itself no more than this
    r"|(?<!\bcu)(?<!\btal)(?<!\bab)(?<!\bi[Rr]o)bot\b|crawler\b|spider\b"  # Cubot, Talbot and the like are people
    r"|HeadlessChrome|python-requests|curl/|Go-http-client|libwww"
    r"|Barracuda|Proofpoint|Mimecast|SafeLinks|MessageLabs|FireEye|Sophos|Cisco.?IronPort",
    re.IGNORECASE,
)
_TELEPHONE = re.compile(r"\((?![^()]*compatible)[^()]*\bAndroid\b[^()]*\)", re.IGNORECASE)  # where its maker stands


def machine_responses(
    kind: Any,
    at: Any,
    sent_at: Any,
    *,
    message: Any = None,
    user_agent: Any = None,
    flag: Any = None,
) -> np.ndarray:
    """Return which opens and clicks are bot opens and bot clicks, by transparent rules.

    A response is a machine's when any of these holds:

    1. the provider flags it (``flag``);
    2. its user agent is Apple's privacy proxy (which sends exactly ``Mozilla/5.0``), a security scanner, or a crawler:
       a word that ends in bot, crawler or spider and is not the name of an Android telephone;
    3. it came less than one second after sending: nobody reads that fast;
    4. it is one of three or more clicks on one message within two seconds: a scanner follows every link.

    Gmail's picture proxy is *not* a machine here: it fetches a picture when the person opens the mail, and hides only
    where they are. Unsubscriptions are never a machine's by rules 3 and 4: a no that is overheard costs the most.

    Parameters
    ----------
    kind : array-like of str, shape (n,)
        "open", "click" or "unsubscribe".
    at, sent_at : array-like of times, shape (n,)
        Aware times of the response and of its message.
    message : array-like of int, shape (n,), optional
        Which message each response belongs to, for rule 4.
    user_agent, flag : array-like, shape (n,), optional
        Texts and booleans; missing where not known.

    Returns
    -------
    ndarray of shape (n,), bool

    Notes
    -----
    Rules are sure of little: a proxy that does not call itself one passes them. Treat what is left as a share, not as a
    truth.

    Examples
    --------
    >>> import pandas as pd
    >>> sent = pd.to_datetime(["2025-05-01 09:00:00Z"] * 3)
    >>> machine_responses(["open", "open", "open"], sent + pd.to_timedelta([0.4, 60, 60], unit="s"), sent,
    ...                   user_agent=[None, "Mozilla/5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)"]).tolist()
    [True, True, False]
    """
    import pandas as pd

    kinds = _column(kind, "kind", None)
    micro, sent_us = (_microseconds(times, name, len(kinds)) for times, name in ((at, "at"), (sent_at, "sent_at")))
    act = kinds.isin(["open", "click"]).to_numpy()
    machine = act & (micro - sent_us < SECOND_US)
    if user_agent is not None:
        agents = _column(user_agent, "user_agent", len(kinds))
        known = [agent for agent in agents if isinstance(agent, str)]
        bots = {agent for agent in set(known) if _AGENT.search(_TELEPHONE.sub("", agent).strip())}
        machine |= agents.isin(bots).to_numpy()
    if flag is not None:
        flags = _column(flag, "flag", len(kinds))
        machine |= flags.map(str).isin(["True", "1", "1.0", "true", "TRUE"]).to_numpy()
    if message is not None:
        machine |= _bursts(
            pd.factorize(_column(message, "message", len(kinds)).map(str))[0], micro, (kinds == "click").to_numpy()
        )
    return machine


def _column(values: Any, name: str, n: int | None) -> Any:
    import pandas as pd

    array = [None] if values is None else values
    if isinstance(array, (str, bytes)) or not isinstance(array, Iterable) or getattr(array, "ndim", 1) != 1:
        raise SchemaError(f"machine_responses: {name} must be a column, one value per event. Got {shown(values)}.")
    found = pd.Series(list(array), dtype=object)
    if n is not None and len(found) != n:
        raise SchemaError(f"machine_responses: {name} has {len(found):,} values for {n:,} events. Give one per event.")
    return found


def _microseconds(times: Any, name: str, n: int) -> np.ndarray:
    import pandas as pd

    whole = isinstance(times, pd.Series) and isinstance(times.dtype, pd.DatetimeTZDtype) and len(times) == n
    if whole and not times.hasnans:
        return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    column = _column(times, name, n)
    try:
        if column.map(lambda one: isinstance(one, (int, float)) and one == one).any():
            raise TypeError("numbers have no unit")
        since = pd.Series(pd.to_datetime(column, utc=True)) - pd.Timestamp(0, tz="UTC")
        return (since // pd.Timedelta(microseconds=1)).to_numpy(np.int64)
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        raise SchemaError(
            f"machine_responses: {name} must hold a time per event. Convert it: pd.to_datetime(column, utc=True)."
        ) from None


def _bursts(message: np.ndarray, at: np.ndarray, click: np.ndarray, *, few: int = 3) -> np.ndarray:
    """Return the clicks that are among ``few`` of one message within two seconds."""
    rows = np.flatnonzero(click)
    rows = rows[np.lexsort([at[rows], message[rows]])]
    burst = np.zeros(click.size, np.bool_)
    span = few - 1
    if rows.size > span:
        whose, when = message[rows], at[rows]
        start = np.flatnonzero((whose[span:] == whose[:-span]) & (when[span:] - when[:-span] <= 2 * SECOND_US))
        for step in range(few):
            burst[rows[start + step]] = True
    return burst
