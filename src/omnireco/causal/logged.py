"""Decisions of a log: what each earned, the probability it was made with, and whom it was about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnireco._core.checks import check_array, check_integer, count_of
from omnireco._core.frozen import locked
from omnireco.causal.arrays import LEAST_CHANCE, vector
from omnireco.data.dataset import dataset_of
from omnireco.data.messages import NEVER
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError
from omnireco.timing.machines import answers_of_people, left_out

__all__ = ["LoggedDecisions", "logged_decisions"]


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

    Raises
    ------
    ParameterError
        When shapes disagree, a number is missing or not finite, or a propensity lies outside (0, 1]. Nothing is
        guessed: a missing propensity is an error.

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
        actions = None if self.actions is None else _actions(self.actions, n)
        people = None if self.people is None else _people(self.people, n)
        for name, value in (
            ("rewards", rewards), ("propensity", propensity), ("actions", actions), ("people", people),
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

    def __len__(self) -> int:
        return int(self.rewards.size)

    def __repr__(self) -> str:
        who = "" if self.people is None else f" of {count_of(self.clusters[1], 'person', 'people')}"
        return f"LoggedDecisions({count_of(len(self), 'decision')}{who}{left_out(self.n_machine)})"

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


def _actions(actions: Any, n: int) -> np.ndarray:
    chosen = check_array(actions, "actions")
    if chosen.shape != (n,) or not np.issubdtype(chosen.dtype, np.integer) or chosen.min(initial=0) < 0:
        raise ParameterError(f"actions must be {n:,} integers from 0. Got {chosen.dtype} of shape {chosen.shape}.")
    return chosen.astype(np.int64)


def _people(people: Any, n: int) -> np.ndarray:
    given = check_array(people, "people")
    if given.shape != (n,):
        raise ParameterError(f"people must have one entry per decision, {n:,}. Got the shape {given.shape}.")
    distinct, code = Vocabulary.encode(given, "people")
    return distinct.ids[code] if n else distinct.ids
