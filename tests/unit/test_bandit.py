"""Bandits: the same state by any route, the same arm by any scoring, and probabilities that are those of the draws."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

import omnireco as om
from omnireco.choices.arms import Posteriors
from omnireco.choices.propensity import thompson_propensities
from omnireco.errors import NotFittedError, ParameterError, SchemaError, UnknownIdError

POLICIES = ["thompson", "linucb", "epsilon_greedy", "softmax", "squarecb"]


def events(n, arms, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, arms, n), rng.normal(size=(n, d)), rng.normal(size=n)


def posterior(arm, x, reward, n_arms, regularization=1.0, weight=None):
    """The textbook: A = lambda I + X'WX, theta = A^-1 X'Wr."""
    weight = np.ones(len(x)) if weight is None else weight
    cov, theta = [], []
    for a in range(n_arms):
        z, w = x[arm == a], weight[arm == a]
        inverse = np.linalg.inv(regularization * np.eye(x.shape[1]) + (z * w[:, None]).T @ z)
        cov.append(inverse)
        theta.append(inverse @ (z.T @ (w * reward[arm == a])))
    return np.array(theta), np.array(cov)


@pytest.mark.parametrize("d", [7, 36])
@pytest.mark.parametrize("blocks", [[600], [1] * 600, [3] * 200, [40, 1, 500, 9, 50]])
def test_any_order_and_blocking_gives_the_ridge_regression(blocks, d):
    arm, x, reward = events(600, 4, d)
    order = np.random.default_rng(len(blocks)).permutation(600)
    live = om.LinearBandit(intercept=False, shared=False).start(range(4), n_features=d)
    for rows in np.split(order, np.cumsum(blocks)[:-1]):
        if rows.size == 1:
            live.update(int(arm[rows[0]]), x[rows[0]], float(reward[rows[0]]))
        else:
            live.update(arm[rows], x[rows], reward[rows])
    theta, cov = posterior(arm, x, reward, 4)
    np.testing.assert_allclose(live._state.theta, theta, atol=1e-10)
    np.testing.assert_allclose(live._state.cov, cov, atol=1e-9)
    residual = sum((reward[arm == a] ** 2).sum() - theta[a] @ (x.T @ (reward * (arm == a))) for a in range(4))
    assert live.noise**2 == pytest.approx((1 + residual) / 601, rel=1e-9)


@pytest.mark.parametrize("regularization", [0.1, 1.0, 10.0])
def test_an_untrained_arm_has_the_width_of_its_prior(regularization):
    live = om.LinearBandit(policy="linucb", regularization=regularization, intercept=False, shared=False).start(
        "ab", n_features=3
    )
    x = np.array([[1.0, -2.0, 2.0]])
    np.testing.assert_allclose(live.widths(x), 3.0 / np.sqrt(regularization))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", ["nothing", "zero rewards", "one", "duplicates", "constant"])
def test_poor_data_gives_finite_choices(policy, case):
    live = om.LinearBandit(policy=policy).start(["a", "b", "c"], n_features=2)
    x = {"constant": np.ones((50, 2)), "duplicates": np.repeat([[1e6, -1e-6]], 50, 0)}.get(case, np.eye(2)[[0] * 50])
    if case != "nothing":
        n = 1 if case == "one" else 50
        live.update(["a"] * n, x[:n], np.zeros(n) if case == "zero rewards" else np.ones(n))
    chosen = live.decide(x, k=2)
    assert np.isfinite(chosen.score).all()
    assert (chosen.arm >= 0).all()
    assert ((chosen.propensity > 0) & (chosen.propensity <= 1 + 1e-12)).all()
    assert (chosen.arm[:, 0] != chosen.arm[:, 1]).all()


def test_fast_scores_name_the_arms_of_the_exact_ones():
    arm, x, reward = events(6000, 150, 24, seed=3)
    feedback = om.choices.Feedback(arm, x, reward)
    fast, exact = (
        om.LinearBandit(policy="linucb", exact=e, floor=0.0, shared=False).fit(feedback) for e in (False, True)
    )
    assert not fast._scorer.precise
    contexts = np.random.default_rng(4).normal(size=(10_000, 24))
    chosen = fast.decide(contexts, k=3)
    np.testing.assert_array_equal(chosen.arm, exact.decide(contexts, k=3).arm)
    assert (chosen.propensity == 1.0).all()
    z = np.concatenate([np.ones((20, 1)), contexts[:20]], axis=1)
    loop = np.array([[np.sqrt(c @ s @ c) for s in fast._state.cov] for c in z]) * fast.noise
    np.testing.assert_allclose(exact.widths(contexts[:20]), loop, rtol=1e-10)
    upper = fast.expected(contexts[:20]) + 0.5 * loop
    np.testing.assert_array_equal(chosen.arm[:20, 0], upper.argmax(axis=1))
    approximate = fast._scorer.widths(z) * fast.noise
    assert np.abs(approximate / loop - 1).mean() < 0.25


def test_scores_drawn_are_coefficients_drawn():
    """The law of the best arm is that of drawing every coefficient from its posterior (Kolmogorov and Smirnov)."""
    arm, x, reward = events(60, 5, 4, seed=1)
    live = om.LinearBandit(exploration=1.0, floor=0.0, intercept=False, exact=True).fit(
        om.choices.Feedback(arm, x, reward)
    )
    context, n = np.array([[1.0, -0.5, 0.3, 0.8]]), 40_000
    chosen = live.decide(np.repeat(context, n, 0))
    rng = np.random.default_rng(0)
    roots = np.linalg.cholesky(live._state.cov)
    draws = live._state.theta + live.noise * np.einsum("kij,nkj->nki", roots, rng.normal(size=(n, 5, 4)))
    truth = (draws @ context[0]).argmax(axis=1)
    table = [np.bincount(a, minlength=5) for a in (chosen.arm[:, 0], truth)]
    assert stats.chi2_contingency(table)[1] > 1e-3
    p = thompson_propensities(live.expected(context), live.widths(context))[0]
    np.testing.assert_allclose(chosen.propensity[:, 0], p[chosen.arm[:, 0]], rtol=1e-6)


def test_draws_of_a_group_have_the_law_of_each_context():
    arm, x, reward = events(60, 4, 3, seed=2)
    live = om.LinearBandit(exploration=1.0, floor=0.0, groups=8).fit(om.choices.Feedback(arm, x, reward))
    context = np.array([[0.4, -0.1, 0.9]])
    found = np.concatenate([live.decide(np.repeat(context, 8, 0), propensities=False).arm[:, 0] for _ in range(1500)])
    p = thompson_propensities(live.expected(context), live.widths(context))[0]
    share = np.bincount(found, minlength=4) / found.size
    assert (np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / (found.size / 2))).all()
    chosen = live.decide(context)
    assert chosen.propensity[0, 0] == pytest.approx(p[chosen.arm[0, 0]])


@pytest.mark.parametrize("n_arms", [2, 7, 60])
def test_the_quadrature_agrees_with_drawing(n_arms):
    rng = np.random.default_rng(n_arms)
    mean, width = rng.normal(size=(1, n_arms)), rng.uniform(0.02, 1.0, (1, n_arms))
    eligible = rng.random((1, n_arms)) < 0.8
    eligible[0, :2] = True
    p = thompson_propensities(mean, width, eligible=eligible)[0]
    n = 100_000
    draws = np.where(eligible, mean + width * rng.normal(size=(n, n_arms)), -np.inf).argmax(axis=1)
    share = np.bincount(draws, minlength=n_arms) / n
    assert (np.abs(share - p) <= 4 * np.sqrt(p * (1 - p) / n) + 1e-4).all()
    assert p.sum() == pytest.approx(1.0, abs=1e-8)
    assert (p[~eligible[0]] == 0).all()


def test_sure_scores_have_sure_propensities():
    p = thompson_propensities([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], np.zeros((2, 3)), floor=0.3)
    np.testing.assert_allclose(p, [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
    for bad in ({"floor": 2.0}, {"eligible": np.ones((2, 3))}):
        with pytest.raises(ParameterError):
            thompson_propensities(np.zeros((2, 3)), np.zeros((2, 3)), **bad)
    with pytest.raises(ParameterError, match="finite"):
        thompson_propensities([[np.nan]], [[1.0]])


@pytest.mark.parametrize("policy", POLICIES)
def test_propensities_are_the_shares_of_the_choices(policy):
    arm, x, reward = events(300, 6, 3, seed=5)
    live = om.LinearBandit(policy=policy, floor=0.1).fit(om.choices.Feedback(arm, x, reward))
    n = 20_000
    eligible = np.ones((n, 6), bool)
    eligible[:, 2] = False
    chosen = live.decide(np.repeat([[0.3, 0.5, -0.4]], n, 0), k=2, eligible=eligible)
    assert not (chosen.arm == 2).any()
    first, p = chosen.arm[:, 0], chosen.propensity[:, 0]
    for a in np.unique(first):
        expected = p[first == a][0]
        assert np.mean(first == a) == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / n) + 1e-9)
        rest = first == a  # the second slot, given the first
        if rest.sum() > 1000:
            second = chosen.arm[rest, 1]
            for b in np.unique(second):
                expected = chosen.propensity[rest, 1][second == b][0]
                assert np.mean(second == b) == pytest.approx(expected, abs=5 * np.sqrt(0.25 / rest.sum()))
    assert sum(p[first == a][0] for a in np.unique(first)) == pytest.approx(1.0, abs=1e-6)
    whole = live.propensity([[0.3, 0.5, -0.4]], eligible=eligible[:1])[0]
    np.testing.assert_allclose(whole[first], p, rtol=1e-5)
    assert whole[2] == 0
    assert whole.sum() == pytest.approx(1.0, abs=1e-6)
    assert not live.propensity([[0.3, 0.5, -0.4]], eligible=np.zeros((1, 6), bool)).any()


def test_forgetting_by_scale_is_forgetting_by_hand():
    arm, x, reward = events(500, 3, 4, seed=6)
    live = om.LinearBandit(discount=0.99, intercept=False, shared=False).start(range(3), n_features=4)
    for rows in np.array_split(np.arange(500), 7):
        live.update(arm[rows], x[rows], reward[rows])
    for row in range(3):
        live.update(int(arm[row]), x[row], float(reward[row]))
    live.expected(x[:1])
    again = np.r_[0:500, 0:3]
    theta, cov = posterior(arm[again], x[again], reward[again], 3, weight=0.99 ** np.arange(502, -1, -1))
    np.testing.assert_allclose(live._state.theta, theta, atol=1e-10)
    np.testing.assert_allclose(live._state.cov, cov, atol=1e-9)


def test_forgetting_for_long_does_not_overflow():
    live = om.LinearBandit(discount=0.5).start(["a", "b"], n_features=1)
    for _ in range(40):
        live.update(["a", "b"] * 20, np.ones((40, 1)), np.tile([1.0, 0.0], 20))
    live.update("a", np.ones(1), 1.0)
    best = live.expected([[1.0]])[0]
    assert np.isfinite(best).all()
    assert best[0] > best[1]


def test_late_rewards_teach_what_prompt_ones_do():
    x = np.random.default_rng(7).normal(size=(300, 3))
    states = []
    for order in (np.arange(300), np.random.default_rng(8).permutation(300)):
        live = om.LinearBandit().start(["a", "b"], n_features=3)
        chosen = live.decide(x)
        reward = np.where(chosen.arm[:, 0] == 0, x[:, 0], x[:, 1])
        for rows in np.array_split(order, 11):
            live.reward(chosen.ids[rows], reward[rows])
        states.append(live)
    np.testing.assert_allclose(states[0]._state.theta, states[1]._state.theta, atol=1e-10)
    np.testing.assert_allclose(states[0]._state.cov, states[1]._state.cov, atol=1e-10)


def test_rewards_know_their_decision():
    live = om.LinearBandit(max_pending=50).start(["a", "b"], n_features=1)
    first = live.decide(np.zeros((40, 1)))
    live.reward(first.ids[:1], [1.0])
    with pytest.raises(UnknownIdError, match="1 of 2 decisions"):
        live.reward(first.ids[:2], [1.0, 1.0])
    with pytest.raises(UnknownIdError, match="1 of 2 decisions"):
        live.reward(first.ids[[3, 3]], [1.0, 1.0])
    live.decide(np.zeros((40, 1)))
    with pytest.raises(UnknownIdError, match="max_pending"):
        live.reward(first.ids[5:6], [1.0])
    live.reward(first.ids[-1:], [1.0])
    with pytest.raises(UnknownIdError, match="1 of 1 decisions"):
        live.reward([-1], [1.0])
    with pytest.raises(SchemaError, match="whole numbers"):
        live.reward([0.5], [1.0])
    with pytest.raises(SchemaError, match="1 ids and 2 rewards"):
        live.reward(first.ids[-2:-1], [1.0, 2.0])
    with pytest.raises(SchemaError, match="finite"):
        live.reward(first.ids[-2:-1], [np.nan])
    assert repr(live) == "LiveBandit(thompson, 2 arms, 1 feature, 2 rewards)"


def test_a_slate_learns_up_to_its_first_reward():
    live = om.LinearBandit().start(range(5), n_features=1)
    shown = live.decide(np.ones((2, 1)), k=3)
    live.reward(shown.ids, [[0, 1, 0], [0, 0, np.nan]], cascade=True)
    learned = np.zeros(5)
    np.add.at(learned, shown.arm[0, :2], 1)
    np.add.at(learned, shown.arm[1, :2], 1)
    np.testing.assert_array_equal(live._state.count, learned)
    assert list(shown.to_frame()) == ["decision_id", "rank", "arm_id", "propensity", "score"]
    assert len(shown.to_frame()) == 6


def test_arms_come_and_go():
    arm, x, reward = events(400, 4, 3, seed=9)
    live = om.LinearBandit(shared=False).fit(om.choices.Feedback(arm, x, reward))
    before = live.expected(x[:5])
    pending = live.decide(x[:200])
    live.remove_arms([1])
    assert live.arms.ids.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(live.expected(x[:5]), before[:, [0, 2, 3]])
    live.add_arms([1])
    np.testing.assert_array_equal(live.expected(x[:5])[:, 3], np.zeros(5))
    count = live._state.count.sum()
    live.reward(pending.ids, np.ones(200))  # those of the removed arm teach nobody, least of all the new arm 1
    assert live._state.count.sum() == count + 200 - (pending.arm[:, 0] == 1).sum()
    assert live._state.count[3] == 0
    with pytest.raises(ParameterError, match="here already"):
        live.add_arms([0])
    with pytest.raises(ParameterError, match="named twice"):
        live.add_arms([8, 8])
    with pytest.raises(ParameterError, match="another kind"):
        live.add_arms(["x"])
    with pytest.raises(UnknownIdError):
        live.remove_arms([77])
    live.remove_arms([0, 1, 2, 3])
    with pytest.raises(ParameterError, match="no arms"):
        live.decide(x[:1])


def test_shared_arms_are_one_ridge_regression():
    """The posterior of B and all delta_a by elimination is that of the big system, solved as it stands."""
    rng = np.random.default_rng(10)
    d, q, n_arms, eta = 3, 3, 5, 2.5
    arm, x, reward = events(80, n_arms, d, seed=10)
    f = np.concatenate([np.ones((n_arms, 1)), rng.normal(size=(n_arms, q - 1))], axis=1)
    state = Posteriors.empty(d, 0.7, 1.0, q)
    state.grow(n_arms, f)
    state.learn(arm, x, reward, np.ones(80))
    state.offset = (eta, eta)
    state.refit()
    phi = np.zeros((80, d * q + n_arms * d))
    for row in range(80):
        phi[row, : d * q] = np.outer(x[row], f[arm[row]]).ravel()
        phi[row, d * q + arm[row] * d : d * q + (arm[row] + 1) * d] = x[row]
    prior = np.diag(np.r_[np.full(d * q, 0.7), np.full(n_arms * d, eta)])
    cov = np.linalg.inv(prior + phi.T @ phi)
    w = cov @ phi.T @ reward
    for a in range(n_arms):
        pick = np.zeros((d, w.size))
        for i in range(d):
            pick[i, i * q : (i + 1) * q] = f[a]
            pick[i, d * q + a * d + i] = 1.0
        np.testing.assert_allclose(state.theta[a], pick @ w, atol=1e-9)
        np.testing.assert_allclose(state.cov[a], pick @ cov @ pick.T, atol=1e-9)
    assert state.surprise == pytest.approx(reward @ reward - reward @ phi @ w)


def test_a_new_arm_starts_from_its_features():
    rng = np.random.default_rng(11)
    f = rng.normal(size=(30, 2))
    arm, x = rng.integers(0, 30, 3000), rng.normal(size=(3000, 2))
    reward = (x * f[arm]).sum(axis=1) + 0.1 * rng.normal(size=3000)
    live = om.LinearBandit().fit(om.choices.Feedback(arm, x, reward, features=f))
    live.add_arms([100], features=[[2.0, -1.0]])
    np.testing.assert_allclose(live.expected(np.eye(2))[:, -1], [2.0, -1.0], atol=0.1)
    plain = om.LinearBandit(shared=True).fit(om.choices.Feedback(arm, x + np.array([1.0, 0.0]), 1.0 + 0 * reward))
    plain.add_arms([100])
    np.testing.assert_allclose(plain.expected([[1.0, 0.0]])[0, -1], 1.0, atol=0.05)
    with pytest.raises(SchemaError, match="features must have the shape"):
        live.add_arms([101], features=[[1.0]])
    with pytest.raises(ParameterError, match="PCA"):
        om.LinearBandit().start(range(3), n_features=100, features=np.zeros((3, 50)))


@pytest.mark.parametrize("n_arms", [20, 400])
@pytest.mark.parametrize("policy", POLICIES)
def test_decisions_do_not_depend_on_the_batch_threads_or_copies(policy, n_arms, tmp_path):
    arm, x, reward = events(800, n_arms, 20, seed=12)
    reward *= 0.1 * n_arms  # the more arms, the more alike: keep ties of rounding out of it
    live = om.LinearBandit(policy=policy, floor=0.05).fit(om.choices.Feedback(arm, x, reward))
    copy, loaded = live.copy(), om.load(om.save(live, tmp_path / "live.omnireco"))
    whole = live.decide(x[:300], seed=5, threads=1)
    parts = [copy.decide(x[at : at + 1], seed=5) for at in range(40)]
    np.testing.assert_array_equal(np.concatenate([part.arm for part in parts]), whole.arm[:40])
    np.testing.assert_allclose(np.concatenate([part.propensity for part in parts]), whole.propensity[:40], rtol=1e-3)
    again = loaded.decide(x[:300], seed=5, threads=2)
    np.testing.assert_array_equal(again.arm, whole.arm)
    np.testing.assert_array_equal(again.propensity, whole.propensity)
    loaded.reward(again.ids, np.ones(300))
    keyed = [live.decide(x[rows], keys=np.arange(300)[rows].astype(str)) for rows in (slice(0, 300), slice(100, 120))]
    np.testing.assert_array_equal(keyed[1].arm, keyed[0].arm[100:120])


def test_masks_may_be_sparse_and_empty():
    live = om.LinearBandit().start(["a", "b", "c"], n_features=1)
    mask = sp.csr_matrix(np.array([[0, 1, 0], [0, 0, 0]]))
    chosen = live.decide(np.zeros((2, 1)), k=2, eligible=mask)
    np.testing.assert_array_equal(chosen.arm, [[1, -1], [-1, -1]])
    np.testing.assert_allclose(chosen.propensity, [[1.0, 0.0], [0.0, 0.0]])
    assert chosen.arm_ids.tolist() == ["b", None]
    live.reward(chosen.ids, [1.0, 1.0])
    assert live._state.count.tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(SchemaError, match="one column per arm"):
        live.decide(np.zeros((2, 1)), eligible=np.ones((2, 2), bool))


def regret(bandit, arms, d, truth, rounds=6000, batch=100, seed=0, shuffle=False, swap=None):
    """Mean regret per round in the first and second half, with 0/1 rewards."""
    rng, total = np.random.default_rng(seed), []
    live = bandit.start(range(arms), n_features=d)
    for step in range(rounds // batch):
        x = rng.normal(size=(batch, max(d, 4)))
        p = truth(x) if swap is None or step * batch < swap else truth(x)[:, ::-1]
        seen = rng.permutation(x) if shuffle else x
        chosen = live.decide(seen[:, :d], seed=seed)
        got = p[np.arange(batch), chosen.arm[:, 0]]
        total.append((p.max(axis=1) - got).mean())
        live.reward(chosen.ids, (rng.random(batch) < got).astype(float))
    half = len(total) // 2
    return np.mean(total[:half]), np.mean(total[half:]), total


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_beats_chance_and_the_bandit_without_context(policy):
    w = np.random.default_rng(13).normal(size=(8, 4))

    def truth(x):
        return 1 / (1 + np.exp(1 - x @ w.T))

    x = np.random.default_rng(14).normal(size=(2000, 4))
    chance = float((truth(x).max(axis=1) - truth(x).mean(axis=1)).mean())
    first, second, _ = regret(om.LinearBandit(policy=policy), 8, 4, truth)
    assert second < min(first, chance / 3)
    assert second < regret(om.LinearBandit(policy=policy), 8, 0, truth)[1] / 2
    assert regret(om.LinearBandit(policy=policy), 8, 4, truth, shuffle=True)[1] > 2 * second


def test_a_context_that_does_not_matter_costs_little():
    def truth(x):
        return np.broadcast_to(np.linspace(0.1, 0.5, 6), (len(x), 6))

    with_context = regret(om.LinearBandit(), 6, 4, truth)[1]
    assert with_context < regret(om.LinearBandit(), 6, 0, truth)[1] + 0.01


def test_forgetting_recovers_from_a_world_that_turned():
    def truth(x):
        return np.broadcast_to(np.array([0.8, 0.5, 0.2]), (len(x), 3))

    late = {
        discount: np.mean(regret(om.LinearBandit(discount=discount), 3, 0, truth, swap=3000)[2][-10:])
        for discount in (0.995, 1.0)
    }
    assert late[0.995] < 0.1 < late[1.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"policy": "magic"},
        {"exploration": -1.0},
        {"policy": "epsilon_greedy", "exploration": 1.5},
        {"policy": "softmax", "exploration": 0.0},
        {"regularization": 0.0},
        {"discount": 0.0},
        {"noise": 0.0},
        {"floor": 1.5},
        {"policy": "linucb", "groups": 4},
        {"max_pending": 0},
    ],
)
def test_parameters_outside_their_range_are_refused(bad):
    with pytest.raises(ParameterError, match=next(reversed(bad))):
        om.LinearBandit(**bad)


def test_hostile_input_is_refused_and_teaches_nothing():
    live = om.LinearBandit().start(["a", "b"], n_features=2)
    with pytest.raises(NotFittedError, match="start"):
        om.LinearBandit().decide([[0.0]])
    with pytest.raises(AttributeError, match="nonsense"):
        om.LinearBandit().nonsense()
    for contexts, match in [
        ([[np.nan, 0]], "missing"),
        ([[1.0]], "2 columns"),
        ([1.0, 2.0], "shape"),
        ("x", "numbers"),
    ]:
        with pytest.raises(SchemaError, match=match):
            live.decide(contexts)
    with pytest.raises(SchemaError, match="missing"):
        live.update("a", np.array([np.nan, 0.0]), 1.0)
    with pytest.raises(SchemaError, match="missing"):
        live.update("a", np.array([1.0, 0.0]), np.nan)
    with pytest.raises(SchemaError, match="2 numbers"):
        live.update("a", np.array([1.0]), 1.0)
    with pytest.raises(UnknownIdError):
        live.update("z", np.array([1.0, 0.0]), 1.0)
    with pytest.raises(UnknownIdError):
        live.update(["z"], [[1.0, 0.0]], [1.0])
    with pytest.raises(SchemaError, match="missing"):
        live.update(["a"], [[1.0, 0.0]], [np.inf])
    with pytest.raises(SchemaError, match="one each"):
        live.update(["a"], [[1.0, 0.0]], [1.0, 2.0])
    assert live._rewards == 0
    assert not live._state.count.any()
    with pytest.raises(ParameterError, match="intercept"):
        om.LinearBandit(intercept=False).start(["a"], n_features=0)
    with pytest.raises(ParameterError, match="shared=False"):
        om.LinearBandit(shared=False).start(["a"], n_features=1, features=[[1.0]])
    with pytest.raises(ParameterError, match="k must be 1"):
        om.LinearBandit(groups=4).start(["a"], n_features=1).decide([[1.0]], k=2)
    with pytest.raises(SchemaError, match="keys"):
        live.decide([[1.0, 0.0]], keys=[1, 2])
    assert len(live.decide(np.empty((0, 2)))) == 0
    live.reward([], [])
    live.update([], np.empty((0, 2)), [])
