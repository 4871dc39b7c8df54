"""Uplift curves: by hand, against a plain loop, and how often their intervals hold."""

import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco._kernels.poisson import person_keys, poisson_weights, resampled_sums
from omnireco.causal import Experiment, uplift_curve
from omnireco.errors import ParameterError


def trial(arm, y, user=None, p=0.5):
    frame = pd.DataFrame({"arm": np.where(np.asarray(arm) == 1, "yes", "no"), "y": np.asarray(y, float)})
    user = None if user is None else frame.assign(who=user)
    return Experiment.from_frame(
        frame if user is None else user, treatment="arm", control="no", outcome="y",
        user=None if user is None else "who", propensity={"yes": p, "no": 1 - p},
    )  # fmt: skip


def test_four_people_by_hand():
    """Scores 4, 3, 2, 1: treated 1, control 0, treated 0, control 1."""
    curve = uplift_curve([4, 3, 2, 1], trial([1, 0, 1, 0], [1, 0, 0, 1]), n_bootstrap=9, k=1)
    # at 2 of 4: 1/2 (1 - 0); at 3: 3/4 (1/2 - 0); at 4: 1/2 - 1/2 = 0; at 1 no control: straight to the next
    assert curve.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.gain.tolist() == [0, 0.25, 0.5, 0.375, 0]
    auuc = (0.125 + 0.375 + 0.4375 + 0.1875) / 4
    assert curve.value[:2].tolist() == [auuc, auuc]
    assert curve.uplift_at(0.5)[0] == 1.0
    assert curve.toc.tolist() == [0, 1, 1, 0.5, 0]


def test_qini_is_the_area_above_a_random_share_and_rate_with_weights_q():
    rng = np.random.default_rng(0)
    arm = rng.integers(0, 2, 500)
    curve = uplift_curve(rng.random(500), trial(arm, rng.random(500) + arm), n_bootstrap=9)
    middle = (curve.gain[1:] + curve.gain[:-1]) / 2 * np.diff(curve.share)
    assert curve.value[0] == pytest.approx(middle.sum() - curve.gain[-1] / 2)
    by_toc = curve.share * curve.toc
    assert curve.value[0] == pytest.approx(((by_toc[1:] + by_toc[:-1]) / 2 * np.diff(curve.share)).sum())


def test_ties_are_treated_together_whatever_the_order_of_rows():
    rng = np.random.default_rng(1)
    arm, y, score = rng.integers(0, 2, 300), rng.random(300), rng.integers(0, 4, 300)
    shuffle = rng.permutation(300)
    who = np.arange(300)
    one = uplift_curve(score, trial(arm, y, who), n_bootstrap=20)
    other = uplift_curve(score[shuffle], trial(arm[shuffle], y[shuffle], who[shuffle]), n_bootstrap=20)
    assert len(one.share) == 5
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.draws == pytest.approx(other.draws, abs=1e-12)
    constant = uplift_curve(np.ones(300), trial(arm, y), n_bootstrap=9)
    assert constant.value[0] == pytest.approx(0)


def test_weights_of_unequal_propensities_take_the_confounding_out():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2, 40_000)
    p = np.where(x == 1, 0.8, 0.2)
    arm = (rng.random(x.size) < p).astype(int)
    y = 2.0 * x + 1.0 * arm + rng.normal(size=x.size)
    frame = pd.DataFrame({"arm": np.where(arm == 1, "yes", "no"), "y": y, "p1": p, "p0": 1 - p})
    test = Experiment.from_frame(
        frame, treatment="arm", control="no", outcome="y", propensity={"yes": "p1", "no": "p0"}
    )
    assert uplift_curve(rng.random(x.size), test, n_bootstrap=9).gain[-1] == pytest.approx(1.0, abs=0.06)


def test_rows_of_one_person_are_drawn_together():
    rng = np.random.default_rng(3)
    arm, y, score = rng.integers(0, 2, 400), rng.random(400), rng.random(400)
    once = uplift_curve(score, trial(arm, y), n_bootstrap=300)
    many = [np.tile(part, 9) for part in (score, arm, y, np.arange(400))]
    often = uplift_curve(many[0], trial(*many[1:]), n_bootstrap=300)
    assert often.people == 400
    width = (often.high - often.low) / (once.high - once.low)
    assert (width[:2] > 0.9).all()
    assert (width[:2] < 1.1).all()


def test_the_interval_of_a_random_score_holds_0_and_that_of_the_oracle_does_not():
    """95 % intervals over 200 experiments of 1,000 people: 185 or more hold 0 (mean 190, sd 3.1)."""
    inside, above, below = 0, 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, arm = rng.normal(size=1000), rng.integers(0, 2, 1000)
        test = trial(arm, x * arm + rng.normal(size=1000))
        found = [uplift_curve(s, test, n_bootstrap=200, seed=seed) for s in (rng.random(1000), x, -x)]
        inside += bool(found[0].low[0] <= 0 <= found[0].high[0])
        above += bool(found[1].low[0] > 0)
        below += bool(found[2].high[0] < 0)
    assert 180 <= inside <= 198
    assert above == below == 200


