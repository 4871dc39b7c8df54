"""The history of one person as a row of a matrix, without a log: for models that read sums of weighed events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from omnireco._core.checks import check_duration
from omnireco._kernels.als.fold_in import fold_in
from omnireco._kernels.als.least_squares import diverged
from omnireco._kernels.log.cells import Coded, raw_csr, sum_cells
from omnireco._kernels.topk.exact import ItemIndex, rank_one
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.data.weights import Weights
from omnireco.errors import SchemaError
from omnireco.live.events import Event
from omnireco.live.person import Person
from omnireco.models.base import Model, Past, _Eligible

__all__ = ["Quick"]

_SETS = 4  # sets of eligible items that are remembered
_WORTH = 32  # requests after which a set gets an index of its own: that costs about as much as a thousand of them
_HALVINGS = 100.0  # beyond, an item may fade from the history and must still count as seen: the long way knows how
_OWN = (
    "_read",
    "_past_of",
    "_question",
    "_cells",
    "_seen",
    "_answer",
    "_parts_by_channel",
    "_on_channel",
    "_rank_block",
)


class Quick:
    """How a model that reads one row of sums is asked without a log.

    Parameters
    ----------
    model : Model
    weights : Weights
        Of the model; kinds whose weight of an event depends on other events go the long way.
    """

    __slots__ = ("_ridges", "_sets", "factors", "half_life", "items", "model", "weights")

    def __init__(self, model: Model, weights: Weights) -> None:
        self.model, self.weights, self.items = model, weights, model.items
        self.factors: Any = model if model._factorised() is model else None
        life = weights.half_life
        self.half_life = None if life is None else check_duration(life, "half_life")
        self._ridges: dict[int, np.ndarray] = {}  # by the length of a history
        self._sets: tuple[_Eligibles, ...] = ()  # replaced whole, the last used first

    @classmethod
    def of(cls, model: Any) -> Quick | None:
        """Return the quick way to ask a model; None where there is none."""
        if not isinstance(model, Model) or model.reads_layers or model._reading() is not None:
            return None
        if any(getattr(type(model), name) is not getattr(Model, name) for name in _OWN):
            return None
        weights = model.event_weights
        if weights is None or weights.deduplicate is not None or weights.step_half_life is not None:
            return None
        return None if weights.targets is not None else cls(model, weights)

    def best(
        self, person: Person, now: int, k: int, barred: np.ndarray, eligible: Any, *, exclude_seen: bool
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (codes, scores) of at most k items; None where only the long way knows.

        The arithmetic is that of :meth:`EventLog.matrix` at an instant, so the row is the same to the bit.
        """
        row = self.row(person, now)
        if row is None:
            return None
        code, data = row
        seen = code if exclude_seen else barred[:0]
        out = _joined(seen, barred) if barred.size else seen
        allowed = self._eligibles(eligible)
        if allowed is None or (self.factors is None and code.size):
            return self._by_block(code, data, out, k, eligible)
        if not code.size:
            return allowed.popular(self.model, out, k)
        vector = self._placed(np.array([0, code.size], np.int64), code, data)
        mask, among = allowed.mask, allowed.index(self.factors._index)
        codes, scores = rank_one(vector, self.factors._index, k=k, out=out, mask=mask, among=among)
        return _held(codes[0], scores[0])

    def _by_block(
        self, code: np.ndarray, data: np.ndarray, out: np.ndarray, k: int, eligible: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best items by the model's own block of one row."""
        m = len(self.items)
        allowed = _Eligible.read(eligible, self.items, 1).rows(slice(0, 1))
        ends = np.array([0, code.size], np.int32)
        cells = raw_csr(data, code, ends, (1, m))
        exclude = raw_csr(np.ones(out.size, np.float32), out, np.array([0, out.size]), (1, m)) if out.size else None
        codes, scores = self.model._rank_block(Past(cells, None, cells), exclude, k=k, eligible=allowed, threads=1)
        return _held(codes[0], scores[0])

    def _eligibles(self, eligible: Any) -> _Eligibles | None:
        """Return what is remembered of a set of eligible items; None where it is asked for in groups.

        A mask may have been changed since it was last seen, so all of it is compared.
        """
        mask, sets = eligible, self._sets
        if eligible is not None and not (
            type(eligible) is np.ndarray and eligible.dtype == np.bool_ and eligible.shape == (len(self.items),)
        ):
            read = _Eligible.read(eligible, self.items, 1)
            if read.group is not None:
                return None
            mask = read.masks
        for place, one in enumerate(sets):
            if one.is_of(mask):
                if place:
                    self._sets = (one, *sets[:place], *sets[place + 1 :])
                return one
        fresh = _Eligibles.of(mask)
        self._sets = (fresh, *sets[: _SETS - 1])
        return fresh

    def _placed(self, indptr: np.ndarray, code: np.ndarray, data: np.ndarray) -> np.ndarray:
        """Return the vector of one history, float32 (1, d): what the model's own placing does, without a matrix."""
        model = self.factors
        weight, pull, _ = model.loss.cells(data, None)
        ridge = self._ridges.get(code.size)
        if ridge is None:
            ridge = self._ridges[code.size] = model.loss.ridge(np.array([code.size]), len(self.items))
        vector = fold_in(indptr, code, weight, pull, space=model._space, ridge=ridge, threads=1)
        if not np.isfinite(vector).all():
            raise diverged("recommend")
        return vector

    def row(self, person: Person, now: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the ascending codes (int32) and weights (float32) of what happened strictly before an instant."""
        columns = person.made.get(self)
        if columns is None:
            columns = person.made[self] = _Columns.of(self, person.history)
        n = columns.at.size if not columns.at.size or columns.at[-1] < now else int(np.searchsorted(columns.at, now))
        amount = columns.amount[:n]
        if self.half_life is not None and n:
            if (now - int(columns.at[0])) / self.half_life > _HALVINGS:
                return None
            amount = amount * np.exp2(-(now - columns.at[:n]) / self.half_life)
        order, rule = columns.order if n == columns.at.size else None, self.weights
        if order is not None and rule.cap is None and not rule.binary:
            return _single(columns.item[order], amount[order])
        coded = Coded(np.zeros(n, np.int32), columns.item[:n], None, amount)
        found = sum_cells([coded], (1, len(self.items)), cap=rule.cap, binary=rule.binary)[0]
        return found.indices, found.data


class _Eligibles:
    """A set of eligible items, and what was computed of it: once for all requests that ask for it.

    Parameters
    ----------
    mask : ndarray of shape (m,), bool, or None
        A copy, which nobody changes; None stands for all items.
    """

    __slots__ = ("_among", "_order", "_probe", "_uses", "_words", "mask")

    def __init__(self, mask: np.ndarray | None, words: np.ndarray, probe: np.ndarray) -> None:
        self.mask, self._words, self._probe = mask, words, probe
        self._uses = 0
        self._among: ItemIndex | None = None
        self._order: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, mask: np.ndarray | None) -> _Eligibles:
        """Return what is to be remembered of a mask."""
        if mask is None:
            return cls(None, _NO_WORDS, _NO_WORDS)
        padded = np.zeros(-(-mask.size // 8) * 8, np.bool_)
        padded[: mask.size] = mask
        own = padded[: mask.size]
        own.setflags(write=False)
        words = padded.view(np.int64)
        return cls(own, words, words[:: max(1, words.size // 64)].copy())

    def is_of(self, mask: np.ndarray | None) -> bool:
        """Return whether a mask, as it is now, allows the same items."""
        if mask is None or self.mask is None:
            return mask is self.mask
        whole = mask.size // 8
        if not mask.flags.c_contiguous:
            return bool((mask == self.mask).all())
        words = mask[: 8 * whole].view(np.int64)
        step = max(1, self._words.size // 64)
        probe = words[::step]
        return bool(
            (probe == self._probe[: probe.size]).all()
            and (words == self._words[:whole]).all()
            and (mask[8 * whole :] == self.mask[8 * whole :]).all()
        )

    def index(self, whole: ItemIndex) -> ItemIndex | None:
        """Return an index of these items alone, once so many have asked that it pays."""
        if self.mask is None:
            return None
        if self._among is None:
            self._uses += 1
            if self._uses < _WORTH:
                return None
            codes = np.flatnonzero(self.mask).astype(np.int32)
            if not 0 < codes.size < _FULL * self.mask.size:
                return None
            self._among = whole.among(codes)
        return self._among

    def popular(self, model: Model, out: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what most people choose among these items, without those in ``out``: what a stranger gets."""
        held = self._order
        if held is None:
            value = model.popularity.astype(np.float32) + np.float32(0.0)
            codes = np.arange(value.size, dtype=np.int32) if self.mask is None else np.flatnonzero(self.mask)
            order = codes[np.argsort(-value[codes], kind="stable")].astype(np.int32)
            held = self._order = order, value[order]
        if not out.size:
            return held[0][:k].copy(), held[1][:k].copy()
        head = held[0][: k + out.size]
        free = np.flatnonzero(~np.isin(head, out))[:k]
        return head[free], held[1][free]


_NO_WORDS = np.empty(0, np.int64)
_FULL = 0.9  # a set of nearly all items gets no index of its own


def _held(codes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and scores without an empty end."""
    if codes[-1] != NONE:
        return codes, scores
    held = codes != NONE
    return codes[held], scores[held]


def _single(item: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return cells of one event each, by their ascending codes: what :func:`sum_cells` makes of them, sooner."""
    with np.errstate(over="ignore", under="ignore"):
        data = amount.astype(np.float32)
    if not data.all():
        kept = np.flatnonzero(data)
        item, data = item[kept], data[kept]
    if data.size and not np.isfinite(data).all():
        return None  # the long way says what is wrong
    return item, data


class _Columns(NamedTuple):
    """A history as arrays: instants, item codes of a model, and weights before any decay.

    ``order`` are the events about known items by ascending codes; None where an item has several.
    """

    quick: Quick
    at: np.ndarray
    item: np.ndarray
    amount: np.ndarray
    order: np.ndarray | None

    @classmethod
    def of(cls, quick: Quick, history: tuple[Event, ...]) -> _Columns:
        if not history:
            none = np.empty(0, np.int32)
            return cls(quick, none.astype(np.int64), none, none.astype(np.float64), none)
        at, event, channel, named, *_ = zip(*history, strict=True)
        item = _codes(quick.items, named)
        worth = _worths(quick.weights, history, event, channel)
        return cls(quick, np.array(at, np.int64), item, np.array(worth, np.float64), _order(item))

    def grow(self, event: Event, place: int) -> _Columns:
        """Return the columns with one event more."""
        codes = [NONE] if event.item is None else self.quick.items.codes([event.item], missing="none")
        item = _inserted(self.item, place, codes[0])
        worth = _worth(self.quick.weights, event)
        return _Columns(
            self.quick,
            _inserted(self.at, place, event.at_us),
            item,
            _inserted(self.amount, place, worth),
            _order(item),
        )


def _inserted(array: np.ndarray, place: int, value: Any) -> np.ndarray:
    """Return an array with one number more: what numpy.insert does, in a tenth of its time."""
    found = np.empty(array.size + 1, array.dtype)
    found[:place], found[place], found[place + 1 :] = array[:place], value, array[place:]
    return found


def _order(item: np.ndarray) -> np.ndarray | None:
    order = np.argsort(item, kind="stable")
    codes = item[order]
    order = order[np.searchsorted(codes, 0) :]
    codes = item[order]
    return None if np.count_nonzero(codes[1:] == codes[:-1]) else order


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distinct codes of both, ascending."""
    both = np.concatenate([one, other]).astype(np.int32, copy=False)
    both.sort()
    fresh = np.empty(both.size, np.bool_)
    fresh[0] = True
    np.not_equal(both[1:], both[:-1], out=fresh[1:])
    return both[fresh]


def _codes(items: Vocabulary, ids: Sequence[Any]) -> np.ndarray:
    bare = None in ids
    named = [one for one in ids if one is not None] if bare else list(ids)
    found = np.full(len(ids), NONE, np.int32)
    if not named or not len(items):
        return found
    step = 256  # so many are looked up one by one, and more as a column
    parts = [items.codes(named[place : place + step], missing="none") for place in range(0, len(named), step)]
    found[[one is not None for one in ids] if bare else slice(None)] = np.concatenate(parts)
    return found


def _worths(rule: Weights, history: tuple[Event, ...], event: tuple[str, ...], channel: tuple[str, ...]) -> list[float]:
    """Return what events weigh before any decay: once per type and channel, where values do not count."""
    if rule.value is not None:
        return [_worth(rule, one) for one in history]
    kinds = list(zip(event, channel, strict=True))
    worth = {kind: _worth(rule, one) for kind, one in dict(zip(kinds, history, strict=True)).items()}
    return [worth[kind] for kind in kinds]


def _worth(rule: Weights, event: Event) -> float:
    """Return what an event weighs before any decay."""
    amount = (rule.events or {}).get(event.event, 1.0) * (rule.channels or {}).get(event.channel, 1.0)
    if rule.value is None:
        return float(amount)
    if event.value is None:
        if amount != 0.0 and event.item is not None:
            raise SchemaError(
                f"recommend: Weights(value={rule.value!r}) needs a value, and an event of the type {event.event!r} has "
                "none. Give every such event a value, or weigh the type 0: Weights(events={'view': 0})."
            )
        return 0.0
    size = event.value
    return float(amount * (size if rule.value == "linear" else np.sign(size) * np.log1p(abs(size))))
