"""What a log says of creatives: how often each was shown to whom, and how often answered."""

from __future__ import annotations

import warnings

import numpy as np

from omnireco._core.checks import count_of, shown
from omnireco._kernels.choice.laplace import grouped
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.vocabulary import NONE, Vocabulary, match
from omnireco.errors import DataWarning, ParameterError
from omnireco.timing.machines import answers_of_people

__all__ = ["Cells", "of_channel", "one_channel", "read_counts"]

_ENOUGH_TO_WARN = 20

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


def one_channel(channel: object, name: str) -> str:
    """Return the name of a channel, when it is one."""
    if not isinstance(channel, str) or not channel:
        raise ParameterError(f"{name} must be the name of a channel, such as 'email'. Got {shown(channel)}.")
    return channel


def of_channel(wanted: str | None, channels: Vocabulary, channel: np.ndarray) -> np.ndarray:
    """Return which codes are of a channel, bool of shape (n,); all of them for None."""
    if wanted is None:
        return np.ones(channel.shape, np.bool_)
    return np.asarray(channels.ids == wanted, np.bool_)[channel]


def read_counts(
    messages: MessageLog, known: Vocabulary, users: Vocabulary, verb: str, channel: str | None = None
) -> tuple[Cells, int]:
    """Return how often which creative was shown to whom and answered, and how many answers were machines'.

    With a channel, only its messages count.
    """
    mine = of_channel(channel, messages.channels, messages.channel)
    use = np.flatnonzero((messages.creative >= 0) & mine)
    code = match(known, messages.creatives, ("creatives", "the message log"))[messages.creative[use]]
    _warn_of_strangers(code, verb)
    use, code = use[code >= 0], code[code >= 0]
    person = np.full(use.size, NONE)
    if len(users):
        person = match(users, messages.users, ("people", "the message log"))[messages.user[use]]
    answered_at, n_machine = answers_of_people(messages, mine)
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
