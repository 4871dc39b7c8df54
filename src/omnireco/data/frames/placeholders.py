"""Placeholder ids: what systems write where the user is not known."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

__all__ = ["is_placeholder", "placeholders"]

_WORDS = re.compile(
    "null|nil|none|nan|na|undefined|unknown|unidentified|anon|anonymous|guest|test|missing|empty|blank|void|default"
    "|true|false|0+"
)
_PHRASES = re.compile(
    "|n a|not (set|provided|available|applicable)|data deleted|object object|no (id|user)"
    "|(unknown|anonymous|guest) user|inf(inity)?"
)
_DOMAINS = frozenset(["example", "email", "mail", "domain", "localhost", "noemail", "nomail"])
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}|%%.*%%|\*\|.*\|\*|<%.*%>|\[%.*%\]", re.DOTALL)
_EMULATOR = "9774d56d682e549c"  # one Android id of many devices, by a fault of Android 2.2
_COUNTED = re.compile("[1-9]")
_LONGEST = 80


def _hashes() -> frozenset[str]:
    """Return the digests of the empty text and of every word: what hashing an empty address gives."""
    words = ("null", "nil", "none", "nan", "na", "n/a", "undefined", "unknown", "anonymous", "guest", "test", "0")
    spelled = {"", " "} | {form for word in words for form in (word, word.upper(), word.title())}
    ways = (hashlib.md5, hashlib.sha1, hashlib.sha256)
    return frozenset(way(text.encode(), usedforsecurity=False).hexdigest() for text in spelled for way in ways)


_HASHES = _hashes()


def is_placeholder(text: str) -> bool:
    """Return whether an id is a placeholder, whatever its case and the blanks, quotes and brackets around it.

    These are: nothing but punctuation; words such as ``null``, ``undefined``, ``unknown``, ``guest``, ``(not set)``,
    ``N/A`` and ``[object Object]``, also several in a row (``null-undefined``); zeros alone (``0``, the all-zero UUID
    and advertising id), ``-1`` and the all-ones UUID; an unfilled template (``{{user.id}}``); an address made
    of such words (``test@test.com``); the MD5, SHA-1 and SHA-256 of an empty text or of such a word.

    >>> [is_placeholder(text) for text in ("NULL", " (not set) ", "00000000-0000-0000-0000-000000000000", "ann", "10")]
    [True, True, True, False, False]
    """
    bare = text.strip()
    if _COUNTED.search(bare):  # most ids end here: no word has a digit
        return bare in {"-1", "-1.0", _EMULATOR} or bare.lower() in _HASHES
    if len(bare) > _LONGEST:
        return not bare.strip("0-")
    if bare in {"\\N", "NaT"} or _TEMPLATE.fullmatch(bare):
        return True
    if "@" in bare:
        name, _, place = bare.partition("@")
        return is_placeholder(name) and (is_placeholder(label := place.split(".")[0]) or label.lower() in _DOMAINS)
    tokens = re.sub(r"[\W_]+", " ", bare).casefold().split()
    if _PHRASES.fullmatch(" ".join(tokens)) or all(map(_WORDS.fullmatch, tokens)):
        return True
    joined = "".join(tokens)
    return len(joined) == 32 and not joined.strip("f")


def placeholders(ids: Any) -> np.ndarray:
    """Return a mask of the placeholder ids.

    Parameters
    ----------
    ids : array of int64 or of str, shape (n,)
        Of integers only -1 is a placeholder: many systems number users from 0.

    Returns
    -------
    ndarray of shape (n,), bool
    """
    ids = np.asarray(ids)
    if ids.dtype != object:
        return np.asarray(ids == -1)
    return np.fromiter(map(is_placeholder, ids), np.bool_, ids.size)
