"""A scan of parquet files gives what a frame of all their rows gives, in any order and cut; or an error in words."""

import contextlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco._kernels.log import cells
from omnireco.data.large import parquet, scan
from omnireco.errors import IdKindError, ParameterError, SchemaError, StorageError

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOW = om.Weights(
    events={"purchase": 3, "return": -1}, channels={"store": 2}, half_life="30D", value="log", missing="ignore"
)


def rows(n, seed=0, text=True):
    draw = np.random.default_rng(seed)
    user, item = draw.integers(0, 20, n), draw.integers(0, 15, n)
    return pd.DataFrame(
        {
            "user_id": [f"user {'x' * (k % 12)}{k}" for k in user] if text else user - 5,
            "item_id": [f"i{k}" for k in item] if text else item,
            "channel": draw.choice(["web", "app", "store"], n),
            "event": draw.choice(["view", "purchase", "return"], n),
            "timestamp": pd.to_datetime(draw.integers(1.7e9, 1.71e9, n), unit="s", utc=True),
            "value": draw.integers(0, 5, n).astype(float),
        }
    )


def same(x, expected):
    assert x.users == expected.users
    assert x.items == expected.items
    assert x.at_us == expected.at_us
    assert list(x.layers) == list(expected.layers)
    for mine, theirs in zip([x.csr, *x.layers.values()], [expected.csr, *expected.layers.values()], strict=True):
        np.testing.assert_allclose(mine.toarray(), theirs.toarray(), rtol=1e-5, atol=1e-6)


@contextlib.contextmanager
def small_batches(batch, held):
    """Read a few rows at a time, sum early, and use the compiled sums."""
    saved = scan.BATCH, parquet.BATCH, scan._HELD, cells.LARGE, cells._BLOCK
    scan.BATCH = parquet.BATCH = batch
    scan._HELD, cells.LARGE, cells._BLOCK = held, 0, 8
    try:
        yield
    finally:
        scan.BATCH, parquet.BATCH, scan._HELD, cells.LARGE, cells._BLOCK = saved


