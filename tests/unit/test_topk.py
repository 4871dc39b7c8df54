"""The exact top-K kernels: small truths by hand, the doors, and the order of ties."""

import os

import numpy as np
import pytest
from scipy import sparse

from omnireco._kernels.topk import tiers
from omnireco._kernels.topk.exact import ItemIndex, select, tier, topk, topk_sparse
from omnireco.errors import ParameterError

CORNERS = np.array([[1, 0], [0, 1], [1, 1], [-1, 0]], dtype=np.float32)


def test_three_items_by_hand():
    codes, scores = topk(np.array([[2, 1], [0, 1]], dtype=np.float32), CORNERS, k=3)
    assert codes.tolist() == [[2, 0, 1], [1, 2, 0]]
    assert scores.tolist() == [[3, 2, 1], [1, 1, 0]]
    assert codes.dtype == np.int32
    assert scores.dtype == np.float32


def test_equal_scores_leave_in_code_order_and_zero_has_one_sign():
    codes, scores = topk(np.array([[0, -1]], dtype=np.float32), CORNERS, k=4)
    assert codes.tolist() == [[0, 3, 1, 2]]
    assert not np.signbit(scores[0, :2]).any()


def test_k_above_the_catalogue_is_padded():
    codes, scores = topk(np.ones((1, 2), np.float32), CORNERS, k=6)
    assert codes.tolist() == [[2, 0, 1, 3, -1, -1]]
    assert scores[0, 4:].tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("as_pair", [False, True])
def test_excluded_items_never_return(as_pair):
    seen = sparse.csr_matrix(np.array([[0, 0, 1, 0], [1, 1, 1, 1]]))
    exclude = (seen.indptr, seen.indices) if as_pair else seen
    codes, _ = topk(np.array([[2, 1], [2, 1]], np.float32), CORNERS, k=4, exclude=exclude)
    assert codes.tolist() == [[0, 1, 3, -1], [-1, -1, -1, -1]]


