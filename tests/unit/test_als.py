"""The full iALS loss and the sweeps that lower it, against plain loops and exact solves."""

import numpy as np
import pytest
import scipy.sparse as sp

from omnireco import load, save
from omnireco._kernels.als.least_squares import full_loss, learn
from omnireco._kernels.als.loss import Loss
from omnireco.data import Interactions
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.testing import small_matrix

FULL = {"regularization": 0.02, "alpha": 2.0, "unobserved_weight": 0.3, "frequency_scaling": 0.5}
RULES = [
    {},
    {"confidence_weights": True},
    {"dislike": -0.5},
    {"graded": True},
    {"confidence_weights": True, "graded": True},
]


def signed(n_users=30, n_items=12, seed=0):
    """A matrix with likes, dislikes, grades, and a person and an item without any."""
    draw = np.random.default_rng(seed)
    dense = draw.choice([0, 0, 0, 1, 2, 0.5, -1], size=(n_users, n_items))
    dense[3], dense[:, 5] = 0, 0
    return Interactions.from_scipy(sp.csr_matrix(dense))


def plain_loss(x, loss, users, items, targets=None):
    """Every cell of the matrix, one at a time, as the docstring of ALS says it."""
    dense, value = x.csr.toarray(), 0.0
    aimed = None if targets is None else targets.csr.toarray()
    for u in range(x.n_users):
        for i in range(x.n_items):
            score, r = float(users[u] @ items[i]), float(dense[u, i])
            if r == 0:
                value += loss.unobserved_weight * score**2
                continue
            weight = loss.alpha * (1.0 if loss.graded else abs(r))
            target = r if loss.graded else 1.0 if r > 0 else loss.dislike
            if aimed is not None:
                target = float(aimed[u, i])
            if loss.confidence_weights:
                value += (weight + loss.unobserved_weight) * (target - score) ** 2
            else:
                value += weight * (target - score) ** 2 + loss.unobserved_weight * score**2
    touched = dense != 0
    for factors, counts, n_others in ((users, touched.sum(1), x.n_items), (items, touched.sum(0), x.n_users)):
        for row, count in zip(factors, counts, strict=True):
            size = count + loss.unobserved_weight * n_others
            value += loss.regularization * size**loss.frequency_scaling * float(row @ row)
    return value


def loss_of(**rules):
    return ALS(**FULL, **rules)._loss()


@pytest.mark.parametrize("rules", RULES)
def test_the_loss_is_the_sum_over_every_cell(rules):
    x, draw = signed(), np.random.default_rng(1)
    users, items = draw.normal(size=(x.n_users, 4)), draw.normal(size=(x.n_items, 4))
    assert full_loss(x.csr, None, loss_of(**rules), users, items) == pytest.approx(
        plain_loss(x, loss_of(**rules), users, items), rel=1e-12
    )


@pytest.mark.parametrize("rules", RULES)
def test_many_steps_are_the_exact_half_sweeps(rules):
    """With many conjugate gradient steps a sweep is: each user's normal equations, then each item's."""
    x, loss, draw = signed(), loss_of(**rules), np.random.default_rng(2)
    users = draw.normal(size=(x.n_users, 5)).astype(np.float32)
    items = draw.normal(size=(x.n_items, 5)).astype(np.float32)
    ours = learn(x.csr, None, loss, users, items, iterations=1, steps=30, threads=2)
    weight, pull, _ = loss.cells(x.csr.data)
    w, b = (sp.csr_matrix((part, x.csr.indices, x.csr.indptr), x.shape).toarray() for part in (weight, pull))
    touched = x.csr.toarray() != 0

    def solve(w, b, touched, y):
        gram, ridge = loss.unobserved_weight * y.T @ y, loss.ridge(touched.sum(axis=1), y.shape[0])
        eye = np.eye(y.shape[1])
        rows = zip(w, b, ridge, strict=True)
        return np.stack([np.linalg.solve(gram + r * eye + (y.T * u) @ y, y.T @ p) for u, p, r in rows])

    exact_users = solve(w, b, touched, items.astype(np.float64))
    exact_items = solve(w.T, b.T, touched.T, exact_users)
    assert ours[0] @ ours[1].T == pytest.approx(exact_users @ exact_items.T, abs=2e-4)


def test_the_loss_falls_with_every_sweep_and_targets_reach_it():
    x = signed()
    square = x.csr.multiply(np.abs(x.csr)).tocsr()
    targets = Interactions.from_scipy(square / np.abs(square.data).max())
    weighty = Interactions.from_scipy(np.abs(x.csr))
    for aimed in (None, targets):
        x, learned = (x, x) if aimed is None else (weighty, weighty.with_targets(aimed))
        values = []
        for n in (1, 3, 10, 40):
            estimator = ALS(factors=4, **FULL, iterations=n)
            values.append(estimator.loss(x, estimator.fit(learned), aimed))
        assert values == sorted(values, reverse=True)
        model = estimator.fit(learned)
        placed = model.place(x, aimed).astype(float)
        expected = plain_loss(x, estimator._loss(), placed, model.factors.astype(float), aimed)
        assert values[-1] == pytest.approx(expected, rel=1e-5)
    assert estimator.fit(x).factors.tobytes() != estimator.fit(x.with_targets(targets)).factors.tobytes()
    assert estimator.loss(learned, model) == estimator.loss(x, model, targets)


