"""scikit-learn's conventions: a transformer from events to a matrix, a recommender, and a cut in time for searches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from omnireco._core.checks import check_instant, check_kind, count_of, from_microseconds
from omnireco._core.contract import Estimator
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.weights import Weights
from omnireco.errors import DataWarning, EmptyError, ParameterError, SchemaError
from omnireco.evaluation.evaluate import evaluate
from omnireco.evaluation.metrics import ndcg

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EventMatrix", "Recommender", "TimeCut"]


class _OfFrames(BaseEstimator):  # type: ignore[misc]
    """What tells scikit-learn that X is a frame of events: its checks of arrays of numbers do not apply."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    def _more_tags(self) -> dict[str, Any]:  # before scikit-learn 1.6
        return {"X_types": ["frame"], "no_validation": True}


class EventMatrix(TransformerMixin, _OfFrames):  # type: ignore[misc]
    """Turn events into a matrix of people by items, as ``EventLog.matrix`` weighs them.

    Parameters
    ----------
    weights : Weights, optional
        What an event counts; each counts 1 by default.
    columns : mapping of str to str, optional
        Our name of a column to yours.

    Attributes
    ----------
    items_ : ndarray
        The ids of the columns: items of ``fit``. Others are left out by ``transform``.
    n_features_in_ : int
        Columns of the frame of ``fit``.

    Notes
    -----
    ``transform`` gives a row per person *of its frame*, in the order of their ids, not a row per event: read them by
    ``EventLog.from_frame(frame).users``. For a log of a person or two, and pipelines such as TruncatedSVD.

    Examples
    --------
    >>> import omnireco as om
    >>> from omnireco.sklearn import EventMatrix
    >>> events = om.simulate(n_users=60, n_items=20, days=60, seed=3).events.dropna(subset="item_id")
    >>> EventMatrix().fit_transform(events).shape == (events["user_id"].nunique(), events["item_id"].nunique())
    True
    """

    def __init__(self, weights: Weights | None = None, columns: Mapping[str, str] | None = None) -> None:
        self.weights = weights
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> EventMatrix:
        """Learn which items there are."""
        log = _log_of(X, self.columns)
        self.items_ = np.asarray(log.items.ids)
        self.n_features_in_ = len(X.columns)
        return self

    def transform(self, X: Any) -> sp.csr_matrix:
        """Return a sparse matrix, a row per person of the frame and a column per item of ``items_``."""
        import pandas as pd

        check_is_fitted(self)
        x = _log_of(X, self.columns).matrix(self.weights)
        place = pd.Index(self.items_).get_indexer(pd.Index(x.items.ids))
        known = np.flatnonzero(place >= 0)
        to = sp.csr_matrix((np.ones(known.size), (known, place[known])), shape=(len(x.items), self.items_.size))
        return sp.csr_matrix(x.csr @ to)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the ids of the items as texts."""
        check_is_fitted(self)
        return np.array([str(item) for item in self.items_], dtype=object)


class Recommender(_OfFrames):
    """Fit any model of ours on a frame of events, recommend for ids of people, score on later events.

    Parameters
    ----------
    estimator : Estimator
        Such as ``om.EASE()``; its parameters are searched as ``estimator__regularization``.
    k : int
        Length of the lists.
    columns : mapping of str to str, optional
        Our name of a column to yours.

    Attributes
    ----------
    model_ : Model
        What the estimator's own ``fit`` returned.

    Notes
    -----
    ``set_params`` puts a new estimator in the place of the old one: ours are frozen. ``score`` is the mean NDCG at
    ``k`` over people of its frame who have an item there that they did not have before, so higher is better, as
    searches expect. Search with :class:`TimeCut`: a shuffled cross-validation would learn from the future.

    Examples
    --------
    >>> import omnireco as om
    >>> from omnireco.sklearn import Recommender, TimeCut
    >>> from sklearn.model_selection import GridSearchCV
    >>> events = om.simulate(n_users=60, n_items=20, days=60, seed=3).events.dropna(subset="item_id")
    >>> search = GridSearchCV(Recommender(om.EASE(), k=5), {"estimator__regularization": [1.0, 100.0]},
    ...                       cv=TimeCut("2025-02-15"))
    >>> search.fit(events).best_estimator_.predict([999]).shape
    (1, 5)
    """

    def __init__(self, estimator: Any, k: int = 10, columns: Mapping[str, str] | None = None) -> None:
        self.estimator = estimator
        self.k = k
        self.columns = columns

    def set_params(self, **params: Any) -> Recommender:
        """Set parameters; those of the estimator by ``estimator__name``, on a new estimator."""
        if "estimator" in params:
            self.estimator = params.pop("estimator")
        nested = {name.removeprefix("estimator__"): params.pop(name) for name in list(params) if "__" in name}
        super().set_params(**params)
        if nested:
            self.estimator = self.estimator.replace(**nested)
        return self

    def fit(self, X: Any, y: Any = None) -> Recommender:
        """Fit the estimator on a frame of events."""
        check_kind(self.estimator, Estimator, "estimator", "Recommender(om.EASE(), k=10)")
        self._log = _log_of(X, self.columns)
        self._data = Dataset(self._log)
        self.model_ = self.estimator.fit(self._data)
        self.n_features_in_ = len(X.columns)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return item ids, shape (n, k), best first, for ids of people or a frame with ``user_id``; None pads.

        People of whom nothing is known get what most people chose.
        """
        import pandas as pd

        check_is_fitted(self)
        users = pd.Series(_people_of(X, (self.columns or {}).get("user_id", "user_id")), dtype=object)
        distinct = users.drop_duplicates().tolist()
        if not distinct:
            return np.empty((0, self.k), dtype=object)
        lists = self.model_.recommend(self._data.requests(distinct, new_users=True), k=self.k)
        ids = np.array([*lists.items.ids.tolist(), None], dtype=object)
        of_row = pd.Index(lists.users.ids).get_indexer(pd.Index(users))
        return np.asarray(ids[lists.codes[of_row]])

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean NDCG at ``k`` of the people of a later frame, on items that are new to them."""
        check_is_fitted(self)
        later = _log_of(X, self.columns)
        truth = later.to_frame()[["user_id", "item_id"]].dropna().drop_duplicates()
        seen = self._log.to_frame()[["user_id", "item_id"]].drop_duplicates()
        fresh = truth.merge(seen, how="left", indicator=True)
        fresh = fresh[fresh["_merge"] == "left_only"][["user_id", "item_id"]]
        if fresh.empty:
            raise EmptyError("Recommender.score: nobody has an item that is new to them. Score on a later frame.")
        begin, end = np.asarray(later.at)[:1], np.asarray(self._log.at)[-1:]
        if (begin < end).any():
            warnings.warn(
                "Recommender.score: its events begin before those of fit end, so the score knows the future. Split by "
                "time: cross_val_score(recommender, events, cv=TimeCut('2025-02-15')).",
                DataWarning,
                stacklevel=2,
            )
        users = fresh["user_id"].drop_duplicates().tolist()
        lists = self.model_.recommend(self._data.requests(users, new_users=True), k=self.k)
        report = evaluate({"model": lists}, fresh, k=self.k, metrics=[ndcg], n_bootstrap=0)
        return float(report.to_frame()["mean"].iloc[0])


class TimeCut:
    """A splitter for scikit-learn's searches: learn before a cut, be measured after it.

    Parameters
    ----------
    *cuts : datetime, date or str
        One validation window begins at each, and ends at the next one or with the events.
    column : str
        The column of times.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"], utc=True)
    >>> [(a.tolist(), b.tolist()) for a, b in TimeCut("2025-01-02").split(pd.DataFrame({"timestamp": times}))]
    [([0], [1, 2])]
    """

    def __init__(self, *cuts: Any, column: str = "timestamp") -> None:
        if not cuts:
            raise ParameterError("TimeCut needs a time. Write TimeCut('2025-02-15').")
        self.cuts = tuple(sorted(check_instant(cut, "cuts") for cut in cuts))
        self.column = column

    def __repr__(self) -> str:
        return f"TimeCut({', '.join(repr(str(from_microseconds(cut))) for cut in self.cuts)})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return how many cuts there are."""
        return len(self.cuts)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows before each cut, and those from it until the next one."""
        import pandas as pd

        times = self._times(X)
        at = (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1)
        micro = at.to_numpy()
        for cut, end in zip(self.cuts, (*self.cuts[1:], np.inf), strict=True):
            before, after = np.flatnonzero(micro < cut), np.flatnonzero((micro >= cut) & (micro < end))
            if not before.size or not after.size:
                side = "after" if before.size else "before"
                raise EmptyError(f"TimeCut: no event {side} {from_microseconds(cut)}. Choose a cut within the events.")
            yield before, after

    def _times(self, X: Any) -> pd.Series:
        """Return the instants of a frame of any library."""
        import pandas as pd

        if self.column not in _columns(X):
            raise SchemaError(f"TimeCut: no column {self.column!r}. Name yours: TimeCut('2025-02-15', column='time').")
        times = X[self.column]
        times = times.reset_index(drop=True) if isinstance(times, pd.Series) else _pandas(times)
        if times.dtype.kind != "M":
            raise SchemaError(
                f"TimeCut: {self.column} holds {times.dtype}, not times. Read them: pd.to_datetime(frame['timestamp'], "
                "utc=True)."
            )
        if getattr(times.dt, "tz", None) is None:
            raise SchemaError("TimeCut: the times have no zone. Give it: frame['timestamp'].dt.tz_localize('UTC').")
        if lost := int(times.isna().sum()):
            raise SchemaError(
                f"TimeCut: {self.column} is missing in {count_of(lost, 'row')}, which lie on no side of a cut. Leave "
                "them out: frame.dropna(subset=['timestamp'])."
            )
        return times


def _columns(frame: Any) -> list[str]:
    """Return the names of the columns of a frame of any library; none of what is no frame."""
    names: Any = getattr(frame, "column_names", None) or getattr(frame, "columns", ())
    return [str(name) for name in names]


def _pandas(column: Any) -> pd.Series:
    """Return a column of polars or Arrow as pandas has it, its zone kept."""
    import pyarrow as pa

    return pa.chunked_array(column).to_pandas() if hasattr(column, "__arrow_c_stream__") else column.to_pandas()


def _people_of(asked: Any, name: str) -> Any:
    """Return the ids that are asked for: those of a column of a frame, or one for each row."""
    if hasattr(asked, "columns"):
        if name not in _columns(asked):
            raise SchemaError(
                f"Recommender.predict: no column {name!r}. Give ids of people, or a frame that has it: "
                "recommender.predict(frame['user_id'])."
            )
        asked = asked[name]
    if getattr(asked, "ndim", 1) > 1:
        raise SchemaError(
            f"Recommender.predict takes one id for each row. Got shape {asked.shape}: recommender.predict(ids.ravel())."
        )
    return asked.to_pylist() if hasattr(asked, "to_pylist") else asked


def _log_of(frame: Any, columns: Mapping[str, str] | None) -> EventLog:
    if not hasattr(frame, "columns"):
        raise SchemaError(f"a frame of events is needed, such as pd.DataFrame. Got {type(frame).__name__}.")
    return EventLog.from_frame(frame, columns=columns, itemless="keep")
