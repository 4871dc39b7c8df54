"""Every law of a model, over every estimator; and the laws notice when a model breaks them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from omnireco import files as io
from omnireco._core import compute as _compute
from omnireco.data import EventLog, Interactions
from omnireco.errors import NotFittedError
from omnireco.models import base, linear
from omnireco.models.base import Model
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.models.matrix.graph import GFCF, P3alpha, RP3beta
from omnireco.models.matrix.linear import EASE, ItemKNN, ItemModel
from omnireco.models.matrix.neighbors import NeighborModel, UserKNN
from omnireco.models.matrix.popularity import BuyAgain, Popularity, PopularityModel
from omnireco.models.matrix.slim import SLIM
from omnireco.models.matrix.svd import PureSVD
from omnireco.models.matrix.typed import TypedEASE, TypedModel
from omnireco.models.sequence.next_item import NextItem
from omnireco.models.sequence.sessions import SessionKNN
from omnireco.models.together.blend import Blend
from omnireco.models.together.cross_channel import CrossChannel
from omnireco.testing import MODEL_LAWS, check_model, small_matrix


@dataclasses.dataclass(frozen=True)
class FromArrays:
    """Factors learned elsewhere, seen as an estimator: the first right singular vectors."""

    factors: int = 4

    def fit(self, x):
        gram = x.csr.T.astype(np.float64) @ x.csr.astype(np.float64)
        vectors = np.linalg.eigh(gram.toarray())[1][:, ::-1][:, : self.factors]
        return FactorModel.from_arrays(vectors, items=x.items, popularity=base.count_users(x))


@dataclasses.dataclass(frozen=True)
class InOrder:
    """An estimator that learns from a log, seen as one that learns from a matrix: one step per item of a row, twice."""

    estimator: NextItem

    def fit(self, x):
        frame = x.to_frame()
        stamps = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(x.items.codes(frame["item_id"]), unit="D")
        frame = frame.assign(channel="web", event="view", timestamp=stamps)
        frame = pd.concat([frame, frame.assign(timestamp=stamps + pd.Timedelta("99D"))])  # everybody comes back
        model = self.estimator.fit(EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]]))
        place = x.items.codes(model.items.ids)
        weights, popularity = np.zeros((x.n_items, x.n_items), np.float32), np.zeros(x.n_items, np.float32)
        weights[np.ix_(place, place)], popularity[place] = model.weights, model.popularity
        return ItemModel(x.items, popularity, weights)


@dataclasses.dataclass(frozen=True)
class InSessions:
    """The same for an estimator that learns sessions: every row is one, a minute per item."""

    estimator: SessionKNN

    def fit(self, x):
        frame = x.to_frame()
        stamps = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(x.items.codes(frame["item_id"]), unit="min")
        frame = frame.assign(channel="web", event="view", timestamp=stamps)
        model = self.estimator.fit(EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]]))
        place = x.items.codes(model.items.ids)
        popularity, held = np.zeros(x.n_items, np.float32), model.people
        popularity[place] = model.popularity
        people = sp.csr_matrix((held.data, place[held.indices], held.indptr), (held.shape[0], x.n_items))
        people.sort_indices()
        return NeighborModel(x.items, popularity, people, model.neighbors, model.similarity, model.shrinkage)


@dataclasses.dataclass(frozen=True)
class Typed:
    """An estimator of typed behaviours: what a row has is viewed once and bought later, item by item."""

    estimator: TypedEASE

    def fit(self, x):
        frame = x.to_frame()
        stamps = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(x.items.codes(frame["item_id"]), unit="D")
        frame = frame.assign(channel="web", event="view", timestamp=stamps)
        frame = pd.concat([frame, frame.assign(event="purchase", timestamp=stamps + pd.Timedelta("99D"))])
        model = self.estimator.fit(EventLog.from_frame(frame[["user_id", "item_id", "channel", "event", "timestamp"]]))
        n, place = x.n_items, x.items.codes(model.items.ids)
        weights, popularity = np.zeros((2 * n, n), np.float32), np.zeros(n, np.float32)
        weights[np.ix_(np.r_[place, n + place], place)], popularity[place] = model.weights, model.popularity
        rest = {"types": model.types, "target": model.target, "by": model.by, "input_half_life": model.input_half_life}
        return TypedModel.build(x.items, popularity, weights, **rest)


@dataclasses.dataclass(frozen=True)
class OnOneChannel:
    """Ranks for the app, where every other item is met more often than elsewhere."""

    estimator: CrossChannel

    def fit(self, x):
        app = x.csr.multiply(np.arange(x.n_items) % 2).tocsr().astype(np.float32)
        parts = {"store": Interactions.from_scipy(x.csr - app).csr, "app": Interactions.from_scipy(app).csr}
        return self.estimator.fit(dataclasses.replace(x, layers=parts)).on("app")


ESTIMATORS = {
    "popularity": Popularity(),
    "popularity-weight": Popularity(by="weight"),
    "buy-again": BuyAgain(prior=2.5),
    "knn-cosine": ItemKNN(neighbors=6, shrinkage=1.0),
    "knn-bm25": ItemKNN(neighbors=6, similarity="bm25"),
    "knn-tfidf": ItemKNN(neighbors=1000, similarity="tfidf"),
    "knn-asymmetric": ItemKNN(neighbors=6, similarity="asymmetric", alpha=0.7, weighting="bm25"),
    "knn-tversky": ItemKNN(neighbors=6, similarity="tversky", alpha=0.2, beta=1.0),
    "ease": EASE(regularization=3.0),
    "ease-sparse": EASE(regularization=3.0, neighbors=4),
    "als": ALS(factors=5, iterations=3, seed=7),
    "from-arrays": FromArrays(),
    "pure-svd": PureSVD(factors=3),
    "p3alpha": P3alpha(neighbors=6, alpha=0.7),
    "rp3beta": RP3beta(neighbors=6),
    "gfcf": GFCF(factors=3),
    "slim": SLIM(regularization=2.0, sparsity=0.1),
    "slim-signed": SLIM(regularization=2.0, sparsity=0.1, nonnegative=False, neighbors=5),
    "user-knn": UserKNN(neighbors=5),
    "user-knn-jaccard": UserKNN(neighbors=5, similarity="jaccard", shrinkage=1.0, chosen="by person"),
    "blend": Blend(models={"ease": EASE(regularization=3.0), "knn": ItemKNN(neighbors=6)}, weights={"knn": 0.5}),
    "blend-ranks": Blend(models={"svd": PureSVD(factors=3), "knn": UserKNN(neighbors=5)}, scale="rank"),
    "cross-channel": CrossChannel(estimator=ALS(factors=5, iterations=3, seed=7)),
    "cross-channel-on": OnOneChannel(CrossChannel(estimator=ALS(factors=5, iterations=3, seed=7), prior=1.0)),
    "cross-channel-ease": OnOneChannel(
        CrossChannel(estimator=EASE(regularization=3.0), prior=1.0, saturation="binary")
    ),
    "typed-ease": Typed(TypedEASE(regularization=2.0)),
    "typed-ease-repeats": Typed(TypedEASE(regularization=2.0, repeats=True, input_half_life="30D")),
    "next-item": InOrder(NextItem(regularization=2.0)),
    "session-knn": InSessions(SessionKNN(neighbors=5)),
    "session-knn-shrunk": InSessions(SessionKNN(neighbors=100, half_life=None, shrinkage=1.0)),
}


def designed():
    """A matrix of hard cases: nearly everything chosen, everything chosen, one item, equal twins, a dislike."""
    dense = np.zeros((8, 6), np.float32)
    dense[0, :5] = 1
    dense[1] = 1
    dense[2, 3] = 2
    dense[3, [0, 1]] = dense[4, [0, 1]] = 1
    dense[5, [2, 4]] = [1, -1]
    dense[6, 5] = dense[7, 0] = 0.25
    return Interactions.from_scipy(sp.csr_matrix(dense), items=["a", "b", "c", "d", "e", "f"])


MATRICES = {
    "drawn": small_matrix(seed=3),
    "designed": designed(),
    "one user": Interactions.from_scipy(sp.csr_matrix(np.array([[1.0, 0, 2, 0]]))),
    "one item": Interactions.from_scipy(sp.csr_matrix(np.ones((3, 1)))),
}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("law", MODEL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_law(name, law, matrix):
    law(ESTIMATORS[name], MATRICES[matrix])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_block_size_changes_nothing(name, monkeypatch):
    x = small_matrix(n_users=90, seed=5)
    mask = np.arange(x.n_items) % 3 > 0
    asked = {"k": 9, "eligible": (np.arange(90) % 2, {0: mask, 1: ~mask})}
    model = ESTIMATORS[name].fit(x)
    whole, scores = model.recommend(x, **asked), model.score(x, x.items.ids)
    real = _compute.row_blocks

    def tiny(n_rows, bytes_per_row, *, memory=0, most=0):
        return real(n_rows, 1, most=7)

    for module in (base, linear):
        monkeypatch.setattr(module, "row_blocks", tiny)
    again = ESTIMATORS[name].fit(x)
    for other in (model, again):
        blocks = other.recommend(x, **asked)
        assert (blocks.codes == whole.codes).all()
        assert (blocks.scores == whole.scores).all()
        assert (other.score(x, x.items.ids) == scores).all()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ESTIMATORS
        if not isinstance(ESTIMATORS[name], (FromArrays, InOrder, InSessions, OnOneChannel, Typed))
    ],
)
@pytest.mark.parametrize("verb", ["recommend", "score", "similar_items", "items"])
def test_estimators_hold_parameters_only(name, verb):
    with pytest.raises(NotFittedError, match=rf"fit returns the model.*\.fit\(x\), then model\.{verb}"):
        getattr(ESTIMATORS[name], verb)
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = ESTIMATORS[name].colour


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_and_models_are_frozen(name):
    estimator, model = ESTIMATORS[name], ESTIMATORS[name].fit(MATRICES["drawn"])
    assert isinstance(model, Model)
    for thing in (estimator, model):
        field = dataclasses.fields(thing)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, 3)
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        parts = [value.data, value.indices, value.indptr] if sp.issparse(value) else [value]
        assert not any(part.flags.writeable for part in parts if isinstance(part, np.ndarray) and field.name[0] != "_")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_id_in_the_repr(name):
    x = Interactions.from_scipy(sp.csr_matrix(np.eye(2)), users=["secret1", "secret2"], items=["hidden1", "hidden2"])
    model = ESTIMATORS[name].fit(x)
    for value in (x, model, model.recommend(x, k=1), x.users):
        assert "secret" not in repr(value)
        assert "hidden" not in repr(value)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_save_and_load_give_equal_answers(name, matrix, tmp_path):
    x = MATRICES[matrix]
    model = ESTIMATORS[name].fit(x)
    again = io.load(io.save(model, tmp_path / "model.omnireco"))
    assert type(again) is type(model)
    one, two = (m.recommend(x, k=9, exclude_seen=False) for m in (model, again))
    assert one.codes.tobytes() == two.codes.tobytes()
    assert one.scores.tobytes() == two.scores.tobytes()
    assert again.items == model.items
    assert again.score(x, x.items.ids).tobytes() == model.score(x, x.items.ids).tobytes()


class Broken(PopularityModel):
    """A popularity model that shows seen items, slips with its neighbours, or pads with item 0."""

    __slots__ = ()


class ShowsSeen(Broken):
    __slots__ = ()

    def _rank(self, histories, *, k, exclude, eligible, threads):
        return super()._rank(histories, k=k, exclude=None, eligible=eligible, threads=threads)


class ForgetsEligible(Broken):
    __slots__ = ()

    def _rank(self, histories, *, k, exclude, eligible, threads):
        return super()._rank(histories, k=k, exclude=exclude, eligible=None, threads=threads)


class PadsWithItemZero(Broken):
    __slots__ = ()

    def _rank(self, histories, *, k, exclude, eligible, threads):
        codes, scores = super()._rank(histories, k=k, exclude=exclude, eligible=eligible, threads=threads)
        return np.maximum(codes, 0), scores


class LooksAtTheBatch(Broken):
    __slots__ = ()

    def _dense(self, histories):
        return super()._dense(histories) * np.float32(1 + histories.shape[0])


class ScoresOtherwise(Broken):
    __slots__ = ()

    def _score(self, histories, codes):
        return super()._score(histories, codes) * np.float32(1.5)


class TiesByAccident(Broken):
    __slots__ = ()

    def _rank(self, histories, *, k, exclude, eligible, threads):
        codes, scores = super()._rank(histories, k=k, exclude=exclude, eligible=eligible, threads=threads)
        tied = (scores[:, 0] == scores[:, 1]) if k > 1 else np.zeros(len(codes), bool)
        codes[tied, :2] = codes[tied, 1::-1]
        return codes, scores


@dataclasses.dataclass(frozen=True)
class Breaks:
    kind: type

    def fit(self, x):
        return self.kind(x.items, base.count_users(x), np.minimum(base.count_users(x), 5), 1.0)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (ShowsSeen, "ranks_by_score_then_code"),
        (ForgetsEligible, "leaves_out_what_is_not_eligible"),
        (PadsWithItemZero, "ranks_by_score_then_code"),
        (LooksAtTheBatch, "answers_one_by_one_as_in_a_batch"),
        (ScoresOtherwise, "scores_what_it_ranks_by"),
        (TiesByAccident, "ranks_by_score_then_code"),
    ],
)
def test_the_laws_notice(kind, law):
    check_model(Breaks(Broken), MATRICES["drawn"])
    with pytest.raises(AssertionError, match=law):
        check_model(Breaks(kind), MATRICES["drawn"])


def test_the_laws_notice_an_estimator_that_remembers():
    class Counts:
        calls = 0

        def fit(self, x):
            self.calls += 1
            return PopularityModel(x.items, base.count_users(x), np.roll(base.count_users(x), self.calls))

    with pytest.raises(AssertionError, match="forgets_the_order_of_rows"):
        check_model(Counts(), MATRICES["drawn"])