def test_a_dislike_ranks_below_what_nobody_said_anything_about():
    """Two tastes; one person of the first also says that item 2, which their fellows like, is not for them."""
    likes = np.kron(np.eye(2), np.ones((6, 4)))
    likes[0, 2], likes[0, 3] = -1, 0
    x = Interactions.from_scipy(sp.csr_matrix(likes))
    score = ALS(factors=4, dislike=-1.0, regularization=0.01).fit(x).score(x, x.items.ids)
    assert score[0, 2] < score[0, 3]
    assert score[0, 2] < score[1, 2] - 0.2


def test_graded_is_the_same_as_targets_with_equal_weights():
    x = signed()
    x = Interactions.from_scipy(x.csr / np.abs(x.csr.data).max())
    ones = Interactions.from_scipy((x.csr != 0).astype(np.float32))
    graded = ALS(factors=3, graded=True, alpha=2.0).fit(x)
    assert graded.factors.tobytes() == ALS(factors=3, alpha=2.0).fit(ones.with_targets(x)).factors.tobytes()
    assert graded.place(x).tobytes() == ALS(factors=3, alpha=2.0).fit(ones.with_targets(x)).place(ones, x).tobytes()


@pytest.mark.parametrize("factors", [1, 15, 16, 17, 40])
def test_threads_change_no_byte(factors):
    x = small_matrix(n_users=90, n_items=40, seed=3)
    found = {
        (model.factors.tobytes(), model.place(x, threads=threads).tobytes())
        for threads in (1, 2, 4)
        for model in [ALS(factors=factors, iterations=3).fit(x, threads=threads)]
    }
    assert len(found) == 1


def test_threads_change_no_byte_over_several_blocks():
    cells = sp.random(20_000, 50, 0.04, format="csr", random_state=np.random.default_rng(0), dtype=np.float32)
    x = Interactions.from_scipy(cells)
    one, two = (ALS(factors=8, iterations=2).fit(x, threads=threads).factors for threads in (1, 3))
    assert one.tobytes() == two.tobytes()


def test_a_saved_model_places_people_alike(tmp_path):
    x = signed()
    model = ALS(factors=3, **FULL, dislike=-0.5).fit(x)
    again = load(save(model, tmp_path / "model.omnireco"))
    assert again.loss == model.loss
    assert again.place(x).tobytes() == model.place(x).tobytes()


def test_targets_must_fit():
    x = signed()
    model = ALS(factors=2).fit(x)
    with pytest.raises(SchemaError, match="targets must be Interactions over the same 30 people"):
        x.with_targets(x.rows([1, 2]))
    with pytest.raises(SchemaError, match=r"place: targets must be Interactions over the same 30 people"):
        model.place(x, x.rows([1, 2]))
    stray = Interactions.from_scipy(sp.csr_matrix(([1.0], ([3], [5])), x.shape))
    with pytest.raises(SchemaError, match=r"1 of 1 targets have no cell here, so no weight"):
        x.with_targets(stray)
    with pytest.raises(SchemaError, match=r"place: 1 of 1 targets have no cell in x, so no weight"):
        model.place(x, stray)
    ones = Interactions.from_scipy((x.csr != 0).astype(np.float32))
    with pytest.raises(ParameterError, match="graded=True means that the numbers of x are targets"):
        ALS(factors=2, graded=True).fit(ones.with_targets(ones))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("unobserved_weight", -1, "unobserved_weight must be a number in the range"),
        ("frequency_scaling", -1, "frequency_scaling must be a number of at least 0"),
        ("confidence_weights", 1, "confidence_weights must be True or False"),
        ("dislike", 2, r"dislike must be a number in the range \[-1, 1\]"),
        ("graded", None, "graded must be True or False"),
        ("cg_steps", 0, "cg_steps must be an integer of at least 1"),
    ],
)
def test_parameters(name, value, match):
    with pytest.raises(ParameterError, match=match):
        ALS(**{name: value})


def test_a_cell_says_what_it_is_meant_to():
    """alpha 2, unobserved weight 1: weight, pull and target of the numbers 3 and -1."""
    numbers = np.array([3.0, -1.0], np.float32)

    def cells(**rules):
        plain = {
            "regularization": 1,
            "frequency_scaling": 0,
            "confidence_weights": False,
            "dislike": 0.0,
            "graded": False,
        }
        found = Loss(**(plain | {"alpha": 2, "unobserved_weight": 1} | rules)).cells(numbers)
        return [part.tolist() for part in found]

    assert cells() == [[6, 2], [6, 0], [1, 0]]
    assert cells(confidence_weights=True) == [[6, 2], [7, 0], [1, 0]]
    assert cells(dislike=-0.5) == [[6, 2], [6, -1], [1, -0.5]]
    assert cells(graded=True) == [[2, 2], [6, -2], [3, -1]]


def test_the_ridge_grows_with_the_row():
    loss = loss_of()
    assert loss.ridge(np.array([0, 7]), 10) == pytest.approx([0.02 * 3**0.5, 0.02 * 10**0.5])


def test_without_unobserved_weight_only_touched_cells_count():
    x = signed()
    model = ALS(factors=3, unobserved_weight=0.0, regularization=0.1).fit(x)
    assert isinstance(model, FactorModel)
    touched = x.csr.toarray() > 0
    assert model.score(x, x.items.ids)[touched].mean() > 0.7
