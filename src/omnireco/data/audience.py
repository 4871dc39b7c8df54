"""The audience: people with time zone, consents and reachability per channel."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_instant, check_kind, check_names, count_of, name_rows
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Cuts, Maybe, Part, Parts, Scope, Sizes, coded, declare, demand, flags, instants, typed
from omnireco._core.small import Value
from omnireco.data.frames.columns import Frame, decode_optional, instants_to_pandas, open_frame
from omnireco.data.frames.quality import Finding, QualityReport, all_kept, check_on_invalid, finding, note, sift
from omnireco.data.frames.zone_names import one_name_each
from omnireco.data.holidays import Holidays
from omnireco.data.parts import Ids, Labels
from omnireco.data.resolving import People, require_identities
from omnireco.data.vocabulary import NONE, Vocabulary, compress, distinct_codes
from omnireco.errors import DataWarning, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audience"]

_CONSENT, _REACHABLE, _AT = "consent_", "reachable_", "_at"
_UNKNOWN = int(np.iinfo(np.int64).min)
_KINDS = {"user_id": "id", "timezone": "name"}
_LIKE_A_ZONE = re.compile(r"[A-Z]{1,5}\d?[A-Z]{0,3}([+-]\d{1,2}(:?\d{2})?)?|[A-Z][A-Za-z_]+/[\w/+-]{1,40}")


_ZONES = coded("zones", "users", none=True)


class _Zones(Part):
    """The zone of each person. What is no zone is read as -1: in doubt no zone, so no message in quiet hours."""

    def write(self, scope: Scope, name: str, value: np.ndarray) -> None:
        _ZONES.write(scope, name, value)

    def read(self, scope: Scope, name: str) -> np.ndarray:
        found = scope.take(name)
        demand(found.dtype == np.int32, f"{name} is not of type int32")
        found = np.maximum(found, np.int32(NONE))
        _ZONES.check(found, scope.start + name, scope.sizes)
        return found

    def keep(self, value: Any, name: str, where: str, sizes: Sizes) -> np.ndarray:
        found = typed(value, np.dtype(np.int32), where)
        stray = (found < NONE) | (found >= sizes["zones"])
        return _ZONES.keep(np.where(stray, np.int32(NONE), found) if stray.any() else found, name, where, sizes)

    def nbytes(self, value: Any) -> int:
        return int(value.nbytes)

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return _ZONES.cut(value, name, cuts)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Audience:
    """The people one may write to: time zone and consent per channel.

    Everything unknown fails closed: no consent given is no consent, and a person without a time zone is not
    written to on a channel with quiet hours.

    Parameters
    ----------
    users : Vocabulary
        One row per person.
    zones : Vocabulary
        IANA names, such as ``"America/New_York"``.
    zone : ndarray of shape (n_users,), int32
        Code of each person's zone, -1 where unknown.
    channels : Vocabulary
        The channels with a consent column.
    consent, reachable : ndarray of shape (n_users, n_channels), bool
        Whether the person agreed to messages there, and whether there is an address or device.
    attributes : mapping of str to (Vocabulary, ndarray of int32)
        Further columns, such as a segment or the home store.
    consent_at : ndarray of shape (n_users, n_channels), int64, or None
        When each consent was last given or taken back, UTC microseconds; the least int64 where that is not known.
    quality : QualityReport or None
        Problems of the frame: rows left out, and people whose zone is invalid.
    holidays : Holidays or None
        Public holidays of the zones, whose hours count as those of a Sunday.
    """

    users: Vocabulary
    zones: Vocabulary
    zone: np.ndarray
    channels: Vocabulary
    consent: np.ndarray
    reachable: np.ndarray
    attributes: Mapping[str, tuple[Vocabulary, np.ndarray]]
    consent_at: np.ndarray | None = None
    quality: QualityReport | None = None
    holidays: Holidays | None = None

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        **{name: Ids(text=True) for name in ("zones", "channels")},
        "zone": _Zones(),
        "consent": flags("users", "channels"),
        "reachable": flags("users", "channels"),
        "attributes": Labels("users"),
        "consent_at": Maybe(instants("users", "channels", never=True)),
        "quality": Maybe(Value((QualityReport,))),
        "holidays": Maybe(Value((Holidays,))),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        attributes: Iterable[str] = (),
        holidays: Holidays | None = None,
        on_invalid: Literal["raise", "drop"] = "raise",
    ) -> Audience:
        """Read a frame of people.

        Time zones are normalized to one name: ``Asia/Calcutta`` is ``Asia/Kolkata``, and spaces around it do not count.
        Somebody whose zone is no IANA region (``Etc/Unknown``, ``GMT+2``) is a person without a zone: they are counted
        in a warning and in ``audience.quality``, and the other rows are read.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            One row per person: ``user_id``, ``timezone`` (an IANA name; may be missing), ``consent_<channel>`` (True or
            False, or words for them, see below; missing means no) and optionally ``reachable_<channel>`` (is there an
            address, an installed app? yes where the column is absent, no where a cell is missing) and
            ``consent_<channel>_at`` (when the consent was last given or taken back, with a time zone; may be missing).
            Only a consent with a later instant overrides an unsubscription in other data, such as the message log.
        columns : mapping of str to str, optional
            Our name to yours.
        attributes : iterable of str
            Further id or string columns to keep; they may be missing.
        holidays : Holidays, optional
            Public holidays of the zones: their hours count as those of a Sunday wherever hours are learned or chosen.
        on_invalid : {"raise", "drop"}
            Whether a row without a user id, or with cells of another type than their column, is an error, or is left
            out and listed in ``audience.quality``. With ``"drop"`` invalid zones become missing and unreadable consents
            False without a warning. A person listed twice is an error either way, as either row could be the right one.

        Raises
        ------
        SchemaError
            When a person is listed twice, no zone at all is an IANA region name (fixed offsets are not time zones),
            or no consent of a column can be read.

        Warns
        -----
        DataWarning
            When some zones are no IANA regions, or some consents are neither true nor false (``on_invalid="raise"``).

        Notes
        -----
        True is read from True, 1, and in any case true, yes, y, t, on, subscribed, granted, given, accepted, allowed,
        agreed, confirmed, consented and opted in; False from False, 0, and their opposites, pending and unconfirmed
        too. Anything else becomes False, and is counted.

        Examples
        --------
        >>> import pandas as pd
        >>> people = pd.DataFrame({"user_id": [1, 2], "timezone": ["Asia/Tokyo", None],
        ...                        "consent_email": [True, None], "consent_push": [True, True]})
        >>> Audience.from_frame(people)
        Audience(2 users, 1 zone, 1 user without a zone, consent: email 1, push 2)
        """
        attributes = check_names(attributes, "attributes")
        check_kind(holidays, Holidays, "holidays", "om.data.Holidays.from_dates({'Europe/Berlin': [...]})", none=True)
        drop, kinds = check_on_invalid(on_invalid), _KINDS | dict.fromkeys(attributes, "id")
        opened = open_frame(
            frame,
            "Audience.from_frame",
            needed=("user_id", "timezone", *attributes),
            prefixes=(_CONSENT, _REACHABLE),
            columns=columns,
            lenient=kinds if drop else None,
            answers=(_CONSENT, _REACHABLE),
            drops=True,
        )
        unread = _unread(opened)
        opened = replace(opened, odd={name: mask for name, mask in opened.odd.items() if name in kinds})
        quality = all_kept("Audience.from_frame", opened.n_rows)
        if drop:
            odd = opened.odd.get("timezone", np.empty(0))
            opened = replace(opened, odd={name: mask for name, mask in opened.odd.items() if name != "timezone"})
            opened, quality = sift(opened, kinds, may_miss=("timezone", *attributes))
            quality = replace(quality, findings=(*_no_zone(odd), *quality.findings))
        else:
            _warn_of(unread)
        quality = replace(quality, findings=(*unread, *quality.findings))
        users, user = opened.ids("user_id")
        if len(users) < user.size:
            repeated = np.ones(user.size, np.bool_)
            repeated[np.unique(user, return_index=True)[1]] = False
            raise SchemaError(
                f"Audience.from_frame: user_id is listed again in {name_rows(repeated)}. "
                "Keep the newest of each, by its time stamp: "
                "frame.sort_values('updated_at').drop_duplicates('user_id', keep='last')."
            )
        zones, zone = opened.names("timezone", allow_missing=True)
        zones, zone, found = _read_zones(zones, zone, drop=drop)
        quality = note(quality, found)
        channels, dated = _channels(opened)
        consent, reachable = _flags(opened, channels, user.size)
        consent_at = _instants(opened, channels, user.size) if dated else None
        row = np.argsort(user)
        labels = {
            name: (known, codes[row]) for name in attributes for known, codes in [opened.ids(name, allow_missing=True)]
        }
        names = Vocabulary(np.array(channels, object))
        instants = None if consent_at is None else consent_at[row]
        return cls(users, zones, zone[row], names, consent[row], reachable[row], labels, instants, quality, holidays)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        parts = [count_of(len(self), "user"), count_of(len(self.zones), "zone")]
        if lost := int((self.zone == NONE).sum()):
            parts.append(f"{count_of(lost, 'user')} without a zone")
        given = ", ".join(f"{name} {int(n):,}" for name, n in zip(self.channels.ids, self.consent.sum(0), strict=True))
        return f"Audience({', '.join(parts)}, consent: {given or 'none'})"

    @property
    def n_users(self) -> int:
        """How many people."""
        return len(self.users)

    def rows(self, ids: Any) -> Audience:
        """Return some people, in the order given; unknown and repeated ids are errors."""
        codes = distinct_codes(self.users, ids)
        zones, zone = compress(self.zones, self.zone[codes])
        attributes = {name: (known, values[codes]) for name, (known, values) in self.attributes.items()}
        return Audience(
            self.users.take(codes),
            zones,
            zone,
            self.channels,
            self.consent[codes],
            self.reachable[codes],
            attributes,
            None if self.consent_at is None else self.consent_at[codes],
            self.quality,
            self.holidays,
        )

    def as_of(self, at: Any) -> Audience:
        """Return the consents that were known before an instant.

        A consent that was given or withdrawn at or after it was not known then, and what held before is not recorded:
        it counts as no consent. Consents without an instant, zones and attributes stay as they are.
        """
        cut = check_instant(at, "at")
        if self.consent_at is None or not (later := self.consent_at >= cut).any():
            return self
        return replace(self, consent=self.consent & ~later, consent_at=np.where(later, _UNKNOWN, self.consent_at))

    def resolve(self, identities: People, *, kind: str | None = None) -> Audience:
        """Return one row per person, joined from the rows of their ids; where rows disagree, the stricter value holds.

        Consent on a channel is given only where **every** joined row gives it, and since the oldest of their instants
        (none where one has none). A person can be reached where any row can be. A zone or attribute on which two rows
        differ is missing: a person without a zone is not written to on a channel with quiet hours.

        Parameters
        ----------
        identities : Identities
            Which ids are one person, as :meth:`Identities.from_links` finds them.
        kind : str, optional
            The kind of the user ids; without it ids are matched by their text, which must then occur in one kind only.
        """
        require_identities(identities)
        names, _ = identities.names(self.users, np.arange(len(self)), kind, None)
        users, user = Vocabulary.encode(names, "user_id")
        consent = np.ones((len(users), len(self.channels)), np.bool_)
        reachable = np.zeros_like(consent)
        np.logical_and.at(consent, user, self.consent)
        np.logical_or.at(reachable, user, self.reachable)
        zones, zone = compress(self.zones, _agreed(self.zone, user, len(users)))
        attributes = {
            name: compress(known, _agreed(codes, user, len(users))) for name, (known, codes) in self.attributes.items()
        }
        consent_at = self.consent_at
        if consent_at is not None:
            oldest = np.full(consent.shape, np.iinfo(np.int64).max)
            np.minimum.at(oldest, user, consent_at)
            consent_at = oldest
        known = consent, reachable, attributes, consent_at, self.quality, self.holidays
        return Audience(users, zones, zone, self.channels, *known)

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return the people as a pandas frame, in the columns that :meth:`from_frame` takes."""
        import pandas as pd

        columns: dict[str, Any] = {
            "user_id": self.users.ids,
            "timezone": decode_optional(self.zones, self.zone),
        }
        for code, name in enumerate(self.channels.ids):
            columns[_CONSENT + name] = self.consent[:, code]
            columns[_REACHABLE + name] = self.reachable[:, code]
            if self.consent_at is not None:
                columns[f"{_CONSENT}{name}{_AT}"] = instants_to_pandas(self.consent_at[:, code], none=_UNKNOWN)
        for name, (vocabulary, codes) in self.attributes.items():
            columns[name] = decode_optional(vocabulary, codes)
        return pd.DataFrame(columns)


