"""A chain of models, with the step that served each user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_flag, check_integer, check_k, count_of, shown
from omnireco._core.compute import Progress, track
from omnireco._core.contract import says_the_line
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, coded, freeze
from omnireco._core.small import Each, Table, Text, Value, Whole
from omnireco.data.asking.histories import data_of
from omnireco.data.asking.requests import Requests
from omnireco.data.interactions import Interactions
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import NONE, Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.base import Model, _Eligible
from omnireco.models.cold.attributes import AttributeRecommender, with_people

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fallback", "FallbackLists"]

Step = Model | AttributeRecommender


@dataclass(frozen=True, slots=True)
class Fallback:
    """A chain of models, tried in order: each user is served by the first with enough data.

    The behaviour for new users is explicit. The lists contain the step that served
    each user.

    Parameters
    ----------
    steps : mapping of str to model
        In order, such as ``{"taste": als, "attributes": learn_people(als, x, attributes), "segment": ...,
        "popular": Popularity().fit(x)}``, all over the same items. A model serves users with a history; an
        :class:`AttributeModel` and a :class:`SegmentModel` those with a known attribute or segment; popularity
        everybody.
    min_history : int
        Minimum history length of a step, in items that the model knows.

    Examples
    --------
    >>> import omnireco as om, pandas as pd
    >>> data = om.Dataset(om.EventLog.from_frame(pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("ababa"),
    ...     "channel": "web", "event": "view", "timestamp": pd.Timestamp("2025-05-01", tz="UTC")})))
    >>> chain = om.models.Fallback({"knn": om.ItemKNN().fit(data), "popular": om.Popularity().fit(data)})
    >>> lists = chain.with_steps(data.requests([3, 99], new_users=True), k=1)
    >>> lists.to_frame()[["user_id", "item_id", "step"]].to_numpy().tolist()
    [[3, 'b', 'knn'], [99, 'a', 'popular']]
    """

    steps: Mapping[str, Step]
    min_history: int = 1

    parts: ClassVar[Parts] = {"steps": Table(Value()), "min_history": Whole(1)}

    def __post_init__(self) -> None:
        if (
            not isinstance(self.steps, Mapping)
            or not self.steps
            or not all(isinstance(step, (Model, AttributeRecommender)) for step in self.steps.values())
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
        check_integer(self.min_history, "min_history", low=1)

    def __repr__(self) -> str:
        return f"Fallback({' -> '.join(self.steps)}, min_history={self.min_history})"

    _repr_html_ = shown_html

    @property
    def items(self) -> Vocabulary:
        """The catalogue that all steps share."""
        return next(iter(self.steps.values())).items

    @says_the_line("chain.recommend(data.requests(users, new_users=True), k=10)")
    def recommend(
        self,
        requests: Requests | Interactions,
        *,
        k: int,
        attributes: Interactions | None = None,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> Recommendations:
        """Rank items for the users of the requests, each by the first step with enough data.

        Parameters
        ----------
        requests : Requests or Interactions
            ``data.requests()``: every step reads what it needs out of the Dataset. Or histories, with ``attributes``
            beside them where a step reads some; ``with_people(x, ids)`` adds people without a history.
        k : int
            Items per list at most, 1 or more.
        attributes : Interactions, optional
            People x attributes and segments, as :func:`people_attributes` makes them; with histories only.
        eligible, exclude, exclude_seen, threads
            As in :meth:`omnireco.models.Model.recommend`.
        progress : bool or callable(done, total)
            A bar over the steps.

        Returns
        -------
        Recommendations
            Users that no step can serve get an empty list; :meth:`with_steps` has the step of each.
        """
        rules: dict[str, Any] = {"eligible": eligible, "exclude": exclude, "exclude_seen": exclude_seen}
        found = self.with_steps(requests, k=k, attributes=attributes, threads=threads, progress=progress, **rules)
        return found.lists

    def with_steps(
        self,
        requests: Requests | Interactions,
        *,
        k: int,
        attributes: Interactions | None = None,
        eligible: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        threads: int | None = None,
        progress: Progress = False,
    ) -> FallbackLists:
        """Return what :meth:`recommend` does, and the step that served each user.

        Returns
        -------
        FallbackLists
            ``.lists``, and ``.step``: the step that served each user (-1: none, an empty list).
        """
        k, exclude_seen = check_k(k), check_flag(exclude_seen, "exclude_seen")
        queries, about, users, key = self._asked(requests, attributes)
        n = len(users)
        open_, step = np.ones(n, np.bool_), np.full(n, NONE, np.int32)
        codes, scores = np.full((n, k), NONE, np.int32), np.full((n, k), -np.inf, np.float32)
        allowed = _Eligible.read(eligible, self.items, n, exclude)
        rules: dict[str, Any] = {"k": k, "threads": threads}
        for number, model in enumerate(track(list(self.steps.values()), progress, label="recommend")):
            if isinstance(model, Model):
                can = open_ & model._can_answer(queries, self.min_history)
            else:
                can = open_ & model.answers(queries if about is None else about)
            who = np.flatnonzero(can)
            if not who.size:
                continue
            part, some = queries.take(who), allowed.given(who)
            if about is None or isinstance(model, Model):
                found = model.recommend(part, exclude_seen=exclude_seen, eligible=some, **rules)
            else:
                seen = part.csr if exclude_seen else None
                found = model._lists(about.take(who), seen, eligible=some, exclude=None, **rules)
            codes[who], scores[who], step[who] = found.codes, found.scores, number
            open_ = open_ & ~can
        return FallbackLists(Recommendations(users, self.items, codes, scores, key), tuple(self.steps), step)

    def _asked(
        self, requests: Any, attributes: Interactions | None
    ) -> tuple[Any, Interactions | None, Vocabulary, str]:
        """Return the requests, attributes given apart, the ids of the users, and the column they stand in."""
        if isinstance(requests, Requests):
            data_of(requests, "Fallback.recommend")
            if attributes is not None:
                raise ParameterError(
                    "Fallback: attributes= goes with histories; those of requests are read out of their Dataset: "
                    "om.Dataset(log, attributes=attributes).requests()."
                )
            return requests, None, requests.ids, requests.key
        if not isinstance(requests, Interactions):
            raise SchemaError(
                f"Fallback.recommend takes Requests or Interactions. Got {type(requests).__name__}: write "
                "data.requests(users, new_users=True)."
            )
        needs = [name for name, step in self.steps.items() if not isinstance(step, Model)]
        if needs and attributes is None:
            raise ParameterError(
                f"Fallback: the step {needs[0]!r} needs attributes. Use data.requests(), or give them: "
                "recommend(histories, k=..., attributes=people_attributes(audience))."
            )
        known = requests.with_items(self.items)
        return known, None if attributes is None else with_people(attributes, known.users.ids), known.users, "user_id"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FallbackLists:
    """Lists, and which step of a chain made each.

    Parameters
    ----------
    lists : Recommendations
        The list of each person, by the step that served them.
    steps : tuple of str
        Names of the steps, in order.
    step : ndarray of shape (n_users,), int32
        Number of the step that served each person, -1 for none.
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
        answered = ", ".join(f"{name} {n:,}" for name, n in zip(self.steps, counts, strict=True))
        return f"FallbackLists({count_of(len(self.lists), 'user')}: {answered})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return user_id, item_id, rank, score, and step: the name of the one that served the user."""
        frame = self.lists.to_frame()
        row, _ = np.nonzero(self.lists.codes != NONE)
        return frame.assign(step=np.array(self.steps, object)[self.step[row]])

    def by_step(self) -> pd.DataFrame:
        """Return the user (or request) and the step, one row each; None where no step could serve."""
        import pandas as pd

        names = [self.steps[number] if number != NONE else None for number in self.step]
        return pd.DataFrame({self.lists.key: self.lists.users.ids, "step": pd.Series(names, dtype=object)})
