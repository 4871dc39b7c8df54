# ruff: noqa: E501 - tables
"""Values check the arrays they are built of: what points outside is refused, in the constructor, before a kernel sees it."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.models.matrix.neighbors import NeighborModel
from omnireco.models.matrix.popularity import PopularityModel
from omnireco.models.matrix.svd import ProjectionModel

_SPEC = importlib.util.spec_from_file_location("gallery", Path(__file__).parents[1] / "contract" / "gallery.py")
gallery = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(gallery)

USERS, ITEMS = om.data.Vocabulary(np.arange(3)), om.data.Vocabulary(np.arange(4))
COUNTS = np.ones(4, np.float32)


def cells(shape=(3, 4)):
    return sp.random(*shape, 0.6, format="csr", random_state=0, dtype=np.float32)


def hostile(change):
    """A matrix whose parts were changed behind scipy's back."""
    matrix = cells()
    parts = {name: getattr(matrix, name).copy() for name in ("data", "indices", "indptr")}
    changed = change(**parts)
    for name, array in (parts if changed is None else parts | changed).items():
        setattr(matrix, name, array)
    return matrix


CHANGES = {
    "an index of a million": (lambda indices, **_: indices.__setitem__(1, 10**6), "lie outside the 4 columns"),
    "a negative index": (lambda indices, **_: indices.__setitem__(1, -5), "lie outside the 4 columns"),
    "a huge offset": (lambda indptr, **_: indptr.__setitem__(1, 10**8), "does not rise from 0"),
    "a negative offset": (lambda indptr, **_: indptr.__setitem__(1, -(10**6)), "does not rise from 0"),
    "a last offset of 0": (lambda indptr, **_: indptr.__setitem__(-1, 0), "does not rise from 0"),
    "too few offsets": (lambda indptr, **_: {"indptr": indptr[:2]}, "3 rows need one more"),
    "too little data": (lambda data, **_: {"data": data[:1]}, "data has 1 numbers"),
    "NaN": (lambda data, **_: data.__setitem__(0, np.nan), "holds NaN or infinity"),
    "infinity": (lambda data, **_: data.__setitem__(0, np.inf), "holds NaN or infinity"),
}  # fmt: skip
BUILD = {
    "csr": lambda m: om.Interactions(USERS, ITEMS, m, {}),
    "layer": lambda m: om.Interactions(USERS, ITEMS, cells(), {"app": m}),
    "targets": lambda m: om.Interactions(USERS, ITEMS, cells(), {}, targets=m),
    "people": lambda m: NeighborModel(ITEMS, COUNTS, m, 5, "cosine", 0.0),
}


@pytest.mark.parametrize("door", BUILD)
@pytest.mark.parametrize("name", CHANGES)
def test_a_matrix_that_points_outside_itself(name, door):
    change, told = CHANGES[name]
    with pytest.raises(SchemaError, match=told):
        BUILD[door](hostile(change))


@pytest.mark.parametrize("name", CHANGES)
def test_sparse_weights(name):
    square = hostile(CHANGES[name][0])
    square._shape = (4, 4)
    square.indptr = np.append(square.indptr, square.indptr[-1])
    with pytest.raises(SchemaError):
        om.models.ItemModel(ITEMS, COUNTS, square)


@pytest.mark.parametrize("form", ["coo", "csc", "lil"])
def test_what_is_right_in_another_form_is_kept_right(form):
    matrix = cells().astype(np.float64)
    x = om.Interactions(USERS, ITEMS, matrix.asformat(form), {})
    assert (x.csr.toarray() == cells().toarray()).all()
    assert x.csr.dtype == np.float32


def test_unsorted_columns_are_sorted_and_twins_summed():
    matrix = sp.csr_matrix((3, 4), dtype=np.float32)
    matrix.data, matrix.indices = np.array([1, 2, 4], np.float32), np.array([3, 0, 3], np.int32)
    matrix.indptr = np.array([0, 3, 3, 3], np.int32)
    x = om.Interactions(USERS, ITEMS, matrix, {"app": matrix})
    assert x.csr.toarray()[0].tolist() == [2, 0, 0, 5]
    assert x.layers["app"] is x.csr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(np.ones(3), r"shape \(4\). Got \(3,\)"), (np.full(4, np.nan), "NaN or infinity"), (np.full(4, 1e300), "NaN or infinity"),
     (np.ones((4, 1)), "shape"), (list("abcd"), "must be an array of float32"), (None, "must be an array of float32|shape"),
     (np.array([1, None, 2, 3]), "must be an array of float32")],
)  # fmt: skip
def test_numbers_per_item(wrong, told):
    for build in (
        lambda: PopularityModel(ITEMS, wrong, COUNTS),
        lambda: PopularityModel(ITEMS, COUNTS, wrong),
        lambda: om.models.ItemModel(ITEMS, wrong, np.ones((4, 4), np.float32)),
        lambda: NeighborModel(ITEMS, wrong, cells(), 5, "cosine", 0.0),
    ):
        with pytest.raises(SchemaError, match=told):
            build()


def test_dense_weights_and_projections():
    for wrong in (np.ones((2, 4)), np.ones(4), np.full((4, 4), np.nan)):
        with pytest.raises(SchemaError, match="ItemModel: weights"):
            om.models.ItemModel(ITEMS, COUNTS, wrong)
    ones = np.ones((4, 2))
    for encode, popularity in ((np.full((4, 2), np.nan), COUNTS), (ones, np.full(4, np.nan))):
        with pytest.raises(ParameterError, match="must be finite"):
            ProjectionModel.from_arrays(encode, ones, items=ITEMS, popularity=popularity)
    with pytest.raises(ParameterError, match="encode must hold numbers"):
        ProjectionModel.from_arrays("abc", ones, items=ITEMS, popularity=COUNTS)
    with pytest.raises(ParameterError, match="5,000 factors of 2 items: at most 4,096"):
        om.models.FactorModel.from_arrays(np.ones((2, 5000)))


