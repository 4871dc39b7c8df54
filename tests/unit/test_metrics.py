"""Five people, lists of three places, every metric worked out on paper.

            list      relevant     hits
    ann     0 1 2     0 2          x . x
    bob     3 0 1     1 5 6 7      . . x
    cay     4 5 -     4            x . -
    dan     - - -     2            - - -
    eve     0 3 4     7            . . .

The gain of ranks 1, 2, 3, 4 is 1, 1 / log2(3) = 0.6309, 1 / log2(4) = 0.5, 1 / log2(5) = 0.4307.
"""

from functools import partial

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from omnireco.errors import ParameterError
from omnireco.evaluation import metrics as m

NAN = float("nan")
CODES = np.array([[0, 1, 2], [3, 0, 1], [4, 5, -1], [-1, -1, -1], [0, 3, 4]], np.int32)
HITS = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]], bool)
N_RELEVANT = np.array([2, 4, 1, 1, 1])
G2, G4 = 1 / np.log2(3), 1 / np.log2(5)


def five(**more):
    return m.RankedLists(CODES, HITS, N_RELEVANT, **more)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # ann 1 + 0.5 of 1 + 0.6309; bob 0.5 of the best three; cay the best one
        (m.ndcg, [1.5 / (1 + G2), 0.5 / (1.5 + G2), 1, 0, 0]),
        # bob now against his best four
        (partial(m.ndcg, ideal="all"), [1.5 / (1 + G2), 0.5 / (1.5 + G2 + G4), 1, 0, 0]),
        (m.recall, [1, 1 / 4, 1, 0, 0]),
        (partial(m.recall, divide_by="achievable"), [1, 1 / 3, 1, 0, 0]),
        # cay's third place is empty and counts
        (m.precision, [2 / 3, 1 / 3, 1 / 3, 0, 0]),
        (m.mean_reciprocal_rank, [1, 1 / 3, 1, 0, 0]),
        (m.hit_rate, [1, 1, 1, 0, 0]),
        # ann (1/1 + 2/3) / 2; bob (1/3) / 3
        (m.average_precision, [5 / 6, 1 / 9, 1, 0, 0]),
        (partial(m.average_precision, divide_by="relevant"), [5 / 6, 1 / 12, 1, 0, 0]),
    ],
    ids=lambda value: m.metric_name(value) if callable(value) else "",
)
def test_accuracy_on_paper(metric, expected):
    np.testing.assert_allclose(metric(five()), expected, rtol=1e-15)


def test_ndcg_to_four_digits():
    # 1.5 / 1.63093 and 0.5 / 2.13093, from a pocket calculator
    np.testing.assert_allclose(m.ndcg(five())[:2], [0.9197, 0.2346], atol=5e-5)


def test_coverage_counts_shown_items_of_the_catalogue():
    # items 0 to 5 were shown, of 8
    assert m.coverage(five(in_catalog=np.ones(8, bool))) == 0.75
    # a catalogue of items 5, 6, 7 only: item 5 of three
    assert m.coverage(five(in_catalog=np.arange(8) >= 5)) == pytest.approx(1 / 3)


def test_novelty_in_bits():
    # of 8 users 8 have item 0 (0 bits), 4 item 1 (1 bit), 2 item 2 (2), 1 item 3 (3), nobody item 4 (as one: 3)
    popularity = np.array([8, 4, 2, 1, 0, 2, 1, 1])
    answer = m.novelty(five(popularity=popularity, n_train_users=8))
    np.testing.assert_allclose(answer, [(0 + 1 + 2) / 3, (3 + 0 + 1) / 3, (3 + 2) / 2, NAN, (0 + 3 + 3) / 3])


def test_diversity_by_category():
    # categories A A B B C - A A: ann A A B, bob B A A, cay C and an unknown: no pair, eve A B C
    category = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
    answer = m.diversity(five(vectors={"category": csr_matrix(category * 1.0)}), by="category")
    np.testing.assert_allclose(answer, [2 / 3, 2 / 3, NAN, NAN, 1], atol=1e-12)


