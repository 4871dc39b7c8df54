"""Lists of any library against what people chose: who counts, what counts, and how sure the means are."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_matrix

import omnireco as om
from omnireco._kernels.bootstrap import chance_of_sign, percentile_interval, resampled_means
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation.hits import find_hits

LISTS = pd.DataFrame(
    [
        ("ann", "tea", 1), ("ann", "cup", 2), ("ann", "pot", 3),
        ("bob", "jam", 1), ("bob", "tea", 2), ("bob", "cup", 3),
        ("cay", "bun", 1), ("cay", "pie", 2),
        ("eve", "tea", 1), ("eve", "jam", 2), ("eve", "bun", 3),
        ("zoe", "rye", 1),  # zoe chose nothing
    ],
    columns=["user_id", "item_id", "rank"],
)  # fmt: skip
TRUTH = pd.DataFrame(
    [
        ("ann", "tea"), ("ann", "pot"), ("ann", "pot"),  # twice
        ("bob", "cup"), ("bob", "oat"), ("bob", "fig"), ("bob", "new"),
        ("cay", "bun"),
        ("dan", "pot"),  # nobody made a list for dan
        ("eve", "new"),
    ],
    columns=["user_id", "item_id"],
)  # fmt: skip
RECALL = {"ann": 1, "bob": 1 / 4, "cay": 1, "dan": 0, "eve": 0}


def report(**changed):
    given = {"lists": {"mine": LISTS}, "truth": TRUTH, "k": 3, "metrics": [om.recall]}
    return om.evaluate(**(given | changed))


def test_columns_and_mean():
    frame = report(metrics=[om.recall, om.precision]).to_frame()
    assert list(frame.columns) == ["model", "metric", "k", "mean", "low", "high", "n_users"]
    assert frame.loc[0, "mean"] == pytest.approx(2.25 / 5)
    assert frame.loc[1, "mean"] == pytest.approx(4 / 3 / 5)
    assert (frame["n_users"] == 5).all()
    assert (frame["low"] < frame["mean"]).all()
    assert (frame["mean"] < frame["high"]).all()


def test_who_counts():
    r = report()
    assert r.n_without_list == {"mine": 1}  # dan scores 0
    assert r.n_without_truth == {"mine": 1}  # zoe is left out
    assert dict(r.per_user("mine", "recall").to_numpy().tolist()) == RECALL


def test_every_model_is_judged_on_the_same_people():
    only_ann = LISTS[LISTS.user_id == "ann"]
    frame = report(lists={"mine": LISTS, "shy": only_ann}).to_frame()
    assert list(frame["mean"]) == pytest.approx([2.25 / 5, 1 / 5])
    assert list(frame["n_users"]) == [5, 5]


def test_some_users_only():
    r = report(users=["ann", "bob", "zoe", "nobody"])
    assert list(r.users.ids) == ["ann", "bob"]
    assert r.to_frame().loc[0, "mean"] == pytest.approx(1.25 / 2)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "interactions", "recommendations", "codes"])
def test_any_kind_of_frame_gives_the_same(kind):
    truth, lists = TRUTH, LISTS
    if kind == "polars":
        truth, lists = pl.from_pandas(TRUTH), pl.from_pandas(LISTS)
    elif kind == "arrow":
        truth, lists = pl.from_pandas(TRUTH).to_arrow(), pl.from_pandas(LISTS).to_arrow()
    elif kind == "interactions":
        truth = om.Interactions.from_frame(TRUTH)
    elif kind == "recommendations":
        lists = om.Recommendations.from_frame(LISTS)
    elif kind == "codes":  # vocabularies in another order, items nobody names
        items = om.data.Vocabulary(np.array(["rye", "pie", "bun", "jam", "pot", "cup", "tea", "xyz"], object))
        users = om.data.Vocabulary(np.array(["eve", "cay", "bob", "ann"], object))
        codes = np.array([[6, 3, 2], [2, 1, -1], [3, 6, 5], [6, 5, 4]], np.int32)
        lists = om.Recommendations(users, items, codes, np.where(codes < 0, -np.inf, 1).astype(np.float32))
    pd.testing.assert_frame_equal(
        report(lists={"mine": lists}, truth=truth).to_frame(), report().to_frame(), check_exact=True
    )


def test_truth_from_a_log_and_its_kinds_of_event():
    events = TRUTH.assign(channel="web", event="buy", timestamp=pd.Timestamp("2025-01-01", tz="UTC"))
    login = events.iloc[:1].assign(item_id=None, user_id="zoe", event="login")  # about no item
    log = om.EventLog.from_frame(pd.concat([events.astype({"item_id": object}), login]), itemless="keep")
    pd.testing.assert_frame_equal(report(truth=log).to_frame(), report().to_frame())


def test_a_cell_that_is_not_above_zero_is_not_relevant():
    weights = TRUTH.assign(weight=np.where(TRUTH.user_id == "ann", -1.0, 1.0))
    r = report(truth=om.Interactions.from_frame(weights))
    assert list(r.users.ids) == ["bob", "cay", "dan", "eve"]


def test_scores_order_a_frame_and_ties_go_by_id():
    lists = pd.DataFrame({"user_id": [1, 1, 1], "item_id": [9, 5, 7], "score": [0.5, 0.5, 2.0]})
    truth = pd.DataFrame({"user_id": [1], "item_id": [5]})
    for rows in (lists, lists[::-1]):
        r = om.evaluate({"m": rows}, truth, k=[1, 2, 3], metrics=[om.evaluation.mean_reciprocal_rank])
        assert list(r.to_frame()["mean"]) == [0, 0.5, 0.5]


def test_several_k_and_options_have_their_rows():
    r = report(k=[1, 3], metrics=[om.ndcg, partial(om.ndcg, ideal="all")], lists={"a": LISTS, "b": LISTS})
    frame = r.to_frame()
    assert list(frame["model"]) == ["a"] * 4 + ["b"] * 4
    assert list(frame["metric"]) == ["ndcg", "ndcg", "ndcg(ideal=all)", "ndcg(ideal=all)"] * 2
    assert list(frame["k"]) == [1, 3] * 4
    assert repr(r) == f"Report(2 models, 2 metrics, k=1, 3, 5 users, split {r.split})"


def test_a_metric_of_ones_own():
    def last_place(lists):
        return lists.hits[:, -1] * 1.0

    assert report(metrics=[last_place]).to_frame().loc[0, ["metric", "mean"]].tolist() == ["last_place", 0.4]


# ---- what items are compared with


def test_coverage_has_no_interval_and_its_catalogue_is_the_one_given():
    catalog = pd.DataFrame({"item_id": ["tea", "cup", "pot", "jam", "bun", "pie", "oat", "xyz"]})
    row = report(metrics=[om.coverage], train=om.Dataset(catalog=om.Catalog.from_frame(catalog))).to_frame().loc[0]
    assert row["mean"] == 6 / 8  # rye was shown to zoe, who is not evaluated, and is not in the catalogue
    assert np.isnan([row["low"], row["high"]]).all()
    train = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["tea", "xyz"]})
    assert report(metrics=[om.coverage], train=train).to_frame().loc[0, "mean"] == 1 / 2


def test_coverage_divides_by_what_recommendations_know():
    items = om.data.Vocabulary(np.array(["bun", "cup", "jam", "tea"], object))
    codes = np.array([[3, 1]], np.int32)
    recs = om.Recommendations(om.data.Vocabulary(np.array(["ann"], object)), items, codes, codes.astype(np.float32))
    assert report(lists={"r": recs}, k=2, metrics=[om.coverage]).to_frame().loc[0, "mean"] == 2 / 4
    with pytest.raises(ParameterError, match="coverage needs to know the catalogue"):
        report(metrics=[om.coverage])


def test_novelty_and_diversity_look_at_training_users():
    # of 4 people all have tea (0 bits), two cup (1 bit), one pot (2 bits); tea and cup differ by 1 - 2 / sqrt(4 * 2)
    pairs = [("u1", "tea"), ("u2", "tea"), ("u3", "tea"), ("u4", "tea"), ("u1", "cup"), ("u2", "cup"), ("u1", "pot")]
    train = pd.DataFrame([*pairs, ("u1", "tea")], columns=["user_id", "item_id"])
    r = report(metrics=[om.evaluation.novelty, om.evaluation.diversity], train=train, users=["ann", "dan"])
    assert r.per_user("mine", om.evaluation.novelty)["value"][0] == pytest.approx((0 + 1 + 2) / 3)
    cosines = [2 / np.sqrt(8), 1 / np.sqrt(4), 1 / np.sqrt(2)]
    assert r.per_user("mine", om.evaluation.diversity)["value"][0] == pytest.approx(1 - np.mean(cosines))
    assert np.isnan(r.per_user("mine", om.evaluation.novelty)["value"][1])  # dan was shown nothing
    assert list(r.to_frame()["n_users"]) == [1, 1]
    assert r.to_frame()[["low", "high"]].isna().all(axis=None)  # one person is no sample


def test_diversity_by_category_reads_the_catalogue():
    catalog = pd.DataFrame({"item_id": ["tea", "cup", "pot"], "category": ["drink", "ware", "ware"]})
    goods = om.Dataset(catalog=om.Catalog.from_frame(catalog))
    r = report(metrics=[partial(om.evaluation.diversity, by="category")], train=goods, users=["ann", "bob"])
    assert list(r.per_user("mine", "diversity(by=category)")["value"]) == pytest.approx([2 / 3, 1])


# ---- intervals and differences


def two_models(n=400, seed=0):
    """Two models on n people of very different luck; the second hits a little more often."""
    random = np.random.default_rng(seed)
    luck = random.random(n) < 0.5
    lists = {
        name: pd.DataFrame(
            {"user_id": np.arange(n), "item_id": np.where(luck | (random.random(n) < extra), 1, 2), "rank": 1}
        )
        for name, extra in (("plain", 0.1), ("better", 0.2))
    }
    return om.evaluate(lists, pd.DataFrame({"user_id": np.arange(n), "item_id": 1}), k=1, metrics=[om.hit_rate])


def test_differences_are_paired():
    r = two_models()
    frame = r.differences("plain")
    assert list(frame.columns) == [
        "model", "baseline", "metric", "k", "difference", "low", "high", "p", "n_users"
    ]  # fmt: skip
    gap = r.per_user("better", "hit_rate")["value"] - r.per_user("plain", "hit_rate")["value"]
    row = frame.loc[0]
    assert row["difference"] == pytest.approx(gap.mean())
    standard_error = gap.std() / np.sqrt(len(gap))
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    means = r.to_frame().set_index("model")
    assert means.loc["plain", "high"] > means.loc["better", "low"]  # side by side they overlap
    assert row["low"] > 0  # and yet the one is better
    assert row["p"] < 0.01
    back = r.differences("better").loc[0]
    mirrored = [-row["difference"], -row["high"], -row["low"]]
    assert [back["difference"], back["low"], back["high"]] == pytest.approx(mirrored)
    assert back["p"] == row["p"]


def test_a_model_does_not_differ_from_itself():
    row = report(lists={"a": LISTS, "b": LISTS}).differences("a").loc[0]
    assert [row["difference"], row["low"], row["high"], row["p"]] == [0, 0, 0, 1]


def test_differences_of_the_catalogue_have_no_p():
    lists = {"a": LISTS, "b": LISTS[LISTS.user_id == "ann"]}
    row = report(lists=lists, metrics=[om.coverage], train=LISTS).differences("a").loc[0]
    assert row["difference"] == pytest.approx(3 / 7 - 6 / 7)
    assert np.isnan([row["low"], row["high"], row["p"]]).all()
    assert row["n_users"] == 5


def test_differences_need_two_models():
    with pytest.raises(ParameterError, match=r"baseline and at least one other model\. Got 'mine'"):
        report().differences("mine")
    with pytest.raises(ParameterError, match="Got 'nobody'; the report has 'a', 'b'"):
        report(lists={"a": LISTS, "b": LISTS}).differences("nobody")


def test_seed_and_number_of_resamples():
    frame = report().to_frame()
    pd.testing.assert_frame_equal(frame, report().to_frame(), check_exact=True)
    assert report(seed=1).to_frame().loc[0, "mean"] == frame.loc[0, "mean"]
    assert report(n_bootstrap=0).to_frame()[["low", "high"]].isna().all(axis=None)
    wide, narrow = (report(confidence=c).to_frame().loc[0] for c in (0.99, 0.5))
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_intervals_hold_the_truth_as_often_as_they_say():
    # 400 planted worlds of 150 people whose true mean is 0.3; 95 % of intervals hold it (4 standard errors: 4.4 points)
    random = np.random.default_rng(5)
    worlds = random.beta(0.6, 1.4, size=(150, 400))
    low, high = percentile_interval(resampled_means(worlds, n_draws=500, seed=1), 0.95)
    held = ((low <= 0.3) & (high >= 0.3)).mean()
    assert 0.906 < held < 0.985
    # and p is below 0.05 in about 5 % of the worlds where nothing differs
    p = chance_of_sign(resampled_means(worlds - 0.3, n_draws=500, seed=1))
    assert 0.015 < (p < 0.05).mean() < 0.094


def test_resamples_are_the_binomial_ones():
    means = resampled_means(np.repeat([[0.0], [1.0]], 5, axis=0), n_draws=20_000, seed=0)[:, 0]
    assert means.mean() == pytest.approx(0.5, abs=0.005)
    assert means.std() == pytest.approx(np.sqrt(0.25 / 10), rel=0.02)


def test_undefined_values_are_left_out_of_each_resample():
    values = np.array([[1.0, 7.0, np.nan], [3.0, np.nan, np.nan], [5.0, 7.0, np.nan]])
    draws = resampled_means(values, n_draws=2000, seed=0)
    assert set(np.round(np.unique(draws[~np.isnan(draws[:, 1]), 1]), 12)) == {7.0}
    assert np.isnan(draws[:, 1]).mean() == pytest.approx((1 / 3) ** 3, abs=0.015)  # nobody but the second was drawn
    assert np.isnan(draws[:, 2]).all()
    low, high = percentile_interval(draws, 0.95)
    assert (low[1], high[1]) == (7, 7)
    assert np.isnan([low[2], high[2]]).all()
    assert np.isnan(chance_of_sign(draws)[2])


def test_hits_do_not_depend_on_the_block(monkeypatch):
    random = np.random.default_rng(0)
    codes = random.integers(-1, 30, size=(50, 8)).astype(np.int32)
    relevant = csr_matrix(random.random((50, 30)) < 0.2)
    expected = np.where(codes >= 0, relevant.toarray()[np.arange(50)[:, None], codes], False)
    np.testing.assert_array_equal(find_hits(codes, relevant), expected)
    import sys

    module = sys.modules["omnireco.evaluation.hits"]
    monkeypatch.setattr(module, "row_blocks", lambda n, *_, **__: (slice(i, min(i + 7, n)) for i in range(0, n, 7)))
    np.testing.assert_array_equal(find_hits(codes, relevant), expected)


# ---- errors


def test_k_must_fit_the_lists():
    with pytest.raises(ParameterError, match=r"k=4, but the lists of 'mine' have 3 places.*k=3"):
        report(k=[1, 4])
    with pytest.raises(ParameterError, match=r"k must be an integer in the range \[1, 1,000,000\]\. Got 0"):
        report(k=0)
    with pytest.raises(ParameterError, match="k is empty"):
        report(k=[])
    with pytest.raises(ParameterError, match=r"names a length twice: \[3, 3\]"):
        report(k=[3, 3])


def test_an_item_may_stand_once_in_a_list():
    with pytest.raises(SchemaError, match=r"repeat an item in one person's list"):
        report(lists={"mine": pd.concat([LISTS, LISTS.iloc[:1].assign(rank=4)])})
    items, users = om.data.Vocabulary(np.array(["tea"], object)), om.data.Vocabulary(np.array(["ann"], object))
    twice = om.Recommendations(users, items, np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32))
    with pytest.raises(SchemaError, match=r"name an item twice for 1 of 5 users: 1 row \(position 0\)"):
        report(lists={"mine": twice}, k=2)


def test_ids_of_two_kinds_never_meet():
    numbers = LISTS.assign(user_id=range(len(LISTS)))
    with pytest.raises(SchemaError, match="user_id holds strings in the truth and integers in the lists of 'mine'"):
        report(lists={"mine": numbers}, k=1)
    with pytest.raises(SchemaError, match=r"item_id holds strings in the truth.*astype\(str\)"):
        report(lists={"mine": LISTS.assign(item_id=range(len(LISTS)))}, k=1)


def test_nobody_left():
    with pytest.raises(EmptyError, match="names no item that anybody chose"):
        report(truth=TRUTH.iloc[:0])
    with pytest.raises(EmptyError, match="'mine' has a list for none of the 5 users"):
        report(lists={"mine": LISTS[LISTS.user_id == "zoe"].assign(item_id="tea")}, k=1)
    with pytest.raises(EmptyError, match="users= names nobody"):
        report(users=["zoe"])


def test_arguments_are_checked():
    with pytest.raises(ParameterError, match=r"lists must map the name.*DataFrame"):
        report(lists=LISTS)
    with pytest.raises(ParameterError, match="dict with nothing in it"):
        report(lists={})
    with pytest.raises(ParameterError, match="the truth must be a Dataset, an EventLog, an Interactions or a frame"):
        report(truth={"user_id": ["ann"]})
    with pytest.raises(ParameterError, match="metrics is empty"):
        report(metrics=[])
    with pytest.raises(ParameterError, match="several are called 'recall'"):
        report(metrics=[om.recall, om.recall])
    with pytest.raises(ParameterError, match=r"confidence must be between 0 and 1\. Got 95"):
        report(confidence=95)
    with pytest.raises(ParameterError, match="n_bootstrap must be an integer in the range"):
        report(n_bootstrap=-1)
    with pytest.raises(ParameterError, match="must return one value per user"):
        report(metrics=[lambda lists: lists.hits])
    with pytest.raises(SchemaError, match="needs the column 'item_id'"):
        report(truth=TRUTH[["user_id"]])


def test_per_user_names_what_there_is():
    r = report(k=[1, 3], metrics=[om.recall, om.coverage], train=LISTS)
    with pytest.raises(ParameterError, match=r"k must be given: the report has k = 1, 3"):
        r.per_user("mine", "recall")
    with pytest.raises(ParameterError, match="has no 'ndcg' of 'mine' at k=3"):
        r.per_user("mine", om.ndcg, 3)
    with pytest.raises(ParameterError, match="one number for the whole catalogue"):
        r.per_user("mine", "coverage", 3)


def test_html_escapes_names_and_shows_intervals():
    html = report(lists={"<b>mine</b>": LISTS}, metrics=[om.recall, om.coverage], train=LISTS)._repr_html_()
    assert "&lt;b&gt;mine" in html
    assert "recall @3" in html
    assert "<small>[" in html
    assert "0.8571" in html  # 6 of the 7 items in train


def test_no_user_id_in_reprs():
    r = report()
    assert not any(name in text for text in (repr(r), r._repr_html_()) for name in RECALL)


def test_frames_are_left_alone():
    lists, truth = LISTS.copy(), TRUTH.copy()
    om.evaluate({"mine": lists}, truth, k=2, metrics=[om.ndcg])
    pd.testing.assert_frame_equal(lists, LISTS)
    pd.testing.assert_frame_equal(truth, TRUTH)


def test_a_report_says_which_split_it_is_of():
    truth = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    lists = {"m": pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "rank": 1})}

    def split(truth, **more):
        return om.evaluate(lists, truth, k=1, metrics=[om.recall], n_bootstrap=0, **more).split

    same = [truth.iloc[::-1], pd.concat([truth, truth]), om.Interactions.from_frame(truth)]
    assert {split(other) for other in same} == {split(truth)}
    assert len({split(truth), split(truth.iloc[:2]), split(truth, train=truth)}) == 3
    assert len(split(truth)) == 16


def test_an_estimator_is_no_metric():
    with pytest.raises(ParameterError, match=r"metrics must be functions\. Got the class Popularity"):
        report(metrics=[om.Popularity])


def shop():
    return om.simulate(n_users=60, n_items=20, days=60, seed=1).dataset()


def test_the_truth_is_what_a_dataset_holds_after_the_cut():
    past, later = shop().split("2025-02-20")
    lists = {"knn": om.ItemKNN().fit(past).recommend(past.requests(), k=5)}
    whole = om.evaluate(lists, later, k=5)
    assert whole.metrics == ("ndcg", "recall")
    by_log = om.evaluate(lists, later.events, k=5)
    assert whole.to_frame().equals(by_log.to_frame())
    assert whole.split == by_log.split
    described = om.evaluate(lists, later, k=5, metrics=[om.coverage, om.evaluation.novelty], train=past)
    apart = om.evaluate(lists, later, k=5, metrics=[om.coverage, om.evaluation.novelty], train=past.events)
    assert described.to_frame()["mean"][1] == apart.to_frame()["mean"][1]


def test_a_dataset_without_events_is_no_truth():
    with pytest.raises(SchemaError, match="evaluate: the truth needs events, and this Dataset has none"):
        report(truth=om.Dataset(catalog=om.Catalog.from_frame(pd.DataFrame({"item_id": ["tea"]}))))


def test_lists_of_requests_are_held_against_what_was_chosen_at_each():
    past, later = shop().split("2025-02-20")
    asked = om.Requests.from_log(later.events, per_user=2, seed=1)
    model = om.ItemKNN().fit(past)
    answers = model.recommend(asked.requests.on(past), k=5, exclude_seen=False)
    assert answers.key == "request_id"
    found = om.evaluate({"knn": answers}, asked, k=5)
    assert len(found.users) == len(asked.requests)
    rows = pd.DataFrame(
        {
            "request_id": asked.chosen.users.decode(
                np.repeat(np.arange(asked.chosen.n_users), np.diff(asked.chosen.csr.indptr))
            ),
            "item_id": asked.chosen.items.decode(asked.chosen.csr.indices),
        }
    )
    assert om.evaluate({"knn": answers.to_frame()}, rows, k=5).to_frame().equals(found.to_frame())


def test_a_request_is_no_person():
    past, later = shop().split("2025-02-20")
    asked = om.Requests.from_log(later.events)
    model = om.ItemKNN().fit(past)
    answers = model.recommend(asked.requests.on(past), k=5, exclude_seen=False)
    people = model.recommend(past.requests(), k=5, exclude_seen=False)
    with pytest.raises(
        ParameterError, match=r"'knn' are named by request, and the truth is named by person\. Use model"
    ):
        om.evaluate({"knn": answers}, later, k=5)
    with pytest.raises(ParameterError, match="named by request, and the truth is named by person"):
        om.evaluate({"knn": answers}, later.events.matrix(), k=5)
    with pytest.raises(
        ParameterError, match=r"named by person, and the truth is named by request\. Rank for the requests"
    ):
        om.evaluate({"knn": people}, asked, k=5)
    with pytest.raises(ParameterError, match="'b' are named by request, and others are named by person"):
        om.evaluate({"a": people, "b": answers}, asked.chosen, k=5)
    with pytest.raises(ParameterError, match="'alike' are named by 'similar_to': they say what is like what"):
        om.evaluate({"alike": model.similar_items(past.events.items.ids[:3], k=5)}, later, k=5)


def test_an_old_line_is_an_error_that_says_the_new_one():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'catalog'. Write om.evaluate\(.*catalog=goods"):
        report(catalog=pd.DataFrame({"item_id": ["tea"]}))
