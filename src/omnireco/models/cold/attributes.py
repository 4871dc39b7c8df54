"""User cold start: by attributes, by segment, and a chain of fallbacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from omnireco._core.checks import check_flag, check_k, check_kind, check_names, check_number, count_of, shown
from omnireco._core.compute import Progress, check_progress, usable_threads
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, numbers
from omnireco._core.small import Value
from omnireco._kernels.log.cells import Coded
from omnireco._kernels.topk.exact import topk
from omnireco.data.asking.histories import data_of, histories_of, rows_by_code
from omnireco.data.asking.requests import Requests
from omnireco.data.audience import Audience
from omnireco.data.interactions import Interactions
from omnireco.data.parts import Ids
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.data.weights import Weights
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.models.base import Model, _Eligible, either
from omnireco.models.cold.new_items import predict_vectors
from omnireco.models.matrix.factors import FactorModel

__all__ = [
    "AttributeModel",
    "AttributeRecommender",
    "attributes_asking",
    "attributes_of",
    "check_attributes",
    "learn_people",
    "people_attributes",
    "with_people",
]


def people_attributes(audience: Audience, names: Iterable[str] | None = None) -> Interactions:
    """Return people x attributes, one column per value, such as ``"age=35-44"``: what maps and segments read.

    Parameters
    ----------
    audience : Audience
        With attributes: ``Audience.from_frame(frame, attributes=["age", "segment"])``.
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
    wanted = tuple(audience.attributes) if names is None else check_names(names, "names")
    if absent := [name for name in wanted if name not in audience.attributes]:
        raise ParameterError(
            f"people_attributes: the audience has no attribute {', '.join(map(shown, absent))}; it has "
            f"{', '.join(map(repr, audience.attributes)) or 'none'}. Name it in from_frame:  "
            "Audience.from_frame(frame, attributes=[...])."
        )
    labels: list[str] = []
    user, column = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name in wanted:
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
    return Interactions.from_cells(audience.users, kinds, Coded(who, what, None, np.ones(who.size)))


def with_people(histories: Interactions, ids: Any) -> Interactions:
    """Return the rows of some people in the order given, empty ones for new users.

    Parameters
    ----------
    histories : Interactions
        One row of the user-item matrix per person.
    ids : array-like of user ids, unique
        People whose rows are wanted, in this order.

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
    return rows_by_code(histories, histories.users.codes(users.ids, missing="none"), users)


def attributes_of(data: Any, where: str) -> Interactions:
    """Return people x attributes of a Dataset: its own, or those of its audience where it has none.

    Raises
    ------
    SchemaError
        When it has neither.
    """
    if data.attributes is not None:
        found: Interactions = data.attributes
        return found
    if data.audience is None:
        raise SchemaError(
            f"{where} reads attributes of people, and the data has none. Write om.Dataset(..., audience=people), where "
            "people = om.Audience.from_frame(frame, attributes=['age']), or om.Dataset(..., attributes=x)."
        )
    return people_attributes(data.audience)


def attributes_asking(requests: Requests, where: str) -> Interactions:
    """Return the attributes of the users, one row per request; empty for unknown users."""
    about = attributes_of(data_of(requests, where), where)
    row = np.append(match(about.users, requests.users, ("the attributes", "the requests")), NONE)[requests.user]
    return rows_by_code(about, row, requests.ids)


def learn_people(
    model: FactorModel, histories: Interactions, attributes: Interactions, *, regularization: float = 10.0
) -> AttributeModel:
    """Return a map from what people are to where a factor model places them.

    For somebody without a history the vector is predicted from their attributes (age band, region, acquisition channel)
    by the ridge regression that predicts the vectors of the people with a history best.

    Parameters
    ----------
    model : FactorModel
        Such as ``ALS().fit(x)``.
    histories : Interactions
        People with a history, such as the ``x`` the model was fitted on.
    attributes : Interactions
        People x attributes, such as :func:`people_attributes` makes.
    regularization : float
        Ridge penalty per attribute, in units of people: a pseudo-count.

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
    if not isinstance(model, Model) or model._factorised() is None:
        raise ParameterError(f"learn_people takes a FactorModel, such as ALS().fit(x). Got {type(model).__name__}.")
    check_attributes(attributes, "learn_people")
    regularization = check_number(regularization, "regularization", above=0)
    check_kind(histories, Interactions, "learn_people: histories", "log.matrix()")
    warm = np.flatnonzero(np.diff(histories.csr.indptr) > 0)
    row = match(attributes.users, histories.users.take(warm), ("attributes", "histories"))
    both = (row != NONE) & (np.diff(attributes.csr.indptr)[row] > 0)
    if not both.any():
        raise EmptyError("learn_people: nobody has both a history and attributes. Check that user ids agree.")
    vectors = model.place(histories.take(warm[both])).astype(np.float64)
    known = attributes.csr[row[both]].astype(np.float64)
    every = sp.identity(attributes.n_items, np.float64, format="csr")
    mean = predict_vectors(known, vectors, sp.csr_matrix((1, attributes.n_items)), regularization)
    slope = predict_vectors(known, vectors, every, regularization) - mean
    return AttributeModel(model, attributes.items, slope.astype(np.float32), mean.astype(np.float32)[0])


