"""Every law of a model, over every estimator; and the laws notice when a model breaks them."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco import files as io
from omnireco._core import compute as _compute
from omnireco._core.contract import Estimator
from omnireco._kernels.topk.exact import select
from omnireco.data import Interactions, Vocabulary, Weights
from omnireco.errors import NotFittedError
from omnireco.models import base
from omnireco.models.base import Model
from omnireco.models.matrix import popularity
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.models.matrix.graph import GFCF, P3alpha, RP3beta
from omnireco.models.matrix.linear import EASE, ItemKNN
from omnireco.models.matrix.neighbors import UserKNN
from omnireco.models.matrix.popularity import BuyAgain, Popularity, PopularityModel
from omnireco.models.matrix.slim import SLIM
from omnireco.models.matrix.svd import PureSVD
from omnireco.models.matrix.trained_by_implicit import BPR, LogisticMF
from omnireco.models.matrix.typed import TypedEASE
from omnireco.models.sequence.next_basket import NextBasket
from omnireco.models.sequence.next_item import NextItem
from omnireco.models.sequence.sessions import SessionKNN
from omnireco.models.together import blended, cross_channel
from omnireco.models.together.blend import Blend
from omnireco.models.together.cross_channel import CrossChannel
from omnireco.testing import MODEL_LAWS, check_model, check_no_leak, small_data, small_matrix


@dataclasses.dataclass(frozen=True)
class FromArrays:
    """Factors learned elsewhere, seen as an estimator: the first right singular vectors."""

    factors: int = 4

    def fit(self, x):
        gram = x.csr.T.astype(np.float64) @ x.csr.astype(np.float64)
        vectors = np.linalg.eigh(gram.toarray())[1][:, ::-1][:, : self.factors]
        return FactorModel.from_arrays(vectors, items=x.items, popularity=base.count_users(x))


def app_only(x):
    """A matrix on two channels: every other item is met more often in the app than elsewhere."""
    app = x.csr.multiply(np.arange(x.n_items) % 2).tocsr().astype(np.float32)
    parts = {"store": Interactions.from_scipy(x.csr - app).csr, "app": Interactions.from_scipy(app).csr}
    return dataclasses.replace(x, layers=parts)


ESTIMATORS = {
    "popularity": Popularity(),
    "popularity-weight": Popularity(by="weight"),
    "buy-again": BuyAgain(prior_strength=2.5),
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
    "bpr": BPR(factors=4, iterations=5),
    "logistic": LogisticMF(factors=4, iterations=3),
    "p3alpha": P3alpha(neighbors=6, alpha=0.7),
    "rp3beta": RP3beta(neighbors=6),
    "gfcf": GFCF(factors=3),
    "slim": SLIM(regularization=2.0, sparsity=0.1),
    "slim-signed": SLIM(regularization=2.0, sparsity=0.1, nonnegative=False, neighbors=5),
    "user-knn": UserKNN(neighbors=5),
    "user-knn-jaccard": UserKNN(neighbors=5, similarity="jaccard", shrinkage=1.0, chosen="by person"),
    "next-basket": NextBasket(neighbors=5, linear=EASE(regularization=3.0)),
    "next-basket-sparse": NextBasket(neighbors=3, linear=EASE(regularization=3.0, neighbors=4)),
    "blend": Blend(models={"ease": EASE(regularization=3.0), "knn": ItemKNN(neighbors=6)}, weights={"knn": 0.5}),
    "blend-ranks": Blend(models={"svd": PureSVD(factors=3), "knn": UserKNN(neighbors=5)}, scale="rank"),
    "cross-channel": CrossChannel(estimator=ALS(factors=5, iterations=3, seed=7)),
    "cross-channel-ease": CrossChannel(estimator=EASE(regularization=3.0), prior_strength=1.0, saturation="binary"),
}
"""Estimators of a matrix; those of events below are asked through a Dataset alone."""

OF_EVENTS = {
    "typed-ease": TypedEASE(regularization=2.0),
    "typed-ease-repeats": TypedEASE(regularization=2.0, repeats=True, input_half_life="30D"),
    "typed-ease-both": TypedEASE(by="channel and event", target=["purchase", "view"], input_half_life=3.0),
    "next-item": NextItem(regularization=2.0),
    "next-item-purchases": NextItem(regularization=2.0, events=["purchase"], context_steps=3),
    "next-item-in-time": NextItem(regularization=2.0, interval_half_life="9D", interval_floor=0.2, trend_power=0.5),
    "next-basket-decayed": NextBasket(neighbors=5, linear_weight=1.0),
    "session-knn": SessionKNN(neighbors=5),
    "session-knn-shrunk": SessionKNN(neighbors=100, half_life=None, shrinkage=1.0),
    "blend-of-all-kinds": Blend(
        models={
            "als": ALS(factors=4, iterations=3, weights=Weights(events={"purchase": 5.0})),
            "next": NextItem(regularization=2.0),
            "types": TypedEASE(regularization=2.0),
            "sessions": SessionKNN(neighbors=5),
            "joined": CrossChannel(estimator=EASE(weights=Weights(half_life="30D"))),
        },
        weights={"types": 0.7},
    ),
    "blend-of-ranks": Blend(models={"next": NextItem(), "ease": EASE(weights=Weights())}, scale="rank"),
    "als-weighed": ALS(factors=4, iterations=3, weights=Weights(events={"purchase": 5.0}, half_life="20D")),
    "ease-fading": EASE(regularization=3.0, input_half_life=2.0),
    "knn-deduplicated": ItemKNN(neighbors=6, weights=Weights(deduplicate="1D", cap=2.0)),
    "trending": Popularity(by="weight", weights=Weights(half_life="7D")),
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


DATA = small_data(seed=3, n_users=25, n_items=14)
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


@pytest.mark.parametrize("law", MODEL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", [*OF_EVENTS, *(name for name in ESTIMATORS if name != "from-arrays")])
def test_law_through_a_dataset(name, law):
    law((ESTIMATORS | OF_EVENTS)[name], DATA)


@pytest.mark.parametrize("channel", ["app", "store"])
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name.startswith("cross")])
def test_laws_on_one_channel(name, channel):
    @dataclasses.dataclass(frozen=True)
    class OnOne:
        estimator: object
        channel: str

        def fit(self, x):
            return self.estimator.fit(app_only(x)).on(self.channel)

    check_model(OnOne(ESTIMATORS[name], channel), MATRICES["drawn"])


def test_every_recommender_is_tried():
    """The tables above hold every estimator of the library whose model is a Model."""
    kinds = [kind for kind in vars(om.models).values() if isinstance(kind, type) and issubclass(kind, Estimator)]
    kinds.remove(Estimator)
    tried = {type(one) for one in (ESTIMATORS | OF_EVENTS).values()}
    assert {kind.__name__ for kind in kinds} - {kind.__name__ for kind in tried} == {"Ranker", "SegmentPopularity"}


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

    for module in (base, blended, cross_channel, popularity):
        monkeypatch.setattr(module, "row_blocks", tiny)
    again = ESTIMATORS[name].fit(x)
    for other in (model, again):
        blocks = other.recommend(x, **asked)
        assert (blocks.codes == whole.codes).all()
        assert (blocks.scores == whole.scores).all()
        assert (other.score(x, x.items.ids) == scores).all()


@pytest.mark.parametrize("name", [*OF_EVENTS, *(name for name in ESTIMATORS if name != "from-arrays")])
@pytest.mark.parametrize("verb", ["recommend", "score", "similar_items", "items"])
def test_estimators_hold_parameters_only(name, verb):
    estimator = (ESTIMATORS | OF_EVENTS)[name]
    with pytest.raises(NotFittedError, match=rf"fit returns the model.*\.fit\(data\), then model\.{verb}"):
        getattr(estimator, verb)
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = estimator.colour


def fitted(name, matrix="drawn"):
    return OF_EVENTS[name].fit(DATA) if name in OF_EVENTS else ESTIMATORS[name].fit(MATRICES[matrix])


@pytest.mark.parametrize("name", ESTIMATORS | OF_EVENTS)
def test_estimators_and_models_are_frozen(name):
    estimator, model = (ESTIMATORS | OF_EVENTS)[name], fitted(name)
    assert isinstance(model, Model)
    for thing in (estimator, model):
        field = dataclasses.fields(thing)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, 3)
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        parts = [value.data, value.indices, value.indptr] if sp.issparse(value) else [value]
        assert not any(part.flags.writeable for part in parts if isinstance(part, np.ndarray) and field.name[0] != "_")


@pytest.mark.parametrize("name", ESTIMATORS | OF_EVENTS)
def test_no_id_in_the_repr(name):
    x = Interactions.from_scipy(sp.csr_matrix(np.eye(2)), users=["secret1", "secret2"], items=["hidden1", "hidden2"])
    if name in OF_EVENTS:
        log = DATA.events
        secret, hidden = (Vocabulary.from_ids([f"{word}{i}" for i in range(len(known))]) for word, known in
                          (("secret", log.users), ("hidden", log.items)))  # fmt: skip
        x = om.Dataset(dataclasses.replace(log, users=secret, items=hidden))
    model = (ESTIMATORS | OF_EVENTS)[name].fit(x)
    asked = x.requests() if name in OF_EVENTS else x
    for value in (x, model, asked, model.recommend(asked, k=1), x.users):
        assert "secret" not in repr(value)
        assert "hidden" not in repr(value)


@pytest.mark.parametrize("name", ESTIMATORS | OF_EVENTS)
def test_a_loaded_model_is_asked_with_its_weights(name, tmp_path):
    if name == "from-arrays":
        pytest.skip("a stranger's, which knows only fit(x)")
    model = (ESTIMATORS | OF_EVENTS)[name].fit(DATA)
    again, asked = io.load(io.save(model, tmp_path / "model.omnireco")), DATA.requests(at="2025-02-20")
    assert again.event_weights == model.event_weights
    one, two = (m.recommend(asked, k=9) for m in (model, again))
    assert one.codes.tobytes() == two.codes.tobytes()
    assert one.scores.tobytes() == two.scores.tobytes()


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


class FindsWhatIsNotSold(Broken):
    __slots__ = ()

    def _similar(self, codes, *, k, eligible, threads):
        itself = sp.csr_matrix((np.ones(codes.size), (np.arange(codes.size), codes)), (codes.size, len(self.items)))
        return select(np.tile(self.popularity, (codes.size, 1)), k=k, exclude=itself)


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
        (FindsWhatIsNotSold, "finds_similar_items_among_eligible_ones"),
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


@dataclasses.dataclass(frozen=True)
class Learner:
    """An estimator of events whose model breaks one of the laws about requests, weights or cuts."""

    kind: type = PopularityModel

    def fit(self, data):
        x = data if isinstance(data, Interactions) else data.matrix(Weights())
        counts = base.count_users(x)
        return self.kind(x.items, counts, np.minimum(counts, 5), 1.0, x.weights)


class ForgetsBaskets(PopularityModel):
    __slots__ = ()

    def _question(self, requests):
        question = super()._question(requests)
        return dataclasses.replace(question, given=None, exclude=None)


class TakesAnyHistory(PopularityModel):
    __slots__ = ()

    def _align(self, histories):
        return super()._align(dataclasses.replace(histories, weights=self.event_weights))


class OneNowForAll(PopularityModel):
    __slots__ = ()

    def _read(self, reader):
        asked = reader.requests
        latest = dataclasses.replace(asked, at=np.full_like(asked.at, asked.at.max(initial=0)))
        return super()._read(base.Reader(latest))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ForgetsBaskets, "leaves_out_baskets_and_what_requests_exclude"),
        (TakesAnyHistory, "refuses_histories_of_other_weights"),
        (OneNowForAll, "answers_each_request_alone"),
        (OneNowForAll, "gives_popularity_to_the_unknown"),
    ],
)
def test_the_laws_about_requests_notice(kind, name):
    check_model(Learner(), DATA)
    law = next(law for law in MODEL_LAWS if law.__name__ == name)
    with pytest.raises(AssertionError, match=name):
        law(Learner(kind), DATA)


def test_a_leak_is_noticed():
    class LooksAhead:
        """Learns every other time from what came after the cut too."""

        calls = 0

        def fit(self, data):
            LooksAhead.calls += 1
            return Learner().fit(DATA if LooksAhead.calls % 2 else data)

    with pytest.raises(AssertionError, match=r"check_no_leak: LooksAhead learns another PopularityModel.popularity"):
        check_no_leak(LooksAhead(), DATA, "2025-02-01")
