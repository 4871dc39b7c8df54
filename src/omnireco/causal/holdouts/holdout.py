"""Who is held out of messages, by lot: the same people for the whole of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_integer, check_number, count_of, shown
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Parts, declare, flags
from omnireco._core.random import lot
from omnireco._core.small import Number, Text, Whole
from omnireco.data.frames.columns import open_frame
from omnireco.data.parts import Ids
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Holdout"]

HELD, TREATED = "holdout", "treated"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Holdout:
    """People by lot: those who get no message, and those who may.

    What would have happened anyway is seen only in people who got nothing, chosen by nothing but chance, and for
    longer than one campaign. ``om.plan(touches, holdout=0.1, seed=...)`` draws one.

    Attributes
    ----------
    users : Vocabulary
        Ids of the people, in the order of their codes.
    held : ndarray of shape (n_users,), bool
        Who is held out.
    share : float
        Probability of being held out.
    experiment : str
        The name of the experiment: another name is another draw.
    seed : int
        What the draw was made with, 0 or more; 0 where it was made elsewhere.
    """

    users: Vocabulary
    held: np.ndarray
    share: float
    experiment: str = "holdout"
    seed: int = 0

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "held": flags("users"),
        "share": Number(0.0, 1.0),
        "experiment": Text(),
        "seed": Whole(),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    @says_the_line("om.causal.Holdout.draw(data.users.ids, share=0.1, seed=7)")
    def draw(cls, user_ids: Any, *, share: float, experiment: str = "holdout", seed: int = 0) -> Holdout:
        """Draw who is held out.

        Parameters
        ----------
        user_ids : array-like of ids
            People to draw from, each once.
        share : float
            Probability of being held out, in (0, 1).
        experiment : str
            The name of the experiment: another name is another draw.
        seed : int
            Of the draw, 0 or more; the same seed and experiment hold the same people out.

        Returns
        -------
        Holdout

        Raises
        ------
        ParameterError
            When the share lies outside (0, 1), or the name is none.

        Notes
        -----
        Whether somebody is held out depends on (seed, experiment, id) alone: not on who else is there, the order, or
        the day. A greater share keeps everybody who was held out. Deterministic; O(n).

        Examples
        --------
        >>> today = Holdout.draw(range(1000), share=0.1, seed=7)
        >>> tomorrow = Holdout.draw(range(500, 1500), share=0.1, seed=7)
        >>> bool((today.held[500:] == tomorrow.held[:500]).all()), int(today.held.sum())
        (True, 99)
        """
        share = _check_share(share, "share")
        experiment = _check_experiment(experiment)
        if isinstance(user_ids, Vocabulary):
            users = user_ids
        else:
            if isinstance(user_ids, (str, bytes, dict)) or not hasattr(user_ids, "__iter__"):
                raise ParameterError(
                    f"user_ids must be a list or array of ids. Got {type(user_ids).__name__}. Write "
                    "om.causal.Holdout.draw(data.users, share=0.1)."
                )
            users, code = Vocabulary.encode(user_ids if hasattr(user_ids, "dtype") else list(user_ids), "user_ids")
            first = np.unique(code, return_index=True)[1]
            users = users.take(code[np.sort(first)])
        return cls(
            users, lot(seed, experiment, users.ids) < share, share, experiment, check_integer(seed, "seed", low=0)
        )

    @classmethod
    def from_frame(cls, frame: Any, *, share: float, experiment: str = "holdout") -> Holdout:
        """Read an assignment that was made elsewhere.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``user_id`` and ``group``: ``"holdout"`` or ``"treated"``. A row each.
        share : float
            The probability of being held out with which the groups were drawn.
        experiment : str
            The name of the experiment.

        Raises
        ------
        SchemaError
            When somebody stands in it twice, or a group has another name.
        """
        share, experiment = _check_share(share, "share"), _check_experiment(experiment)
        opened = open_frame(frame, "Holdout.from_frame", needed=("user_id", "group"), optional=("propensity",))
        users, user = opened.ids("user_id")
        names, group = opened.names("group")
        if len(users) < user.size:
            raise SchemaError(
                f"Holdout.from_frame: {user.size - len(users):,} rows name people twice. Keep one row each: "
                "frame.drop_duplicates('user_id')."
            )
        wrong = sorted(set(names.ids.tolist()) - {HELD, TREATED})
        if wrong:
            raise SchemaError(
                f"Holdout.from_frame: a group is called {shown(wrong[0])}. Write 'holdout' and 'treated'."
            )
        held = np.zeros(len(users), np.bool_)
        held[user] = names.ids[group] == HELD
        return cls(users, held, share, experiment)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return (
            f"Holdout({count_of(int(self.held.sum()), 'person', 'people')} of {len(self):,} held out, share "
            f"{self.share:g}, experiment {shown(self.experiment)})"
        )

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return ``user_id group propensity``: the group of everybody, and the probability of being in it."""
        import pandas as pd

        return pd.DataFrame(
            {
                "user_id": self.users.ids,
                "group": np.where(self.held, HELD, TREATED).astype(object),
                "propensity": np.where(self.held, self.share, 1.0 - self.share),
            }
        )


def _check_share(share: Any, name: str) -> float:
    share = check_number(share, name, above=0.0)
    if share >= 1:
        raise ParameterError(f"{name} must be between 0 and 1, both outside. Got {share:g}. Write {name}=0.1.")
    return share


def _check_experiment(experiment: Any) -> str:
    if not isinstance(experiment, str) or not experiment:
        raise ParameterError(
            f"experiment must be the name of an experiment, such as 'winter'. Got {shown(experiment)}."
        )
    return experiment
