"""Who is in a value, what it weighs, and the value without some people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from omnireco._core.checks import shown
from omnireco._core.form import Form, Unregistered, form_of
from omnireco._core.frozen import ReadOnly
from omnireco._core.parts import Inseparable
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import IdKindError, ParameterError
from omnireco.files import kinds  # noqa: F401 - every kind of value makes itself known

__all__ = ["erase", "memory", "people_in"]


def memory(value: Any) -> Mapping[str, int]:
    """Return the bytes that a value holds, part by part.

    Parameters
    ----------
    value : a value that can be saved
        A log, matrix, model or anything else that :func:`omnireco.save` takes.

    Returns
    -------
    mapping of str to int
        The bytes of each part, in the order in which it is saved: arrays to the byte, ids that are text by their length
        and what Python adds to it (about 57 bytes each). ``sum(memory(value).values())`` is the whole. Two parts that
        share an array count it twice, except the layers of an Interactions that are the whole matrix.

    Raises
    ------
    ParameterError
        When the value is of no kind that can be saved.

    Examples
    --------
    >>> import omnireco as om
    >>> model = om.models.FactorModel.from_arrays([[1.0, 0.0], [0.0, 1.0]], items=["tea", "cup"])
    >>> om.files.memory(model)["factors"]
    16
    """
    return ReadOnly(_asked(value, "memory", lambda form: form.nbytes(value)))


def people_in(value: Any) -> Mapping[str, Vocabulary]:
    """Return the vocabularies of people that a value holds, by where they lie in it.

    Parameters
    ----------
    value : a value that can be saved
        A log, matrix, model or anything else that :func:`omnireco.save` takes.

    Returns
    -------
    mapping of str to Vocabulary
        Ids by which somebody can be found: of people, and of their devices and addresses. Empty for a value about items
        alone. What a value learned from people and keeps as numbers about items or hours has no ids.

    Raises
    ------
    ParameterError
        When the value is of no kind that can be saved.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> x = om.Interactions.from_frame(pd.DataFrame({"user_id": [7, 9], "item_id": ["tea", "cup"]}))
    >>> om.files.people_in(x)
    {'users': Vocabulary(2 int ids)}
    """
    return ReadOnly(_asked(value, "people_in", lambda form: dict(form.find_people(value))))


def erase(value: Any, user_ids: Iterable[Any]) -> Any:
    """Return a value without some people: without their ids and every row that is about them.

    Parameters
    ----------
    value : a value that can be saved
        A log, audience, matrix, list, candidates, a model that keeps something of each person, and what holds these.
    user_ids : iterable of int or str
        Who goes. Ids that are not in the value count for nothing, so one list serves for every file.

    Returns
    -------
    a value of the same class
        The same object when nobody in it goes.

    Raises
    ------
    IdKindError
        When the ids are integers and all of the value's are strings, or the other way round: nothing would be found.
    ParameterError
        When the value is of no kind that can be saved, or holds people in a way that nobody can be taken out of: the
        histories of a :class:`~omnireco.models.UserKNN` have no ids, and the means of a report are means over all. The
        error names the line that makes the value again.

    Notes
    -----
    What was learned *from* people and says nothing of a single one of them stays as it is: the factors of items, hours
    of everybody, counts, the situations in which a bandit has decided. When that must go too, fit again on the erased
    data. Labels that only rows of these people carried go with the rows; a text that names them in somebody else's row
    is not found, and lists keyed by requests or items (``Recommendations.key``) stay whole. A mean
    that a model takes over the people it keeps is one over the others then. Deterministic; cost: one copy.

    Examples
    --------
    >>> import pandas as pd, omnireco as om
    >>> x = om.Interactions.from_frame(pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["tea", "tea"]}))
    >>> om.files.erase(x, ["ann"]).users.ids.tolist()
    ['bob']
    """
    if isinstance(user_ids, (str, bytes, Mapping)) or not isinstance(user_ids, Iterable):
        raise ParameterError(f"erase: user_ids must be a list of ids. Got {shown(user_ids)}: write [user_id].")
    who = user_ids if isinstance(user_ids, Vocabulary) else Vocabulary.from_ids(user_ids, "user_ids")
    known = list(people_in(value).values())
    text = who.ids.dtype == object
    if len(who) and any(map(len, known)) and all((one.ids.dtype == object) != text for one in known if len(one)):
        have, want = ("strings", "integers") if text else ("integers", "strings")
        raise IdKindError(
            f"erase: user_ids are {have}, and the ids of people in this {type(value).__name__} are {want}, so nobody "
            f"would be found. Write [{'int' if text else 'str'}(one) for one in user_ids]."
        )

    def asked(vocabulary: Vocabulary) -> np.ndarray:
        gone = np.zeros(len(vocabulary), np.bool_)
        if len(vocabulary) and len(who) and (vocabulary.ids.dtype == object) == text:
            found = vocabulary.codes(who.ids, missing="none")
            gone[found[found >= 0]] = True
        return gone

    try:
        return _asked(value, "erase", lambda form: form.without(value, asked)[0])
    except Inseparable as error:
        raise ParameterError(f"erase: {error}.") from None


def _asked(value: Any, verb: str, answer: Any) -> Any:
    """Return the answer of a value's form."""
    try:
        form: Form = form_of(type(value))
        return answer(form)
    except Unregistered as error:
        raise ParameterError(
            f"{verb}: a {error} is of no kind that can be saved. A class of your own becomes one in a line: "
            f"om.files.register({error}, parts={{...}})."
        ) from None
