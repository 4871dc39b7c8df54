"""Other libraries at work: factors that they trained served here, and their metrics beside ours.

Each skips where its library is not installed; the step ``peers`` of .ci/run installs them.
"""

import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._core.compute import one_blas_thread
from omnireco.models import FactorModel


def guest(name):
    """Import a library whose own warnings are not ours to fix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is a guest, installed by the step peers of .ci/run")


@pytest.fixture(scope="module")
def x():
    data = om.simulate(n_users=300, n_items=60, days=160, start="2025-01-06", seed=3).dataset()
    matrix = data.matrix(om.Weights(events={"view": 1, "purchase": 1}))
    cells = matrix.csr.tocoo()
    users, items = np.asarray(matrix.users.ids)[cells.row], np.asarray(matrix.items.ids)[cells.col]
    return om.Interactions.from_frame(pd.DataFrame({"user_id": users, "item_id": items, "weight": 1.0}))


def frame_of(x):
    cells = x.csr.tocoo()
    return pd.DataFrame(
        {"user_id": np.asarray(x.users.ids)[cells.row], "item_id": np.asarray(x.items.ids)[cells.col], "weight": 1.0}
    )


HU_KOREN = om.ALS(confidence_weights=True, unobserved_weight=1.0, frequency_scaling=0.0, regularization=0.01)


def same_lists(lists, scores, items, x, k=5):
    """Return the share of places where a list is that of scores (users in the order of ``x``) without seen items."""
    order = pd.Index(items).get_indexer(pd.Index(x.items.ids))
    scores = np.where(x.csr.toarray() > 0, -np.inf, scores[:, order])
    return np.mean(lists.codes == np.argsort(-scores, axis=1, kind="stable")[:, :k])


# ---- factors ----------------------------------------------------------------------------------------------


def test_factors_of_lenskit_place_people_as_lenskit_does(x):
    guest("lenskit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lenskit.als import ImplicitMFScorer
        from lenskit.data import ItemList, from_interactions_df

        peer = ImplicitMFScorer(embedding_size=8, epochs=8)  # weight 40, regularization 0.1
        peer.train(from_interactions_df(frame_of(x)[["user_id", "item_id"]]))
        items = peer.items.ids().tolist()
        theirs = [peer.new_user_embedding(None, ItemList(of["item_id"])) for _, of in frame_of(x).groupby("user_id")]
    theirs = np.stack([np.asarray(one[0] if isinstance(one, tuple) else one) for one in theirs])
    factors = np.asarray(peer.item_embeddings)
    served = FactorModel.from_arrays(factors, items=items, estimator=HU_KOREN.replace(regularization=0.1, alpha=40.0))
    np.testing.assert_allclose(served.place(x), theirs, atol=2e-3 * np.abs(theirs).max())
    assert same_lists(served.recommend(x, k=5), theirs @ factors.T, items, x) > 0.98


def test_factors_of_rectools_place_people_as_implicit_does(x):
    guest("rectools")
    with warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore")
        from implicit.cpu.als import AlternatingLeastSquares
        from rectools.dataset import Dataset
        from rectools.models import ImplicitALSWrapperModel

        known = Dataset.construct(frame_of(x).assign(datetime=pd.Timestamp("2025-01-01")))
        peer = ImplicitALSWrapperModel(AlternatingLeastSquares(8, alpha=9.0, num_threads=1, random_state=1)).fit(known)
        matrix = known.get_user_item_matrix()
        theirs = peer.model.recalculate_user(np.arange(x.n_users), matrix)
    users, items = known.user_id_map.external_ids, known.item_id_map.external_ids
    cells = om.Interactions.from_scipy(matrix, users=users, items=items)
    served = FactorModel.from_implicit(peer.model, cells)
    np.testing.assert_allclose(served.place(cells), theirs, atol=1e-4 * np.abs(theirs).max())
    assert same_lists(served.recommend(cells, k=5), theirs @ peer.model.item_factors.T, items, cells) > 0.99


def test_embeddings_of_torch_are_factors(x):
    torch = guest("torch")
    torch.manual_seed(0)
    users, items = torch.nn.Embedding(x.n_users, 8), torch.nn.Embedding(x.n_items, 8)
    cells = x.csr.tocoo()
    row, column = torch.tensor(cells.row.astype(np.int64)), torch.tensor(cells.col.astype(np.int64))
    learner = torch.optim.Adam([*users.parameters(), *items.parameters()], lr=0.05)
    for _ in range(60):  # logistic, one negative per choice
        other = torch.randint(0, x.n_items, row.shape)
        chosen, left = ((users(row) * items(one)).sum(1) for one in (column, other))
        loss = -(torch.nn.functional.logsigmoid(chosen) + torch.nn.functional.logsigmoid(-left)).mean()
        learner.zero_grad()
        loss.backward()
        learner.step()
    served = FactorModel.from_arrays(items.weight, items=x.items.ids, estimator=om.ALS(unobserved_weight=0.1))
    np.testing.assert_array_equal(served.factors, items.weight.detach().numpy())
    own = (users.weight @ items.weight.T).detach().numpy()
    ours = served.place(x) @ served.factors.T
    agreement = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(own, ours, strict=True)])
    assert agreement > 0.5  # a ridge regression is another loss, on the same space


# ---- metrics ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lists():
    draw = np.random.default_rng(5)
    rows = [(u, int(i), -float(r)) for u in range(80) for r, i in enumerate(draw.permutation(50)[:20])]
    shown = pd.DataFrame(rows, columns=["user_id", "item_id", "score"])
    pairs = [(u, int(i)) for u in range(80) for i in draw.choice(50, draw.integers(1, 12), replace=False)]
    return shown, pd.DataFrame(pairs, columns=["user_id", "item_id"])


def ours(lists, metric, k):
    shown, truth = lists
    found = om.evaluate({"m": shown}, truth, k=k, metrics=[metric], n_bootstrap=0).per_user("m", metric)
    return dict(zip(found["user_id"], found["value"], strict=True))


PRECISE = partial(om.evaluation.average_precision, divide_by="relevant")


@pytest.mark.parametrize("k", [1, 5, 20])
def test_metrics_are_those_of_ir_measures(lists, k):
    """nDCG, AP, RR, P, R and Success at k, by trec_eval's own code where it has them."""
    measures = guest("ir_measures")
    shown, truth = lists
    run = pd.DataFrame({"query_id": shown["user_id"].astype(str), "doc_id": shown["item_id"].astype(str)})
    qrels = pd.DataFrame({"query_id": truth["user_id"].astype(str), "doc_id": truth["item_id"].astype(str)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        named = {
            measures.nDCG @ k: om.ndcg,
            measures.AP @ k: PRECISE,
            measures.RR @ k: om.evaluation.mean_reciprocal_rank,
            measures.P @ k: om.precision,
            measures.R @ k: om.recall,
            measures.Success @ k: om.hit_rate,
        }
        found = list(measures.iter_calc(list(named), qrels.assign(relevance=1), run.assign(score=shown["score"])))
    assert len(found) == len(named) * 80
    mine = {measure: ours(lists, metric, k) for measure, metric in named.items()}
    for one in found:
        assert mine[one.measure][int(one.query_id)] == pytest.approx(one.value, abs=1e-6), one.measure


@pytest.mark.parametrize("k", [1, 5, 20])
def test_metrics_are_those_of_rectools(lists, k):
    guest("rectools")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rectools import metrics
    shown, truth = lists
    ranked = shown.assign(rank=shown.groupby("user_id").cumcount() + 1)
    named = [
        (metrics.MAP(k=k), PRECISE),
        (metrics.MRR(k=k), om.evaluation.mean_reciprocal_rank),
        (metrics.Precision(k=k), om.precision),
        (metrics.Recall(k=k), om.recall),
        (metrics.HitRate(k=k), om.hit_rate),
    ]
    for measure, metric in named:
        found = measure.calc_per_user(ranked, truth)
        assert ours(lists, metric, k) == pytest.approx(found.to_dict(), abs=1e-12), measure


# ---- guests that search, and that serve --------------------------------------------------------------------


def test_the_page_of_searches_runs_with_optuna(tmp_path, monkeypatch):
    """The lines of docs/howto/tune-with-a-search.md down to those that say ``import optuna``, as they stand."""
    optuna = guest("optuna")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/howto/tune-with-a-search.md").read_text("utf-8")
    blocks = re.findall(r"^``` ?(?:python|\{ \.py \})\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    last = next(number for number, block in enumerate(blocks) if "import optuna" in block)
    names = {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks[: last + 1]:
            exec(compile(block, "tune-with-a-search.md", "exec"), names)
    assert len(names["study"].trials) == 50
    best = names["study"].best_params
    again = names["estimator"].replace(regularization=best["regularization"], weights__half_life=best["half_life"])
    assert names["study"].best_value == names["score"](again)
