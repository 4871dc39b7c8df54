"""Normalized time zones: one name per zone, in the spelling of the zone database.

Some browsers send ``Asia/Calcutta``, others ``Asia/Kolkata``. The database keeps such old names as links.
A name that it lists for a country is kept; any other one that is a link is replaced by what it links to.
"""

from __future__ import annotations

import functools

import numpy as np

from omnireco.data.clock import is_zone, zone_file, zone_spellings
from omnireco.data.vocabulary import NONE, Vocabulary

__all__ = ["one_name", "one_name_each"]

_UTC = frozenset(
    [
        *("utc", "uct", "universal", "zulu", "etc/utc", "etc/uct", "etc/universal", "etc/zulu"),
        *("etc/greenwich", "etc/gmt", "etc/gmt0", "etc/gmt+0", "etc/gmt-0"),
    ]
)


def one_name(name: object) -> str | None:
    """Return the normalized name of a time zone, None for an invalid one; case and spaces do not matter.

    Parameters
    ----------
    name : object
        The name of a time zone in a data source.

    Returns
    -------
    str or None
        ``"UTC"`` for all unambiguous names, ``Etc/GMT`` too; plain ``GMT`` is invalid, since it is also
        written for British time in summer. Without a file of links on this machine (``pip install tzdata``
        brings one) other names of a zone stay as they are.

    >>> one_name(" Asia/Calcutta"), one_name("US/Eastern"), one_name("Etc/UTC"), one_name("Etc/Unknown")
    ('Asia/Kolkata', 'America/New_York', 'UTC', None)
    """
    if not isinstance(name, str):
        return None
    name = name.strip().replace(" ", "_")
    if name.casefold() in _UTC:
        return "UTC"
    if not is_zone(name) and not is_zone(name := zone_spellings().get(name.casefold(), "")):
        return None
    return _links().get(name, name)


def one_name_each(zones: Vocabulary, zone: np.ndarray) -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """Return (vocabulary of one name per zone, codes, mask of the rows whose name is no zone and that have -1 now)."""
    names = [one_name(text) for text in zones.ids]
    known, code = Vocabulary.encode(names, "timezone", allow_missing=True)
    code = np.append(code, np.int32(NONE)).astype(np.int32)[zone]
    return known, code, (code == NONE) & (zone != NONE)


@functools.cache
def _links() -> dict[str, str]:
    """Return the zone database's other names of zones, each with the one that is kept."""
    kept = {line.split("\t")[2].strip() for line in zone_file("zone.tab")}
    target = {words[2]: words[1] for line in zone_file("tzdata.zi") if (words := line.split())[:1] == ["L"]}
    return {name: _end(name, target, kept) for name in target if name not in kept}


def _end(name: str, target: dict[str, str], kept: set[str]) -> str:
    """Follow links to a name that is kept, or to the last one."""
    while name not in kept and name in target:
        name = target[name]
    return name
