"""One and the same offer over all channels: for each person, or for each segment of people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from omnireco._core.checks import check_flag, check_kind, check_known
from omnireco.data.asking.touches import Touches
from omnireco.data.vocabulary import NONE, match
from omnireco.errors import ParameterError
from omnireco.planning.offers.ledger import OfferLedger
from omnireco.planning.rows import Choices, Rows
from omnireco.planning.rules.base import Constraint, Eligibility
from omnireco.planning.rules.naming import names_of

__all__ = ["OneOffer", "Promised"]


@dataclass(frozen=True, slots=True)
class OneOffer(Constraint):
    """Everybody gets one and the same offer on every channel, at every hour of the plan; or every segment its own.

    Parameters
    ----------
    by : str, default "user_id"
        ``"user_id"``, or an attribute of the audience, such as ``"segment"``: then all of its people get the same.
    per_item : bool, default False
        Whether the offer is one for each item, instead of one for all items together.

    Raises
    ------
    ParameterError
        From :meth:`choices`, when the audience has no such attribute.

    Notes
    -----
    It holds by construction: the planner chooses an offer for each group, and touches among those that carry it.
    Touches without an offer are free. Somebody whose segment is not known has an offer of their own: what their segment
    gets cannot be known either.

    Examples
    --------
    >>> OneOffer().name, OneOffer("segment").name
    ('OneOffer', "OneOffer('segment')")
    """

    by: str = "user_id"
    per_item: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.by, str):
            raise ParameterError(f"OneOffer: by must be 'user_id' or an attribute. Got {type(self.by).__name__}.")
        check_flag(self.per_item, "OneOffer: per_item")

    @property
    def name(self) -> str:
        """What reports call this constraint."""
        each = ", per_item=True" if self.per_item else ""
        return f"OneOffer({self.by!r}{each})" if self.by != "user_id" or each else "OneOffer"

    def rows(self, touches: Touches) -> Rows:
        """Return no rows: the rule is one of choices."""
        return Rows.none()

    def choices(self, touches: Touches) -> Choices:
        """Return whose offer each touch carries, and which."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        _, offer = touches.label("offer_id")
        group = touches.user.astype(np.int64)
        if self.by != "user_id":
            if self.by not in touches.traits and len(touches):
                check_known([self.by], touches.traits, "OneOffer: by (an attribute of the audience)", missing=None)
            known, code = touches.trait(self.by)
            group = np.where(code == NONE, len(known) + group, code)
        if self.per_item:
            group = group * max(1, len(touches.items)) + touches.item
        if group.size:
            group = np.unique(group, return_inverse=True)[1].astype(np.int64)
        return Choices(np.where(offer == NONE, NONE, group), offer.astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Promised(Eligibility):
    """While a promise is in force, a person gets no other offer: what one channel said yesterday holds today.

    Parameters
    ----------
    ledger : OfferLedger
        What was promised before. Of people, or of segments.
    channels : str or iterable of str, optional
        Channels that must keep to it; all by default.

    Notes
    -----
    Touches without an offer, and of people to whom nothing is promised when they leave, are free.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"]}))
    >>> Promised(om.planning.OfferLedger.from_frame(pd.DataFrame({"user_id": [1], "offer_id": ["a"]}), offers,
    ...                                             start="2025-06-01"))
    Promised(ledger=OfferLedger(1 offer promised, to 1 user), channels=None)
    """

    ledger: OfferLedger
    channels: str | Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_kind(
            self.ledger,
            OfferLedger,
            "Promised: ledger",
            "Promised(om.planning.OfferLedger.of(plan, offers, start=...))",
        )
        object.__setattr__(self, "channels", names_of(self.channels, "Promised"))

    def mask(self, touches: Touches) -> np.ndarray:
        """Return which touches carry no offer, or the one that is promised."""
        check_kind(touches, Touches, f"{type(self).__name__}: touches", "candidates.touches")
        ledger = self.ledger
        if ledger.by != "user_id" and ledger.by not in touches.traits and len(touches):
            check_known([ledger.by], touches.traits, "Promised: segments (an attribute of the audience)", missing=None)
        whom, who = (touches.users, touches.user) if ledger.by == "user_id" else touches.trait(ledger.by)
        line = ledger.line(whom, who, touches.send_at)
        known, code = touches.label("offer_id")
        own = match(ledger.offers, known, ("the ledger", "the touches"), column="offer_id")
        same = np.append(own, np.int32(NONE))[code] == np.append(ledger.offer, np.int32(-2))[line]
        kept = (line < 0) | (code == NONE) | same
        return np.asarray(kept | ~touches.on(self.channels, "Promised: channels"), np.bool_)  # type: ignore[arg-type]
