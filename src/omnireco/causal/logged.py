"""Decisions of a log: what each earned, the probability it was made with, and whom it was about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_array, check_integer, count_of
from omnireco._core.frozen import locked
from omnireco._core.notebook import shown_html
from omnireco.causal.arrays import LEAST_CHANCE, matrix, vector
from omnireco.data.dataset import dataset_of
from omnireco.data.frames.columns import open_frame
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.machines import answers_of_people, left_out

__all__ = ["LoggedDecisions", "check_people", "logged_decisions"]

_SAME = 1e-6  # how far two statements of one probability may differ


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoggedDecisions:
    """What a policy decided, the probability it decided so with, and what came of it.

    What :func:`off_policy` learns from. A message log with propensities is one (:meth:`of`); anything else is given as
    arrays of one entry per decision.

    Parameters
    ----------
    rewards : array-like of shape (n,)
        What each decision earned.
    propensity : array-like of shape (n,)
        The probability with which the logging policy made the choice that it made, in (0, 1].
    actions : array-like of shape (n,), optional
        Which action each decision took, 0 to n_actions - 1. Needed where a policy or a reward model has a column per
        action.
    people : array-like of shape (n,), optional
        Who each decision was about. Decisions of one person are not independent, so whole people are resampled.
    n_machine : int
        Bot opens, which are left out.
    distribution : array-like of shape (n, n_actions), optional
        The logging policy's probability of every action, where it is known; rows sum to 1, and the entry of the logged
        action is ``propensity``. What the estimator ``mips`` needs.
    by_logger : array-like of shape (n, n_loggers), optional
        Where several logging policies made the log: the probability with which each would have made the choice that
        was made.
    logger : array-like of shape (n,), optional
        Which of them made it, 0 to n_loggers - 1. The entry of that policy is ``propensity``.

    Raises
    ------
    ParameterError
        When shapes disagree, a number is missing or not finite, a propensity lies outside (0, 1], or what is said
        twice disagrees. Nothing is guessed: a missing propensity is an error.

    Examples
    --------
    >>> from omnireco.causal import LoggedDecisions
    >>> LoggedDecisions([1.0, 0.0], [0.5, 0.5], actions=[0, 1], people=["ann", "bob"])
    LoggedDecisions(2 decisions of 2 people)
    """

    rewards: Any
    propensity: Any
    actions: Any = None
    people: Any = None
    n_machine: int = 0
    distribution: Any = None
    by_logger: Any = None
    logger: Any = None

    def __post_init__(self) -> None:
        rewards = vector(self.rewards, "rewards")
        n = rewards.size
        propensity = vector(self.propensity, "propensity", n)
        if bad := int(np.count_nonzero(~((propensity > LEAST_CHANCE) & (propensity <= 1)))):
            raise ParameterError(
                f"propensity has {count_of(bad, 'probability', 'probabilities')} outside (0, 1]. A logged "
                "choice has a positive propensity: leave out decisions without one, or estimate it and report "
                "that."
            )
        check_integer(self.n_machine, "n_machine", low=0)
        actions = None if self.actions is None else _codes(self.actions, n, "actions")
        people = None if self.people is None else check_people(self.people, n)
        distribution = None if self.distribution is None else _distribution(self.distribution, actions, propensity)
        by_logger, logger = _loggers(self.by_logger, self.logger, propensity)
        for name, value in (
            ("rewards", rewards), ("propensity", propensity), ("actions", actions), ("people", people),
            ("distribution", distribution), ("by_logger", by_logger), ("logger", logger),
        ):  # fmt: skip
            object.__setattr__(self, name, None if value is None else locked(value))

    @classmethod
    def of(cls, data: Any, *, propensity: Any = None, actions: Any = None) -> LoggedDecisions:
        """Return the messages of a Dataset as decisions: 1 where a person responded, else 0.

        Parameters
        ----------
        data : Dataset or MessageLog
            Responses flagged as bot opens are left out and counted, unless a click came later.
        propensity : array-like of shape (n,), optional
            By default that of the message log.
        actions : array-like of shape (n,), optional
            As in :class:`LoggedDecisions`, for the messages in their order.

        Raises
        ------
        SchemaError
            When there are no messages, or they have no propensity.
        """
        messages: Any = dataset_of(data, "LoggedDecisions.of", ("messages",)).messages
        given = messages.propensity if propensity is None else propensity
        if given is None:
            raise SchemaError(
                "LoggedDecisions.of: the message log has no propensity. Store the probability of each choice with it, "
                "MessageLog.from_frame(frame) with a column propensity, or give it: LoggedDecisions.of(data, "
                "propensity=...)."
            )
        answered_at, n_machine = answers_of_people(messages)
        answered = (answered_at != NEVER).astype(np.float64)
        people = messages.users.ids[messages.user] if len(messages) else None
        return cls(answered, given, actions, people, n_machine)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> LoggedDecisions:
        """Return the decisions of a frame, one per row.

        Parameters
        ----------
        frame : frame
            Columns ``reward`` and ``propensity``; optionally ``action`` (integers from 0, or texts, which are numbered
            in sorted order), ``user_id``, ``logger`` (likewise), and one column ``propensity_<logger>`` per logging
            policy: the probability with which each would have made the choice.
        columns : mapping of str to str, optional
            Names of the frame's own: ``{"reward": "margin"}``.

        Returns
        -------
        LoggedDecisions

        Raises
        ------
        SchemaError
            When a column is missing, or a user is missing in a row.
        ParameterError
            As in :class:`LoggedDecisions`.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"customer": ["a", "a", "b"], "offer": ["cash", "points", "cash"],
        ...                       "margin": [2.0, 0.0, 1.0], "p": [0.5, 0.5, 0.25]})
        >>> made = LoggedDecisions.from_frame(
        ...     frame, columns={"user_id": "customer", "action": "offer", "reward": "margin", "propensity": "p"})
        >>> made, made.actions.tolist()
        (LoggedDecisions(3 decisions of 2 people), [0, 1, 0])
        """
        opened = open_frame(
            frame,
            "LoggedDecisions.from_frame",
            columns=columns,
            needed=("reward", "propensity"),
            optional=("action", "user_id", "logger"),
            prefixes=("propensity_",),
        )
        people = None
        if "user_id" in opened:
            users, user = opened.ids("user_id")
            people = users.ids[user]
        names, logger = _numbered(opened, "logger")
        by_logger = None
        if names is not None:
            wanted = [f"propensity_{name}" for name in names]
            if all(name in opened for name in wanted):
                by_logger = np.column_stack([opened.numbers(name) for name in wanted])
            elif len(names) > 1:
                raise SchemaError(
                    "LoggedDecisions.from_frame: a frame of several loggers needs one column per logger with the "
                    f"probability of the choice that was made: {', '.join(wanted)}. Leave out the column logger where "
                    "propensity alone is known: each row then counts with its own."
                )
        return cls(
            opened.numbers("reward"),
            opened.numbers("propensity"),
            _numbered(opened, "action")[1],
            people,
            by_logger=by_logger,
            logger=None if by_logger is None else logger,
        )

    def balanced(self) -> LoggedDecisions:
        """Return the decisions as one mixture of the logging policies made them.

        The propensity becomes sum_k share_k p_k(choice). A choice that one policy seldom made and another often no
        longer has a large weight, so intervals are never wider in expectation (Agarwal et al. 2017, section 4).

        Raises
        ------
        ParameterError
            When ``by_logger`` is missing.
        """
        if self.by_logger is None:
            raise ParameterError(
                "balanced: by_logger is missing. Give the probability of each logged choice under every logging "
                "policy: LoggedDecisions(..., by_logger=probabilities, logger=codes)."
            )
        share = np.bincount(self.logger, minlength=self.by_logger.shape[1]) / max(1, len(self))
        return LoggedDecisions(self.rewards, self.by_logger @ share, self.actions, self.people, self.n_machine)

    def __len__(self) -> int:
        return int(self.rewards.size)

    def __repr__(self) -> str:
        who = "" if self.people is None else f" of {count_of(self.clusters[1], 'person', 'people')}"
        return f"LoggedDecisions({count_of(len(self), 'decision')}{who}{left_out(self.n_machine)})"

    _repr_html_ = shown_html

    @property
    def clusters(self) -> tuple[np.ndarray, int]:
        """A code per decision, (n,), and how many distinct there are: people, or else every decision by itself."""
        if self.people is None:
            return np.arange(len(self)), len(self)
        distinct, code = Vocabulary.encode(self.people, "people")
        return code, len(distinct)


def logged_decisions(data: Any, where: str) -> LoggedDecisions:
    """Return what a verb was given as logged decisions."""
    if isinstance(data, LoggedDecisions):
        return data
    if isinstance(data, (list, tuple, np.ndarray)) or data is None:
        raise SchemaError(
            f"{where} takes LoggedDecisions, a Dataset or a MessageLog. Got {type(data).__name__}. Write "
            "om.causal.LoggedDecisions(rewards, propensity, actions=..., people=...)."
        )
    return LoggedDecisions.of(data)


def _distribution(given: Any, actions: np.ndarray | None, propensity: np.ndarray) -> np.ndarray:
    every = matrix(given, "distribution", propensity.size)
    if actions is None or actions.max(initial=-1) >= every.shape[1]:
        raise ParameterError(
            f"distribution has {every.shape[1]} columns, one per action: give actions= from 0 to {every.shape[1] - 1}."
        )
    if every.min(initial=0) < 0 or (np.abs(every.sum(axis=1) - 1) > _SAME).any():
        raise ParameterError("distribution must hold probabilities, each row with the sum 1. Normalise its rows.")
    _agrees(every[np.arange(actions.size), actions], propensity, "distribution")
    return every


def _loggers(given: Any, logger: Any, propensity: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    if given is None and logger is None:
        return None, None
    if given is None or logger is None:
        raise ParameterError("by_logger and logger belong together: give both, or neither.")
    by = matrix(given, "by_logger", propensity.size)
    if by.min(initial=0) < 0 or by.max(initial=0) > 1 + _SAME:
        raise ParameterError("by_logger holds numbers outside [0, 1]: it must be probabilities.")
    which = _codes(logger, propensity.size, "logger")
    if which.max(initial=-1) >= by.shape[1]:
        raise ParameterError(f"logger holds {int(which.max())}, and by_logger has {by.shape[1]} columns.")
    _agrees(by[np.arange(which.size), which], propensity, "by_logger")
    return by, which


def _agrees(said: np.ndarray, propensity: np.ndarray, name: str) -> None:
    if bad := int((np.abs(said - propensity) > _SAME).sum()):
        raise ParameterError(
            f"{name} says another probability of the logged choice than propensity in {count_of(bad, 'row')}. One of "
            "them is wrong; both must be those at the instant of the choice."
        )


def _numbered(opened: Any, name: str) -> tuple[list[Any] | None, np.ndarray | None]:
    """Return the names behind a column and a code per row: integers are codes already."""
    if name not in opened:
        return None, None
    known, code = opened.ids(name)
    if np.issubdtype(known.ids.dtype, np.integer):
        codes = known.ids[code] if len(known) else code.astype(np.int64)
        return list(range(int(codes.max(initial=-1)) + 1)), codes
    order = np.argsort(known.ids.astype(str))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    return known.ids[order].tolist(), place[code]


def _codes(actions: Any, n: int, name: str) -> np.ndarray:
    chosen = check_array(actions, name)
    if chosen.shape != (n,) or not np.issubdtype(chosen.dtype, np.integer) or chosen.min(initial=0) < 0:
        raise ParameterError(f"{name} must be {n:,} integers from 0. Got {chosen.dtype} of shape {chosen.shape}.")
    return chosen.astype(np.int64)


def check_people(people: Any, n: int) -> np.ndarray:
    """Return the person of each decision, checked and in our dtype."""
    if isinstance(people, (list, tuple)) and len({type(one) for one in people}) > 1:
        whole = np.empty(len(people), object)  # numpy would make one text of 1 and '1'
        whole[:] = people
        people = whole
    given = check_array(people, "people")
    if given.shape != (n,):
        raise ParameterError(f"people must have one entry per decision, {n:,}. Got the shape {given.shape}.")
    distinct, code = Vocabulary.encode(given, "people")
    return distinct.ids[code] if n else distinct.ids
