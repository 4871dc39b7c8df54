"""Published tables run again: every protocol on made-up files, every form of file, every refusal."""

import math

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError, StorageError
from omnireco.worlds.published import TABLES, Mix
from omnireco.worlds.reproduce import sequence_gains


def pairs(seed=0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(40), 12), "item_id": random.zipf(1.4, 480) % 30})
    frame = frame.drop_duplicates()
    return frame.assign(split=np.where(random.random(len(frame)) < 0.25, "test", "train"))


def lines(frame):
    return "".join(f"{user} {' '.join(map(str, part))}\n" for user, part in frame.groupby("user_id")["item_id"])


def test_fixed_pairs_from_a_folder_a_file_or_lines_of_text(tmp_path):
    frame = pairs()
    (tmp_path / "movielens_1m_m1").mkdir()
    frame.to_parquet(tmp_path / "movielens_1m_m1" / "interactions.parquet")
    done = om.worlds.reproduce("movielens_1m_m1", tmp_path, models=["Popularity", "EASE"])
    again = om.worlds.reproduce(
        "movielens_1m_m1", tmp_path / "movielens_1m_m1" / "interactions.parquet", models=["EASE"]
    )
    assert done.split == again.split
    ours = done.to_frame().query("by == 'ours'").set_index("model")
    train, test = (frame.loc[frame["split"] == side, ["user_id", "item_id"]] for side in ("train", "test"))
    x = om.Interactions.from_frame(train, binary=True)
    lists = {"m": om.EASE(regularization=1000).fit(x).recommend(x, k=20)}
    truth = om.evaluate(lists, test, k=20, metrics=[om.recall, om.ndcg])
    assert ours.loc["EASE", ["recall@20", "ndcg@20"]].tolist() == [cell.mean for cell in truth.cells]
    assert ours.loc["EASE", "low"] == truth.cells[1].low
    assert done.gaps().empty  # neither stands in the published table
    text = tmp_path / "text"
    text.mkdir()
    for side in ("train", "test"):
        (text / f"{side}.txt").write_text(lines(frame[frame["split"] == side]))
    written = om.worlds.reproduce("movielens_1m_m1", text, models=["EASE"]).to_frame().query("by == 'ours'")
    assert written["recall@20"].tolist() == pytest.approx([ours.loc["EASE", "recall@20"]], abs=0.05)  # ids are text


def test_a_reproduction_tells_its_source_settings_and_gaps(tmp_path):
    pairs().to_parquet(tmp_path / "interactions.parquet")
    seen = []
    done = om.worlds.reproduce(
        "movielens_100k_mcrec", tmp_path, models=["EASE"], progress=lambda *step: seen.append(step)
    )
    assert seen == [(1, 1)]
    assert "TOIS 2021" in str(done)
    assert "EASE(regularization=458" in str(done)
    assert done.split in repr(done)
    assert done.split in str(done)
    assert "<table" in done._repr_html_()
    gap = done.gaps().set_index("model").loc["EASE", "precision@10"]
    ours = done.to_frame().query("model == 'EASE' and by == 'ours'")["precision@10"].item()
    assert gap == pytest.approx(ours - 0.3739)


def test_sequences_never_learn_from_the_last_two(tmp_path):
    random = np.random.default_rng(1)
    rows = [
        (user, (start + step) % 9, step) for user, start in enumerate(random.integers(0, 9, 60)) for step in range(6)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "position"])
    frame.to_parquet(tmp_path / "sequences.parquet")
    done = om.worlds.reproduce("amazon_toys_seq", tmp_path)
    table = done.to_frame().query("by == 'ours'").set_index("model")
    assert list(table.index) == list(TABLES["amazon_toys_seq"].ours)
    assert table["recall@10"].between(0, 1).all()
    assert done.n_people == 60
    (tmp_path / "Toys.txt").write_text(lines(frame))
    again = (
        om.worlds.reproduce("amazon_toys_seq", tmp_path / "Toys.txt", models=["EASE"]).to_frame().query("by == 'ours'")
    )
    assert again["ndcg@10"].tolist() == pytest.approx([table.loc["EASE", "ndcg@10"]])


