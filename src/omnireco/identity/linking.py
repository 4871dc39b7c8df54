"""Links between ids, coded, and their grouping into people, for :class:`Identities`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from omnireco._core.checks import check_duration, check_integer, check_mapping, check_number, name_rows, shown
from omnireco._core.compute import suited
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco.data.frames.columns import open_frame
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_integers
from omnireco.errors import ParameterError, SchemaError

__all__ = [
    "ALWAYS",
    "LATER",
    "PLACEHOLDER",
    "STATUS",
    "USED",
    "LinkRules",
    "Links",
    "as_text",
    "ends_of",
    "first_linked",
    "group",
    "joined",
    "judge",
    "name_people",
    "read_links",
]

ALWAYS = int(np.iinfo(np.int64).min)
"""The ``linked_at`` of a link without a time: known at all times, and never expired."""

STATUS = ("used", "later", "expired", "weak", "shared", "oversized", "placeholder")
USED, LATER, EXPIRED, WEAK, SHARED, OVERSIZED, PLACEHOLDER = range(7)


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Which links may join ids: guards against shared devices such as a kiosk or a family tablet.

    Parameters
    ----------
    max_ids : int or None
        Most ids of one person. A group that would be larger loses its weakest links, all of one strength at a time,
        until its parts fit: where all are equally strong it joins nobody, as no choice among them is better.
    max_links : mapping of kind, or of (kind, kind), to int
        ``{"device": 3}``: a device linked to more than three other ids is shared, and none of its links counts.
        ``{("device", "card"): 2}``: one linked to more than two cards; its links to other kinds count.
    min_strength : float or mapping of kind to float
        Smallest strength of a link; of two kinds with a rule the stricter applies.
    expiry : str, timedelta or mapping of kind to these, or None
        A link that was last seen longer ago than this no longer counts; of two kinds the shorter applies.
    """

    max_ids: int | None = 50
    max_links: Mapping[Any, int] | None = None
    min_strength: float | Mapping[str, float] = 0.0
    expiry: Any = None

    _repr_html_ = shown_html

    def __post_init__(self) -> None:
        if self.max_ids is not None:
            check_integer(self.max_ids, "max_ids", low=1)
        for key, most in check_mapping(self.max_links, "max_links", "{'device': 3}").items():
            if not isinstance(key, str) and not (isinstance(key, tuple) and len(key) == 2):
                raise ParameterError(
                    "max_links must map kinds, or pairs of kinds, to counts, such as {'device': 3} or "
                    f"{{('device', 'card'): 2}}. Got the key {shown(key)}."
                )
            check_integer(most, f"max_links[{shown(key)}]", low=0)
        for name, check in (("min_strength", _check_share), ("expiry", check_duration)):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                for kind, one in value.items():
                    check(one, f"{name}[{shown(kind)}]")
                object.__setattr__(self, name, ReadOnly(value))
            elif value is not None:
                check(value, name)
        if self.max_links is not None:
            object.__setattr__(self, "max_links", ReadOnly(self.max_links))

    def kinds(self) -> list[tuple[str, list[str]]]:
        """Return the kinds in each rule."""
        pairs = [(key,) if isinstance(key, str) else key for key in self.max_links or ()]
        tables = {name: rule for name in ("min_strength", "expiry") if isinstance(rule := getattr(self, name), Mapping)}
        return [("max_links", [kind for pair in pairs for kind in pair])] + [(n, list(t)) for n, t in tables.items()]


@dataclass(frozen=True, slots=True)
class Links:
    """Links as given, coded: the input of a solution."""

    kinds: Vocabulary
    ids: Vocabulary
    kind_a: np.ndarray
    id_a: np.ndarray
    kind_b: np.ndarray
    id_b: np.ndarray
    strength: np.ndarray
    linked_at: np.ndarray

    _repr_html_ = shown_html

    def take(self, rows: np.ndarray) -> Links:
        """Return some of the links."""
        arrays = ("kind_a", "id_a", "kind_b", "id_b", "strength", "linked_at")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})


