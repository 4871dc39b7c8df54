"""Messages, reconstructed from their sends, deliveries and responses."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np

from omnireco.adapters.machines import machine_responses

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DELIVERED", "TOUCH", "deliveries"]

TOUCH = ["record", "user_id", "channel", "message", "kind", "at", "item_id", "creative_id", "agent", "flag", "name"]
DELIVERED = ("sent", "delivered")
_SAME = dt.timedelta(days=3)  # mail servers try for one to five days to deliver what was sent


def deliveries(touches: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """Return one row per message, with the first response of a person or else a bot, and unmatched responses.

    Parameters
    ----------
    touches : pandas.DataFrame
        Columns :data:`TOUCH`; ``at`` aware and known; ``kind`` is "sent", "delivered", "open", "click" or
        "unsubscribe", and ``name`` is what the source calls it.

    Returns
    -------
    (pandas.DataFrame, list of (int, str))
        Messages, and the records of answers that belong to none, with the reason.

    Notes
    -----
    Messages of one person, channel and id (or of none) are separated by their deliveries: each is a message, except
    one of another event name ("Email Sent", "Email Delivered") within three days, and one that was recorded
    twice. An answer belongs to the newest delivery before it.
    """
    import pandas as pd

    touches = touches.assign(
        thread=touches.groupby(["user_id", "channel", "message"], dropna=False, sort=False).ngroup(),
        answer=~touches["kind"].isin(DELIVERED),
    ).sort_values(["thread", "at", "answer", "record"])
    touches["number"] = _numbers(touches)
    strays = _strays(touches)
    touches = touches[touches["number"] >= 0].reset_index(drop=True)
    sent = touches.drop_duplicates("number")[["number", "user_id", "channel", "at"]].rename(columns={"at": "sent_at"})
    for name in ("item_id", "creative_id"):  # a response may know what the sending did not say
        sent = sent.merge(
            touches.dropna(subset=[name]).drop_duplicates("number")[["number", name]], how="left", on="number"
        )
    answers = touches[touches["answer"]].merge(sent[["number", "sent_at"]], how="left", on="number")
    answers["machine"] = machine_responses(
        answers["kind"],
        answers["at"],
        answers["sent_at"],
        message=answers["number"],
        user_agent=answers["agent"],
        flag=answers["flag"],
    )
    acts = answers[answers["kind"].isin(["open", "click"])]
    first = acts.sort_values(["number", "machine", "at"]).drop_duplicates("number")  # people before machines
    first = first[["number", "at", "machine"]].rename(columns={"at": "responded_at"})
    sent = sent.merge(first, how="left", on="number")
    clicks = acts[(acts["kind"] == "click") & ~acts["machine"].astype(bool)]
    for name, some in (("clicked_at", clicks), ("unsubscribed_at", answers[answers["kind"] == "unsubscribe"])):
        once = some.drop_duplicates("number")[["number", "at"]].rename(columns={"at": name})
        sent = sent.merge(once, how="left", on="number")
    for name in ("sent_at", "responded_at", "clicked_at", "unsubscribed_at"):
        sent[name] = pd.to_datetime(sent[name], utc=True)
    sent["machine"] = sent["machine"].astype("boolean")
    names = ["user_id", "channel", "sent_at", "item_id", "creative_id"]
    names += ["responded_at", "machine", "clicked_at", "unsubscribed_at"]
    return sent[names].sort_values(["sent_at", "user_id"], kind="stable").reset_index(drop=True), strays


def _numbers(touches: pd.DataFrame) -> np.ndarray:
    """Return the message of each touch in order of (thread, time), -1 for a response before its thread's first one."""
    import pandas as pd

    number, found = -1, np.full(len(touches), -1, np.int64)
    thread, began, same = -1, None, _SAME // dt.timedelta(microseconds=1) * 1000
    last: dict[Any, Any] = {}  # time of the last record of each kind of delivery of this thread
    stages: set[Any] = set()  # those of the message at hand
    stamps = touches["at"].dt.as_unit("ns").astype("int64")
    columns = (touches["thread"], stamps, touches["answer"], pd.factorize(touches["name"])[0])
    for row, (whose, at, answer, stage) in enumerate(zip(*(one.tolist() for one in columns), strict=True)):
        if whose != thread:
            thread, began, last, stages = whose, None, {}, set()
        if not answer and last.get(stage) != at:
            if began is None or stage in stages or at - began > same:
                number, began, stages = number + 1, at, set()
            stages.add(stage)
            last[stage] = at
        if began is not None:
            found[row] = number
    return found


def _strays(touches: pd.DataFrame) -> list[tuple[int, str]]:
    """Return the responses without a message, and why."""
    lost = touches[touches["number"] < 0]
    known: Any = touches["thread"][~touches["answer"]].unique()
    early = lost["thread"].isin(known)
    why = np.where(early, "response before the message was sent", "response to a message without a send")
    return list(zip(lost["record"], why.tolist(), strict=True))