COOCCURRENCE = np.zeros((8, 4))
COOCCURRENCE[0, [0, 1]] = COOCCURRENCE[1, [0, 1]] = COOCCURRENCE[2, [1, 2]] = np.sqrt(1 / 2)
COOCCURRENCE[3, 3] = COOCCURRENCE[5, 0] = 1


def test_diversity_by_cooccurrence():
    # users of item 0: 0 1; item 1: 0 1; item 2: 1 2; item 3: 3; item 4: nobody; item 5: 0.
    # ann: cosines 1, 1/2, 1/2; bob: 0, 0, 1; cay: nothing known of 4; eve: only the pair of 0 and 3, cosine 0
    answer = m.diversity(five(vectors={"cooccurrence": csr_matrix(COOCCURRENCE)}))
    np.testing.assert_allclose(answer, [1 / 3, 2 / 3, NAN, NAN, 1], atol=1e-12)


def test_both_ways_to_diversity_agree():
    vectors = csr_matrix(COOCCURRENCE)
    known = (CODES >= 0) & (CODES != 4)
    position = CODES.astype(np.int64)
    sums = m._cosines_by_sums(position, known, vectors)
    pairs = m._cosines_by_pairs(position, known, vectors)
    # ordered pairs and each item with itself: ann 3 + 2 (1 + 1/2 + 1/2), bob 3 + 2, cay and dan 1 and 0, eve 2
    np.testing.assert_allclose(sums, [7, 5, 1, 0, 2], atol=1e-12)
    np.testing.assert_allclose(pairs, sums, atol=1e-12)


def test_without_relevant_items_accuracy_is_undefined():
    lists = m.RankedLists(CODES[:1], np.zeros((1, 3), bool), np.array([0]))
    for metric in (m.ndcg, m.recall, m.precision, m.mean_reciprocal_rank, m.hit_rate, m.average_precision):
        assert np.isnan(metric(lists)).all(), metric


def test_head_keeps_the_first_places():
    np.testing.assert_array_equal(m.hit_rate(five().head(1)), [1, 0, 1, 0, 0])
    np.testing.assert_array_equal(m.precision(five().head(1)), [1, 0, 1, 0, 0])
    assert repr(five().head(2)) == "RankedLists(5 users, k=2)"


def test_lists_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        five().codes[0, 0] = 7
    assert CODES.flags.writeable  # the caller's own array stays as it was


def test_names():
    assert m.metric_name(m.ndcg) == "ndcg"
    assert m.metric_name(partial(m.ndcg)) == "ndcg"
    assert m.metric_name(partial(m.ndcg, ideal="all")) == "ndcg(ideal=all)"


def test_a_metric_must_be_a_function():
    with pytest.raises(ParameterError, match=r"must be functions such as om\.ndcg\. Got 'ndcg'"):
        m.metric_name("ndcg")
    with pytest.raises(ParameterError, match="options are given by name"):
        m.metric_name(partial(m.ndcg, five()))


def test_unknown_options():
    with pytest.raises(ParameterError, match="ideal must be one of 'list', 'all'"):
        m.ndcg(five(), ideal="best")
    with pytest.raises(ParameterError, match="divide_by must be one of"):
        m.recall(five(), divide_by="k")


def test_what_was_not_given_is_named():
    with pytest.raises(ParameterError, match=r"coverage needs to know the catalogue.*catalog=catalog"):
        m.coverage(five())
    with pytest.raises(ParameterError, match=r"novelty needs the training data.*train=train"):
        m.novelty(five())
    with pytest.raises(ParameterError, match=r"by 'cooccurrence'.*train=train"):
        m.diversity(five())
    with pytest.raises(ParameterError, match=r"by 'category'.*category column"):
        m.diversity(five(), by="category")
    with pytest.raises(ParameterError, match=r"by 'colour'.*Use 'cooccurrence' or 'category'"):
        m.diversity(five(), by="colour")


def test_shapes_must_fit():
    with pytest.raises(ParameterError, match=r"codes and hits of one shape.*\(5, 3\) and \(5, 2\)"):
        m.RankedLists(CODES, HITS[:, :2], N_RELEVANT)
    with pytest.raises(ParameterError, match=r"n_relevant of shape \(5,\).*Got \(4,\)"):
        m.RankedLists(CODES, HITS, N_RELEVANT[:4])
