"""Pseudonyms, purposes and erasure: what keeps ids out of stores, and takes people out of everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omnireco._core.checks import shown
from omnireco._core.notebook import shown_html
from omnireco.errors import ParameterError
from omnireco.files.io import load, save
from omnireco.files.people import erase, people_in
from omnireco.live.events import check_id
from omnireco.live.snapshot import Snapshot

__all__ = ["Receipt", "pseudonymise"]


def pseudonymise(ids: Iterable[Any], key: bytes) -> list[str]:
    """Return a pseudonym for each id: keyed BLAKE2b, 32 hexadecimal digits, the same for the same id and key.

    Parameters
    ----------
    ids : iterable of int or str
        1 and ``"1"`` are two people.
    key : bytes
        16 to 64 secret bytes: ``secrets.token_bytes(32)``. Whoever has it can test which pseudonym is whose; keep it
        elsewhere than the data, and throw it away to make the data anonymous to yourself.

    Raises
    ------
    ParameterError
        When the key is too short or no bytes, or the ids no list.
    SchemaError
        When an id is none.

    References
    ----------
    BLAKE2: Aumasson, Neves, Wilcox-O'Hearn and Winnerlein, RFC 7693, section 2.5 (keyed hashing).

    Examples
    --------
    >>> pseudonymise([7], b"a secret of 16+ bytes") == pseudonymise(["7"], b"a secret of 16+ bytes")
    False
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ParameterError(f"pseudonymise: ids must be a list. Got {shown(ids)}: write [user_id].")
    secret = key_of(key)
    if secret is None:
        raise ParameterError("pseudonymise needs a key: secrets.token_bytes(32), kept elsewhere than the data.")
    return [pseudonym(check_id(one, f"pseudonymise: id {place}"), secret) for place, one in enumerate(ids)]


def pseudonym(user: Any, key: bytes) -> str:
    """Return the pseudonym of a checked id."""
    text = f"s:{user}" if isinstance(user, str) else f"i:{user}"
    return hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()


def key_of(key: Any) -> bytes | None:
    """Return a checked key, or None."""
    if key is None:
        return None
    if not isinstance(key, (bytes, bytearray)) or not 16 <= len(key) <= 64:
        raise ParameterError("key must be 16 to 64 secret bytes: secrets.token_bytes(32). The one given is none.")
    return bytes(key)


def key_of_user(user: Any, key: bytes | None) -> str:
    """Return what stands for a person in a store: their id, marked by its kind, or its pseudonym."""
    known = check_id(user, "user")
    return (f"s:{known}" if isinstance(known, str) else f"i:{known}") if key is None else pseudonym(known, key)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure did, in numbers: it names nobody, so that it can be kept.

    Parameters
    ----------
    people : int
        How many were asked to be removed.
    events : int
        Rows removed from the store.
    ids : mapping of str to int
        Ids removed from each part of the snapshot and each file, by its name.
    awaits : tuple of str
        What holds numbers learned from these people, without their ids, until it is fitted again on the erased data.

    Examples
    --------
    >>> Receipt(1, 12, {"audience": 1}, ("model",))
    Receipt(people=1, events=12, ids={'audience': 1}, awaits=('model',))
    """

    people: int
    events: int
    ids: Mapping[str, int]
    awaits: tuple[str, ...]

    _repr_html_ = shown_html


def without_people(value: Any, users: Sequence[Any], key: bytes | None) -> tuple[Any, int, bool]:
    """Return a value without people, known by their ids or pseudonyms; how many ids went; and whether a fit is due.

    A fit is due where the value was learned from people, or holds them in a way that nobody can be taken out of.
    """
    if isinstance(value, Snapshot):
        return _snapshot_without(value, users, key)
    names = [*users, *(pseudonymise(users, key) if key is not None else ())]
    gone, learned = 0, hasattr(value, "recommend") or hasattr(value, "slot_probability") or hasattr(value, "factor")
    for kind in (int, str):
        some = [one for one in names if isinstance(one, kind)]
        known = people_in(value)
        found = sum(_known(vocabulary, some) for vocabulary in known.values())
        if not some or not found:
            continue
        try:
            value = erase(value, some)
        except ParameterError:
            return value, gone, True
        gone += found
    return value, gone, learned


def _snapshot_without(snap: Snapshot, users: Sequence[Any], key: bytes | None) -> tuple[Snapshot, int, bool]:
    """Return a snapshot without people, part by part: one that nobody can be taken out of keeps none of the others."""
    parts, gone, late = {}, 0, False
    for name in ("model", "timing", "fatigue", "audience"):
        if getattr(snap, name) is not None:
            parts[name], found, due = without_people(getattr(snap, name), users, key)
            gone, late = gone + found, late or due
    same = all(parts[name] is getattr(snap, name) for name in parts)
    return snap if same else replace(snap, _ready=None, **parts), gone, late


def without_in_file(path: Path, users: Sequence[Any], key: bytes | None) -> tuple[int, bool]:
    """Remove people from a saved value: the file is replaced whole, or stays where they are not in it."""
    value = load(path)
    fresh, gone, due = without_people(value, users, key)
    if fresh is not value:
        fresh.save(path) if isinstance(fresh, Snapshot) else save(fresh, path)
    return gone, due


def _known(vocabulary: Any, ids: Sequence[Any]) -> int:
    if not len(vocabulary) or (vocabulary.ids.dtype == object) != isinstance(ids[0] if ids else 0, str):
        return 0
    return int((vocabulary.codes(ids, missing="none") >= 0).sum())
