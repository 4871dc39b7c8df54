"""Names of channels in rules."""

from __future__ import annotations

from typing import Any

from omnireco.errors import ParameterError

__all__ = ["MANY", "MISSING", "names_of", "one_name"]

MISSING = ("raise", "ignore")
MANY = 2**53  # more than any limit that is ever met


def names_of(channels: Any, where: str) -> tuple[str, ...] | None:
    """Return channel names as a tuple; one name is a tuple of one."""
    if channels is None:
        return None
    try:
        names = (channels,) if isinstance(channels, str) else tuple(channels)
    except TypeError:
        names = ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f"{where}: channels must be names of channels. Got {type(channels).__name__}. "
            "Write channels=['push', 'email'], or leave it out for all channels."
        )
    return names


def one_name(channel: Any, where: str) -> None:
    """Refuse anything but the name of a channel."""
    if not isinstance(channel, str):
        raise ParameterError(
            f"{where}: channel must be the name of one channel. Got {type(channel).__name__}. "
            f"Write {where}('email', ...), one rule per channel."
        )