def test_unsorted_exclusions_with_stored_zeros_count_as_exclusions():
    seen = sparse.csr_matrix((np.array([0.0, 1.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 4))
    assert topk(np.array([[2, 1]], np.float32), CORNERS, k=2, exclude=seen)[0].tolist() == [[1, 3]]
    pair = ([0, 2], [2, 0])
    assert topk(np.array([[2, 1]], np.float32), CORNERS, k=2, exclude=pair)[0].tolist() == [[1, 3]]


def test_eligibility_for_all_and_per_group():
    queries = np.array([[2, 1], [2, 1], [2, 1]], np.float32)
    mask = np.array([True, False, False, True])
    assert topk(queries, CORNERS, k=3, eligible=mask)[0].tolist() == [[0, 3, -1]] * 3
    masks, group = np.stack([mask, ~mask]), np.array([1, 0, 1])
    codes, _ = topk(queries, CORNERS, k=2, eligible=(masks, group))
    assert codes.tolist() == [[2, 1], [0, 3], [2, 1]]


def test_bias_is_added_to_every_score():
    bias = np.array([0, 5, 0, 0], np.float32)
    codes, scores = topk(np.array([[2, 1]], np.float32), CORNERS, k=2, bias=bias)
    assert codes.tolist() == [[1, 2]]
    assert scores.tolist() == [[6, 3]]


def test_zero_queries_get_the_order_of_bias_then_code():
    bias = np.array([0, 2, 2, 1], np.float32)
    seen = ([0, 0, 2], [1, 3])
    codes, scores = topk(np.zeros((2, 2)), CORNERS, k=3, bias=bias, exclude=seen)
    assert codes.tolist() == [[1, 2, 3], [2, 0, -1]]
    assert scores[0].tolist() == [2, 2, 1]
    mask = np.array([True, False, True, True])
    assert topk(np.zeros((1, 2)), CORNERS, k=3, eligible=mask)[0].tolist() == [[0, 2, 3]]


def test_scores_beyond_float32_stop_at_its_largest_number():
    big = np.float32(1e30)
    codes, scores = topk(np.full((1, 1), big), np.array([[1], [big], [2 * big], [-big]], np.float32), k=4)
    top = np.finfo(np.float32).max
    assert codes.tolist() == [[1, 2, 0, 3]]
    assert scores.tolist() == [[top, top, big, -top]]


def test_the_empty_batch_and_the_empty_catalogue():
    assert topk(np.zeros((0, 2)), CORNERS, k=3)[0].shape == (0, 3)
    codes, scores = topk(np.ones((2, 2)), np.zeros((0, 2)), k=3)
    assert (codes == -1).all()
    assert (scores == -np.inf).all()


def test_inputs_are_untouched_and_an_index_keeps_its_own_copy():
    items, queries = CORNERS.copy(), np.ones((1, 2), np.float32)
    index = ItemIndex(items)
    before = topk(queries, index, k=2)
    items[:] = 0
    after = topk(queries, index, k=2)
    assert before[0].tolist() == after[0].tolist()
    assert not index.items.flags.writeable
    assert items.flags.writeable
    assert len(index) == 4
    assert repr(index) == "ItemIndex(n_items=4, n_factors=2)"


def test_tier_can_be_overridden_and_refuses_what_is_not_there(monkeypatch):
    monkeypatch.setenv("OMNIRECO_TOPK_TIER", "numpy")
    assert tier() == "numpy"
    monkeypatch.setenv("OMNIRECO_TOPK_TIER", "gpu")
    with pytest.raises(ParameterError, match="OMNIRECO_TOPK_TIER must be one of 'int8', 'int8-vnni', 'int8-avx2'"):
        tier()
    monkeypatch.setenv("OMNIRECO_TOPK_TIER", "int8")
    monkeypatch.setattr("omnireco._kernels.topk.tiers.available", lambda: ("int8-avx2", "numba", "numpy"))
    assert tier() == "int8-avx2"
    monkeypatch.setattr("omnireco._kernels.topk.tiers.available", lambda: ("numpy",))
    with pytest.raises(ParameterError, match="not available on this machine, which has numpy"):
        tier()


def test_select_orders_masks_and_pads():
    block = np.array([[1, 3, 3, -np.inf], [0, -1, 5, 2]], np.float32)
    codes, scores = select(block, k=4)
    assert codes.tolist() == [[1, 2, 0, -1], [2, 3, 0, 1]]
    assert scores[0].tolist() == [3, 3, 1, -np.inf]
    seen = sparse.csr_matrix(np.array([[0, 1, 0, 0], [0, 0, 0, 1]]))
    codes, _ = select(block, k=2, exclude=seen, eligible=np.array([True, True, True, True]))
    assert codes.tolist() == [[2, 0], [2, 0]]
    codes, _ = select(block, k=2, eligible=np.array([True, True, False, False]))
    assert codes.tolist() == [[1, 0], [0, 1]]
    assert block[0, 1] == 3
    assert select(np.zeros((2, 0)), k=1)[0].tolist() == [[-1], [-1]]


ONE = np.ones((1, 2), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be an integer in the range .1, 1,000,000.. Got 0"),
        ({"queries": [1.0, 2.0]}, r"queries must be a 2-D array of numbers.*Got shape \(2,\)"),
        ({"queries": [["a", "b"]]}, "queries must be a 2-D array of numbers"),
        ({"queries": np.ones((1, 0))}, "queries must have at least one factor"),
        ({"queries": np.ones((1, 3))}, "same number of factors. Got 3 and 2"),
        ({"queries": [[np.nan, 1]]}, r"queries must be finite.*1 row \(position 0\)"),
        ({"queries": [[1e300, 1]]}, "queries must be finite float32"),
        ({"items": [[1, 1], [np.inf, 0]]}, r"items must be finite.*1 row \(position 1\)"),
        ({"bias": [1, 2]}, r"bias must hold one number per item, shape \(4,\)"),
        ({"bias": [1, 2, np.nan, 0]}, "bias must be finite"),
        ({"exclude": sparse.csr_matrix((2, 4))}, r"exclude must have one row per query.*Got \(2, 4\)"),
        ({"exclude": [[0]]}, "exclude must be a scipy sparse matrix or a pair"),
        ({"exclude": ([0], [1])}, "indptr of length 2"),
        ({"exclude": ([0, 2], [1])}, "indptr rising from 0 to 1"),
        ({"exclude": ([0, 2], [1, 7])}, "item codes outside 0 to 3: 1 of 2"),
        ({"eligible": np.ones(4)}, r"eligible must be booleans of shape \(4,\)"),
        ({"eligible": (np.ones((1, 4), bool),)}, "needs two arrays. Got 1"),
        ({"eligible": (np.ones((1, 3), bool), [0])}, r"boolean masks of shape \(groups, 4\)"),
        ({"eligible": (np.ones((1, 4), bool), [0, 0])}, "one integer group per query"),
        ({"eligible": (np.ones((1, 4), bool), [1])}, "groups outside 0 to 0: 1 of 1"),
        ({"threads": 0}, "threads must be an integer of at least 1"),
    ],
)
def test_the_door_refuses(arguments, message):
    full = {"queries": ONE, "items": CORNERS, "k": 1} | arguments
    with pytest.raises(ParameterError, match=message):
        topk(full.pop("queries"), full.pop("items"), **full)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros(3), "scores must be a 2-D array of numbers"),
        (np.array([[np.nan, 1], [0, 0]]), "Got NaN or .inf in 1 of 2 rows"),
        (np.array([[np.inf, 1]]), "numbers below infinity"),
    ],
)
def test_select_refuses(scores, message):
    with pytest.raises(ParameterError, match=message):
        select(scores, k=1)


