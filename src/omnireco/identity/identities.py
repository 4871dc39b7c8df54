"""Identity resolution: cookies, devices, cards, addresses and CRM numbers of one person, joined by links."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_instant, check_known, check_names, count_of, shown
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Array, Maybe, Parts, coded, freeze, instants, probabilities
from omnireco._core.small import INSTANT, Each, Settings, Text
from omnireco.data.frames.columns import instants_to_pandas
from omnireco.data.frames.placeholders import placeholders
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import NONE, Vocabulary, compress
from omnireco.errors import ParameterError
from omnireco.identity.linking import (
    ALWAYS,
    PLACEHOLDER,
    STATUS,
    USED,
    LinkRules,
    Links,
    as_text,
    ends_of,
    first_linked,
    group,
    joined,
    judge,
    name_people,
    read_links,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Identities"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Identities:
    """Which ids belong to one person.

    Made by :meth:`from_links`. An id has a kind (cookie, card, email): the same text of two kinds is two ids.

    Parameters
    ----------
    kinds, ids : Vocabulary
        Kinds and texts that occur.
    node_kind, node_id : ndarray of shape (n_ids,), int32
        Each known id once, by (kind, id).
    people : Vocabulary
        One id per person, which names them.
    person : ndarray of shape (n_ids,), int32
        The person of each id.
    a, b : ndarray of shape (n_links,), int32
        The two ends of each link, positions among the ids; a <= b.
    strength : ndarray of shape (n_links,), float64
        How sure each link is, in [0, 1].
    linked_at : ndarray of shape (n_links,), int64
        UTC microseconds; the smallest integer where the link has no time.
    status : ndarray of shape (n_links,), int8
        0 where a link is used, else the rule that rejected it (see :meth:`links`).
    rules : LinkRules
        Limits that a link must keep to be used.
    trusted : tuple of str
        Kinds in order of trust: a person is named by an id of the first of these that they have.
    at_us : int or None
        The as-of instant: links at or after it do not count yet.

    Notes
    -----
    **The name of a person** is an id of their most trusted kind; among those the one that was linked first, then
    the smallest. So the name stays when further ids are linked, and when two people are merged the older name
    stays. Where the same text is an id of several kinds, the name is ``"kind:id"``. Names are integers if all
    ids are integers and none is of two kinds; else strings.
    """

    kinds: Vocabulary
    ids: Vocabulary
    node_kind: np.ndarray
    node_id: np.ndarray
    people: Vocabulary
    person: np.ndarray
    a: np.ndarray
    b: np.ndarray
    strength: np.ndarray
    linked_at: np.ndarray
    status: np.ndarray
    rules: LinkRules
    trusted: tuple[str, ...]
    at_us: int | None

    parts: ClassVar[Parts] = {
        "kinds": Ids(text=True),
        "ids": Ids(people=True),
        "people": Ids(people=True),
        "node_kind": coded("kinds", "nodes"),
        "node_id": coded("ids", "nodes"),
        "person": coded("people", "nodes"),
        "a": coded("nodes", "links"),
        "b": coded("nodes", "links"),
        "strength": probabilities("links"),
        "linked_at": instants("links", never=True),
        "status": Array(np.int8, ("links",), 0, 16),
        "rules": Settings(LinkRules),
        "trusted": Each(Text()),
        "at_us": Maybe(INSTANT),
    }

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def from_links(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str] | None = None,
        trusted: Iterable[str] = (),
        max_ids: int | None = 50,
        max_links: Mapping[Any, int] | None = None,
        min_strength: float | Mapping[str, float] = 0.0,
        expiry: Any = None,
        at: Any = None,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> Identities:
        """Resolve ids by a frame of links.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            One row per link: ``id_a``, ``id_b`` (integers or strings), ``kind_a``, ``kind_b`` (strings), and optionally
            ``strength`` (in [0, 1]; 1 where the column is absent) and ``linked_at`` (when it was observed, with a
            time zone; may be missing). The order of rows, and of the two ends, does not matter.
        columns : mapping of str to str, optional
            Our name to yours.
        trusted : iterable of str
            Kinds in order of trust, such as ``["crm", "card", "email"]``; the others follow by name.
        max_ids, max_links, min_strength, expiry
            See :class:`LinkRules`.
        at : datetime, date or str, optional
            The as-of instant. Links at or after it do not count, and age is measured to it; by default to the last
            link.
        missing : {"raise", "ignore"}
            Whether a kind in a rule that no link has is an error, or is ignored. ``trusted`` is an order of kinds,
            which may name more than there are.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, an id or kind is missing, or a strength lies outside [0, 1].
        ParameterError
            For a kind that no link has: its rule would have no effect.

        Notes
        -----
        A link with a placeholder at one end ("null", "undefined", "0", "(not set)", an all-zero device id and the
        like; -1 among integers) joins nobody, whatever the rules: four cookies of a user ``"null"`` are four people.
        Such links are kept with the status "placeholder", see :meth:`links` and :meth:`summary`.

        Union-find over the links that pass the rules. O(n log n) time, O(n) memory, deterministic.

        Examples
        --------
        >>> import pandas as pd
        >>> links = pd.DataFrame({
        ...     "id_a": ["k1", "k2", "ann@x.org"], "kind_a": ["cookie", "cookie", "email"],
        ...     "id_b": ["ann@x.org", "ann@x.org", "36"], "kind_b": ["email", "email", "card"],
        ... })
        >>> identities = Identities.from_links(links, trusted=["card"])
        >>> identities
        Identities(4 ids of 3 kinds, 1 person, 3 links)
        >>> identities.person_of(["k2", "k9"], kind="cookie").tolist()
        ['36', 'k9']
        """
        rules = LinkRules(max_ids, max_links, min_strength, expiry)
        clock = None if at is None else check_instant(at, "at")
        links, trusted = read_links(frame, "Identities.from_links", columns), check_names(trusted, "trusted")
        for name, kinds in rules.kinds():
            check_known(kinds, links.kinds.ids, f"Identities: {name}", missing=missing)
        return _solve(links, rules, trusted, clock)

    def __len__(self) -> int:
        return int(self.node_id.size)

    def __repr__(self) -> str:
        refused = int((self.status != USED).sum())
        return (
            f"Identities({count_of(len(self), 'id')} of {count_of(len(self.kinds), 'kind')}, "
            f"{count_of(self.n_people, 'person', 'people')}, {count_of(self.n_links, 'link')}"
            f"{f', {refused:,} of them rejected' if refused else ''})"
        )

    @property
    def n_people(self) -> int:
        """How many people the known ids make; placeholders make none."""
        refused = self.status == PLACEHOLDER
        ends = np.unique(np.concatenate([self.a[refused], self.b[refused]]))
        nobody = placeholders(self.ids.ids[self.node_id[ends]]) if ends.size else ends
        return len(self.people) - int(nobody.sum())

    @property
    def n_links(self) -> int:
        """How many distinct links there are, used or rejected."""
        return int(self.a.size)

    def updated(self, links: Any, *, columns: Mapping[str, str] | None = None, at: Any = None) -> Identities:
        """Return the identities with further links; equal to building them from all links at once.

        Parameters
        ----------
        links : frame, as in :meth:`from_links`
            The further links, one row each.
        columns : mapping of str to str, optional
            Our name to yours.
        at : datetime, date or str, optional
            The new as-of instant; the same as before (or the last link) by default.

        Notes
        -----
        Cost: reading the new links, and one pass over the arrays of all; no id of an old link is hashed again.
        """
        fresh = read_links(links, "Identities.updated", columns)
        clock = self.at_us if at is None else check_instant(at, "at")
        return _solve(joined(self._links(), fresh), self.rules, self.trusted, clock)

    def without(self, links: Any, *, columns: Mapping[str, str] | None = None) -> Identities:
        """Return the identities without some links: people who were merged by mistake are separated.

        Parameters
        ----------
        links : frame with id_a, kind_a, id_b and kind_b
            Every link between such two ids is removed, whatever its strength and time.

        Raises
        ------
        ParameterError
            When a pair was never linked.
        """
        mine = self._links()
        both = joined(mine, read_links(links, "Identities.without", columns))
        nodes, a, b = ends_of(both)
        pair = a * nodes.size + b
        own, other = pair[: mine.strength.size], pair[mine.strength.size :]
        if unlinked := int((~np.isin(other, own)).sum()):
            raise ParameterError(
                f"Identities.without: {unlinked:,} of {other.size:,} pairs were never linked. Compare them with "
                "identities.links(), which lists every link."
            )
        return _solve(mine.take(np.flatnonzero(~np.isin(own, other))), self.rules, self.trusted, self.at_us)

    def as_of(self, at: Any) -> Identities:
        """Return the identities as of an instant: later links do not count, and ages are measured to it.

        Evaluate with ``log.before(cut).resolve(identities.as_of(cut))``: a link made after the cut would leak into
        the past.
        """
        return _solve(self._links(), self.rules, self.trusted, check_instant(at, "at"))

    def before(self, at: Any) -> Identities:
        """Return the identities as of an instant, without the later links: their ids and instants are gone."""
        cut = check_instant(at, "at")
        return _solve(self._links().take(np.flatnonzero(self.linked_at < cut)), self.rules, self.trusted, cut)

    def person_of(self, ids: Any, *, kind: str | None = None) -> np.ndarray:
        """Return the person that each id belongs to; an unknown id stays itself.

        Parameters
        ----------
        ids : array-like of int or str, shape (n,)
            Ids to look up, of any kind; unknown ones are returned as they are.
        kind : str, optional
            The kind of the ids. Without it ids are matched by their text, which must then occur in one kind only.

        Returns
        -------
        ndarray of shape (n,), int64 or object (str)
        """
        known, code = Vocabulary.encode(ids, "ids")
        return self.names(known, np.arange(len(known)), kind, None)[0][code]

    def names(
        self, users: Vocabulary, user: np.ndarray, kind: Any, channel: tuple[Vocabulary, np.ndarray] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the person of each coded id, and whether a link has the id.

        Used by ``resolve`` of logs and audiences. ``kind`` is None, a kind, or a mapping of channel to kind; then
        ``channel`` is the vocabulary and the codes.
        """
        mine = (self.ids.ids, self.people.ids) if len(self) else ()
        text = any(ids.dtype == object for ids in (*mine, users.ids))
        spelled = as_text(users.ids) if text else users.ids
        known = Vocabulary(as_text(self.ids.ids)) if text else self.ids
        code = known.codes(spelled, missing="none") if len(self) else np.full(len(users), NONE, np.int32)
        node = self._nodes(code[user], self._kind_codes(kind, channel, user.size))
        names, found = spelled[user], node != NONE
        names[found] = (as_text(self.people.ids) if text else self.people.ids)[self.person[node[found]]]
        return self._kept_apart(names, found, kind, channel), found

    def links(self) -> pd.DataFrame:
        """Return every link as a frame that :meth:`from_links` reads, with its status.

        ``status`` is "used", or why a link was rejected: "later" (than the as-of instant), "expired", "weak", "shared"
        (an end has too many links), "oversized" (the person would have too many ids) or "placeholder" (an end is a
        placeholder).
        """
        import pandas as pd

        ends: dict[str, Any] = {}
        for name, node in (("a", self.a), ("b", self.b)):
            ends |= {f"id_{name}": self.ids.decode(self.node_id[node])}
            ends |= {f"kind_{name}": self.kinds.decode(self.node_kind[node])}
        return pd.DataFrame(
            ends
            | {
                "strength": self.strength,
                "linked_at": instants_to_pandas(self.linked_at, none=ALWAYS),
                "status": np.array(STATUS, object)[self.status],
            }
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return one row per known id: ``person_id``, ``kind``, ``id``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "person_id": self.people.decode(self.person),
                "kind": self.kinds.decode(self.node_kind),
                "id": self.ids.decode(self.node_id),
            }
        )

    def summary(self) -> pd.DataFrame:
        """Return, per kind of link, how many there are by status, and the most ids of one of their people."""
        import pandas as pd

        pair = self.node_kind[self.a].astype(np.int64) * max(1, len(self.kinds)) + self.node_kind[self.b]
        seen, group = np.unique(pair, return_inverse=True)
        size = np.bincount(self.person, minlength=len(self.people))
        largest = np.zeros(seen.size, np.int64)
        np.maximum.at(largest, group, size[self.person[self.a]] if len(self) else 0)
        table = {
            "kind_a": self.kinds.decode(seen // max(1, len(self.kinds))),
            "kind_b": self.kinds.decode(seen % max(1, len(self.kinds))),
        }
        for code, status in enumerate(STATUS):
            table[status] = np.bincount(group[self.status == code], minlength=seen.size)
        return pd.DataFrame(table | {"largest_person": largest})

    def _links(self) -> Links:
        kind, text = self.node_kind, self.node_id
        return Links(
            self.kinds, self.ids, kind[self.a], text[self.a], kind[self.b], text[self.b], self.strength, self.linked_at
        )

    def _kind_codes(self, kind: Any, channel: tuple[Vocabulary, np.ndarray] | None, n: int) -> np.ndarray | None:
        if kind is None:
            return None
        if isinstance(kind, str):
            return np.full(n, self._kind_code(kind), np.int32)
        if not isinstance(kind, Mapping) or channel is None:
            raise ParameterError(
                "kind must be the kind of the ids, such as 'card', or of a log map its channels to kinds, such as "
                f"{{'store': 'card', 'web': 'cookie'}}. Got {type(kind).__name__}."
            )
        names, code = channel
        if absent := [name for name in names.ids if name not in kind]:
            raise ParameterError(f"kind lacks the channels {', '.join(map(shown, absent))}. Add them to it.")
        return np.array([self._kind_code(kind[name]) for name in names.ids], np.int32)[code]

    def _kind_code(self, kind: str) -> int:
        code = int(self.kinds.codes([kind], missing="none")[0]) if len(self.kinds) else NONE
        if code == NONE and len(self.kinds):
            raise ParameterError(
                f"kind: no link has an id of the kind {shown(kind)}; the kinds are "
                f"{', '.join(map(repr, self.kinds.ids))}."
            )
        return code

    def _nodes(self, text: np.ndarray, kind: np.ndarray | None) -> np.ndarray:
        """Return the position of each id, -1 where it is not known."""
        node = np.full(text.size, NONE, np.int64)
        if not len(self):
            return node
        if kind is None:
            times = np.bincount(self.node_id, minlength=len(self.ids))
            if doubtful := int((times[np.unique(text[text != NONE])] > 1).sum()):
                raise ParameterError(
                    f"resolve: {doubtful:,} of the ids occur in several kinds. Give their kind: "
                    "kind='card', or kind={'store': 'card', 'web': 'cookie'}."
                )
            where = np.full(len(self.ids) + 1, NONE, np.int64)
            where[self.node_id] = np.arange(len(self))
            return where[text]
        key = self.node_kind.astype(np.int64) * len(self.ids) + self.node_id  # ascending: nodes are sorted so
        wanted = kind.astype(np.int64) * len(self.ids) + text
        at = np.minimum(np.searchsorted(key, wanted), key.size - 1)
        hit = (text != NONE) & (kind != NONE) & (key[at] == wanted)
        node[hit] = at[hit]
        return node

    def _kept_apart(self, names: np.ndarray, found: np.ndarray, kind: Any, channel: Any) -> np.ndarray:
        """Return names in which no unknown id equals the name of a person: a cookie "36" is not the card "36"."""
        unknown = np.flatnonzero(~found)
        people = Vocabulary(as_text(self.people.ids)) if names.dtype == object else self.people
        if not unknown.size or not len(people):
            return names
        clash = unknown[people.codes(names[unknown], missing="none") != NONE]
        if not clash.size:
            return names
        if kind is None or names.dtype != object:
            raise ParameterError(
                f"resolve: {clash.size:,} ids that no link has equal names of people. Give their kind "
                "(kind=), and make ids strings: frame['user_id'].astype(str)."
            )
        if isinstance(kind, str):
            called = np.full(clash.size, kind, object)
        else:
            called = np.array([kind[name] for name in channel[0].ids], object)[channel[1][clash]]
        names[clash] = called + ":" + names[clash]
        return names


def _solve(links: Links, rules: LinkRules, trusted: tuple[str, ...], at_us: int | None) -> Identities:
    """Return the identities of all these links, by the rules, as of an instant."""
    ids, text = compress(links.ids, np.concatenate([links.id_a, links.id_b]))
    kinds, kind = compress(links.kinds, np.concatenate([links.kind_a, links.kind_b]))
    n = links.strength.size
    links = replace(links, ids=ids, id_a=text[:n], id_b=text[n:], kinds=kinds, kind_a=kind[:n], kind_b=kind[n:])
    nodes, a, b = ends_of(links)
    order = np.lexsort([links.strength, links.linked_at, b, a])
    row = [array[order] for array in (a, b, links.linked_at, links.strength)]
    fresh = np.zeros(n, np.bool_)
    fresh[:1] = True
    for array in row:
        fresh[1:] |= array[1:] != array[:-1]
    a, b, linked_at, strength = (array[fresh] for array in row)
    node_kind, node_id = (nodes // max(1, len(ids))).astype(np.int32), (nodes % max(1, len(ids))).astype(np.int32)
    status = judge(rules, kinds, node_kind, a, b, strength, linked_at, at_us)
    nobody = placeholders(ids.ids)[node_id] if len(ids) else np.empty(0, np.bool_)
    status[nobody[a] | nobody[b]] = PLACEHOLDER
    label, status = group(rules, kinds, node_kind, a, b, strength, status)
    people, person = name_people(
        kinds, ids, node_kind, node_id, label, trusted, first_linked(a, b, linked_at, status, nodes.size)
    )
    solved = Identities(
        kinds,
        ids,
        node_kind,
        node_id,
        people,
        person,
        a.astype(np.int32),
        b.astype(np.int32),
        strength,
        linked_at,
        status,
        rules,
        trusted,
        at_us,
    )
    _log.info("joined %r", solved)
    return solved
