"""Pseudonyms, purposes and erasure: what keeps ids out of stores, and takes people out of everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from omnireco._core.checks import shown
from omnireco.errors import ParameterError

__all__ = ["pseudonymise"]


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
    from omnireco.live.events import check_id

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


def erase_live(live: Any, users: Iterable[Any]) -> Any:
    """Remove people from a live service."""
    raise NotImplementedError