def test_histories_times_weights_by_hand():
    histories = sparse.csr_matrix(np.array([[1, 0, 2], [0, 0, 0]], np.float32))
    weights = np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]], np.float32)
    for form in (weights, sparse.csr_matrix(weights)):
        codes, scores = topk_sparse(histories, form, k=3)
        assert codes.tolist() == [[1, 0, 2], [0, 1, 2]]
        assert scores.tolist() == [[3, 2, 1], [0, 0, 0]]
        codes, _ = topk_sparse(histories, form, k=2, exclude=histories, bias=[9, 0, 0])
        assert codes.tolist() == [[1, -1], [0, 1]]
    assert topk_sparse(histories[:0], weights, k=2)[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("histories", "weights", "message"),
    [
        (np.ones((1, 3)), np.eye(3), "histories must be a scipy sparse matrix"),
        (sparse.csr_matrix([[np.nan, 1, 0]]), np.eye(3), "histories must be finite.*1 row .position 0"),
        (sparse.csr_matrix([[1j, 1, 0]]), np.eye(3), "histories must hold numbers"),
        (sparse.csr_matrix([[1.0, 1, 0]]), np.eye(2), "Got 2 rows and 3 columns"),
        (sparse.csr_matrix([[1.0, 1, 0]]), np.ones(3), "weights must be a 2-D array"),
        (sparse.csr_matrix([[1.0, 1, 0]]), np.full((3, 3), np.inf), "weights must be finite.*3 rows"),
        (sparse.csr_matrix([[1.0]]), sparse.csr_matrix([[np.nan]]), "weights must be finite"),
    ],
)
def test_histories_and_weights_are_checked(histories, weights, message):
    with pytest.raises(ParameterError, match=message):
        topk_sparse(histories, weights, k=1)


def test_small_work_imports_no_compiler_and_gives_the_same_bytes():
    import subprocess
    import sys

    code = """
import sys
import numpy as np
from scipy import sparse
from omnireco._kernels.topk import exact, tiers
rng = np.random.default_rng(1)
users, items = rng.standard_normal((300, 16)), rng.standard_normal((2000, 16))
few = exact.topk(users, items, k=10)
past = sparse.random(300, 200, density=0.1, format="csr", dtype=np.float32, random_state=1)
near = rng.standard_normal((200, 200)).astype(np.float32)
like = exact.topk_sparse(past, near, k=10)
print("numba" in sys.modules, "llvmlite" in sys.modules)
tiers._done_in_numpy = tiers.WORTH_COMPILING
print(tiers.tier_for(1, 1) == tiers.tier(), "numba" in sys.modules)
for one, other in ((few, exact.topk(users, items, k=10)), (like, exact.topk_sparse(past, near, k=10))):
    print(one[0].tobytes() == other[0].tobytes(), one[1].tobytes() == other[1].tobytes())
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMNIRECO_TOPK_TIER"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "False", *["True"] * 6]


def test_numpy_answers_until_it_has_done_what_compiling_costs(monkeypatch):
    monkeypatch.delenv("OMNIRECO_TOPK_TIER", raising=False)
    monkeypatch.setattr(tiers, "_KERNELS", "no such module")
    monkeypatch.setattr(tiers, "available", lambda: ("numba", "numpy"))
    monkeypatch.setattr(tiers, "_done_in_numpy", 0)
    calls = 0
    while tiers.tier_for(1000, 64 * 20_000) == "numpy":
        calls += 1
    assert 4 <= calls <= 7
    assert tiers.tier_for(1, 64) == "numpy"  # still room for a small one
    monkeypatch.setattr(tiers, "_KERNELS", "sys")
    assert tiers.tier_for(1, 64) == "numba"