def test_paired_differences_are_narrower_than_two_intervals():
    rng = np.random.default_rng(4)
    x, arm = rng.normal(size=4000), rng.integers(0, 2, 4000)
    test = trial(arm, x * arm + rng.normal(size=4000))
    good, better = uplift_curve(x + rng.normal(size=4000), test), uplift_curve(x, test)
    value, low, high = better.compare(good)
    assert value == pytest.approx(better.value[0] - good.value[0])
    assert 0 < low < high
    assert high - low < better.high[0] - better.low[0]
    with pytest.raises(ParameterError, match="not drawn on the same people"):
        better.compare(uplift_curve(x, test, seed=1))


def test_predicted_outcomes_narrow_the_curve_and_do_not_move_it():
    rng = np.random.default_rng(5)
    x, arm = rng.normal(size=5000), rng.integers(0, 2, 5000)
    test = trial(arm, 3 * x + 0.5 * arm + rng.normal(size=5000))
    plain = uplift_curve(x, test)
    robust = uplift_curve(x, test, predicted=np.column_stack([3 * x, 3 * x]))
    assert (robust.high - robust.low)[1] < 0.6 * (plain.high - plain.low)[1]
    assert robust.gain[-1] == pytest.approx(0.5, abs=0.1)


def test_threads_change_nothing():
    rng = np.random.default_rng(6)
    test, score = trial(rng.integers(0, 2, 3000), rng.random(3000)), rng.random(3000)
    one, two = (uplift_curve(score, test, n_bootstrap=50, threads=n) for n in (1, 2))
    assert (one.draws == two.draws).all()


@pytest.mark.parametrize(
    ("scores", "changes", "match"),
    [
        ([1, 2], {}, "scores must have one number per decision, 4"),
        ([1, 2, 3, np.nan], {}, "scores holds 1 numbers that are missing"),
        ([1, 2, 3, 4], {"arm": "mail"}, "uplift_curve: arm"),
        ([1, 2, 3, 4], {"predicted": np.ones((4, 3))}, "predicted has 3 columns for 2 arms"),
        ([1, 2, 3, 4], {"propensity": np.zeros((4, 2))}, "above 0 for the arm that was given"),
        ([1, 2, 3, 4], {"confidence": 1.0}, "confidence must be"),
    ],
)
def test_what_is_wrong_is_named(scores, changes, match):
    with pytest.raises(ParameterError, match=match):
        uplift_curve(scores, trial([1, 0, 1, 0], [1, 0, 0, 1]), **{"n_bootstrap": 9} | changes)


def test_no_experiment_is_answered_with_the_line():
    with pytest.raises(ParameterError, match=r"Write om\.causal\.Experiment\.from_frame"):
        uplift_curve([1.0], "frame")


# the kernel


def test_weights_are_poisson_and_depend_on_person_and_draw_alone():
    keys = person_keys(np.arange(20_000), 3)
    weight = poisson_weights(keys, 50)
    assert weight.mean() == pytest.approx(1.0, abs=0.01)
    assert weight.var() == pytest.approx(1.0, abs=0.02)
    assert (weight[100:110] == poisson_weights(keys[100:110], 50)).all()
    assert (weight[:, :7] == poisson_weights(keys, 7)).all()
    assert abs(np.corrcoef(weight[:, 0], weight[:, 1])[0, 1]) < 0.03


def test_sums_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    keys, values, ends = person_keys(rng.integers(0, 30, 90), 0), rng.random((90, 2)), np.array([7, 8, 90])
    weight = poisson_weights(keys, 5)
    wanted = np.zeros((5, 3, 2))
    for draw in range(5):
        for row in range(90):
            wanted[draw, np.searchsorted(ends, row, side="right")] += weight[row, draw] * values[row]
    assert resampled_sums(keys, values, ends, n_draws=5) == pytest.approx(wanted)


def test_no_step_of_a_curve_is_about_fewer_than_k_people():
    """Each point differs from the one before by the outcomes of at least k people, also of people with several rows."""
    rng = np.random.default_rng(3)
    n, person = 240, np.repeat(np.arange(80), 3)
    frame = pd.DataFrame({"who": person, "arm": rng.choice(["yes", "no"], 80)[person], "y": rng.random(n)})
    test = Experiment.from_frame(
        frame, treatment="arm", control="no", outcome="y", propensity={"yes": 0.5, "no": 0.5}, user="who"
    )
    score = np.sort(rng.random(n))[::-1]
    curve = uplift_curve(score, test, n_bootstrap=9)
    at = np.round(curve.share * n).astype(int)
    assert at[0] == 0
    assert at[-1] == n
    assert at.size > 10
    assert all(np.unique(person[low:high]).size >= 5 for low, high in itertools.pairwise(at))
    assert uplift_curve(score, test, n_bootstrap=9, k=1).share.size == n + 1
    one = Experiment.from_frame(
        frame.assign(arm=np.where(person < 3, "yes", "no")), treatment="arm", control="no", outcome="y",
        propensity={"yes": 0.5, "no": 0.5}, user="who",
    )  # fmt: skip
    with pytest.raises(om.errors.EmptyError, match="3 people have the arm 'yes'; of fewer than k=5"):
        uplift_curve(score, one)