def test_ties_count_half_and_unknown_targets_are_misses():
    x = om.Interactions.from_frame(pd.DataFrame({"user_id": [1, 2, 3], "item_id": [0, 0, 0]}))
    items = om.data.Vocabulary(np.arange(4))
    flat = om.models.ItemModel(items, np.ones(4, np.float32), np.ones((4, 4), np.float32))
    target = pd.Series([2, 9, 3], index=[1, 2, 3])
    values = sequence_gains({"ease": flat}, Mix(0.0, 1.0), x.with_items(items), target, k=2)
    # three unseen items are level: each has one above it on average, so its place is the second
    assert values.tolist() == [[1, pytest.approx(1 / math.log2(3))], [0, 0], [1, pytest.approx(1 / math.log2(3))]]


def test_shares_of_every_person_and_sar_by_its_own_formula(tmp_path):
    random = np.random.default_rng(2)
    frame = pairs(3)[["user_id", "item_id"]]
    frame = frame.assign(rating=random.integers(1, 6, len(frame)).astype(float))
    frame["timestamp"] = 893_286_638 + random.integers(0, 10**7, len(frame))
    frame.to_csv(tmp_path / "u.data", sep="\t", header=False, index=False)
    done = om.worlds.reproduce("movielens_100k_sar", tmp_path, models=["SAR", "EASE"])
    assert len(done.split.split()) == 3
    table = done.to_frame().query("by == 'ours'").set_index("model")
    assert "with the history" in table.loc["SAR", "setting"]
    stamped = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s", utc=True))
    values = []
    for seed in range(3):
        order = stamped.iloc[np.random.default_rng(seed).permutation(len(stamped))]
        taste = order.groupby("user_id")["item_id"]
        early = taste.cumcount() < (0.75 * taste.transform("size")).round()
        values.append(sar_ndcg(order[early], order[~early]))
    assert table.loc["SAR", "ndcg@10"] == pytest.approx(np.mean(values), abs=1e-6)


def sar_ndcg(train, test):
    """SAR as Recommenders has it, in dense numbers: Jaccard, half-life of 30 days, rating as weight."""
    users, items = np.unique(train["user_id"]), np.unique(train["item_id"])
    row, column = np.searchsorted(users, train["user_id"]), np.searchsorted(items, train["item_id"])
    both = np.zeros((len(users), len(items)))
    both[row, column] = 1
    both = both.T @ both
    count = both.diagonal()
    similar = both / (count[:, None] + count[None, :] - both)
    age = (train["timestamp"].max() - train["timestamp"]).dt.total_seconds() / 86400
    affinity = np.zeros((len(users), len(items)))
    affinity[row, column] = train["rating"] * 0.5 ** (age / 30)
    scores = affinity @ similar
    scores[row, column] = -np.inf
    shown = np.repeat(users, len(items)), np.tile(items, len(users)), scores.ravel()
    frame = pd.DataFrame(dict(zip(("user_id", "item_id", "score"), shown, strict=True)))
    lists = om.Recommendations.from_frame(frame[np.isfinite(frame["score"])]).head(10)
    return om.evaluate({"m": lists}, test[["user_id", "item_id"]], k=10, metrics=[om.ndcg], n_bootstrap=0).cells[0].mean


def test_reproduce_refuses(tmp_path):
    with pytest.raises(ParameterError, match="name must be"):
        om.worlds.reproduce("netflix", tmp_path)
    with pytest.raises(StorageError, match=r"there is no ratings\.parquet or u\.data"):
        om.worlds.reproduce("movielens_100k_sar", tmp_path)
    pairs().drop(columns="split").to_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(SchemaError, match="split"):
        om.worlds.reproduce("movielens_1m_m1", tmp_path)
    pairs().assign(split="all").to_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(SchemaError, match=r"must name 'train' and 'test' rows\. Got \['all'\]"):
        om.worlds.reproduce("movielens_1m_m1", tmp_path)
    with pytest.raises(ParameterError, match="models must be"):
        om.worlds.reproduce("movielens_1m_m1", tmp_path, models=["SVD++"])