class AttributeRecommender(ABC):
    """Whatever ranks items for people by what they are, and not by what they did.

    Subclasses are frozen and final; they declare which attributes they know (``_known``) and how these become a ranking
    (``_rank``). Users, histories, eligibility and exclusion are read here, once.
    """

    __slots__ = ()

    items: Vocabulary
    event_weights: Weights | None = None

    _repr_html_ = shown_html

    @abstractmethod
    def _known(self) -> Vocabulary:
        """Return the attributes that are known to the model."""

    @abstractmethod
    def _rank(
        self,
        attributes: Interactions,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        allowed: _Eligible,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (codes, scores), each (n, k)."""

    @says_the_line("model.recommend(data.requests(), k=10)")
    def recommend(
        self,
        requests: Requests | Interactions,
        *,
        k: int,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank items for the users of the requests, given their attributes.

        Parameters
        ----------
        requests : Requests or Interactions
            ``data.requests()``: attributes are those of the Dataset, or of its audience where it has none, and what
            somebody has had are their events strictly before the request. Or people x attributes themselves, as
            :func:`people_attributes` makes them, one row per person: then nothing is known of what they have had.
        k : int
            Items per list at most, 1 or more.
        eligible, exclude : optional
            As in :meth:`omnireco.models.Model.recommend`.
        exclude_seen : bool
            Leave out what the person has had.
        threads : int, optional
            All usable cores by default; never changes the result.
        progress : bool or callable(done, total)
            Taken as by every recommender; a ranking by attributes is one step.

        Returns
        -------
        Recommendations

        Raises
        ------
        SchemaError
            When the Dataset of the requests has neither attributes nor an audience.
        """
        k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
        usable_threads(threads)
        check_progress(progress)
        if not isinstance(requests, Requests):
            check_attributes(requests, f"{type(self).__name__}.recommend")
            return self._lists(requests, None, k=k, eligible=eligible, exclude=exclude, threads=threads)
        barred = self._seen(requests) if exclude_seen else None
        for name in ("given", "exclude"):
            if (held := getattr(requests, name)) is not None:
                more = held.matrix(self.items, f"{name}=")
                barred = more if barred is None else either(barred, more)
        about = attributes_asking(requests, f"{type(self).__name__}.recommend")
        found = self._lists(about, barred, k=k, eligible=eligible, exclude=exclude, threads=threads)
        return Recommendations(found.users, found.items, found.codes, found.scores, requests.key)

    def answers(self, requests: Requests | Interactions) -> np.ndarray:
        """Return who has an attribute that the model knows, bool (n,)."""
        where = f"{type(self).__name__}.answers"
        about = attributes_asking(requests, where) if isinstance(requests, Requests) else requests
        check_attributes(about, where)
        return np.diff(about.with_items(self._known()).csr.indptr) > 0

    def _lists(
        self,
        attributes: Interactions,
        barred: sp.csr_matrix | None,
        *,
        k: int,
        eligible: Any,
        exclude: Any,
        threads: int | None,
    ) -> Recommendations:
        allowed = _Eligible.read(eligible, self.items, attributes.n_users, exclude)
        codes, scores = self._rank(attributes, k=k, exclude=barred, allowed=allowed, threads=threads)
        return Recommendations(attributes.users, self.items, codes, scores)

    def _seen(self, requests: Requests) -> sp.csr_matrix | None:
        """Return what each person had before the request, (n, n_items); None where the Dataset has no events."""
        if data_of(requests, f"{type(self).__name__}.recommend").events is None:
            return None
        weights = Weights() if self.event_weights is None else self.event_weights
        where = f"{type(self).__name__}.recommend"
        return histories_of(requests, weights, self.items, where, layers=False).csr


@dataclass(frozen=True, slots=True, eq=False)
class AttributeModel(AttributeRecommender):
    """People placed among the items of a factor model by their attributes.

    Parameters
    ----------
    model : FactorModel
        The factor model among whose items people are placed.
    attributes : Vocabulary
        Names of the attributes' values, in the order of the rows of ``slope``.
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
    def items(self) -> Vocabulary:  # type: ignore[override]
        """The catalogue."""
        return self.model.items

    @property
    def event_weights(self) -> Weights | None:  # type: ignore[override]
        """Event weights of histories: those of its factor model."""
        return self.model.event_weights

    def place(self, attributes: Interactions) -> np.ndarray:
        """Return the vector of each person, float32 (n_users, d); unknown attributes have no effect."""
        check_attributes(attributes, "place")
        known = attributes.with_items(self.attributes).csr.astype(np.float64)
        return np.asarray(self.start + known @ self.slope.astype(np.float64), np.float32)

    def _known(self) -> Vocabulary:
        return self.attributes

    def _rank(
        self,
        attributes: Interactions,
        *,
        k: int,
        exclude: sp.csr_matrix | None,
        allowed: _Eligible,
        threads: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = self.place(attributes)
        some = allowed.rows(slice(0, len(vectors)))
        return topk(vectors, self.model._index, k=k, exclude=exclude, eligible=some, threads=threads)


def check_attributes(attributes: Any, verb: str) -> None:
    """Refuse what is no matrix of people and attributes."""
    if not isinstance(attributes, Interactions):
        raise SchemaError(
            f"{verb}: attributes must be Interactions of people x attributes, such as people_attributes(audience). "
            f"Got {type(attributes).__name__}."
        )