def _agreed(code: np.ndarray, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the code of each group where all known codes agree, else -1."""
    low, high = np.full(n_groups, np.iinfo(np.int32).max, np.int32), np.full(n_groups, NONE, np.int32)
    known = code != NONE
    np.minimum.at(low, group[known], code[known])
    np.maximum.at(high, group[known], code[known])
    return np.where(low == high, high, np.int32(NONE))


def _read_zones(names: Vocabulary, code: np.ndarray, *, drop: bool) -> tuple[Vocabulary, np.ndarray, list[Finding]]:
    """Return normalized zones, code -1 where a name is invalid, and those rows as findings."""
    zones, zone, wrong = one_name_each(names, code)
    if not wrong.any():
        return zones, zone, []
    what = _wrong_zones(names, np.bincount(code[wrong], minlength=len(names)) > 0, wrong)
    if not drop and not len(zones):
        raise SchemaError(f"{what} {_ZONE_FIX} Leave it missing where it is not known.")
    if not drop:
        warnings.warn(
            f"{what} {'That person has' if wrong.sum() == 1 else 'Those people have'} no zone now: a channel with "
            f"quiet hours sends nothing to {'them' if wrong.sum() != 1 else 'that person'}. {_ZONE_FIX} "
            "on_invalid='drop' counts them in audience.quality without this warning.",
            DataWarning,
            stacklevel=3,
        )
    return zones, zone, _no_zone(wrong)


def _no_zone(rows: np.ndarray) -> list[Finding]:
    return finding("no zone", "timezone", rows, "timezone is not an IANA region, so it is unknown", _ZONE_FIX)


_ZONE_FIX = (
    "Write 'Europe/Berlin' or 'America/New_York'; a fixed offset or an abbreviation is wrong after the next clock "
    "change."
)


def _wrong_zones(names: Vocabulary, wrong: np.ndarray, rows: np.ndarray) -> str:
    # Only what looks like a zone is quoted: a column mapped by mistake may hold names of people.
    shown = [name for name in names.ids[wrong] if _LIKE_A_ZONE.fullmatch(name)][:3]
    one = wrong.sum() == 1
    return (
        f"Audience.from_frame: timezone holds {count_of(int(wrong.sum()), 'value')} that {'is' if one else 'are'} "
        f"not an IANA region, in {name_rows(rows)}{': ' if shown else ''}{', '.join(map(repr, shown))}."
    )


def _channels(opened: Frame) -> tuple[list[str], bool]:
    """Return the channels with a consent column, and whether some consent has an instant beside it."""
    import pyarrow.types as pt

    found = {name.removeprefix(_CONSENT) for name in opened.columns if name.startswith(_CONSENT)}
    if "" in found:
        raise SchemaError("Audience.from_frame: the column 'consent_' names no channel. Call it 'consent_email'.")
    dates = {name for name in found if name.endswith(_AT) and name.removesuffix(_AT) in found}
    for name in sorted(found - dates):
        if name.endswith(_AT) and pt.is_timestamp(opened.columns[_CONSENT + name].type):
            raise SchemaError(
                f"Audience.from_frame: {_CONSENT}{name} has no {_CONSENT}{name.removesuffix(_AT)} beside it. The "
                f"instant alone is no consent: frame['{_CONSENT}{name.removesuffix(_AT)}'] = ..."
            )
    return sorted(found - dates), bool(dates)


def _unread(opened: Frame) -> list[Finding]:
    """Return the consent cells that cannot be read: each becomes False."""
    return [
        one
        for name in opened.columns
        if name.startswith((_CONSENT, _REACHABLE)) and name in opened.odd
        for one in finding("unreadable", name, opened.odd[name], f"{name} cannot be read, so it is False", _UNREAD_FIX)
    ]


def _warn_of(unread: list[Finding]) -> None:
    for one in unread:
        warnings.warn(
            f"Audience.from_frame: {one.column} is neither true nor false in {name_rows(one.rows)}, so it is False "
            f"there. {_UNREAD_FIX} on_invalid='drop' counts them in audience.quality without this warning.",
            DataWarning,
            stacklevel=3,
        )


_UNREAD_FIX = "Write True or False, or a word such as 'yes', 'subscribed' or 'opted out'."


def _instants(opened: Frame, channels: list[str], n: int) -> np.ndarray:
    """Return when each consent was given or taken back, int64 (n, n_channels)."""
    at = np.full((n, len(channels)), _UNKNOWN)
    for column, channel in enumerate(channels):
        if f"{_CONSENT}{channel}{_AT}" in opened:
            at[:, column] = opened.instants(f"{_CONSENT}{channel}{_AT}", none=_UNKNOWN)
    return at


def _flags(opened: Frame, channels: list[str], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return consent and reachable, bool of shape (n, n_channels); what is unknown is False."""
    unmatched = [
        name for name in opened.columns if name.startswith(_REACHABLE) and name.removeprefix(_REACHABLE) not in channels
    ]
    if unmatched:
        channel = unmatched[0].removeprefix(_REACHABLE)
        raise SchemaError(
            f"Audience.from_frame: {unmatched[0]} has no {_CONSENT}{channel} beside it. A channel needs a consent "
            f"column: frame['{_CONSENT}{channel}'] = ..."
        )
    consent = np.zeros((n, len(channels)), np.bool_)
    reachable = np.ones((n, len(channels)), np.bool_)
    for column, channel in enumerate(channels):
        consent[:, column] = opened.flags(_CONSENT + channel, missing=False)
        if _REACHABLE + channel in opened:
            reachable[:, column] = opened.flags(_REACHABLE + channel, missing=False)
    return consent, reachable
