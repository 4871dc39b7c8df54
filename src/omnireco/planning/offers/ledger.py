"""What was promised to whom: one offer, price and expiry, from which every channel renders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import (
    check_array,
    check_instant,
    check_kind,
    check_known,
    check_window,
    count_of,
    from_microseconds,
)
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import NEVER, Parts, coded, declare, instants, numbers
from omnireco._core.small import Text
from omnireco.data.asking.touches import Touches
from omnireco.data.audience import Audience
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, match, unite
from omnireco.errors import ParameterError
from omnireco.planning.offers.book import Offers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OfferLedger"]

_OPEN = int(np.iinfo(np.int64).max)


class Planned(Protocol):
    """A plan: its touches, and why each is not sent (0: it is)."""

    @property
    def touches(self) -> Any:
        """The candidates."""

    @property
    def reason(self) -> np.ndarray:
        """0 for a touch that is sent."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OfferLedger:
    """One offer, price and expiry for each person, or each segment, that every channel renders from.

    The plan decides who gets which offer; the ledger holds it, so that the e-mail, the app, the web page, the branch
    and the call centre read the same line. It is only ever added to, and refuses a second offer while the first is in
    force.

    Parameters
    ----------
    by : str
        ``"user_id"``, or the attribute of the audience that names segments.
    whom, offers : Vocabulary
        People (or segments), and offers.
    who, offer : ndarray of shape (n,), int32
        In the order (who, valid_from).
    price : ndarray of shape (n,), float64
        NaN where the offer names none.
    valid_from, valid_until : ndarray of shape (n,), int64
        In force in [from, until), UTC microseconds; the least int64 where ``until`` is open.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"], "price": [9.0, 8.0]}))
    >>> ledger = OfferLedger.from_frame(pd.DataFrame({"user_id": [1, 2], "offer_id": ["a", "b"]}), offers,
    ...                                 start="2025-06-01", until="2025-07-01")
    >>> ledger
    OfferLedger(2 offers promised, to 2 users)
    >>> ledger.render([2, 1, 3], at="2025-06-10")["price"].tolist()
    [8.0, 9.0, nan]
    """

    by: str
    whom: Vocabulary
    offers: Vocabulary
    who: np.ndarray
    offer: np.ndarray
    price: np.ndarray
    valid_from: np.ndarray
    valid_until: np.ndarray

    parts: ClassVar[Parts] = {
        "by": Text(),
        "whom": Ids(people=True),
        "offers": Ids(),
        "who": coded("whom", "n"),
        "offer": coded("offers", "n"),
        "price": numbers("n", missing=True),
        "valid_from": instants("n"),
        "valid_until": instants("n", never=True),
    }

    def __post_init__(self) -> None:
        declare(self)
        check_window(self.valid_from, self.valid_until, NEVER, "OfferLedger")
        _check_one_at_a_time(self)

    @classmethod
    def of(cls, plan: Planned, offers: Offers, *, start: Any, until: Any = None, by: str = "user_id") -> OfferLedger:
        """Return what a plan promises: the offer of each person, or segment, that it writes to.

        Parameters
        ----------
        plan : Plan
            Of touches with offers, planned under :class:`OneOffer`.
        offers : Offers
            The offers that the ledger may name.
        start, until : datetime, date or str
            The period; an offer that ends before it ends with its own ``valid_until``.
        by : str, default "user_id"
            Or an attribute of the audience: segments with an offer of their own each.

        Raises
        ------
        ParameterError
            When the plan sends two offers to one person or segment, its touches carry no offers, or the offers are
            others. A plan that sends nothing promises nothing.
        """
        check_kind(offers, Offers, "OfferLedger.of: offers", "om.planning.Offers.from_frame(frame)")
        touches: Any = getattr(getattr(plan, "touches", None), "touches", None)
        check_kind(touches, Touches, "OfferLedger.of: plan", "OfferLedger.of(om.plan(...), offers, start='2025-06-01')")
        known, code = touches.label("offer_id")
        sent = np.flatnonzero((plan.reason == 0) & (code != NONE))
        if not sent.size and ("offer_id" not in touches.labels or (plan.reason == 0).any()):
            raise ParameterError(
                "OfferLedger.of: no touch of this plan carries an offer. Make them: touches.with_offers(offers), then "
                "om.plan(touches, constraints=[om.planning.OneOffer()])."
            )
        if _check_by(by) != "user_id":
            check_known([by], touches.traits, "OfferLedger.of: by (an attribute of the audience)", missing=None)
        whom, who = (touches.users, touches.user) if by == "user_id" else touches.trait(by)
        sent = sent[who[sent] != NONE]
        pairs = np.unique(np.column_stack([who[sent], code[sent]]), axis=0)
        if twice := pairs.shape[0] - np.unique(pairs[:, 0]).size:
            raise ParameterError(
                f"OfferLedger.of: {count_of(twice, 'more offer')} than one for each would be promised. Plan under "
                f"om.planning.OneOffer({'' if by == 'user_id' else repr(by)})."
            )
        own = match(offers.offers, known, ("the offers", "the plan"), column="offer_id")[pairs[:, 1]]
        if (own == NONE).any():
            raise ParameterError(
                "OfferLedger.of: these offers do not have all that the plan sends. Give those it was made of."
            )
        return cls._made(by, whom, pairs[:, 0], offers, own, start, until)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        offers: Offers,
        *,
        start: Any,
        until: Any = None,
        by: str = "user_id",
        columns: Mapping[str, str] | None = None,
    ) -> OfferLedger:
        """Read who is promised what.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            A column called as ``by``, and ``offer_id``: one row each.
        offers : Offers
            The offers that the ledger may name.
        start, until : datetime, date or str
            The period.
        by : str
            ``"user_id"``, or the attribute of the audience that names segments.
        columns : mapping of str to str, optional
            Our name to yours.

        Raises
        ------
        SchemaError
            When a person or segment is listed with two offers.
        ParameterError
            When an offer is none of these.
        """
        from omnireco.data.frames.columns import open_frame

        check_kind(offers, Offers, "OfferLedger.from_frame: offers", "om.planning.Offers.from_frame(frame)")
        opened = open_frame(frame, "OfferLedger.from_frame", needed=(_check_by(by), "offer_id"), columns=columns)
        whom, who = opened.ids(by)
        known, code = opened.ids("offer_id")
        own = match(offers.offers, known, ("the offers", "the frame"), column="offer_id")
        if (own == NONE).any():
            raise ParameterError(
                f"OfferLedger.from_frame: {count_of(int((own == NONE).sum()), 'offer')} of the frame are not among the "
                "offers. Add them: om.planning.Offers.from_frame(frame)."
            )
        pairs = np.unique(np.column_stack([who, own[code]]), axis=0)
        return cls._made(by, whom, pairs[:, 0], offers, pairs[:, 1], start, until)

    @classmethod
    def _made(
        cls, by: str, whom: Vocabulary, who: np.ndarray, offers: Offers, offer: np.ndarray, start: Any, until: Any
    ) -> OfferLedger:
        begin = check_instant(start, "start")
        end = _OPEN if until is None else check_instant(until, "until")
        if end <= begin:
            raise ParameterError(
                "OfferLedger: until must be after start. Write start='2025-06-01', until='2025-07-01'."
            )
        own_end = np.where(offers.valid_until == NEVER, _OPEN, offers.valid_until)[offer]
        own_begin = offers.valid_from[offer]
        first, last = np.maximum(own_begin, begin), np.minimum(own_end, end)
        if (lost := first >= last).any():
            raise ParameterError(
                f"OfferLedger: {count_of(int(np.unique(offer[lost]).size), 'offer')} cannot be had in this period. "
                "Choose "
                "start and until within valid_from and valid_until of the offers."
            )
        used, who = np.unique(who, return_inverse=True)
        return cls(
            by,
            whom.take(used),
            offers.offers,
            who.astype(np.int32),
            offer.astype(np.int32),
            offers.price[offer],
            first,
            np.where(last == _OPEN, NEVER, last),
        )

    def append(self, more: OfferLedger) -> OfferLedger:
        """Return the ledger with further promises; one that contradicts an offer in force is refused.

        Raises
        ------
        ParameterError
            When the two are about people and segments, or somebody has another offer in force at the same time.
        """
        check_kind(
            more,
            OfferLedger,
            "OfferLedger.append: more",
            "ledger.append(om.planning.OfferLedger.of(plan, offers, start=...))",
        )
        if more.by != self.by:
            raise ParameterError(
                f"OfferLedger.append: one is by {self.by!r} and the other by {more.by!r}. Keep two ledgers."
            )
        whom, who = unite([self.whom, more.whom], self.by)
        offers, offer = unite([self.offers, more.offers], "offer_id")
        rows = [
            np.concatenate([new[old] for new, old in zip(codes, olds, strict=True)]).astype(np.int32)
            for codes, olds in ((who, (self.who, more.who)), (offer, (self.offer, more.offer)))
        ]
        price, begin, end = (
            np.concatenate([getattr(self, name), getattr(more, name)])
            for name in ("price", "valid_from", "valid_until")
        )
        table = np.column_stack([*rows, begin, end, price.view(np.int64)])
        order = np.lexsort((table[:, 3], begin, rows[0]))
        keep = (
            order[np.concatenate([[True], (np.diff(table[order], axis=0) != 0).any(axis=1)])] if order.size else order
        )
        return OfferLedger(self.by, whom, offers, rows[0][keep], rows[1][keep], price[keep], begin[keep], end[keep])

    def line(self, whom: Vocabulary, who: np.ndarray, at_us: np.ndarray) -> np.ndarray:
        """Return the line of the ledger that is in force for each at an instant, int64; -1 for none."""
        own = np.append(match(self.whom, whom, ("the ledger", "those asked"), column=self.by), np.int32(NONE))[who]
        if not self.who.size:
            return np.full(np.shape(who), NONE, np.int64)
        times = np.unique(self.valid_from)
        wide = times.size + 1
        keys = self.who.astype(np.int64) * wide + np.searchsorted(times, self.valid_from, side="right")
        asked = own.astype(np.int64) * wide + np.searchsorted(times, at_us, side="right")
        spot = np.maximum(np.searchsorted(keys, asked, side="right") - 1, 0)
        end = self.valid_until[spot]
        fine = (own >= 0) & (self.who[spot] == own) & (self.valid_from[spot] <= at_us)
        return np.where(fine & ((end == NEVER) | (at_us < end)), spot, NONE)

    def render(self, users: Any, *, at: Any, audience: Audience | None = None) -> pd.DataFrame:
        """Return what every channel shows each of some people: ``user_id offer_id price valid_until``.

        Parameters
        ----------
        users : array-like of ids
            People whose offer is wanted.
        at : datetime, date or str
            When it is shown.
        audience : Audience, optional
            Whose attribute says the segment of each person; needed for a ledger of segments.

        Returns
        -------
        pandas.DataFrame
            In the order of ``users``; offer and price are missing where nothing is promised.
        """
        import pandas as pd

        when = check_instant(at, "at")
        ids = np.atleast_1d(check_array(users, "users"))
        known, code = Vocabulary.encode(ids, "user_id")
        whom, who = self.whose(known, code, audience)
        line = self.line(whom, who, np.full(code.size, when))
        there = line >= 0
        offer = np.full(code.size, None, object)
        offer[there] = self.offers.ids[self.offer[line[there]]]
        until = np.where(there, np.append(self.valid_until, NEVER)[line], NEVER)
        return pd.DataFrame(
            {
                "user_id": ids,
                "offer_id": offer,
                "price": np.append(self.price, np.nan)[line],
                "valid_until": instants_to_pandas(until, none=NEVER),
            }
        )

    def whose(self, users: Vocabulary, user: np.ndarray, audience: Audience | None) -> tuple[Vocabulary, np.ndarray]:
        """Return whose line each person reads: their own, or that of their segment."""
        if self.by == "user_id":
            return users, user
        if audience is None or self.by not in audience.attributes:
            raise ParameterError(
                f"OfferLedger: this ledger is by {self.by!r}, which the audience must name. Write audience=om.Audience."
                f"from_frame(frame, attributes=[{self.by!r}])."
            )
        known, code = audience.attributes[self.by]
        row = match(audience.users, users, ("the audience", "those asked"))
        return known, np.append(code, np.int32(NONE))[row][user]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every line, in whatever order they came: two channels with it read the same ledger."""
        names, offers = self.whom.ids[self.who], self.offers.ids[self.offer]
        rows = zip(names, offers, self.price.tolist(), self.valid_from.tolist(), self.valid_until.tolist(), strict=True)
        text = "\n".join(sorted(repr(tuple(map(str, row))) for row in rows))
        return hashlib.sha256(f"{self.by}\n{text}".encode()).hexdigest()

    def __len__(self) -> int:
        return int(self.who.size)

    def __repr__(self) -> str:
        noun = "user" if self.by == "user_id" else self.by
        whom = count_of(len(self.whom), noun)
        return f"OfferLedger({count_of(len(self), 'offer')} promised, to {whom})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per promise: who (``by``), ``offer_id price valid_from valid_until``."""
        import pandas as pd

        return pd.DataFrame(
            {
                self.by: self.whom.decode(self.who),
                "offer_id": self.offers.decode(self.offer),
                "price": self.price,
                "valid_from": instants_to_pandas(self.valid_from),
                "valid_until": instants_to_pandas(self.valid_until, none=NEVER),
            }
        )