@pytest.mark.parametrize(
    "settings",
    [{"neighbors": 0}, {"neighbors": -1}, {"neighbors": "a"}, {"similarity": "euclid"}, {"shrinkage": -1.0}, {"shrinkage": np.nan}],
)  # fmt: skip
def test_settings_of_neighbors(settings):
    with pytest.raises(ParameterError, match=next(iter(settings))):
        NeighborModel(ITEMS, COUNTS, cells(), **{"neighbors": 5, "similarity": "cosine", "shrinkage": 0.0} | settings)


def replaced(value, path, change):
    """The value with one array changed, at a path such as ``spells.row``."""
    name, _, rest = path.partition(".")
    held = getattr(value, name)
    if rest:
        return dataclasses.replace(value, **{name: replaced(held, rest, change)})
    return dataclasses.replace(value, **{name: change(np.array(held))})


def filled(number):
    def change(array):
        array[...] = number
        return array

    return change


def short(array):
    return array[:1]


LEAST = int(np.iinfo(np.int32).min)
WRONG = {
    "zone posterior": [("row", 10**6), ("row", -7), ("row", short), ("indptr", 7), ("indptr", short), ("zone", 999),
                       ("zone", -2), ("probability", np.nan), ("probability", -1.0), ("probability", 0.0), ("probability", short)],
    "reading model": [("indptr", -5), ("indptr", short), ("tau", np.nan), ("tau", 0.0), ("tau", -1.0), ("tau", short),
                      ("base", np.nan), ("base", short), ("level", np.nan), ("spells.row", -7), ("spells.row", 10**6),
                      ("spells.channel", 99), ("spells.start", np.nan), ("spells.start", 1e9), ("spells.stop", np.nan),
                      ("spells.stop", np.inf), ("spells.human", 2.0), ("spells.weight", np.nan), ("habits.phi", np.nan)],
    "activity model": [("indptr", -5), ("indptr", short), ("hour", 255), ("hour", short), ("weight", np.nan),
                       ("history", -1), ("trust", np.nan), ("quarters", np.nan)],
    "send time model": [("rate", np.nan), ("tau", 0.0), ("reading", np.nan), ("own", 2.0), ("follows", short),
                        ("kinds", np.inf), ("everybody", np.nan), ("log_rate", np.inf), ("log_rate_sd", short),
                        ("tried", short), ("factor", -1.0), ("factor_sd", np.nan), ("basis", 9), ("basis", short)],
    "event log": [("user", -1), ("user", 10**6), ("item", -2), ("channel", 99), ("event", LEAST), ("at", short)],
    "message log": [("user", 10**6), ("channel", -1), ("creative", -2), ("item", 10**6), ("sent_at", short)],
    "audience": [("zone", short), ("consent", short)],
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_values_with_arrays_that_kernels_would_trust(kind):
    value = gallery.VALUES[kind]()
    for path, change in WRONG[kind]:
        with pytest.raises(SchemaError, match=f"^({type(value).__name__}|Spells|Habits): "):
            replaced(value, path, change if callable(change) else filled(change))


def test_answers_before_their_message():
    sent = gallery.VALUES["message log"]()
    with pytest.raises(SchemaError, match="responded_at precedes sent_at"):
        dataclasses.replace(sent, responded_at=sent.sent_at - 1)
    for least in (0.0, 1e-320):  # one divided by that is infinite
        with pytest.raises(SchemaError, match=r"propensity must lie in \(0, 1\]"):
            dataclasses.replace(sent, propensity=np.full(len(sent), least))


@pytest.mark.parametrize("name", ["within", "between"])
@pytest.mark.parametrize("number", [0.0, -1.0, np.nan, np.inf])
def test_spreads_that_are_divided_by(name, number):
    with pytest.raises(ParameterError, match=name):
        dataclasses.replace(gallery.VALUES["refill model"](), **{name: number})


def test_a_stray_zone_is_no_zone():
    audience = gallery.VALUES["audience"]()
    strays = dataclasses.replace(audience, zone=np.where(np.arange(len(audience)) % 2, LEAST, 10**6).astype(np.int32))
    assert (strays.zone == -1).all()


def test_integers_that_do_not_fit_their_type():
    log = gallery.VALUES["event log"]()
    with pytest.raises(SchemaError, match="user does not fit into int32"):
        dataclasses.replace(log, user=np.full(len(log), 2**40))


@pytest.mark.parametrize("policy", ["thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_bandit_without_arms_has_no_chances(policy, shared):
    """The squares of its contexts were written into an array without columns: the process ended."""
    live = om.LinearBandit(policy=policy, shared=shared).start([], n_features=2)
    for _ in range(20):
        assert live.propensity(np.ones((3, 2))).shape == (3, 0)
        assert live.widths(np.ones((3, 2))).shape == (3, 0)


def test_values_too_small_to_be_scaled_are_planned():
    touches = gallery.VALUES["candidates"]()
    least = dataclasses.replace(touches, value=np.full(len(touches), 1e-320))
    assert len(om.plan(least, constraints=[om.FrequencyCap(1, per="1D")]))
