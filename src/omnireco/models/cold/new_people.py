"""People nobody has met yet: by their attributes, by their segment, and a chain that says which step answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import (
    check_flag,
    check_integer,
    check_k,
    check_kind,
    check_names,
    check_number,
    count_of,
    shown,
)
from omnireco._core.compute import row_blocks
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Parts, coded, declare, freeze, numbers
from omnireco._core.small import Each, Table, Text, Value, Whole
from omnireco._kernels.topk.exact import select, topk
from omnireco.data.audience import Audience
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model, _Eligible, count_users, require_interactions
from omnireco.models.cold.new_items import predict_vectors
from omnireco.models.matrix.factors import FactorModel
from omnireco.models.matrix.popularity import PopularityModel

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AttributeModel",
    "Fallback",
    "FallbackLists",
    "SegmentModel",
    "SegmentPopularity",
    "learn_people",
    "people_attributes",
    "with_people",
]


def people_attributes(audience: Audience, names: Iterable[str] | None = None) -> Interactions:
    """Return people x attributes, one column per value, such as ``"age=35-44"``: what maps and segments read.

    Parameters
    ----------
    audience : Audience
        With the attributes asked for at its door: ``Audience.from_frame(frame, attributes=["age", "segment"])``.
    names : iterable of str, optional
        Which of them; all by default.

    Examples
    --------
    >>> import pandas as pd
    >>> audience = Audience.from_frame(
    ...     pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "age": ["young", None]}), attributes=["age"])
    >>> people_attributes(audience).to_frame()["item_id"].tolist()
    ['age=young']
    """
    if not isinstance(audience, Audience):
        raise SchemaError(f"people_attributes takes an Audience. Got {type(audience).__name__}.")
    asked = tuple(audience.attributes) if names is None else check_names(names, "names")
    if absent := [name for name in asked if name not in audience.attributes]:
        raise ParameterError(
            f"people_attributes: the audience has no attribute {', '.join(map(shown, absent))}; it has "
            f"{', '.join(map(repr, audience.attributes)) or 'none'}. Ask for it at the door: "
            "Audience.from_frame(frame, attributes=[...])."
        )
    labels: list[str] = []
    user, column = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name in asked:
        values, codes = audience.attributes[name]
        known = np.flatnonzero(codes != NONE)
        user.append(known)
        column.append(len(labels) + codes[known].astype(np.int64))
        labels += [f"{name}={value}" for value in values.ids]
    if not labels:
        raise EmptyError(
            "people_attributes: the audience has no attributes. Name them: from_frame(frame, attributes=[...])."
        )
    kinds, place = Vocabulary.encode(np.array(labels, object), "attributes")
    who, what = np.concatenate(user), place[np.concatenate(column)]
    return Interactions.from_cells(audience.users, kinds, who, what, np.ones(who.size))


def with_people(histories: Interactions, ids: Any) -> Interactions:
    """Return the rows of some people in the order given, empty ones for those nobody has met.

    Parameters
    ----------
    histories : Interactions
    ids : array-like of user ids, unique

    Examples
    --------
    >>> import pandas as pd
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["tea"]}))
    >>> with_people(x, [2, 1]).csr.toarray().tolist()
    [[0.0], [1.0]]
    """
    if not isinstance(histories, Interactions):
        raise SchemaError(f"with_people takes Interactions. Got {type(histories).__name__}.")
    known, code = Vocabulary.encode(ids, "user_id")
    if len(known) < code.size:
        raise ParameterError(f"with_people: {code.size - len(known):,} of {code.size:,} ids are named twice.")
    users = known.take(code)
    row = histories.users.codes(users.ids, missing="none")

    def picked(matrix: sp.csr_matrix) -> sp.csr_matrix:
        count = np.append(np.diff(matrix.indptr), 0)[row]  # the code -1 points at the row behind the last: empty
        indptr = np.concatenate([[0], np.cumsum(count)])
        source = np.repeat(matrix.indptr[row], count) + np.arange(indptr[-1]) - np.repeat(indptr[:-1], count)
        return sp.csr_matrix((matrix.data[source], matrix.indices[source], indptr), (len(users), matrix.shape[1]))

    csr = picked(histories.csr)
    layers = {name: csr if layer is histories.csr else picked(layer) for name, layer in histories.layers.items()}
    targets = None if histories.targets is None else picked(histories.targets)
    return Interactions(users, histories.items, csr, layers, histories.at_us, targets)


def learn_people(
    model: FactorModel, histories: Interactions, attributes: Interactions, *, regularization: float = 10.0
) -> AttributeModel:
    """Return a map from what people are to where a factor model places them.

    For somebody without a history the vector is predicted from their attributes (age band, region, how they came) by
    the ridge regression that predicts the vectors of the people with a history best.

    Parameters
    ----------
    model : FactorModel
        Such as ``ALS().fit(x)``.
    histories : Interactions
        People with a history, such as the ``x`` the model was fitted on.
    attributes : Interactions
        People x attributes, such as :func:`people_attributes` makes.
    regularization : float
        Ridge penalty per attribute: prior strength in people (a pseudo-count).

    Raises
    ------
    EmptyError
        When nobody has both a history and attributes.

    Notes
    -----
    ``B = (F'F + regularization I)^-1 F'X`` with attributes F and vectors X around their means, in closed form; a new
    person is ``mean + (f - mean f) B``. Deterministic. O(attributes^3).

    References
    ----------
    Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010, section 4.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import ALS
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": ["tea", "tea", "drum", "drum"]}))
    >>> kinds = pd.DataFrame({"user_id": [1, 2, 3, 4, 5], "item_id": ["calm", "calm", "loud", "loud", "loud"]})
    >>> placed = learn_people(ALS(factors=2).fit(x), x, Interactions.from_frame(kinds), regularization=0.1)
    >>> placed.recommend(Interactions.from_frame(kinds).rows([5]), k=1).to_frame()["item_id"].tolist()
    ['drum']
    """
    if not isinstance(model, FactorModel):
        raise ParameterError(f"learn_people takes a FactorModel, such as ALS().fit(x). Got {type(model).__name__}.")
    _check_attributes(attributes, "learn_people")
    regularization = check_number(regularization, "regularization", above=0)
    check_kind(histories, Interactions, "learn_people: histories", "log.matrix()")
    warm = np.flatnonzero(np.diff(histories.csr.indptr) > 0)
    row = match(attributes.users, histories.users.take(warm), ("attributes", "histories"))
    told = np.diff(attributes.csr.indptr)[row] > 0
    both = (row != NONE) & told
    if not both.any():
        raise EmptyError("learn_people: nobody has both a history and attributes. Check that user ids agree.")
    vectors = model.place(histories.take(warm[both])).astype(np.float64)
    known = attributes.csr[row[both]].astype(np.float64)
    every = sp.identity(attributes.n_items, np.float64, format="csr")
    mean = predict_vectors(known, vectors, sp.csr_matrix((1, attributes.n_items)), regularization)
    slope = predict_vectors(known, vectors, every, regularization) - mean
    return AttributeModel(model, attributes.items, slope.astype(np.float32), mean.astype(np.float32)[0])


@dataclass(frozen=True, slots=True, eq=False)
class AttributeModel:
    """People placed among the items of a factor model by their attributes.

    Parameters
    ----------
    model : FactorModel
    attributes : Vocabulary
    slope : ndarray of shape (n_attributes, d), float32
        What each attribute adds to a person's vector.
    start : ndarray of shape (d,), float32
        The vector of somebody without attributes.
    """

    model: FactorModel
    attributes: Vocabulary
    slope: np.ndarray
    start: np.ndarray

    parts: ClassVar[Parts] = {
        "model": Value((FactorModel,)),
        "attributes": Ids(),
        "slope": numbers("attributes", "model.d", dtype=np.float32),
        "start": numbers("model.d", dtype=np.float32),
    }

    def __post_init__(self) -> None:
        shape = (len(self.attributes), self.model.factors.shape[1])
        if self.slope.shape != shape or self.start.shape != shape[1:]:
            raise ParameterError(f"AttributeModel: slope {self.slope.shape} must have the shape {shape}.")
        declare(self)

    def __repr__(self) -> str:
        return f"AttributeModel({count_of(len(self.attributes), 'attribute')}, {self.model!r})"

    @property
    def items(self) -> Vocabulary:
        """The catalogue."""
        return self.model.items

    def place(self, attributes: Interactions) -> np.ndarray:
        """Return the vector of each person, float32 (n_users, d); attributes the map has not met say nothing."""
        _check_attributes(attributes, "place")
        known = attributes.with_items(self.attributes).csr.astype(np.float64)
        return np.asarray(self.start + known @ self.slope.astype(np.float64), np.float32)

    def recommend(
        self, attributes: Interactions, *, k: int, exclude: Any = None, eligible: Any = None, threads: int | None = None
    ) -> Recommendations:
        """Rank items for people, given their attributes.

        Parameters
        ----------
        attributes : Interactions
            People x attributes, one row per person asked about.
        k : int
        exclude : scipy sparse matrix of shape (n_users, n_items), optional
            Items never shown to a person.
        eligible, threads : optional
            As in :meth:`omnireco.models.Model.recommend`.
        """
        k, vectors = check_k(k), self.place(attributes)
        allowed = _Eligible.read(eligible, self.items, len(vectors)).rows(slice(0, len(vectors)))
        codes, scores = topk(vectors, self.model._index, k=k, exclude=exclude, eligible=allowed, threads=threads)
        return Recommendations(attributes.users, self.items, codes, scores)

    def answers(self, attributes: Interactions) -> np.ndarray:
        """Return who has an attribute that the map knows, bool (n_users,)."""
        _check_attributes(attributes, "answers")
        return np.diff(attributes.with_items(self.attributes).csr.indptr) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPopularity:
    """Rank items by how many people of a segment chose them, leaning on everybody where the segment is small.

    Parameters
    ----------
    prior : float
        Prior strength of the population, in people of a segment (a pseudo-count).

    Notes
    -----
    ``score(g, i) = (n_gi + prior n_i / n) / (n_g + prior)``, the share of segment g that chose i, pulled towards the
    share of all; somebody in several segments gets the mean of theirs. Deterministic, O(cells + segments x items).

    Examples
    --------
    >>> import pandas as pd
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": ["tea", "tea", "drum", "tea"]}))
    >>> groups = Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3, 5], "item_id": ["a", "a", "b", "b"]}))
    >>> model = SegmentPopularity(prior=0.5).fit(x, groups)
    >>> model.recommend(groups.rows([5]), k=1).to_frame()["item_id"].tolist()
    ['drum']
    """

    prior: float = 20.0

    def __post_init__(self) -> None:
        check_number(self.prior, "prior", above=0)

    def fit(self, x: Interactions, segments: Interactions) -> SegmentModel:
        """Return the model.

        Parameters
        ----------
        x : Interactions
        segments : Interactions
            People x segments, such as ``people_attributes(audience, ["segment"])``.

        Raises
        ------
        EmptyError
            When nobody of ``x`` has a segment.
        """
        x = require_interactions(x, "SegmentPopularity.fit")
        _check_attributes(segments, "SegmentPopularity.fit")
        row = match(segments.users, x.users, ("segments", "x"))
        met = np.flatnonzero(row != NONE)
        member = sp.csr_matrix(segments.csr[row[met]] > 0, dtype=np.float64)
        if not member.nnz:
            raise EmptyError("SegmentPopularity.fit: nobody has both a history and a segment. Check that ids agree.")
        chose = sp.csr_matrix(x.csr[met] > 0, dtype=np.float64)
        counts = np.asarray((member.T @ chose).todense(), np.float64)
        size = np.asarray(member.sum(axis=0)).ravel()
        everybody = count_users(x)
        share = everybody.astype(np.float64) / max(1, int((np.diff(x.csr.indptr) > 0).sum()))
        scores = (counts + self.prior * share[None, :]) / (size + self.prior)[:, None]
        return SegmentModel(x.items, everybody, segments.items, scores.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentModel:
    """What each segment chooses.

    Parameters
    ----------
    items : Vocabulary
    popularity : ndarray of shape (n_items,), float32
    segments : Vocabulary
    scores : ndarray of shape (n_segments, n_items), float32
        Shrunken share of the segment that chose the item.
    """

    items: Vocabulary
    popularity: np.ndarray
    segments: Vocabulary
    scores: np.ndarray

    parts: ClassVar[Parts] = {
        "items": Ids(),
        "popularity": numbers("items", dtype=np.float32),
        "segments": Ids(),
        "scores": numbers("segments", "items", dtype=np.float32),
    }

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.segments), len(self.items)):
            raise ParameterError(f"SegmentModel: scores of shape {self.scores.shape} do not fit segments and items.")
        declare(self)

    def __repr__(self) -> str:
        return f"SegmentModel({count_of(len(self.segments), 'segment')}, {count_of(len(self.items), 'item')})"

    def recommend(
        self, segments: Interactions, *, k: int, exclude: Any = None, eligible: Any = None, threads: int | None = None
    ) -> Recommendations:
        """Rank items for people, given their segments; those without a known one get what most people chose.

        Parameters
        ----------
        segments : Interactions
            People x segments, one row per person asked about.
        k, exclude, eligible, threads
            As in :meth:`AttributeModel.recommend`.
        """
        k = check_k(k)
        _check_attributes(segments, "recommend")
        known = sp.csr_matrix(segments.with_items(self.segments).csr > 0, dtype=np.float64)
        n = known.shape[0]
        if exclude is not None and (not sp.issparse(exclude) or exclude.shape != (n, len(self.items))):
            raise ParameterError(
                f"exclude must be a scipy sparse matrix of shape ({n:,}, {len(self.items):,}), such as histories.csr. "
                f"Got {shown(exclude)}."
            )
        allowed = _Eligible.read(eligible, self.items, n)
        codes, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for rows in row_blocks(n, 12 * len(self.items)):
            some = known[rows]
            belongs = np.diff(some.indptr)[:, None]
            mean = np.asarray(some @ self.scores.astype(np.float64)) / np.maximum(belongs, 1)
            value = np.where(belongs > 0, mean, self.popularity[None, :]).astype(np.float32)
            seen = None if exclude is None else exclude.tocsr()[rows]
            codes[rows], scores[rows] = select(value, k=k, exclude=seen, eligible=allowed.rows(rows))
        return Recommendations(segments.users, self.items, codes, scores)

    def answers(self, segments: Interactions) -> np.ndarray:
        """Return who is in a segment that the model knows, bool (n_users,)."""
        _check_attributes(segments, "answers")
        return np.diff(segments.with_items(self.segments).csr.indptr) > 0


Step = Model | AttributeModel | SegmentModel


@dataclass(frozen=True, slots=True)
class Fallback:
    """A chain of models, asked in order: everybody is answered by the first that knows enough about them.

    What happens to somebody nobody has met should be stated, not discovered. The lists say for each person which
    step answered.

    Parameters
    ----------
    steps : mapping of str to model
        In order, such as ``{"taste": als, "attributes": learn_people(als, x, attributes), "segment": ...,
        "popular": Popularity().fit(x)}``, all over the same items. A model answers people with a history; an
        :class:`AttributeModel` and a :class:`SegmentModel` those with a known attribute or segment; popularity
        everybody.
    least : int
        Items (that the model knows) a history must have for a model to answer.

    Examples
    --------
    >>> import pandas as pd
    >>> from omnireco.models import ItemKNN, Popularity
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa")}))
    >>> chain = Fallback({"knn": ItemKNN().fit(x), "popular": Popularity().fit(x)})
    >>> chain.recommend(x, k=1, users=[3, 99]).to_frame()[["user_id", "item_id", "step"]].to_numpy().tolist()
    [[3, 'b', 'knn'], [99, 'a', 'popular']]
    """

    steps: Mapping[str, Step]
    least: int = 1

    parts: ClassVar[Parts] = {"steps": Table(Value()), "least": Whole(1)}

    def __post_init__(self) -> None:
        kinds = (Model, AttributeModel, SegmentModel)
        if (
            not isinstance(self.steps, Mapping)
            or not self.steps
            or not all(isinstance(step, kinds) for step in self.steps.values())
        ):
            raise ParameterError(
                "Fallback takes a mapping of names to fitted models, such as {'als': als, 'popular': popular}. "
                f"Got {shown(self.steps)}."
            )
        first = next(iter(self.steps.values())).items
        if strange := [name for name, step in self.steps.items() if step.items != first]:
            raise ParameterError(
                f"Fallback: {', '.join(map(shown, strange))} and the first step know other items. Fit all of them on "
                "matrices with the same items: x.with_items(vocabulary)."
            )
        object.__setattr__(self, "steps", ReadOnly({str(name): step for name, step in self.steps.items()}))
        check_integer(self.least, "least", low=1)

    def __repr__(self) -> str:
        return f"Fallback({' -> '.join(self.steps)}, least={self.least})"

    @property
    def items(self) -> Vocabulary:
        """The catalogue that all steps share."""
        return next(iter(self.steps.values())).items

    def recommend(
        self,
        histories: Interactions,
        *,
        k: int,
        attributes: Interactions | None = None,
        users: Any = None,
        exclude_seen: bool = True,
        eligible: Any = None,
        threads: int | None = None,
    ) -> FallbackLists:
        """Rank items for people, each by the first step that knows enough about them.

        Parameters
        ----------
        histories : Interactions
        k : int
        attributes : Interactions, optional
            People x attributes and segments, as :func:`people_attributes` makes them; needed by those steps.
        users : array-like of user ids, optional
            Whom to answer; people who are not in ``histories`` have an empty history. Everybody in it by default.
        exclude_seen, eligible, threads
            As in :meth:`omnireco.models.Model.recommend`; groups of ``eligible`` in the order of ``users``.

        Returns
        -------
        FallbackLists
            ``.lists``, and ``.step``: which step answered whom (-1 nobody could: an empty list).
        """
        k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
        if not isinstance(histories, Interactions):
            raise SchemaError(f"Fallback: histories must be Interactions. Got {type(histories).__name__}.")
        needs = [name for name, step in self.steps.items() if not isinstance(step, Model)]
        if needs and attributes is None:
            raise ParameterError(
                f"Fallback: the step {needs[0]!r} answers by attributes. Give them: recommend(histories, k=..., "
                "attributes=people_attributes(audience))."
            )
        asked = histories if users is None else with_people(histories, users)
        known = asked.with_items(self.items)
        n_known, open_ = np.diff(known.csr.indptr), np.ones(known.n_users, np.bool_)
        step = np.full(known.n_users, NONE, np.int32)
        codes = np.full((known.n_users, k), NONE, np.int32)
        scores = np.full((known.n_users, k), -np.inf, np.float32)
        about = None if attributes is None else with_people(attributes, known.users.ids)
        allowed = _Eligible.read(eligible, self.items, known.n_users)
        for number, model in enumerate(self.steps.values()):
            if isinstance(model, PopularityModel):
                can = open_
            elif isinstance(model, Model):
                can = open_ & (n_known >= self.least)
            else:
                can = open_ & model.answers(about)  # type: ignore[arg-type]
            who = np.flatnonzero(can)
            if not who.size:
                continue
            part = known.take(who)
            some: Any = allowed.masks
            if allowed.group is not None:
                some = allowed.group[who], dict(enumerate(np.asarray(allowed.masks)))
            if isinstance(model, Model):
                found = model.recommend(part, k=k, exclude_seen=exclude_seen, eligible=some, threads=threads)
            else:
                seen = part.csr if exclude_seen else None
                told = about.take(who)  # type: ignore[union-attr]
                found = model.recommend(told, k=k, exclude=seen, eligible=some, threads=threads)
            codes[who], scores[who], step[who] = found.codes, found.scores, number
            open_ = open_ & ~can
        return FallbackLists(Recommendations(known.users, self.items, codes, scores), tuple(self.steps), step)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FallbackLists:
    """Lists, and which step of a chain made each.

    Parameters
    ----------
    lists : Recommendations
    steps : tuple of str
        Names of the steps, in order.
    step : ndarray of shape (n_users,), int32
        Number of the step that answered each person, -1 for none.
    """

    lists: Recommendations
    steps: tuple[str, ...]
    step: np.ndarray

    parts: ClassVar[Parts] = {
        "lists": Value((Recommendations,)),
        "steps": Each(Text(), "steps"),
        "step": coded("steps", "lists.users", none=True),
    }

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        counts = np.bincount(self.step[self.step != NONE], minlength=len(self.steps))
        told = ", ".join(f"{name} {n:,}" for name, n in zip(self.steps, counts, strict=True))
        return f"FallbackLists({count_of(len(self.lists), 'user')}: {told})"

    def to_frame(self) -> pd.DataFrame:
        """Return user_id, item_id, rank, score, and step: the name of the one that answered."""
        frame = self.lists.to_frame()
        row, _ = np.nonzero(self.lists.codes != NONE)
        return frame.assign(step=np.array(self.steps, object)[self.step[row]])

    def by_step(self) -> pd.DataFrame:
        """Return user_id and step, one row per person; None where no step could answer."""
        import pandas as pd

        names = [self.steps[number] if number != NONE else None for number in self.step]
        return pd.DataFrame({"user_id": self.lists.users.ids, "step": pd.Series(names, dtype=object)})


def _check_attributes(attributes: Any, verb: str) -> None:
    if not isinstance(attributes, Interactions):
        raise SchemaError(
            f"{verb}: attributes must be Interactions of people x attributes, such as people_attributes(audience). "
            f"Got {type(attributes).__name__}."
        )
