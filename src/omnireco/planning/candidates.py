"""Touches that may be sent, each with its value: the input of a plan."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, check_flag, check_kind, check_one_or_more, name_rows
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Maybe, Parts, Record, freeze, numbers, probabilities
from omnireco._core.small import Each, Plain, Table, Text, Value
from omnireco.data.asking.touches import Touches
from omnireco.data.frames.columns import decode_optional, instants_to_pandas, open_frame
from omnireco.data.messages import NEVER
from omnireco.data.parts import Labels
from omnireco.data.places.stores import Nearby
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.planning.assembling import order_of, with_sources
from omnireco.planning.expanding import Expanded, near_shops, with_columns, with_offers
from omnireco.planning.inputs import allowed, check_rules, given_data, sources_of
from omnireco.planning.joining import joined
from omnireco.planning.offers.book import Offers
from omnireco.planning.rules import Consent, Constraint, Eligibility, OncePerItem, Reachable
from omnireco.planning.sources import Sources, audience_rows
from omnireco.planning.touch_value import LABELS, NUMBERS, TouchValue, check_value, in_range, valued

if TYPE_CHECKING:
    import pandas as pd

    from omnireco.data.dataset import Dataset
    from omnireco.data.events import EventLog

__all__ = ["Candidates", "check_complete", "in_order", "touch_frame"]

MADE_OF = ("chances", "increments", "given")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidates:
    """Touches that may be sent, each with a value; the input of ``plan``.

    Parameters
    ----------
    touches : Touches
        Who, what, where, when; in the order (send_at, user, channel, item, ...), whatever the caller's was.
    value : float64 array, shape (n,)
        Value of sending each, in the caller's currency.
    probability : float64 array, shape (n,), or None
        Response probability; NaN where it is not known.
    labels : mapping of str to (Vocabulary, int32 array of shape (n,))
        ``creative_id``, ``store_id``, ``offer_id`` where given; -1 where missing.
    left_out : mapping of str to int
        How many touches each rule took away, in order of application.
    implied : tuple of Constraint
        Constraints that these touches bring along; ``plan`` adds them to those it is given.
    sources : Sources
        The audience, the logs and the rules that they were made under; :meth:`concat` applies them again.
    terms : mapping of str to float64 array of shape (n,)
        What the values are made of, where it is known: ``increment``, ``margin``, ``channel_cost``, ``reward_cost``
        (expected), ``fatigue_cost``, ``unsubscribe_cost``, and further numbers of each touch; NaN where one is not
        known.
    made_of : {"chances", "increments", "given"}
        What values are made of: the chance of a response, whoever would have come anyway; what the message adds; or
        numbers of one's own.

    Raises
    ------
    ParameterError
        When an array has not one number per touch, a value is not finite, a probability lies outside [0, 1], or a code
        outside its vocabulary.
    """

    touches: Touches
    value: np.ndarray
    probability: np.ndarray | None = None
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    implied: tuple[Constraint, ...] = ()
    sources: Sources = field(default_factory=Sources)
    made_of: str = "given"
    terms: Mapping[str, np.ndarray] = field(default_factory=dict)

    parts: ClassVar[Parts] = {
        "touches": Record(Touches),
        "value": numbers("n"),
        "probability": Maybe(probabilities("n")),
        "labels": Labels("n"),
        "left_out": Plain(Mapping[str, int]),
        "implied": Each(Value((Constraint,))),
        "sources": Record(Sources),
        "made_of": Text(MADE_OF),
        "terms": Table(numbers("n", missing=True)),
    }

    def __post_init__(self) -> None:
        check_kind(self.touches, Touches, "touches", "om.planning.Candidates.from_frame(frame)")
        _check_numbers(self.touches, self.value, self.probability)
        _check_columns(self)
        check_choice(self.made_of, "made_of", MADE_OF)
        probability = {} if self.probability is None else {"probability": self.probability}
        known = {"value": self.value, **probability, **self.terms}
        object.__setattr__(self, "terms", ReadOnly(self.terms))
        object.__setattr__(self, "touches", replace(self.touches, numbers=known, labels=dict(self.labels)))
        freeze(self)
        object.__setattr__(self, "labels", ReadOnly(self.labels))
        object.__setattr__(self, "left_out", ReadOnly(self.left_out))

    @classmethod
    @says_the_line("om.planning.Candidates.from_frame(frame, om.Dataset(messages=sent, audience=people))")
    def from_frame(
        cls,
        frame: Any,
        data: Dataset | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        eligibility: Iterable[Eligibility] = (),
        once_per_item: bool = False,
        withdrawals: str | Iterable[str] | EventLog | None = None,
        worth: TouchValue | None = None,
    ) -> Candidates:
        """Read touches with values of one's own.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id``, ``item_id``, ``channel``, ``send_at`` (with a time zone) and ``value``; optionally
            ``probability``, ``creative_id``, ``store_id``, ``offer_id``, ``kind`` and ``campaign_id``, and numbers by
            which values are made or rules count: ``increment``, ``margin``, ``channel_cost``, ``reward_cost``
            (expected), ``fatigue_cost``, ``unsubscribe_cost``, ``complaint`` (its probability) and ``points`` (what the
            reward takes from the card). With ``worth=`` the frame needs no ``value``.
        data : Dataset, optional
            With an ``audience``, consent and reachability are enforced and people who are not in it get nothing.
            Without it the rows are taken as allowed, and local times stay unknown. ``messages`` are what people had
            before: frequency caps count them, and who unsubscribed has no consent on that channel.
        columns : mapping of str to str, optional
            Our name to yours.
        eligibility : iterable of Eligibility
            Further rules, such as quiet hours.
        once_per_item : bool, default False
            Whether the touches of a person and item are alternatives, of which one at most is sent.
        withdrawals : str, iterable of str or EventLog, optional
            Events that withdraw consent, each of them: their names in the data, ``["unsubscribed"]``, or a log of
            them alone. See :class:`Consent`.
        worth : TouchValue, optional
            Makes the values where the frame has none: of ``increment`` (else ``probability``) and its costs. Terms that
            the frame has stand; a margin that neither gives is that of the catalogue, else 1. No fatigue: put it into
            the column ``fatigue_cost``.

        Returns
        -------
        Candidates

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, a time has no zone, a value is not finite, a
            probability (of a complaint, too) lies outside [0, 1], a cost or points are negative, ids are integers here
            and strings in the audience or a log, or a channel is spelt in two ways.
        ParameterError
            When a rule needs the audience and there is none, or names a channel that nothing has, or a withdrawal an
            event that the data does not have.
        TypeError
            When an audience stands where the Dataset goes.

        Warns
        -----
        DataWarning
            When the frame came from ``to_frame``, which cannot hold rules, gaps and history; and when hardly any of
            these people are in the audience or the message log.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"user_id": [1, 1], "item_id": ["tea", "cup"], "channel": ["push", "email"],
        ...                       "send_at": pd.to_datetime(["2025-06-01 09:00", "2025-06-01 18:00"], utc=True),
        ...                       "value": [0.5, 0.2]})
        >>> Candidates.from_frame(frame)
        Candidates(2 touches, 1 user, 2 items, 2 channels)
        """
        where = "Candidates.from_frame"
        rules = check_rules(eligibility)
        if data is not None:
            data = given_data(data, (), where, f"om.planning.{where}(frame, om.Dataset(audience=people))")
        sources = sources_of(data, withdrawals, rules, where)
        audience = sources.audience
        if audience is None:
            _refuse_blind(rules, where)
        opened = open_frame(
            frame,
            where,
            needed=("user_id", "item_id", "channel", "send_at", *(() if worth is not None else ("value",))),
            optional=("value", "probability", *LABELS, *NUMBERS),
            columns=columns,
        )
        users, user = opened.ids("user_id")
        items, item = opened.ids("item_id")
        channels, channel = opened.names("channel")
        probability = opened.numbers("probability") if "probability" in opened else None
        if probability is not None and (bad := (probability < 0) | (probability > 1)).any():
            raise SchemaError(
                f"{where}: probability must lie in [0, 1]; it does not in {name_rows(bad)}. "
                "Leave the column out when it is not known."
            )
        given = {name: in_range(opened.numbers_or_nan(name), name, where) for name in NUMBERS if name in opened}
        labels = {name: opened.ids(name, allow_missing=True) for name in LABELS if name in opened}
        if "send_at_local" in opened.others:
            _warn_of_a_detour(where)
        touches = with_sources(users, items, channels, user, item, channel, opened.instants("send_at"), sources)
        left_out: dict[str, int] = {}
        check_value(worth)
        if worth is None:
            value = opened.numbers("value")
        else:
            catalog = None if data is None else data.catalog
            value, given = valued(touches, probability, given, worth, catalog, "value" in opened)
            left_out["no value known"] = int(np.isnan(value).sum())
        numbers = {"value": value, **({} if probability is None else {"probability": probability}), **given}
        touches = replace(touches, numbers=numbers, labels=labels)
        kept = np.flatnonzero(~np.isnan(value))
        if audience is not None:
            known = audience_rows(audience, users)[user] >= 0
            before, kept = kept.size, kept[known[kept]]
            left_out["not in the audience"] = int(before - kept.size)
        all_rules = (*((Consent(), Reachable()) if sources.know_consent else ()), *rules)
        if all_rules:
            kept = kept[allowed(touches.take(kept), all_rules, left_out)]
        implied = (OncePerItem(),) if check_flag(once_per_item, "once_per_item") else ()
        return in_order(touches, value, probability, labels, left_out, implied, kept, sources, given)

    @classmethod
    def concat(cls, parts: Iterable[Candidates]) -> Candidates:
        """Join sets of candidates, so that one plan keeps the rules of all of them.

        No rule is lost. Every rule, history and withdrawal of any part applies to all touches; implied constraints
        (once per item, gap) hold for all, and of two gaps the longer one. The same person, item, channel and instant
        twice is one touch: that of the greater value, as the planner would choose.

        Parameters
        ----------
        parts : iterable of Candidates
            Made under one audience, or all without.

        Returns
        -------
        Candidates
            The same whatever the order of the parts. A probability that only some parts know is NaN in the others;
            ``.left_out`` sums those of the parts, and counts ``"named twice"``.

        Raises
        ------
        ParameterError
            When there is no part, one is no Candidates, they were made under different audiences, or values of some are
            made of chances and of others of increments: such values cannot be compared.
        SchemaError
            When ids are integers in one and strings in another.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> tea = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": ["push"], "value": [0.5],
        ...                     "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True)})
        >>> a = om.planning.Candidates.from_frame(tea, once_per_item=True)
        >>> b = om.planning.Candidates.from_frame(tea.assign(channel="email"))
        >>> om.planning.Candidates.concat([a, b]), om.planning.Candidates.concat([a, b]).implied
        (Candidates(2 touches, 1 user, 1 item, 2 channels), (OncePerItem(),))
        """
        sets = _check_parts(parts)
        found = joined(sets)
        return replace(in_order(*found), made_of=_joined_kind(sets))

    def with_columns(self, frame: Any, *, columns: Mapping[str, str] | None = None) -> Candidates:
        """Return the touches with further columns: where a film stopped, the kind of a message, a risk.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id``, ``item_id`` or ``channel``, or several of them, to look touches up by (one row each), and
            further columns. Numbers become numbers that rules count by; texts, and all columns that end in ``_id``,
            labels.
        columns : mapping of str to str, optional
            Our name to yours.

        Returns
        -------
        Candidates
            A column is missing for touches that the frame does not name.

        Raises
        ------
        SchemaError
            When the frame has no column to look up by or no further one, lists a touch twice, or would change a value.

        Examples
        --------
        >>> import pandas as pd
        >>> tea = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": ["push"], "value": [0.5],
        ...                     "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True)})
        >>> begun = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "position": [0.4], "device": ["phone"]})
        >>> Candidates.from_frame(tea).with_columns(begun).to_frame()[["position", "device"]].values.tolist()
        [[0.4, 'phone']]
        """
        return self._more(with_columns(self, frame, columns))

    def with_offers(
        self, offers: Offers, *, eligibility: Iterable[Eligibility] = (), plain: bool = False
    ) -> Candidates:
        """Return each touch once for every offer that it may carry; the planner chooses one.

        Parameters
        ----------
        offers : Offers
            Those that are valid when a touch leaves, and are about its item or any.
        eligibility : iterable of Eligibility
            Further rules that read offers: :class:`Promised`, :class:`Affordable`.
        plain : bool, default False
            Whether a touch without an offer is a choice too.

        Returns
        -------
        Candidates
            With ``offer_id`` and the columns ``price`` and ``points``. What a touch earns is multiplied by the offer's
            ``lift``; its expected reward, response probability times ``reward_cost``, is subtracted.

        Raises
        ------
        ParameterError
            When an offer has a reward, and the touches no probability; or a rule belongs to the planner.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> tea = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": ["push"], "value": [2.0],
        ...                     "probability": [0.2], "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True)})
        >>> offers = om.planning.Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"], "lift": [1.0, 1.5],
        ...                                                      "reward_cost": [0.0, 2.0]}))
        >>> Candidates.from_frame(tea).with_offers(offers).to_frame()["value"].round(2).tolist()
        [2.0, 2.4]
        """
        found = with_offers(self, offers, eligibility, plain=check_flag(plain, "plain"), value_terms=True)
        return self._more(found)

    def with_shops(
        self,
        nearby: Nearby,
        *,
        eligibility: Iterable[Eligibility] = (),
        decay_km: float | None = None,
        channels: str | Iterable[str] | None = None,
    ) -> Candidates:
        """Return each touch once for every shop near its person; the planner names the nearest that can still serve.

        Parameters
        ----------
        nearby : Nearby
            Of ``shops.near(homes, k=3)``.
        eligibility : iterable of Eligibility
            Further rules that read shops: :class:`OpeningHours`, :class:`InStock`.
        decay_km : float, optional
            The distance over which a response becomes e times less probable. None: distance does not matter, and the
            planner may name any of the shops.
        channels : str or iterable of str, optional
            Channels that name a shop; all by default. Somebody without a shop gets nothing on them.

        Returns
        -------
        Candidates
            With ``store_id`` and the column ``distance_km``.

        Raises
        ------
        ParameterError
            When ``decay_km`` is not above 0, a channel is none of these, or a rule belongs to the planner.

        Examples
        --------
        >>> import pandas as pd, omnireco as om
        >>> shops = om.data.Shops.from_frame(pd.DataFrame({"store_id": ["a", "b"], "timezone": "UTC",
        ...                                                "latitude": [52.5, 52.6], "longitude": 13.4}))
        >>> nearby = shops.near(pd.DataFrame({"user_id": [1], "latitude": [52.5], "longitude": [13.4]}), k=2)
        >>> tea = pd.DataFrame({"user_id": [1], "item_id": ["tea"], "channel": ["push"], "value": [2.0],
        ...                     "send_at": pd.to_datetime(["2025-06-01 09:00"], utc=True)})
        >>> found = Candidates.from_frame(tea).with_shops(nearby, decay_km=10.0)
        >>> found.to_frame()[["store_id", "value"]].round(2).values.tolist()
        [['a', 2.0], ['b', 0.66]]
        """
        names = None if channels is None else check_one_or_more(channels, "channels")
        return self._more(near_shops(self, nearby, eligibility, decay_km=decay_km, channels=names))

    def _more(self, found: Expanded) -> Candidates:
        return replace(in_order(*found), made_of=self.made_of)

    def __len__(self) -> int:
        return len(self.touches)

    def __repr__(self) -> str:
        t = self.touches
        counts = [
            (len(self), "touch", "touches"),
            (np.unique(t.user).size, "user", "users"),
            (np.unique(t.item).size, "item", "items"),
            (np.unique(t.channel).size, "channel", "channels"),
        ]
        made = f"; values of {self.made_of}" if self.made_of != "given" else ""
        return f"Candidates({', '.join(f'{n:,} {one if n == 1 else many}' for n, one, many in counts)}{made})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("n")

    def to_frame(self) -> pd.DataFrame:
        """Return the touches as a pandas frame with the columns that from_frame takes, and ``send_at_local``.

        A frame cannot hold rules, gaps and history: to join sets use :meth:`concat`, not frames.
        """
        return touch_frame(self, np.arange(len(self)))


def check_complete(found: Candidates, where: str) -> None:
    """Refuse candidates that came without what they were made from: their rules would be lost."""
    lost = not found.sources.complete or (found.touches.past.user.size > 0 and not found.sources.messages)
    if lost:
        raise ParameterError(
            f"{where}: these candidates came without their rules, gap and history, as those of a plan from a file do. "
            "Make them again with om.candidates(...) or om.planning.Candidates.from_frame(...)."
        )


def _check_parts(sets: Any) -> tuple[Candidates, ...]:
    fix = "Write om.planning.Candidates.concat([a, b])."
    if isinstance(sets, (Candidates, str, bytes)) or not isinstance(sets, Iterable):
        raise ParameterError(f"Candidates.concat takes a list of Candidates. Got {type(sets).__name__}. {fix}")
    parts = tuple(sets)
    for part in parts:
        if isinstance(part, Candidates):
            check_complete(part, "Candidates.concat")
    wrong = [type(part).__name__ for part in parts if not isinstance(part, Candidates)]
    if wrong or not parts:
        raise ParameterError(
            f"Candidates.concat takes Candidates, one or more. Got {wrong[0] if wrong else 'none'}. {fix}"
        )
    return parts


def touch_frame(found: Candidates, rows: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    """Return some touches as a pandas frame, in the order of ``rows``, with further columns at the end."""
    import pandas as pd

    t = found.touches
    local = t.local_at[rows].view("datetime64[us]").copy()
    local[t.local_at[rows] == NEVER] = np.datetime64("NaT")
    columns: dict[str, Any] = {
        "user_id": t.users.decode(t.user[rows]),
        "item_id": t.items.decode(t.item[rows]),
        "channel": t.channels.decode(t.channel[rows]),
        "send_at": instants_to_pandas(t.send_at[rows]),
        "send_at_local": local,
    }
    labels = {name: decode_optional(known, codes[rows]) for name, (known, codes) in found.labels.items()}
    if "creative_id" in labels:
        columns["creative_id"] = labels.pop("creative_id")
    terms = {name: known[rows] for name, known in found.terms.items()}
    columns["probability"] = np.full(rows.size, np.nan) if found.probability is None else found.probability[rows]
    columns["value"] = found.value[rows]
    if found.made_of == "increments":
        columns["made_of"] = np.full(rows.size, found.made_of, object)
    return pd.DataFrame(columns | terms | labels | more)


def _refuse_blind(rules: Iterable[Eligibility], where: str) -> None:
    """Refuse rules that read an audience when there is none."""
    for rule in rules:
        if rule.needs_audience:
            raise ParameterError(
                f"{where}: {rule.name} reads people's zones or consents, and there is no audience. "
                f"Write {where}(frame, om.Dataset(audience=people), eligibility=[...])."
            )


def _check_numbers(touches: Touches, value: Any, probability: Any) -> None:
    """Refuse values and probabilities that are not one number per touch; a probability may be unknown."""
    for name, array in (("value", value), ("probability", probability)):
        if name == "probability" and array is None:
            continue
        if not isinstance(array, np.ndarray) or array.shape != (len(touches),) or array.dtype.kind != "f":
            raise ParameterError(
                f"Candidates: {name} must be a float64 array, one per touch ({len(touches):,}). Got "
                f"{type(array).__name__}. Write np.asarray({name}, float), or read a frame with Candidates.from_frame."
            )
        if (bad := ~np.isfinite(array) & ~(np.isnan(array) & (name == "probability"))).any():
            raise ParameterError(f"Candidates: {name} is missing or infinite in {name_rows(bad)}. Leave those out.")
        if name == "probability" and (bad := (array < 0.0) | (array > 1.0)).any():
            raise ParameterError(f"Candidates: probability must lie in [0, 1]; it does not in {name_rows(bad)}.")


def _check_columns(found: Candidates) -> None:
    """Refuse further columns that are not one number, or one code, per touch."""
    n = len(found.touches)
    for name, array in found.terms.items():
        shaped = isinstance(array, np.ndarray) and array.shape == (n,) and array.dtype.kind == "f"
        with np.errstate(over="ignore", invalid="ignore"):
            sums = shaped and np.isfinite(array.sum())  # one pass where all is well
        if not shaped or (not sums and np.isinf(array).any()):
            raise ParameterError(
                f"Candidates: {name} must be a float64 array, one finite or missing number per touch ({n:,}). Got "
                f"{type(array).__name__}. Write np.asarray({name}, float), or touches.with_columns(frame)."
            )
    for name, (known, code) in found.labels.items():
        shaped = isinstance(code, np.ndarray) and code.shape == (n,) and code.dtype.kind == "i"
        if not shaped or (n and (int(code.min()) < NONE or int(code.max()) >= len(known))):
            raise ParameterError(
                f"Candidates: {name} must be one code per touch ({n:,}), from -1 for none to {len(known) - 1}. Give it "
                "as a column: touches.with_columns(frame)."
            )


def _warn_of_a_detour(where: str) -> None:
    """Say that the frame came from a set of candidates or a plan, whose rules it cannot hold."""
    warnings.warn(
        f"{where}: the frame has send_at_local, as to_frame writes it. A frame holds no rules: gap, once per item, "
        "quiet hours and history are lost here. Join sets with om.planning.Candidates.concat([a, b]); where only the "
        "rows are meant, frame.drop(columns='send_at_local').",
        DataWarning,
        stacklevel=4,
    )


def _joined_kind(sets: Iterable[Candidates]) -> str:
    """Return what the values of several sets are made of; chances and increments cannot be compared."""
    kinds = {part.made_of for part in sets}
    if {"chances", "increments"} <= kinds:
        raise ParameterError(
            "Candidates.concat: values of some of these sets are made of chances, and of others of increments, so a "
            "plan "
            "would prefer the former whatever they add. Make all with one timing: om.candidates(recs, data, "
            "model.timing(send_time, data), slots)."
        )
    return kinds.pop() if len(kinds) == 1 else "given"


def in_order(
    touches: Touches,
    value: np.ndarray,
    probability: np.ndarray | None,
    labels: Mapping[str, tuple[Vocabulary, np.ndarray]],
    left_out: Mapping[str, int],
    implied: tuple[Constraint, ...],
    kept: np.ndarray,
    sources: Sources,
    terms: Mapping[str, np.ndarray] | None = None,
) -> Candidates:
    """Return the kept touches in an order that does not depend on the caller's rows."""
    keys = [value if probability is None else probability, value, *(codes for _, codes in labels.values())]
    order = kept[order_of(touches, kept, keys)]
    return Candidates(
        touches.take(order),
        value[order],
        None if probability is None else probability[order],
        {name: (known, codes[order]) for name, (known, codes) in labels.items()},
        left_out,
        implied,
        sources,
        terms={name: known[order] for name, known in ({} if terms is None else terms).items()},
    )
