"""A scan of two small files, by hand; any order, cut and damage are in property/test_scan.py."""

import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import EmptyError, ParameterError, SchemaError, StorageError

FRAME = pd.DataFrame(
    {
        "user_id": ["ann", "ann", "bob", "ann"],
        "item_id": ["tea", "cup", "tea", "tea"],
        "channel": ["web", "web", "store", "store"],
        "event": ["view", "view", "buy", "buy"],
        "timestamp": pd.to_datetime(["2025-05-01", "2025-05-02", "2025-05-03", "2025-05-31"], utc=True),
    }
)


@pytest.fixture
def scan(tmp_path):
    FRAME[::2].to_parquet(tmp_path / "b.parquet")
    FRAME[1::2].to_parquet(tmp_path / "a.parquet")
    return om.EventLog.scan(tmp_path)


def test_nothing_is_read_to_know_its_size(scan):
    assert len(scan) == 4
    assert repr(scan) == "EventScan(4 events in 2 files)"


def test_cells_are_summed_over_files(scan):
    x = scan.matrix(om.Weights(events={"view": 1, "buy": 8}))
    assert (x.users.ids.tolist(), x.items.ids.tolist()) == (["ann", "bob"], ["cup", "tea"])
    assert x.to_scipy().toarray().tolist() == [[1, 9], [0, 8]]


def test_weights_fade_until_the_last_event_of_all_files(scan):
    x = scan.matrix(om.Weights(half_life="30D"))
    assert x.to_scipy().toarray()[0, 1] == pytest.approx(1 + 0.5)  # today, and 30 days before


def test_a_part_of_the_time_is_a_log(scan):
    log = scan.log(start="2025-05-02", end="2025-05-04")
    assert sorted(log.to_frame()["item_id"]) == ["cup", "tea"]
    assert set(scan.log(events=["buy"]).to_frame()["user_id"]) == {"ann", "bob"}


def test_refusals(scan, tmp_path):
    with pytest.raises(ParameterError, match="an event lies after at="):
        scan.matrix(at="2025-05-02")
    with pytest.raises(SchemaError, match="'when'"):
        om.EventLog.scan(tmp_path, columns={"timestamp": "when"}).matrix()
    with pytest.raises(EmptyError, match="none of 4 events is left"):
        scan.log(start="2026-01-01")
    (tmp_path / "none").mkdir()
    with pytest.raises(StorageError, match=r"holds no file that ends in \.parquet"):
        om.EventLog.scan(tmp_path / "none")


def test_long_columns_of_plain_strings_are_read_as_short_ones_are(tmp_path):
    n = 120_000  # from 100,000 strings on a column stays in chunks
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row:06d}" for row in range(n)],
            "item_id": [f"i{row % 7}" for row in range(n)],
            "channel": "web",
            "event": "view",
            "timestamp": pd.Timestamp("2025-05-01", tz="UTC"),
        }
    )
    frame.to_parquet(tmp_path / "all.parquet")
    for names in ([], ["channel", "event"]):
        frame.to_parquet(tmp_path / "all.parquet", use_dictionary=names)
        x = om.EventLog.scan(tmp_path).matrix()
        assert x.n_users == x.nnz == n
        assert x.rows(["u000008"]).to_frame()["item_id"].tolist() == ["i1"]