def read_links(frame: Any, where: str, columns: Mapping[str, str] | None) -> Links:
    """Read a frame of links, as ``Identities.from_links`` describes it."""
    opened = open_frame(
        frame,
        where,
        needed=("id_a", "kind_a", "id_b", "kind_b"),
        optional=("strength", "linked_at"),
        columns=columns,
    )
    ids, (id_a, id_b) = _one_vocabulary(opened.ids("id_a"), opened.ids("id_b"))
    kinds, (kind_a, kind_b) = _one_vocabulary(opened.names("kind_a"), opened.names("kind_b"))
    strength = opened.numbers("strength") if "strength" in opened else np.ones(id_a.size)
    if (bad := (strength < 0) | (strength > 1)).any():
        raise SchemaError(
            f"{where}: strength must lie in [0, 1]; it does not in {name_rows(bad)}. Divide a percentage by 100."
        )
    at = opened.instants("linked_at", none=ALWAYS) if "linked_at" in opened else np.full(id_a.size, ALWAYS)
    return Links(kinds, ids, kind_a, id_a, kind_b, id_b, strength, at)


def joined(first: Links, second: Links) -> Links:
    """Return the links of both, the first ones first."""
    n, m = first.strength.size, second.strength.size
    ids, (id_one, id_two) = _one_vocabulary(
        (first.ids, np.concatenate([first.id_a, first.id_b])), (second.ids, np.concatenate([second.id_a, second.id_b]))
    )
    kinds, (kind_one, kind_two) = _one_vocabulary(
        (first.kinds, np.concatenate([first.kind_a, first.kind_b])),
        (second.kinds, np.concatenate([second.kind_a, second.kind_b])),
    )
    return Links(
        kinds,
        ids,
        np.concatenate([kind_one[:n], kind_two[:m]]),
        np.concatenate([id_one[:n], id_two[:m]]),
        np.concatenate([kind_one[n:], kind_two[m:]]),
        np.concatenate([id_one[n:], id_two[m:]]),
        np.concatenate([first.strength, second.strength]),
        np.concatenate([first.linked_at, second.linked_at]),
    )


def _one_vocabulary(*columns: tuple[Vocabulary, np.ndarray]) -> tuple[Vocabulary, list[np.ndarray]]:
    """Return one vocabulary for several coded columns; strings as soon as one of them holds strings."""
    filled = [known.ids for known, _ in columns if len(known)]
    if any(ids.dtype == object for ids in filled):
        filled = [as_text(ids) for ids in filled]
    union, code = Vocabulary.encode(np.concatenate(filled) if filled else np.empty(0, object))
    starts = np.cumsum([0, *(len(known) for known, _ in columns)])
    return union, [code[start + codes] for start, (_, codes) in zip(starts, columns, strict=False)]


def ends_of(links: Links) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the keys (kind, id) that occur, ascending, and the two ends of each link as positions in them, a <= b."""
    n = max(1, len(links.ids))
    keys = [kind.astype(np.int64) * n + text for kind, text in ((links.kind_a, links.id_a), (links.kind_b, links.id_b))]
    nodes, end = distinct_integers(np.concatenate(keys))
    a, b = end[: keys[0].size].astype(np.int64), end[keys[0].size :].astype(np.int64)
    return nodes, np.minimum(a, b), np.maximum(a, b)


def judge(
    rules: LinkRules,
    kinds: Vocabulary,
    node_kind: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    strength: np.ndarray,
    linked_at: np.ndarray,
    at_us: int | None,
) -> np.ndarray:
    """Return the status of each link by the rules about single links."""
    status = np.full(a.size, USED, np.int8)
    least = _by_kind(rules.min_strength, kinds, 0.0)
    status[strength < np.maximum(least[node_kind[a]], least[node_kind[b]])] = WEAK
    timed = linked_at != ALWAYS
    if rules.expiry is not None and timed.any():
        now = int(linked_at.max()) if at_us is None else at_us
        durations = (
            {kind: check_duration(value, "expiry") for kind, value in rules.expiry.items()}
            if isinstance(rules.expiry, Mapping)
            else check_duration(rules.expiry, "expiry")
        )
        longest = _by_kind(durations, kinds, np.inf)
        age = np.where(timed, now - np.where(timed, linked_at, now), 0)
        status[age > np.minimum(longest[node_kind[a]], longest[node_kind[b]])] = EXPIRED
    if at_us is not None:
        status[timed & (linked_at >= at_us)] = LATER
    return status


def group(
    rules: LinkRules,
    kinds: Vocabulary,
    node_kind: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    strength: np.ndarray,
    status: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each node, and the status with the links that the rules about many links reject."""
    live = np.flatnonzero((status == USED) & (a != b))
    first = np.flatnonzero(np.r_[True, (np.diff(a[live]) != 0) | (np.diff(b[live]) != 0)][: live.size])
    one, other = a[live][first], b[live][first]  # each pair of ids once, with its strongest link
    strongest = np.maximum.reduceat(strength[live], first) if first.size else np.empty(0)
    verdict = np.full(first.size, USED, np.int8)
    verdict[_shared(rules, kinds, node_kind, one, other)] = SHARED
    good = np.flatnonzero(verdict == USED)
    n = node_kind.size
    graph = sp.coo_matrix((np.ones(good.size, np.int8), (one[good], other[good])), shape=(n, n)).tocsr()
    _, label = connected_components(graph, directed=False) if n else (0, np.empty(0, np.int64))
    label = label.astype(np.int64)
    large = np.bincount(label, minlength=1) > (n if rules.max_ids is None else rules.max_ids)
    if large.any() and rules.max_ids is not None:
        from omnireco._kernels.log.union import capped_groups

        crowd = good[large[label[one[good]]]]
        crowd = crowd[np.argsort(-strongest[crowd], kind="stable")]
        inside = np.flatnonzero(large[label])
        local = np.full(n, NONE, np.int64)
        local[inside] = np.arange(inside.size)
        union = suited(capped_groups, 20 * crowd.size)
        part = union(local[one[crowd]], local[other[crowd]], strongest[crowd], inside.size, rules.max_ids)
        label[inside] = n + inside[part]
        verdict[crowd[label[one[crowd]] != label[other[crowd]]]] = OVERSIZED
    status = status.copy()
    status[live] = np.repeat(verdict, np.diff(np.r_[first, live.size]))
    return label, status


