"""What a live service does with what it knows: meanings of events, what is shown again, purposes, and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omnireco._core.checks import (
    check_duration,
    check_integer,
    check_kind,
    check_mapping,
    check_names,
    check_number,
    shown,
)
from omnireco._core.contract import described
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.errors import ParameterError
from omnireco.live.events import ROLES, check_roles
from omnireco.planning.inputs import check_constraints, check_rules
from omnireco.planning.per_person import PerPerson
from omnireco.planning.rules import Constraint, Eligibility
from omnireco.planning.touch_value import TouchValue

__all__ = ["Rules"]

VERBS = ("recommend", "next_touch", "resume")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Rules:
    """What :class:`Live` does with what it knows of a person.

    Parameters
    ----------
    roles : mapping of str to str, optional
        What event types mean besides having happened: ``impression``, ``like``, ``dislike``, ``undo``, ``consent``,
        ``sent``, ``response`` or ``unsubscribed``. By default types of these names, and ``hide``, a dislike.
    repeat_after : str, timedelta or None, default "30min"
        An item that was shown is left out of later lists for so long, while others are left: every refresh shows
        something new. None shows the best again.
    session : str or timedelta, default "30min"
        A pause this long ends a visit.
    begun, finished : str
        Event types of what people begin and finish: what :meth:`Live.resume` looks for.
    within : str or timedelta, default "30D"
        Older beginnings are forgotten.
    position : str, optional
        Event type whose ``value`` says how far somebody got, such as ``"watch"``: :meth:`Live.resume` then says where
        to go on.
    points : mapping of str to float, optional
        Points per event type and unit of value: ``{"purchase": 1.0, "redeem": -1.0}``.
    purposes : mapping of str to str, optional
        For ``recommend``, ``next_touch`` and ``resume``, the purpose that a person must have consented to. Without
        the consent what is known of them is not used: lists are those of a stranger, and there is no message.
    most : int, default 5000
        So many of the newest events of a person are read; a bot must not cost more.
    channels : iterable of str
        Channels of messages; all of the audience by default.
    eligibility : iterable of Eligibility
        Rules of single messages, such as quiet hours.
    constraints : iterable of Constraint
        Rules of messages together, such as frequency caps. Limits over many people belong to the batch plan.
    per_person : PerPerson, optional
        How many messages, items and channels one person may be offered.
    value : TouchValue, optional
        What a message is worth; its fatigue is by default that of the snapshot.
    days : int, default 7
        How many days ahead :meth:`Live.next_touch` looks.
    ahead : str, timedelta or None, default "10min"
        How far the clocks of devices may be ahead: a withdrawal with a time stamp this little after ``at`` counts
        already, as it would else be passed over until then. None waits for every time stamp.
    max_age : str, timedelta or None
        A snapshot whose data ended longer ago is refused, as an error. None answers from any.

    Raises
    ------
    ParameterError
        When a role, verb, duration or number is none.

    Examples
    --------
    >>> Rules(repeat_after="1h", purposes={"recommend": "personalisation"})
    Rules(repeat_after='1h', purposes={'recommend': 'personalisation'})
    """

    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)
    repeat_after: Any = "30min"
    session: Any = "30min"
    begun: str = "add_to_cart"
    finished: str = "purchase"
    within: Any = "30D"
    position: str | None = None
    points: Mapping[str, float] = field(default_factory=lambda: ReadOnly({}))
    purposes: Mapping[str, str] = field(default_factory=lambda: ReadOnly({}))
    most: int = 5000
    channels: Iterable[str] | None = None
    eligibility: Iterable[Eligibility] = ()
    constraints: Iterable[Constraint] = ()
    per_person: PerPerson | None = None
    value: TouchValue | None = None
    days: int = 7
    ahead: Any = "10min"
    max_age: Any = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("roles", check_roles(self.roles))
        for name in ("session", "within"):
            check_duration(getattr(self, name), name)
        for name in ("repeat_after", "ahead", "max_age"):
            if getattr(self, name) is not None:
                check_duration(getattr(self, name), name)
        for name in ("begun", "finished", *(() if self.position is None else ("position",))):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ParameterError(f"{name} must be an event type. Got {shown(getattr(self, name))}.")
        points = check_mapping(self.points, "points", "{'purchase': 1.0}")
        put("points", ReadOnly({str(kind): check_number(rate, "points") for kind, rate in points.items()}))
        purposes = check_mapping(self.purposes, "purposes", "{'recommend': 'personalisation'}")
        for verb, purpose in purposes.items():
            if verb not in VERBS or not isinstance(purpose, str) or not purpose:
                raise ParameterError(
                    f"purposes must map {', '.join(VERBS)} to the name of a purpose. Got {shown(verb)}: "
                    f"{shown(purpose)}."
                )
        put("purposes", ReadOnly(dict(purposes)))
        check_integer(self.most, "most", low=1)
        if self.channels is not None:
            put("channels", check_names(self.channels, "channels"))
        put("eligibility", check_rules(self.eligibility))
        put("constraints", check_constraints(self.constraints))
        check_integer(self.days, "days", low=1)
        check_kind(self.per_person, PerPerson, "per_person", "om.planning.PerPerson(n_items=3)", none=True)
        check_kind(self.value, TouchValue, "value", "om.planning.TouchValue(channel_cost=0.01)", none=True)

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html