@quick
@given(
    n=st.integers(1, 80),
    seed=st.integers(0, 9),
    text=st.booleans(),
    n_files=st.integers(1, 3),
    batch=st.integers(1, 50),
    held=st.sampled_from([4, 40, 10_000]),
    categorical=st.booleans(),
    given_at=st.booleans(),
    cap=st.sampled_from([None, 2.0]),
)
def test_a_scan_equals_a_frame(tmp_path_factory, n, seed, text, n_files, batch, held, categorical, given_at, cap):
    folder = tmp_path_factory.mktemp("events")
    events = rows(n, seed, text)
    order = np.random.default_rng(seed).permutation(n)
    for k in range(n_files):
        part = events.iloc[order[k::n_files]]
        if categorical and k % 2:
            part = part.astype(dict.fromkeys(("user_id", "channel", "event"), "category"))
        part.to_parquet(folder / f"{k}.parquet", row_group_size=max(1, n // 3))
    how = replace(HOW, cap=cap)
    at = "2025-01-01" if given_at else None
    ticks = []
    with small_batches(batch, held):
        found = om.EventLog.scan(folder).matrix(how, at=at, progress=lambda done, total: ticks.append((done, total)))
    same(found, om.EventLog.from_frame(events).matrix(how, at=at))
    assert ticks[-1][0] == ticks[-1][1] == len(ticks)


def test_some_of_it_as_a_log(tmp_path):
    events = rows(300, 3)
    for k in range(3):
        events[k::3].to_parquet(tmp_path / f"{k}.parquet")
    found = om.EventLog.scan(tmp_path)
    assert repr(found) == "EventScan(300 events in 3 files)"
    pd.testing.assert_frame_equal(found.log().to_frame(), om.EventLog.from_frame(events).to_frame())
    some = events["user_id"].unique()[:3]
    cut = pd.Timestamp("2024-01-01", tz="UTC")
    kept = events[events["user_id"].isin(some) & (events["channel"] == "web") & (events["timestamp"] < cut)]
    log = found.log(users=some, channels=["web"], end=cut)
    pd.testing.assert_frame_equal(log.to_frame(), om.EventLog.from_frame(kept).to_frame())
    with pytest.raises(ParameterError, match=r"channels: .fax. is a name that nothing here has"):
        found.log(channels=["fax"])
    with pytest.raises(ParameterError, match="must be a list of names"):
        found.log(channels="web")


def test_one_file_other_names_folders_and_missing_items(tmp_path):
    events = rows(50)
    events.loc[::7, "item_id"] = None
    for channel, part in events.groupby("channel"):
        place = tmp_path / f"channel={channel}"
        place.mkdir()
        renamed = part.drop(columns="channel").rename(columns={"user_id": "card", "timestamp": "when"})
        renamed.to_parquet(place / "part.parquet")
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "half.parquet").write_bytes(b"PAR1")
    found = om.EventLog.scan(tmp_path, columns={"user_id": "card", "timestamp": "when"}, itemless="keep")
    expected = om.EventLog.from_frame(events, itemless="keep")
    same(found.matrix(HOW), expected.matrix(HOW))
    pd.testing.assert_frame_equal(found.log().to_frame(), expected.to_frame())
    strict = om.EventLog.scan(tmp_path, columns={"user_id": "card", "timestamp": "when"})
    with pytest.raises(SchemaError, match=r"part\.parquet, from row 0: item_id is missing in \d rows.*itemless='keep'"):
        strict.matrix()
    one = tmp_path / "channel=web" / "part.parquet"
    with pytest.raises(SchemaError, match=r"part\.parquet needs the column 'channel'"):
        om.EventLog.scan(one, columns={"user_id": "card", "timestamp": "when"})


def test_what_is_wrong_is_named_by_file_and_never_by_person(tmp_path):
    good = rows(40)
    good.to_parquet(tmp_path / "a.parquet")
    bad = tmp_path / "b.parquet"
    cases = {
        "user_id holds integers here and strings in files before it": good.assign(user_id=1),
        "timestamp has no time zone": good.assign(timestamp=good["timestamp"].dt.tz_localize(None)),
        "user_id must hold integers or strings. Got double": good.assign(user_id=1.5),
        "user_id is missing in 40 rows": good.assign(user_id=pd.Series([None] * 40, dtype="str")),
        "channel must hold strings": good.assign(channel=3),
        "more than 255 bytes": good.assign(user_id="secret" * 60),
    }
    for said, frame in cases.items():
        frame.to_parquet(bad)
        with pytest.raises(SchemaError, match=r"b\.parquet") as caught:
            om.EventLog.scan(tmp_path).matrix(HOW)
        assert said in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "user x" not in str(caught.value)
    good.assign(user_id=np.full(40, 2**64 - 1, np.uint64)).to_parquet(bad)
    with pytest.raises(SchemaError, match=r"b\.parquet, from row 0: user_id holds integers above 2\*\*63 - 1"):
        om.EventLog.scan(bad).matrix()
    good.drop(columns="event").to_parquet(bad)
    with pytest.raises(SchemaError, match=r"b\.parquet needs the column 'event'"):
        om.EventLog.scan(tmp_path)
    bad.write_bytes(b"not parquet at all")
    with pytest.raises(StorageError, match=r"b\.parquet cannot be opened as parquet"):
        om.EventLog.scan(tmp_path)
    pq.write_table(pa.Table.from_pandas(rows(5_000)), bad, compression="none", use_dictionary=False)
    content = bytearray(bad.read_bytes())
    content[4:3000] = b"\xff" * 2996
    bad.write_bytes(content)
    with pytest.raises(StorageError, match=r"b\.parquet cannot be read.*damaged"):
        om.EventLog.scan(tmp_path).matrix(HOW)
    with pytest.raises(StorageError, match="there is no file or folder 'nowhere'"):
        om.EventLog.scan(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=r"'empty' holds no file that ends in .parquet"):
        om.EventLog.scan(tmp_path / "empty")


def test_what_a_scan_cannot_do_is_said(tmp_path):
    rows(40).to_parquet(tmp_path / "a.parquet")
    found = om.EventLog.scan(tmp_path / "a.parquet")
    for name, value in {"deduplicate": "1h", "step_half_life": 2}.items():
        with pytest.raises(ParameterError, match=rf"Weights\({name}=...\) needs all events of a person"):
            found.matrix(om.Weights(**{name: value}))
    with pytest.raises(ParameterError, match="an event lies after at=2023-12-01"):
        found.matrix(at="2023-12-01")
    with pytest.raises(ParameterError, match="weights must be a Weights"):
        found.matrix({"view": 1})
    with pytest.raises(ParameterError, match="takes the path of a file or folder"):
        om.EventLog.scan(3)
    with pytest.raises(ParameterError, match="columns= must map"):
        om.EventLog.scan(tmp_path, columns=["user_id"])
    rows(40).drop(columns="value").to_parquet(tmp_path / "a.parquet")
    with pytest.raises(SchemaError, match="'value'"):
        om.EventLog.scan(tmp_path).matrix(HOW)


def test_an_empty_file_and_no_event_at_all(tmp_path):
    rows(40)[:0].to_parquet(tmp_path / "a.parquet")
    assert om.EventLog.scan(tmp_path).matrix().shape == (0, 0)
    rows(40).to_parquet(tmp_path / "b.parquet")
    same(om.EventLog.scan(tmp_path).matrix(), om.EventLog.from_frame(rows(40)).matrix())


def test_files_written_by_several_hands_are_one_log(tmp_path):
    """Other orders of columns, dictionaries beside plain strings, columns more, empty files between."""
    events = rows(400, 5).assign(item_id=lambda f: f["item_id"].mask(f["item_id"] == "i3"))
    texts = ["user_id", "item_id", "channel", "event"]
    plain = pa.Table.from_pandas(events, preserve_index=False)
    coded = plain
    for name in texts:
        coded = coded.set_column(coded.column_names.index(name), name, plain[name].dictionary_encode())
    parts = {
        "a": plain[:0],
        "b": plain[:100],
        "c": coded[100:200].select(["event", "value", "timestamp", "channel", "item_id", "user_id"]),
        "d": pa.table({"timestamp": [], **{name: [] for name in texts}, "value": []}),  # nobody said of what kinds
        "e": plain[200:300].append_column("note", pa.array(["kept elsewhere"] * 100)).select([6, 5, 4, 3, 2, 1, 0]),
        "f": coded[300:],
        "g": coded[:0],
    }
    for name, part in parts.items():
        pq.write_table(part, tmp_path / f"{name}.parquet", use_dictionary=["channel"] if name == "b" else True)
    expected = om.EventLog.from_frame(events, itemless="keep")
    found = om.EventLog.scan(tmp_path, itemless="keep")
    with small_batches(30, 64):
        same(found.matrix(HOW), expected.matrix(HOW))
        log = found.log()
    for name in ("user", "item", "channel", "event", "at"):
        np.testing.assert_array_equal(getattr(log, name), getattr(expected, name))
    assert (log.users, log.items, log.channels) == (expected.users, expected.items, expected.channels)


@pytest.mark.parametrize("harm", ["cut", "header", "middle"])
def test_a_damaged_file_among_good_ones_is_named(tmp_path, harm):
    for name in "abc":
        # Checksums are the writer's choice; without them harm inside a page may decode to other rows unseen.
        pq.write_table(
            pa.Table.from_pandas(rows(5_000)),
            tmp_path / f"{name}.parquet",
            compression="snappy",
            write_page_checksum=True,
        )
    bad = tmp_path / "b.parquet"
    content = bytearray(bad.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "header":
        content[4:400] = b"\xff" * 396
    else:
        middle = len(content) // 2
        content[middle - 2000 : middle + 2000] = b"\xff" * 4000
    bad.write_bytes(content)
    with pytest.raises(StorageError, match=r"b\.parquet cannot be (opened|read).*damaged") as caught:
        om.EventLog.scan(tmp_path).matrix(HOW)
    assert "user x" not in str(caught.value)


def partition(folder, name, **columns):
    """Write one event into a folder of a partition."""

    at = pa.array([1_700_000_000], pa.timestamp("s", "UTC"))
    row = {"user_id": ["a"], "item_id": ["x"], "channel": ["web"], "event": ["view"], "timestamp": at} | columns
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({key: value for key, value in row.items() if value is not None}), place / "p.parquet")


def test_folders_are_decoded_nested_and_may_be_missing(tmp_path):
    for name in ("channel=push%3Aios", "channel=in%20store/event=a%2Fb", "channel=a=b", "channel=100%25", "_year=2025"):
        partition(
            tmp_path, name, channel=None if "channel" in name else ["web"], event=None if "event" in name else ["v"]
        )
    for other in ("_SUCCESS", ".p.parquet.crc", "notes.txt"):
        (tmp_path / other).write_text("no parquet")
    (tmp_path / "empty.parquet").mkdir()
    found = om.EventLog.scan(tmp_path)
    names = ["100%", "a=b", "in store", "push:ios", "web"]
    assert found.log().channels.ids.tolist() == list(found.matrix().layers) == names
    assert found.log().events.ids.tolist() == ["a/b", "v"]


def test_the_default_partition_of_hive_is_a_missing_value(tmp_path):
    partition(tmp_path, "item_id=x")
    partition(tmp_path, "item_id=__HIVE_DEFAULT_PARTITION__", item_id=None)
    found = om.EventLog.scan(tmp_path, itemless="keep")
    assert sorted(found.log().item.tolist()) == [-1, 0]
    assert found.matrix().nnz == 1
    partition(tmp_path, "channel=__HIVE_DEFAULT_PARTITION__", channel=None)
    with pytest.raises(SchemaError, match="channel is missing"):
        om.EventLog.scan(tmp_path, itemless="keep").matrix()


def test_files_of_other_units_zones_and_orders_are_one_log(tmp_path):

    for unit, scale in (("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)):
        for zone in ("UTC", "Asia/Tokyo", "+05:30"):
            at = pa.array([1_700_000_000 * scale], pa.timestamp(unit, zone))
            partition(tmp_path, f"{unit}{zone[:2]}", timestamp=at, channel=pa.array(["web"]).dictionary_encode())
    partition(tmp_path, "large", user_id=pa.array(["a"], pa.large_string()))
    found = om.EventLog.scan(tmp_path)
    assert found.log().at.tolist() == [1_700_000_000_000_000] * 13
    assert found.matrix().csr.sum() == 13


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_integers_in_one_file_and_strings_in_another_are_refused_by_every_verb(tmp_path, column):
    partition(tmp_path, "a")
    partition(tmp_path, "b", **{column: [1]})
    for verb in (om.EventLog.scan(tmp_path).log, om.EventLog.scan(tmp_path).matrix):
        with pytest.raises(IdKindError, match=rf"p\.parquet, from row 0: {column} holds integers here and strings"):
            verb()


def test_times_without_a_zone_in_one_file_are_named(tmp_path):

    partition(tmp_path, "a")
    partition(tmp_path, "b", timestamp=pa.array([1_700_000_000], pa.timestamp("s")))
    with pytest.raises(SchemaError, match=r"p\.parquet, from row 0: timestamp has no time zone"):
        om.EventLog.scan(tmp_path).log()


def test_a_value_of_two_kinds_is_an_error_of_ours(tmp_path):
    partition(tmp_path, "a", value=[1.5])
    partition(tmp_path, "b", value=["dear"])
    with pytest.raises(SchemaError, match="a column is of other kinds"):
        om.EventLog.scan(tmp_path).log()
