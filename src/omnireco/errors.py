"""Every error omnireco raises on purpose.

::

    OmnirecoError
    ├── SchemaError        (ValueError)   a frame, a column or a cell that cannot be read
    ├── UnknownIdError     (KeyError)     ids that a value does not contain
    │     └── IdKindError               integers looked up among strings, or the reverse
    ├── ParameterError     (ValueError)   an argument outside its range or of the wrong type
    ├── NotFittedError     (AttributeError) a method of a model called on an estimator
    ├── EmptyError         (ValueError)   nothing is left to work with
    ├── InfeasibleError    (ValueError)   constraints that no plan can meet
    ├── StorageError       (OSError)      a file that is damaged, foreign, or newer than this version
    └── MissingExtraError  (ImportError)  an optional package that is not installed

    DataWarning            (UserWarning)  a result was returned, but the data makes it doubtful

Each is also the builtin a caller would catch. Messages have three parts: what is wrong, with value
and count; where; how to fix it, in code. They never contain user ids: people are counted, and rows
are named by position.
"""

from __future__ import annotations

__all__ = [
    "DataWarning",
    "EmptyError",
    "IdKindError",
    "InfeasibleError",
    "MissingExtraError",
    "NotFittedError",
    "OmnirecoError",
    "ParameterError",
    "SchemaError",
    "StorageError",
    "UnknownIdError",
]


class OmnirecoError(Exception):
    """Root of every error raised on purpose by omnireco."""


class SchemaError(OmnirecoError, ValueError):
    """A frame, a column or a cell cannot be read."""


class UnknownIdError(OmnirecoError, KeyError):
    """Ids that this value does not contain."""

    def __str__(self) -> str:
        """Return the plain message: KeyError would quote it."""
        return Exception.__str__(self)


class IdKindError(SchemaError, UnknownIdError):
    """Two tables of ids hold integers and strings: 1 and "1" can never meet."""


class ParameterError(OmnirecoError, ValueError):
    """An argument is outside its range, or of the wrong type."""


class NotFittedError(OmnirecoError, AttributeError):
    """A method of a model was called on an estimator: ``fit`` returns the model."""


class EmptyError(OmnirecoError, ValueError):
    """Nothing is left to work with."""


class InfeasibleError(OmnirecoError, ValueError):
    """The constraints cannot all be met."""


class StorageError(OmnirecoError, OSError):
    """A file is damaged, is not omnireco's, or was written by a newer version."""


class MissingExtraError(OmnirecoError, ImportError):
    """An optional package is needed and not installed."""


class DataWarning(UserWarning):
    """A result was returned, but the data makes it doubtful: hardly an id matches, or hours are missing."""
