"""REES46 "direct messaging": the public log of what a shop sent over two years, and what came back."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco._core.checks import shown
from omnireco.adapters.columns.csv import read_texts
from omnireco.adapters.columns.fields import ids_of, instants_of, texts_of
from omnireco.adapters.machines import machine_responses
from omnireco.adapters.people import CONSENT, REACHABLE, Fact, merged
from omnireco.adapters.records import Adapted
from omnireco.adapters.values import as_id, as_person, instants
from omnireco.data.clock import is_zone
from omnireco.errors import ParameterError, SchemaError, StorageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rees46_messages"]

_ANSWERS = {
    "opened_first_time_at": "is_opened",
    "clicked_first_time_at": "is_clicked",
    "unsubscribed_at": "is_unsubscribed",
    "complained_at": "is_complained",
    "purchased_at": "is_purchased",
}
_LOST = {"hard_bounced_at": "is_hard_bounced", "soft_bounced_at": "is_soft_bounced", "blocked_at": "is_blocked"}
_NEEDED = ("client_id", "channel", "sent_at", *_ANSWERS)
_OTHERS = ("id", "user_id", "campaign_id", "message_type", *_LOST, *_ANSWERS.values(), *_LOST.values())
_MANY = 10_000  # rows, from which columns pay for the loading of pyarrow
_TRUE = frozenset(["t", "true", "1", "1.0", "yes"])


def rees46_messages(records: Any, *, timezone: str) -> Adapted:
    """Read the messages of REES46's "direct messaging" data: the one public log with send, open, click and purchase.

    Parameters
    ----------
    records : path, frame or list of dict
        ``messages.csv`` (packed or not), or its rows.
    timezone : str
        The zone of the clock that wrote the times: the file does not say. ``"UTC"`` is usual for a database; compare
        the hours of sending with the shop's day before you trust it.

    Returns
    -------
    Adapted
        A person is ``user_id`` where the file has it, else ``client_id`` (a person on a device); links join the two.
        One message per row that was delivered; what bounced or was blocked is ignored. Its creative is the campaign,
        with its ``message_type``, since the number alone is not unique. ``responded_at`` is the first open or click
        that came a second or more after sending, else a machine's. A complaint and an unsubscription withdraw the
        consent of the channel; a hard bounce makes unreachable. Purchases become events about no item, one per person
        and instant, since several messages claim the same one.

    Raises
    ------
    ParameterError
        When ``timezone`` is no IANA zone.
    SchemaError, StorageError
        When a column is missing, or the file cannot be read.

    Notes
    -----
    Kaggle, "Direct Messaging" by REES46 (M. Kechinov, 2023). Read column by column: about 3 CPU seconds per million
    rows. A row that says that it was answered without a time is invalid. An hour that the
    clock shows twice, or never, is no time.

    Examples
    --------
    >>> from omnireco import adapters
    >>> row = {"client_id": "7", "channel": "email", "sent_at": "2021-05-01 08:00:00",
    ...        "opened_first_time_at": "2021-05-01 09:10:00", "clicked_first_time_at": None, "unsubscribed_at": None,
    ...        "complained_at": None, "purchased_at": None}
    >>> adapters.rees46_messages([row], timezone="UTC").messages["responded_at"].tolist()
    [Timestamp('2021-05-01 09:10:00+0000', tz='UTC')]
    """
    if not isinstance(timezone, str) or not is_zone(timezone):
        raise ParameterError(f"timezone must be an IANA zone such as 'UTC' or 'Europe/Moscow'. Got {shown(timezone)}.")
    frame = _read(records)
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise SchemaError(
            f"adapters.rees46_messages: no column {missing}. Rename yours: frame.rename(columns={{...}})."
        )
    return _adapted(frame.reset_index(drop=True), timezone)


def _read(records: Any) -> pd.DataFrame:
    import narwhals as nw
    import pandas as pd

    if isinstance(records, (str, os.PathLike)):
        path = Path(records)
        wanted = {*_NEEDED, *_OTHERS}
        if (frame := read_texts(path, wanted)) is not None:
            return frame
        try:
            return pd.read_csv(path, dtype=str, usecols=lambda name: name in wanted, encoding="utf-8-sig")
        except (OSError, ValueError, EOFError) as error:  # a parser's error is a ValueError
            raise StorageError(f"adapters.rees46_messages: cannot read {path.name!r}: {error}") from error
    if hasattr(records, "columns"):
        found = nw.from_native(records, eager_only=True).to_pandas()
    elif isinstance(records, (list, tuple)) and all(isinstance(one, dict) for one in records):
        found = pd.DataFrame.from_records(list(records), columns=None if records else list(_NEEDED))
    else:
        kind = type(records).__name__
        raise SchemaError(f"adapters.rees46_messages takes a path of CSV, a frame or a list of dicts. Got {kind}.")
    if found.columns.has_duplicates:
        raise SchemaError("adapters.rees46_messages: the frame has two columns of one name. Name each once.")
    return found


def _adapted(frame: pd.DataFrame, timezone: str) -> Adapted:
    import pandas as pd

    n = len(frame)
    at = {name: _instants(frame[name], timezone) for name in ("sent_at", *_ANSWERS, *_LOST) if name in frame}
    client, own = (_ids(frame.get(name), n, read=as_person) for name in ("client_id", "user_id"))
    user = own.where(own.notna(), client)
    channel = _ids(frame["channel"]).str.lower()
    kind = _ids(frame.get("message_type"), n)
    untimed = np.zeros(n, np.bool_)
    for name, flag in _ANSWERS.items():
        untimed |= (_yes(frame.get(flag), n) | _stated(frame[name])) & at[name].isna().to_numpy()
    lost = np.zeros(n, np.bool_)
    for name, flag in _LOST.items():
        lost |= _yes(frame.get(flag), n) | (at[name].notna().to_numpy() if name in at else False)
    repeated = (
        frame["id"].duplicated().to_numpy() & frame["id"].notna().to_numpy() if "id" in frame else untimed & False
    )
    why = np.select(
        [
            user.isna().to_numpy(),
            channel.isna().to_numpy(),
            at["sent_at"].isna().to_numpy(),
            untimed,
            repeated,
            lost,
        ],
        ["no user id", "no channel", "no time of sending", "an answer without a time", "repeats a record", "lost"],
        "",
    )
    kept = why == ""
    messages = _messages(user, channel, _creative(frame, kind, n), at, kept)
    usable = kept | (why == "lost")
    users, _ = merged(_facts(user, channel, at, usable))
    bought = pd.DataFrame({"user_id": user, "timestamp": at["purchased_at"]})[kept]
    bought = bought[bought["timestamp"].notna()].drop_duplicates().reset_index(drop=True)
    events = pd.DataFrame(
        {
            "user_id": bought["user_id"],
            "item_id": pd.Series([None] * len(bought), dtype=object),
            "channel": "unknown",
            "event": "purchase",
            "timestamp": bought["timestamp"],
        }
    )
    both = pd.DataFrame({"id_a": client, "kind_a": "client", "id_b": own, "kind_b": "user", "linked_at": at["sent_at"]})
    both = both[usable & client.notna().to_numpy() & own.notna().to_numpy()]
    links = both.sort_values("linked_at", kind="stable").drop_duplicates(["id_a", "id_b"]).reset_index(drop=True)
    return Adapted(events, messages, users, links, _counts(kind, why), n)


def _messages(
    user: pd.Series, channel: pd.Series, creative: pd.Series, at: dict[str, pd.Series], kept: np.ndarray
) -> pd.DataFrame:
    import pandas as pd

    sent, opened, clicked = (at[name][kept] for name in ("sent_at", "opened_first_time_at", "clicked_first_time_at"))
    swift = {}
    for kind, when in (("open", opened), ("click", clicked)):
        rows = when.notna().to_numpy()
        fast = np.zeros(len(when), np.bool_)
        fast[rows] = machine_responses([kind] * int(rows.sum()), when[rows], sent[rows])
        swift[kind] = fast
    person = pd.concat([opened.where(~swift["open"]), clicked.where(~swift["click"])], axis=1).min(axis=1)
    machine = pd.concat([opened, clicked], axis=1).min(axis=1)
    responded = person.where(person.notna(), machine)
    gone = pd.concat([at["unsubscribed_at"][kept], at["complained_at"][kept]], axis=1).min(axis=1)
    table = pd.DataFrame(
        {
            "user_id": user[kept],
            "channel": channel[kept],
            "sent_at": sent,
            "item_id": pd.Series(None, index=sent.index, dtype=object),
            "creative_id": creative[kept],
            "responded_at": pd.to_datetime(responded, utc=True),
            "machine": (person.isna() & machine.notna()).astype("boolean").where(machine.notna()),
            "clicked_at": pd.to_datetime(clicked.where(~swift["click"]), utc=True),
            "unsubscribed_at": pd.to_datetime(gone, utc=True),
        }
    )
    return table.sort_values(["sent_at", "user_id"], kind="stable").reset_index(drop=True)


def _facts(user: pd.Series, channel: pd.Series, at: dict[str, pd.Series], usable: np.ndarray) -> list[Fact]:
    """Return who withdrew a consent, and whose address or device is gone, with the instant."""
    facts = []
    for name, form in (("unsubscribed_at", "*"), ("complained_at", "*"), ("hard_bounced_at", "")):
        if name not in at:
            continue
        rows = np.flatnonzero(usable & at[name].notna().to_numpy())
        for row, who, where, when in zip(rows, user.iloc[rows], channel.iloc[rows], at[name].iloc[rows], strict=True):
            what = f"{CONSENT}{where}{form}" if form else f"{REACHABLE}{where}"
            facts.append(Fact(int(row), who, what, when, False))
    return facts


def _counts(kind: pd.Series, why: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    says = {
        "": ("message", ""),
        "lost": ("ignored", "was never delivered"),
        "repeats a record": ("ignored", "repeats a record"),
    }
    names = kind.where(kind.notna(), "(no type)")
    found = Counter(zip(names, why.tolist(), strict=True))
    rows = sorted((name, *says.get(reason, ("invalid", reason)), count) for (name, reason), count in found.items())
    return pd.DataFrame(rows, columns=["record", "became", "why", "records"])


def _creative(frame: pd.DataFrame, kind: pd.Series, n: int) -> pd.Series:
    campaign = _ids(frame.get("campaign_id"), n)
    return (kind.where(kind.notna(), "campaign") + "/" + campaign).where(campaign.notna(), None)


def _ids(column: Any, n: int = 0, *, read: Any = as_id) -> pd.Series:
    """Return ids as texts by a rule of all readers, each distinct one read once; None where there is none."""
    import pandas as pd

    if column is None:
        return pd.Series([None] * n, dtype=object)
    code, distinct = pd.factorize(column)
    if distinct.size > _MANY and (texts := texts_of(distinct)) is not None:
        found = ids_of(texts, people=read is as_person).to_pylist()
    else:
        found = [read(one) for one in distinct.tolist()]
    names = np.array([*found, None], dtype=object)
    return pd.Series(names[code], index=column.index, dtype=object)


def _instants(column: Any, timezone: str) -> pd.Series:
    """Return naive times of a zone as instants; NaT where one cannot be read, or the clock shows it twice or never."""
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC")
    read = _naive(column).set_axis(column.index).dt.tz_localize(None)
    local = read.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT")
    return local.dt.tz_convert("UTC")


def _naive(column: Any) -> pd.Series:
    if len(column) > _MANY and (texts := texts_of(column)) is not None:
        return instants_of(texts)
    return instants(column.astype(object).where(column.notna(), None).tolist(), naive=True)


def _stated(column: Any) -> np.ndarray:
    return (column.notna() & (column.astype(str).str.strip() != "")).to_numpy()


def _yes(column: Any, n: int) -> np.ndarray:
    if column is None:
        return np.zeros(n, np.bool_)
    return column.astype(str).str.strip().str.lower().isin(_TRUE).to_numpy()
