"""Results of tests, in the columns that marketing-mix models take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import check_choice, count_of, name_rows
from omnireco._core.notebook import shown_html
from omnireco._core.parts import Parts, declare, instants, numbers
from omnireco._core.small import Each, Text
from omnireco.data.frames.columns import instants_to_pandas, open_frame
from omnireco.errors import EmptyError, ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LiftTests"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LiftTests:
    """Lift tests of channels: what was spent more, what it brought more, and how sure that is.

    Attributes
    ----------
    channel : tuple of str
        The channel of each test.
    start_at, end_at : ndarray of shape (n,), int64
        UTC microseconds; the end is exclusive.
    lift, standard_error : ndarray of shape (n,), float64
        Incremental outcome over the whole test, and its standard error: the half-width of a 95 % interval over 1.96.
    spend, base_spend : ndarray of shape (n,), float64
        What was spent more than without the test, and what was spent anyway.
    """

    channel: tuple[str, ...]
    start_at: np.ndarray
    end_at: np.ndarray
    lift: np.ndarray
    standard_error: np.ndarray
    spend: np.ndarray
    base_spend: np.ndarray

    parts: ClassVar[Parts] = {
        "channel": Each(Text(), "n"),
        "start_at": instants("n"),
        "end_at": instants("n"),
        "lift": numbers("n"),
        "standard_error": numbers("n", low=0.0),
        "spend": numbers("n"),
        "base_spend": numbers("n", low=0.0),
    }

    def __post_init__(self) -> None:
        declare(self)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None) -> LiftTests:
        """Read tests, one row each.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            ``channel``, ``start_at`` and ``end_at`` (with a time zone), ``lift``, ``standard_error``, ``spend`` (more
            than without the test; negative where it was cut), and ``base_spend`` (0 by default).
        columns : mapping of str to str, optional
            Our name to yours.

        Returns
        -------
        LiftTests

        Raises
        ------
        SchemaError
            When an end lies before its start, a standard error is not above 0, or a spend is 0.
        EmptyError
            When there is no row.

        Examples
        --------
        >>> import pandas as pd
        >>> days = pd.to_datetime(["2025-05-01", "2025-05-29"], utc=True)
        >>> tests = LiftTests.from_frame(pd.DataFrame({"channel": ["email"], "start_at": days[:1], "end_at": days[1:],
        ...     "lift": [5200.0], "standard_error": [1300.0], "spend": [1000.0]}))
        >>> tests.to_meridian()[["channel_name", "point_estimate", "standard_error"]].values.tolist()
        [['email', 5.2, 1.3]]
        """
        needed = ("channel", "start_at", "end_at", "lift", "standard_error", "spend")
        opened = open_frame(frame, "LiftTests.from_frame", needed=needed, optional=("base_spend",), columns=columns)
        names, code = opened.names("channel")
        if not code.size:
            raise EmptyError("LiftTests.from_frame: the frame has no rows. Give a row per test.")
        start, end = opened.instants("start_at"), opened.instants("end_at")
        values = {name: opened.numbers(name) for name in ("lift", "standard_error", "spend")}
        base = opened.numbers("base_spend") if "base_spend" in opened else np.zeros(code.size)
        problems = (
            (end <= start, "end_at must lie after start_at"),
            (values["standard_error"] <= 0, "standard_error must be greater than 0"),
            (values["spend"] == 0, "spend must not be 0: a test changes it"),
            (base < 0, "base_spend must be 0 or greater"),
            (base + values["spend"] < 0, "spend cannot fall by more than base_spend"),
        )
        for bad, what in problems:
            if bad.any():
                raise SchemaError(
                    f"LiftTests.from_frame: {what}; it is not so in {name_rows(bad)}. Correct these rows."
                )
        return cls(
            channel=tuple(str(one) for one in names.ids[code]), start_at=start, end_at=end, base_spend=base, **values
        )

    def __len__(self) -> int:
        return len(self.channel)

    def __repr__(self) -> str:
        return f"LiftTests({count_of(len(self), 'test')} of {count_of(len(set(self.channel)), 'channel')})"

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_html

    def to_frame(self) -> pd.DataFrame:
        """Return the columns that ``from_frame`` takes."""
        import pandas as pd

        return pd.DataFrame(
            {
                "channel": list(self.channel),
                "start_at": instants_to_pandas(self.start_at),
                "end_at": instants_to_pandas(self.end_at),
                "lift": self.lift,
                "standard_error": self.standard_error,
                "spend": self.spend,
                "base_spend": self.base_spend,
            }
        )

    def to_pymc_marketing(self) -> pd.DataFrame:
        """Return ``channel x delta_x delta_y sigma``, for ``MMM.add_lift_test_measurements`` of PyMC-Marketing.

        Spend and outcome are per test; scale both to the model's period where tests last longer.

        Raises
        ------
        ParameterError
            When more spend brought less, or less brought more: its saturation curves cannot fall, and it refuses these.
        """
        import pandas as pd

        if (bad := self.lift * self.spend < 0).any():
            raise ParameterError(
                f"to_pymc_marketing: in {name_rows(bad)} outcome and spend move in opposite directions, which a "
                "saturation "
                "curve cannot do. Leave these tests out, and note that they were left out."
            )
        return pd.DataFrame(
            {
                "channel": list(self.channel),
                "x": self.base_spend,
                "delta_x": self.spend,
                "delta_y": self.lift,
                "sigma": self.standard_error,
            }
        )

    def to_meridian(self) -> pd.DataFrame:
        """Return a row per test in the names of Meridian's ``ExperimentResult`` and ``ExperimentInfo``.

        ``channel_name point_estimate standard_error total_spend experiment_start_date experiment_end_date``: the
        estimate is the return on spend. Its last day is inclusive.

        Raises
        ------
        ParameterError
            When a test shows a loss (the upper end of its 95 % interval is below 0), which Meridian refuses.
        """
        import pandas as pd

        roi = self.lift / self.spend
        error = np.abs(self.standard_error / self.spend)
        if (bad := roi + 1.959964 * error < 0).any():
            raise ParameterError(
                f"to_meridian: {name_rows(bad)} show a loss, which Meridian does not take. Leave these tests out, "
                "and note "
                "that they were left out."
            )
        return pd.DataFrame(
            {
                "channel_name": list(self.channel),
                "point_estimate": roi,
                "standard_error": error,
                "total_spend": np.abs(self.spend),
                "experiment_start_date": instants_to_pandas(self.start_at).date,
                "experiment_end_date": instants_to_pandas(self.end_at - 1).date,
            }
        )

    def to_robyn(self, *, metric: str = "revenue", scope: Literal["immediate", "total"] = "immediate") -> pd.DataFrame:
        """Return Robyn's ``calibration_input``.

        ``channel liftStartDate liftEndDate liftAbs spend confidence metric calibration_scope``: ``confidence`` is 1
        minus the two-sided p-value. Channels must have the names of its ``paid_media_spends``.

        Parameters
        ----------
        metric : str
            The name of its dependent variable.
        scope : {"immediate", "total"}
            Whether later effects of earlier spend (carry-over) are in the lift.
        """
        import pandas as pd
        from scipy.special import erf

        if not isinstance(metric, str) or not metric:
            raise ParameterError("metric must be the name of Robyn's dependent variable. Write metric='revenue'.")
        check_choice(scope, "scope", ("immediate", "total"))
        return pd.DataFrame(
            {
                "channel": list(self.channel),
                "liftStartDate": instants_to_pandas(self.start_at).date,
                "liftEndDate": instants_to_pandas(self.end_at - 1).date,
                "liftAbs": self.lift,
                "spend": self.spend,
                "confidence": erf(np.abs(self.lift) / self.standard_error / np.sqrt(2)),
                "metric": metric,
                "calibration_scope": scope,
            }
        )