def _shared(
    rules: LinkRules, kinds: Vocabulary, node_kind: np.ndarray, one: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Return a mask of the pairs in which an end exceeds the most links of its kind."""
    refused = np.zeros(one.size, np.bool_)
    for key, most in (rules.max_links or {}).items():
        own, theirs = (key, None) if isinstance(key, str) else key
        code = {name: position for position, name in enumerate(kinds.ids)}
        if own not in code or (theirs is not None and theirs not in code):
            continue
        counted = [
            (node_kind[end] == code[own]) & ((theirs is None) | (node_kind[far] == code.get(theirs, NONE)))
            for end, far in ((one, other), (other, one))
        ]
        degree = np.bincount(np.concatenate([one[counted[0]], other[counted[1]]]), minlength=node_kind.size)
        refused |= (counted[0] & (degree[one] > most)) | (counted[1] & (degree[other] > most))
    return refused


def first_linked(a: np.ndarray, b: np.ndarray, linked_at: np.ndarray, status: np.ndarray, n: int) -> np.ndarray:
    """Return when each node was first seen in a link, links after the as-of instant left out."""
    first = np.full(n, np.iinfo(np.int64).max)
    known = status != LATER
    for end in (a, b):
        np.minimum.at(first, end[known], linked_at[known])
    return first


def name_people(
    kinds: Vocabulary,
    ids: Vocabulary,
    node_kind: np.ndarray,
    node_id: np.ndarray,
    label: np.ndarray,
    trusted: tuple[str, ...],
    first: np.ndarray,
) -> tuple[Vocabulary, np.ndarray]:
    """Return the names of people, and the person of each node."""
    trust = np.array([trusted.index(name) if name in trusted else len(trusted) + i for i, name in enumerate(kinds.ids)])
    order = np.lexsort([node_id, first, trust[node_kind], label]) if label.size else np.empty(0, np.int64)
    begins = np.r_[True, np.diff(label[order]) != 0][: order.size]
    chosen = order[begins]
    several = np.bincount(node_id, minlength=len(ids)) > 1  # the same text of two kinds
    names = ids.ids[node_id[chosen]]
    if several.any():
        names = as_text(names)
        twice = several[node_id[chosen]]
        names[twice] = kinds.ids[node_kind[chosen[twice]]] + ":" + names[twice]
    people, code = Vocabulary.encode(names, "person")
    if len(people) < chosen.size:
        raise ParameterError(
            f"Identities: {chosen.size - len(people):,} people would have the name of another, because an id is "
            "written as 'kind:id'. Rename those kinds."
        )
    person = np.empty(label.size, np.int32)
    person[order] = code[np.cumsum(begins) - 1]
    return people, person


def _by_kind(value: Any, kinds: Vocabulary, default: float) -> np.ndarray:
    if not isinstance(value, Mapping):
        return np.full(len(kinds), value, np.float64)
    return np.array([value.get(name, default) for name in kinds.ids], np.float64)


def _check_share(value: Any, name: str) -> float:
    return check_number(value, name, low=0, high=1)


def as_text(ids: np.ndarray) -> np.ndarray:
    """Return ids as strings, a new array."""
    return ids.copy() if ids.dtype == object else ids.astype(str).astype(object)