def _check_one_at_a_time(ledger: OfferLedger) -> None:
    """Bring the lines into order, and refuse two that are in force for one person at the same time."""
    order = np.lexsort((ledger.valid_from, ledger.who))
    if not (order == np.arange(order.size)).all():
        for name in ("who", "offer", "price", "valid_from", "valid_until"):
            array = getattr(ledger, name)[order]
            array.setflags(write=False)
            object.__setattr__(ledger, name, array)
    same = ledger.who[1:] == ledger.who[:-1]
    end = np.where(ledger.valid_until == NEVER, _OPEN, ledger.valid_until)[:-1]
    twice = same & (ledger.valid_from[1:] < end)
    if twice.any():
        begin = from_microseconds(int(ledger.valid_from[1:][twice][0]))
        raise ParameterError(
            f"OfferLedger: {count_of(int(twice.sum()), 'promise')} would stand beside another one that is still in "
            "force "
            f"(the first from {begin:%Y-%m-%d %H:%M} UTC on). One offer at a time: let it begin when the first has "
            "ended, "
            "or promise the same again."
        )


def _check_by(by: Any) -> str:
    """Refuse what is no name of a column."""
    if not isinstance(by, str):
        raise ParameterError(f"OfferLedger: by must be 'user_id' or an attribute's name. Got {type(by).__name__}.")
    return by
