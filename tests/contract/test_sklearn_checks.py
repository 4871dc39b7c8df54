"""scikit-learn's own checks of estimators, on the face that we show it.

Its checks hand over arrays of numbers; ours take frames of events, and say so by their tags, so that scikit-learn
leaves out what cannot apply: without them 31 of 47 checks of the matrix and 29 of 41 of the recommender fail for this
one reason. So that they are tried all the same, each is put behind a door that makes events of an array: a row is a
person, a column an item, a cell above the median an event of the past, any other one of later. Then none fails; the one
of other array libraries skips itself.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.sklearn import EventMatrix, Recommender

checks = pytest.importorskip("sklearn.utils.estimator_checks")
validation = pytest.importorskip("sklearn.utils.validation")
pytestmark = pytest.mark.skipif(
    not hasattr(validation, "validate_data"), reason="scikit-learn before 1.6 knows no expected failures"
)


def events(x, user, where):
    row, column = np.nonzero(where)
    at = pd.Timestamp("2025-01-01", tz="UTC")
    frame = {"user_id": user[row], "item_id": column, "value": np.asarray(x, np.float64)[row, column]}
    return pd.DataFrame(frame).assign(channel="web", event="view", timestamp=at)


def people(x):
    """Return an id of each row that is the same wherever the row stands."""
    texts = [np.asarray(row, np.float64).tobytes().hex() for row in x]
    return np.array(texts, dtype=object)


class _OfArrays:
    """The door: arrays in; numbers are checked as scikit-learn checks them."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.no_validation = False
        return tags

    def _fit(self, x, frame_of):
        x = validation.validate_data(self, x)
        width = self.n_features_in_
        super().fit(frame_of(x))
        self.n_features_in_ = width
        return self

    def _checked(self, x):
        validation.check_is_fitted(self)
        return validation.validate_data(self, x, reset=False)


class Matrix(_OfArrays, EventMatrix):
    def fit(self, X, y=None):
        return self._fit(X, lambda x: events(x, np.arange(len(x)), np.ones(x.shape)))

    def transform(self, X):
        x = self._checked(X)
        return super().transform(events(x, np.arange(len(x)), np.ones(x.shape))).toarray()


class Lists(_OfArrays, Recommender):
    def fit(self, X, y=None):
        return self._fit(X, lambda x: events(x, people(x), x > np.median(x)))

    def predict(self, X):
        found = super().predict(people(self._checked(X)))
        return np.array([[np.nan if one is None else one for one in row] for row in found.tolist()], np.float64)

    def score(self, X, y=None):
        x = self._checked(X)
        return super().score(events(x, people(x), x <= np.median(x)))


ESTIMATORS = [EventMatrix(), Recommender(om.EASE(), k=3), Matrix(), Lists(om.EASE(), k=2)]
MANY = {"EventMatrix": 1, "Recommender": 1, "Matrix": 40, "Lists": 35}  # checks that are run at least


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_every_check_passes(estimator):
    name = type(estimator).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is skipped, and of people who were not fitted on, as some checks ask
        found = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {one["check_name"]: str(one["exception"]) for one in found if one["status"] == "failed"}
    assert failed == {}
    assert {one["check_name"] for one in found if one["status"] == "skipped"} <= {"check_array_api_input"}
    assert sum(one["status"] == "passed" for one in found) >= MANY[name]


def test_an_array_is_refused_in_plain_words():
    with pytest.raises(om.errors.SchemaError, match=r"a frame of events is needed, such as pd\.DataFrame"):
        Recommender(om.EASE()).fit(np.eye(3))
