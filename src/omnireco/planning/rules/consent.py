"""Whether a person agreed, and whether a message can arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from omnireco._core.checks import check_kind, plain, shown
from omnireco.data.asking.consent import consent_since
from omnireco.data.asking.touches import Touches
from omnireco.data.audience import Audience
from omnireco.data.dataset import Dataset
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError
from omnireco.planning.rules.base import Eligibility
from omnireco.planning.rules.naming import names_of

__all__ = ["Consent", "Purpose", "Reachable"]


@dataclass(frozen=True, slots=True)
class Consent(Eligibility):
    """A person is written to only on channels they have agreed to; always in force, listed or not.

    Notes
    -----
    It combines all sources that :func:`candidates` and ``Candidates.from_frame`` are given: the audience's
    ``consent_<channel>``, ``unsubscribed_at`` of the message log, and the events of ``withdrawals=``. The newest known
    instant decides; on equal instants, and where the yes has none, the no wins:

    - A withdrawal counts whenever it was made, also after the touch would leave: what is known is kept.
    - A yes undoes an older withdrawal only with an instant, ``consent_<channel>_at`` of the audience, that is later. It
      counts from that instant on: a touch before it has no consent.
    - A withdrawal that followed a message stops the channel of that message. An event of ``withdrawals=`` stops its
      channel where the audience (or, without one, the touches) knows it, and else every channel: a click on a web page
      is ambiguous, so it closes all. Withdrawals possibly made by a bot count too.

    Consent is kept per channel. A purpose is a channel of its own, such as ``email_news``: who withdraws from ``email``
    has withdrawn from it too, and not the other way round. :class:`Purpose` asks for it beside that of the channel.

    Examples
    --------
    >>> Consent()
    Consent()
    """

    needs_audience: ClassVar[bool] = True

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches have their person's consent."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        return touches.consent


@dataclass(frozen=True, slots=True)
class Reachable(Eligibility):
    """A person is written to only where there is an address; always in force, listed or not.

    Examples
    --------
    >>> Reachable()
    Reachable()
    """

    needs_audience: ClassVar[bool] = True

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches can arrive."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        return touches.reachable


@dataclass(frozen=True, slots=True, eq=False)
class Purpose(Eligibility):
    """A message of one purpose needs consent to that purpose on its channel, beside the consent to the channel.

    Parameters
    ----------
    purpose : str
        ``"news"``: a touch on ``email`` needs the consent ``email_news`` of the audience (its column
        ``consent_email_news``).
    data : Dataset or Audience
        Who agreed to what, and who withdrew: unsubscriptions of the message log count.
    channels : str or iterable of str, optional
        Channels that need it; all by default.

    Raises
    ------
    ParameterError
        When the audience knows no consent of this purpose on any channel.

    Notes
    -----
    Fails closed: on a channel without such a column, and for somebody who is not in the audience, there is no consent.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> people = om.Audience.from_frame(pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "consent_email": True,
    ...                                               "consent_email_news": [True, False]}))
    >>> touches = om.planning.Candidates.from_frame(pd.DataFrame({"user_id": [1, 2], "item_id": "tea",
    ...     "channel": "email", "send_at": pd.Timestamp("2025-06-01 09:00", tz="UTC"), "value": 1.0}),
    ...     om.Dataset(audience=people), eligibility=[Purpose("news", people)])
    >>> touches, touches.left_out["Purpose('news')"]
    (Candidates(1 touch, 1 user, 1 item, 1 channel), 1)
    """

    needs_audience: ClassVar[bool] = True
    purpose: str
    data: Dataset | Audience = field(repr=False)
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.purpose, str) or not self.purpose:
            raise ParameterError(f"Purpose: purpose must be a name. Got {shown(self.purpose)}. Write 'news'.")
        object.__setattr__(self, "channels", names_of(self.channels, "Purpose"))
        known = [str(name) for name in self._audience().channels.ids]
        if not any(name.endswith(f"_{self.purpose}") for name in known):
            raise ParameterError(
                f"Purpose: the audience has no consent of {shown(self.purpose)}; it has "
                f"{', '.join(map(repr, known)) or 'none'}. Add a column consent_email_{plain(self.purpose, 'news')} to "
                "the frame of Audience.from_frame."
            )

    def _audience(self) -> Audience:
        if isinstance(self.data, Audience):
            return self.data
        check_kind(self.data, Dataset, "Purpose: data", "Purpose('news', om.Dataset(audience=people))")
        found: Audience = self.data.part("audience", "Purpose")
        return found

    @property
    def name(self) -> str:
        """What reports call this rule."""
        return f"Purpose({self.purpose!r})"

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches have their person's consent to the purpose."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        audience = self._audience()
        messages = None if isinstance(self.data, Audience) else self.data.messages
        names = Vocabulary.from_ids([f"{name}_{self.purpose}" for name in touches.channels.ids])
        logs = () if messages is None else (messages,)
        since = consent_since(touches.users, names, audience, logs, ())
        known = np.isin(names.ids, audience.channels.ids)
        order = names.codes([f"{name}_{self.purpose}" for name in touches.channels.ids])
        column = order[touches.channel] if len(touches) else touches.channel
        fine = (
            known[column] & (touches.send_at >= since[touches.user, column]) if len(touches) else np.empty(0, np.bool_)
        )
        return np.asarray(~touches.on(self.channels, "Purpose: channels") | fine, np.bool_)  # type: ignore[arg-type]
