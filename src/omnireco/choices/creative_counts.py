"""What a log says of creatives: how often each was shown to whom, and how often answered."""

from __future__ import annotations

import warnings

import numpy as np

from omnireco._core.checks import count_of
from omnireco._kernels.choice.laplace import grouped
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning
from omnireco.timing.machines import answers_of_people

__all__ = ["Cells", "read_counts"]

_ENOUGH_TO_WARN = 20

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_counts(messages: MessageLog, known: Vocabulary, users: Vocabulary, verb: str) -> tuple[Cells, int]:
    """Return how often which creative was shown to whom and answered, and how many answers were machines'."""
    use = np.flatnonzero(messages.creative >= 0)
    code = match(known, messages.creatives, ("creatives", "the message log"))[messages.creative[use]]
    _warn_of_strangers(code, verb)
    use, code = use[code >= 0], code[code >= 0]
    person = np.full(use.size, NONE)
    if len(users):
        person = match(users, messages.users, ("people", "the message log"))[messages.user[use]]
    answered_at, n_machine = answers_of_people(messages)
    answered = answered_at[use] != NEVER
    return grouped(code, person, np.stack([np.ones(use.size, np.int64), answered], axis=1)), n_machine


def _warn_of_strangers(code: np.ndarray, verb: str) -> None:
    """Say that no message showed a creative of the frame: nothing can be learned of them, only assumed."""
    if code.size >= _ENOUGH_TO_WARN and (code < 0).all():
        warnings.warn(
            f"{verb}: none of {count_of(code.size, 'message')} with a creative shows one of the frame: all are "
            "taken for new. Compare messages['creative_id'] with creatives['creative_id'].",
            DataWarning,
            stacklevel=4,
        )
