"""Files of the command line: read as they are written, or refused with advice that works; no row is lost silently."""

import contextlib
import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import omnireco as om
from omnireco._demo.inputs import read_folder
from omnireco._demo.words import counted
from omnireco.cli import main
from omnireco.errors import EmptyError, OmnirecoError, ParameterError, SchemaError

HEADER = "user_id,item_id,channel,event,timestamp\n"
ROW = "ann,tea,web,view,2025-05-01T08:00:00Z\n"


def events(folder, *rows, header=HEADER, name="events.csv", encoding="utf-8"):
    (folder / name).write_bytes((header + "".join(row + "\n" for row in rows)).encode(encoding))
    return folder


def when(folder, *times, **how):
    events(folder, *(f"ann,tea,web,view,{time}" for time in times))
    return read_folder(folder, **how).log.to_frame()["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S.%f").tolist()


WORDS = ["0012", "12", "12e3", "inf", "NA", "1.0", "null", "nan", "True", "1_000", "0x1F", "2025-01-01", "-0", "１２"]


@pytest.mark.parametrize("column", ["user_id", "item_id", "channel", "event"])
def test_ids_and_names_are_texts_as_they_are_written(tmp_path, column):
    place = HEADER.strip().split(",").index(column)
    rows = []
    for word in WORDS:
        cells = ROW.strip().split(",")
        cells[place] = word
        rows.append(",".join(cells))
    log = read_folder(events(tmp_path, *rows)).log
    known = {"user_id": log.users, "item_id": log.items, "channel": log.channels, "event": log.events}[column]
    assert sorted(known.ids) == sorted(WORDS)


def test_only_an_empty_cell_is_a_missing_item(tmp_path):
    log = read_folder(
        events(tmp_path, "ann,,web,view,2025-05-01T08:00:00Z", "ann,NA,web,view,2025-05-02T08:00:00Z")
    ).log
    assert log.items.ids.tolist() == ["NA"]
    assert log.item.tolist() == [-1, 0]


def test_ids_are_of_one_kind_in_all_files_of_a_folder(tmp_path):
    frame = pd.DataFrame({"user_id": [7, 8], "item_id": [1, 2], "channel": "web", "event": "view"})
    frame = frame.assign(timestamp=pd.to_datetime(["2025-05-01 08:00", "2025-05-02 09:00"], utc=True))
    frame.to_parquet(tmp_path / "events.parquet")
    assert read_folder(tmp_path).log.users.ids.dtype == np.int64
    frame["item_id"] = [1.0, None]  # as pandas writes whole numbers with gaps
    frame.to_parquet(tmp_path / "events.parquet")
    assert read_folder(tmp_path).log.items.ids.tolist() == [1]
    (tmp_path / "users.csv").write_text("user_id,timezone,consent_email\n7,Europe/Berlin,true\n08,Europe/Berlin,true\n")
    inputs = read_folder(tmp_path)
    assert inputs.log.users.ids.tolist() == ["7", "8"]
    assert inputs.audience.users.ids.tolist() == ["08", "7"]
    assert "1 of 2 people of the events are in users.csv." in inputs.notes


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2025-05-01 08:00:00+00", "08:00:00.000000"),
        ("2025-05-01 08:00:00+02", "06:00:00.000000"),
        ("2025-05-01T08:00:00-05", "13:00:00.000000"),
        ("2025-05-01T08:00:00+0000", "08:00:00.000000"),
        ("2025-05-01 08:00:00 +0200", "06:00:00.000000"),
        ("2025-05-01 08:00:00+05:30", "02:30:00.000000"),
        ("2025-05-01 08:00:00 UTC", "08:00:00.000000"),
        ("2025-05-01T08:00:00z", "08:00:00.000000"),
        ("2025-05-01T08:00Z", "08:00:00.000000"),
        ("2025-05-01T08:00:00.1Z", "08:00:00.100000"),
        ("2025-05-01T08:00:00.123456789Z", "08:00:00.123456"),
        ("2025-05-01T08:00:00.25+01", "07:00:00.250000"),
    ],
)
@pytest.mark.parametrize("timezone", [None, "America/New_York"])
def test_times_with_an_offset_are_read_and_keep_it(tmp_path, written, utc, timezone):
    assert when(tmp_path, written, timezone=timezone) == ["2025-05-01 " + utc]


def test_offsets_may_differ_from_row_to_row(tmp_path):
    found = when(tmp_path, "2025-05-01 08:00:00+02", "2025-12-01 08:00:00.5+01", "2025-12-02T00:00:00Z")
    assert [time[:16] for time in found] == ["2025-05-01 06:00", "2025-12-01 07:00", "2025-12-02 00:00"]


@given(
    st.integers(40 * 86_400, 4_000_000_000),
    st.integers(-12 * 4, 14 * 4),
    st.integers(0, 9),
    st.sampled_from(["T", " "]),
)
def test_every_spelling_of_an_instant_is_that_instant(tmp_path_factory, seconds, quarters, digits, between):
    stamp = pd.Timestamp(seconds, unit="s").floor("s") + pd.Timedelta(minutes=15 * quarters)
    fraction = "." + "123456789"[:digits] if digits else ""
    sign, minutes = "+-"[quarters < 0], abs(15 * quarters)
    text = f"{stamp:%Y-%m-%d}{between}{stamp:%H:%M:%S}{fraction}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    folder = tmp_path_factory.mktemp("instants")
    events(folder, f"ann,tea,web,view,{text}")
    us = int("123456789"[: min(digits, 6)].ljust(6, "0")) if digits else 0
    assert read_folder(folder).log.at.tolist() == [seconds * 1_000_000 + us]


@pytest.mark.parametrize(
    "bad",
    ["yesterday", "2025-13-01T00:00Z", "2025-02-29T10:00Z", "2025-05-01T25:00Z", "01/05/2025Z", "2025-05-01T08:00+99"],
)
def test_what_is_no_time_is_refused_or_left_out_and_counted(tmp_path, bad):
    with pytest.raises(SchemaError, match=r"no ISO 8601 times in 1 row \(position 1\).*--on-invalid drop"):
        when(tmp_path, "2025-05-01T08:00Z", bad)
    inputs = read_folder(tmp_path, on_invalid="drop")
    assert len(inputs.log) == 1
    assert inputs.notes[0] == (
        "events.csv: 2 rows read, 1 kept, 1 left out: 1 where timestamp holds values that are no ISO 8601 times."
    )


def test_other_forms_of_time_are_said_and_never_guessed(tmp_path):
    with pytest.raises(SchemaError, match=r"numbers without a unit.*--time-format s.*--time-format excel"):
        when(tmp_path, "1746086400")
    assert when(tmp_path, "1746086400", time_format="s") == ["2025-05-01 08:00:00.000000"]
    for noon in ("45809.5", "45809,5", "45809.4999999"):
        with pytest.raises(SchemaError, match="--time-format excel"):
            when(tmp_path, f'"{noon}"')
        read = when(tmp_path, f'"{noon}"', time_format="excel", timezone="Europe/Berlin")
        assert read == ["2025-06-01 10:00:00.000000"]
    with pytest.raises(SchemaError, match="no time zone"):
        when(tmp_path, "45809.5", time_format="excel")
    with pytest.raises(SchemaError, match="no times of --time-format 'excel' in all 2 rows"):  # seconds, not days
        when(tmp_path, "1746086400", "1746086401", time_format="excel", timezone="UTC")
    assert when(tmp_path, "1746086400250", time_format="ms") == ["2025-05-01 08:00:00.250000"]
    with pytest.raises(SchemaError, match="no times of --time-format 'ms'"):  # it would be January 1970
        when(tmp_path, "1746086400", time_format="ms")
    pattern = "%m/%d/%Y %H:%M"
    assert when(tmp_path, "5/1/2025 8:00", time_format=pattern, timezone="UTC") == ["2025-05-01 08:00:00.000000"]
    with pytest.raises(SchemaError, match="no time zone"):
        when(tmp_path, "5/1/2025 8:00", time_format=pattern)
    assert when(tmp_path, "20250501", time_format="%Y%m%d", timezone="Asia/Tokyo") == ["2025-04-30 15:00:00.000000"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_byte_order_marks_and_line_ends(tmp_path, separator, encoding, ending):
    text = (HEADER + 'jörg,"a;b,c|d\te ""f""",web,view,2025-05-01T08:00:00Z\n').replace("\n", ending)
    text = text if separator == "," else text.replace("a;b,c", "abc").replace("c|d\te", "cde").replace(",", separator)
    (tmp_path / "events.csv").write_bytes(text.encode(encoding))
    log = read_folder(tmp_path).log
    assert log.users.ids.tolist() == ["jörg"]
    assert log.items.ids[0].endswith('"f"')


def test_a_cell_may_hold_several_lines(tmp_path):
    assert (
        read_folder(events(tmp_path, 'ann,"tea\nfor two",web,view,2025-05-01T08:00:00Z')).log.items.ids[0]
        == "tea\nfor two"
    )


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ((HEADER + "ann,tea,web\n").encode(), "3 cells and the header 5"),
        ((HEADER + ROW.strip() + ",more\n").encode(), "6 cells and the header 5"),
        ((HEADER + 'ann,"tea,web,view,2025\n').encode(), "never closed"),
        (("user_id," + HEADER + "ann," + ROW).encode(), "several columns called 'user_id'"),
        ((HEADER + "j\xf6rg,tea,web,view,2025-05-01T08:00:00Z\n").encode("latin-1"), "--encoding latin-1"),
        (b"PAR1" + bytes(20), "call it events.parquet"),
        (b"PK\x03\x04" + bytes(20), "zip archive"),
        (gzip.compress(b"a", mtime=0), r"call it events.csv.gz"),
        (bytes(range(256)), "is not text"),
        (HEADER.encode("utf-16-le"), "--encoding utf-16-le"),
    ],
)
def test_files_of_another_kind_are_named_and_nobody_in_them_is(tmp_path, raw, match):
    (tmp_path / "events.csv").write_bytes(raw)
    with pytest.raises(SchemaError, match=rf"events\.csv.*{match}") as refused:
        read_folder(tmp_path)
    assert "tea" not in str(refused.value)


@pytest.mark.parametrize("cut", [5, 40, -9, -1])
def test_a_cut_or_changed_gzip_file_is_named(tmp_path, cut):
    whole = gzip.compress((HEADER + ROW * 50).encode())
    (tmp_path / "events.csv.gz").write_bytes(whole)
    assert len(read_folder(tmp_path).log) == 50
    (tmp_path / "events.csv.gz").write_bytes(whole[:cut])
    with pytest.raises(SchemaError, match=r"events\.csv\.gz cannot be unpacked"):
        read_folder(tmp_path)
    (tmp_path / "events.csv.gz").write_bytes(b"plain text")
    with pytest.raises(SchemaError, match=r"events\.csv\.gz cannot be unpacked"):
        read_folder(tmp_path)


@pytest.mark.parametrize("where", [0, 200, -20, None])
def test_a_damaged_parquet_file_is_named(tmp_path, where):
    path = tmp_path / "events.parquet"
    om.simulate(20, 5, days=8, seed=1).events.to_parquet(path)
    raw = bytearray(path.read_bytes())
    if where is None:
        raw = raw[: len(raw) // 2]
    else:
        raw[where : where + 8 if where >= 0 else len(raw)] = b"\xff" * 8
    path.write_bytes(bytes(raw))
    with pytest.raises(SchemaError, match=r"events\.parquet cannot be read"):
        read_folder(tmp_path)


def test_a_folder_of_part_files_is_said_to_be_one(tmp_path):
    (tmp_path / "events.parquet").mkdir()
    with pytest.raises(ParameterError, match="folder of part files"):
        read_folder(tmp_path)


def test_a_column_in_other_letters_is_found_and_the_advice_works(tmp_path):
    events(tmp_path, ROW.strip(), header=HEADER.replace("user_id", "User_ID"))
    with pytest.raises(
        SchemaError, match=r"Rename 'User_ID' to 'user_id' in the file, or .*--columns 'user_id=User_ID'"
    ):
        read_folder(tmp_path)
    assert len(read_folder(tmp_path, columns={"user_id": "User_ID"}).log) == 1
    with pytest.raises(SchemaError, match="no column for --columns user_id=Card; it has 'User_ID'"):
        read_folder(tmp_path, columns={"user_id": "Card"})
    with pytest.raises(ParameterError, match="Did you mean 'user_id'"):
        read_folder(tmp_path, columns={"userid": "User_ID"})
    with pytest.raises(ParameterError, match="no file has such a column"):
        read_folder(tmp_path, columns={"user_id": "User_ID", "margin": "profit"})


def test_columns_that_never_change_are_set(tmp_path):
    events(tmp_path, "ann,tea,2025-05-01T08:00:00Z", header="user_id,item_id,timestamp\n")
    with pytest.raises(SchemaError, match="--set channel=web"):
        read_folder(tmp_path)
    log = read_folder(tmp_path, constants={"channel": "web", "event": "purchase"}).log
    assert (log.channels.ids.tolist(), log.events.ids.tolist()) == (["web"], ["purchase"])
    with pytest.raises(SchemaError, match="would hide it"):
        read_folder(events(tmp_path, ROW.strip()), constants={"channel": "web"})
    with pytest.raises(ParameterError, match="--set"):
        read_folder(tmp_path, constants={"timestamp": "2025"})


@pytest.mark.parametrize("number", ["12,50", "1.234,50", "inf", "nan1", "$5", "1 000", "0x10"])
def test_numbers_that_are_none_are_refused_or_counted_and_never_0(tmp_path, number):
    header = HEADER.replace("timestamp", "value,timestamp").replace(",", ";")
    row = f"ann;tea;web;purchase;{number};2025-05-01T08:00:00Z"
    events(tmp_path, row, row.replace(number, "12.50"), header=header)
    with pytest.raises(SchemaError, match=r"value holds values that are no numbers in 1 row.*1234\.50"):
        read_folder(tmp_path)
    inputs = read_folder(tmp_path, on_invalid="drop")
    assert inputs.log.value.tolist() == [12.5]
    assert "1 where value holds values that are no numbers" in inputs.notes[0]


def test_a_decimal_comma_is_read_where_it_is_said_and_a_point_is_then_refused(tmp_path):
    header = HEADER.replace("timestamp", "value,timestamp").replace(",", ";")
    row = "ann;tea;web;purchase;{};2025-05-01T08:00:00Z"
    events(tmp_path, *map(row.format, ("12,50", "-3", "1e2", "0,5")), header=header)
    with pytest.raises(SchemaError, match=r"no numbers in 2 rows .*--decimal comma"):
        read_folder(tmp_path)
    returned = "1 event of 4 are returns"
    inputs = read_folder(tmp_path, decimal="comma")
    assert sorted(inputs.log.value.tolist()) == [0.5, 12.5, 100.0]
    assert returned in inputs.notes[0]
    for other in ("12.50", "1.234,50", "1,234.50", "1,234,5"):
        events(tmp_path, row.format(other), row.format("1,5"), header=header)
        with pytest.raises(SchemaError, match="no numbers in 1 row"):
            read_folder(tmp_path, decimal="comma")
    with pytest.raises(ParameterError, match="--decimal"):
        read_folder(tmp_path, decimal=",")


def test_where_no_row_can_be_read_the_advice_is_not_to_leave_all_of_them_out(tmp_path):
    events(tmp_path, *["ann,tea,web,view,1.5.2025 8:00"] * 3)
    with pytest.raises(SchemaError, match=r"in all 3 rows\. Write times") as caught:
        read_folder(tmp_path)
    assert "--on-invalid" not in str(caught.value)


def test_a_missing_value_stays_missing_and_is_said(tmp_path):
    header = HEADER.replace("timestamp", "value,timestamp")
    at = "2025-05-01T08:00:00Z"
    events(
        tmp_path,
        f"ann,tea,web,purchase,3,{at}",
        f"ann,tea,web,view,,{at}",
        f"ann,cup,web,view,NULL,{at}",
        header=header,
    )
    inputs = read_folder(tmp_path)
    assert np.isnan(inputs.log.value).sum() == 2
    assert np.nansum(inputs.log.value) == 3
    assert "value is missing in 2 rows" in inputs.notes[0]


@pytest.mark.parametrize(
    ("said", "given"), [("true", 1), ("YES", 1), ("1", 1), ("1.0", 1), ("false", 0), ("", 0), ("NA", 0)]
)
def test_consents_are_yes_no_or_no(tmp_path, said, given):
    events(tmp_path, ROW.strip())
    (tmp_path / "users.csv").write_text(f"user_id,timezone,consent_email\nann,Europe/Berlin,{said}\n")
    inputs = read_folder(tmp_path)
    assert inputs.audience.consent.sum() == given
    assert not inputs.notes


def test_a_consent_that_cannot_be_read_is_no_and_is_said(tmp_path):
    events(tmp_path, ROW.strip())
    (tmp_path / "users.csv").write_text("user_id,timezone,consent_email\nann,Europe/Berlin,opted in\n")
    inputs = read_folder(tmp_path)
    assert not inputs.audience.consent.any()
    said = "users.csv: consent_email is neither true nor false in 1 row: taken for false. Write true or false."
    assert inputs.notes == (said,)


def test_somebody_listed_twice_is_refused_or_left_out(tmp_path):
    events(tmp_path, ROW.strip())
    rows = "ann,Europe/Berlin,true\nann,Europe/Berlin,false\nbob,,true\n"
    (tmp_path / "users.csv").write_text("user_id,timezone,consent_email\n" + rows)
    with pytest.raises(SchemaError, match="user_id is listed more than once in 2 rows"):
        read_folder(tmp_path)
    assert read_folder(tmp_path, on_invalid="drop").audience.users.ids.tolist() == ["bob"]


def test_words_for_nobody_are_said_and_left_out_where_asked(tmp_path):
    rows = [ROW.strip().replace("ann", name) for name in ("ann", "NULL", "(not set)", "unknown", "0")]
    inputs = read_folder(events(tmp_path, *rows))
    assert inputs.log.n_users == 5
    assert "stands for nobody (such as null or unknown) in 3 rows" in inputs.notes[0]
    assert read_folder(tmp_path, on_invalid="drop").log.users.ids.tolist() == ["0", "ann"]


def shop(n=600, seed=0):
    """Return an export as shops make it: people missing, returns as negative quantities, local times."""
    rng = np.random.default_rng(seed)
    at = pd.Timestamp("2011-01-01 08:00") + pd.to_timedelta(np.sort(rng.integers(0, 90 * 1440, n)), unit="min")
    people = pd.Series(rng.integers(12000, 12040, n)).astype("Int64").mask(rng.random(n) < 0.25)
    quantity = rng.integers(1, 9, n) * np.where(rng.random(n) < 0.05, -1, 1)
    return pd.DataFrame(
        {"StockCode": [f"{k:05d}" for k in rng.integers(0, 25, n)], "Quantity": quantity, "CustomerID": people}
    ).assign(InvoiceDate=[f"{t.month}/{t.day}/{t.year} {t:%H:%M}" for t in at], Country="Österreich")


def test_an_export_of_a_shop_runs_and_every_row_is_accounted_for(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    frame = shop()
    path = tmp_path / "invoices.csv"
    frame.to_csv(path, index=False, encoding="latin-1")
    missing = int(frame["CustomerID"].isna().sum())
    back = int((frame["Quantity"][frame["CustomerID"].notna()] < 0).sum())
    command = ["demo", "--quick", "--no-progress", "--data", str(path), "--out", str(tmp_path / "out")]
    command += ["--columns", "user_id=CustomerID,item_id=StockCode,timestamp=InvoiceDate,value=Quantity"]
    command += ["--set", "channel=web,event=purchase", "--encoding", "latin-1"]
    command += ["--time-format", "%m/%d/%Y %H:%M", "--timezone", "Europe/London"]
    assert main(command) == 2
    assert f"user_id is missing in {missing} rows" in (said := capsys.readouterr().err)
    assert "--on-invalid drop" in said
    assert "frame" not in said
    assert main([*command, "--on-invalid", "drop"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in (said, report):
        assert f"600 rows read, {600 - missing} kept, {missing} left out: {missing} where user_id is missing." in text
        assert f"{back} events of {600 - missing} are returns" in text
    assert f"{600 - missing - back} events" in said
    assert pd.read_parquet(tmp_path / "out" / "recommendations.parquet")["item_id"].str.len().unique().tolist() == [5]


def test_one_clock_in_the_future_is_named_and_can_be_left_out(tmp_path):
    at = pd.Timestamp("2025-03-01 07:30", tz="UTC") + pd.to_timedelta(np.arange(300) * 311, unit="min")
    rows = [f"ann,tea,web,view,{t.isoformat()}" for t in at]
    rows[7] = "ann,tea,web,view,2099-12-31T00:00:00Z"
    with pytest.raises(
        SchemaError, match=r"74 years or more after all others.*in the future, in 1 row \(position 7\).*drop"
    ):
        read_folder(events(tmp_path, *rows))
    inputs = read_folder(tmp_path, on_invalid="drop")
    assert len(inputs.log) == 299
    assert "1 left out: 1 where the time lies 74 years" in inputs.notes[0]
    rows[9] = "ann,tea,web,view,1970-01-01T00:00:00Z"
    events(tmp_path, *rows)
    assert "1 where the time lies before 1971" in read_folder(tmp_path, on_invalid="drop").notes[0]


def test_dates_are_said_and_give_no_hours(tmp_path):
    inputs = read_folder(
        events(tmp_path, *(f"ann,tea,web,view,2025-05-{d:02d}" for d in range(1, 9))), timezone="Asia/Tokyo"
    )
    assert not inputs.log.timed.any()
    assert inputs.notes == (
        "8 events of 8 carry a date and no hour (midnight in every row of the kind): no hour is learned from them.",
    )


def test_nothing_left_is_said_with_the_account(tmp_path):
    with pytest.raises(EmptyError, match=r"1 row read, 0 kept, 1 left out.*Nothing is left"):
        read_folder(events(tmp_path, ",tea,web,view,2025-05-01T08:00:00Z"), on_invalid="drop")
    header = HEADER.replace("timestamp", "value,timestamp")
    with pytest.raises(EmptyError, match="every event has a negative value"):
        read_folder(events(tmp_path, "ann,tea,web,buy,-1,2025-05-01T08:00:00Z", header=header))


def test_a_file_beside_another_is_said_to_be_unread(tmp_path):
    events(tmp_path, ROW.strip())
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress((HEADER + ROW).encode()))
    assert read_folder(tmp_path).notes == ("events.csv.gz was not read: events.csv is there too.",)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_ours(tmp_path_factory, raw):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "events.csv").write_bytes(HEADER.encode() + raw)
    with contextlib.suppress(OmnirecoError):
        read_folder(folder)


@pytest.mark.parametrize("typed", ["user_id", "=x", "user_id=", ","])
def test_pairs_that_are_none_are_refused(typed, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--columns", typed])
    assert "must look like user_id=CustomerID" in capsys.readouterr().err


def test_messages_that_cannot_be_are_left_out_and_counted(tmp_path):
    events(tmp_path, ROW.strip())
    (tmp_path / "messages.csv").write_text(
        "user_id,channel,sent_at,responded_at,propensity,machine\n"
        "ann,email,2025-05-01T09:00Z,,0.5,true\nann,email,2025-05-02T09:00Z,2025-05-01T09:00Z,0.5,0.25\n"
        "bob,email,2025-05-02T09:00Z,,0.5,maybe\n"
    )
    with pytest.raises(SchemaError, match=r"machine holds values that are no probabilities.* in 1 row \(position 2\)"):
        read_folder(tmp_path)
    inputs = read_folder(tmp_path, on_invalid="drop")
    assert inputs.messages.machine.tolist() == [1.0]
    assert "3 rows read, 2 kept, 1 left out" in inputs.notes[0]
    assert "1 of 2 left out: responded_at precedes sent_at in 1 row." in inputs.notes[1]


@pytest.mark.parametrize("ids", [[["a"], ["b"]], [True, False], [1.5, 2.5]])
def test_what_can_be_no_id_is_refused(tmp_path, ids):
    frame = pd.DataFrame({"user_id": ids, "item_id": "tea", "channel": "web", "event": "view"})
    frame.assign(timestamp=pd.Timestamp("2025-05-01 08:00", tz="UTC")).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(SchemaError, match="user_id holds values that are no ids in all 2 rows"):
        read_folder(tmp_path)


def test_integers_too_large_for_a_code_are_texts(tmp_path):
    frame = pd.DataFrame({"user_id": np.array([2**64 - 1, 1], np.uint64), "item_id": "tea", "channel": "web"})
    frame = frame.assign(event="view", timestamp=pd.Timestamp("2025-05-01 08:00", tz="UTC"))
    frame.to_parquet(tmp_path / "events.parquet")
    assert read_folder(tmp_path).log.users.ids.tolist() == ["1", str(2**64 - 1)]


def test_numbers_agree_with_their_nouns():
    assert [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert counted(1, "person", "people") == "1 person"


def test_messages_leave_only_in_hours_in_which_the_rules_let_them(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(2)
    at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(
        rng.integers(0, 60, 900) * 1440 + rng.integers(0, 90, 900),
        unit="min",  # everybody is awake at midnight only
    )
    frame = pd.DataFrame({"user_id": rng.integers(0, 30, 900), "item_id": rng.integers(0, 12, 900), "timestamp": at})
    frame.assign(channel="web", event="view").to_parquet(tmp_path / "events.parquet")
    users = pd.DataFrame({"user_id": range(30), "timezone": "Europe/London", "consent_email": True})
    users.to_parquet(tmp_path / "users.parquet")
    assert main(["demo", "--quick", "--no-progress", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    hours = pd.read_parquet(tmp_path / "out" / "plan.parquet")["send_at_local"].dt.hour
    assert len(hours)
    assert hours.between(8, 20).all()


# ---- consents, and when they were given ------------------------------------------------------------------------


def users(folder, header, *rows):
    events(folder, ROW.strip())
    (folder / "users.csv").write_text("\n".join([header, *rows, ""]))
    return read_folder(folder)


def test_the_instant_of_a_consent_is_a_time_and_not_a_channel(tmp_path):
    header = "user_id,timezone,consent_email,consent_email_at"
    inputs = users(tmp_path, header, "ann,UTC,true,2025-05-01T08:00:00Z", "bob,UTC,true,soon", "cas,UTC,true,")
    people = inputs.audience
    assert people.channels.ids.tolist() == ["email"]
    assert people.to_frame()["consent_email_at"].notna().tolist() == [True, False, False]
    assert "consent_email_at is no time in 1 row: without one, consent overrides no unsubscription" in inputs.notes[0]


def test_an_instant_without_its_consent_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="has 'consent_email_at' and no 'consent_email' beside it"):
        users(tmp_path, "user_id,timezone,consent_email_at", "ann,UTC,2025-05-01T08:00:00Z")


@pytest.mark.parametrize("name", ["Consent_Email", "CONSENT_EMAIL", "consent email", "consent-email", " consent_email"])
def test_a_consent_in_another_spelling_is_not_passed_over(tmp_path, name):
    with pytest.raises(SchemaError, match=r"not read under that name.*--columns 'consent_email="):
        users(tmp_path, f"user_id,timezone,{name}", "ann,UTC,true")
    read = read_folder(tmp_path, columns={"consent_email": name})  # as it says
    assert read.audience.consent.sum() == 1


def test_an_unsubscription_in_another_spelling_is_not_passed_over(tmp_path):
    events(tmp_path, ROW.strip())
    at = "2025-05-01T08:00:00Z"
    header = "user_id,channel,sent_at,responded_at,Unsubscribed_At"
    (tmp_path / "messages.csv").write_text(f"{header}\nann,email,{at},,{at}\n")
    with pytest.raises(SchemaError, match="'Unsubscribed_At', which is not read under that name"):
        read_folder(tmp_path)
    read = read_folder(tmp_path, columns={"unsubscribed_at": "Unsubscribed_At"})
    assert read.messages.to_frame()["unsubscribed_at"].notna().tolist() == [True]


def test_messages_that_reach_past_the_events_are_refused(tmp_path, capsys):
    world = om.simulate(30, 8, days=42, seed=3)
    early = world.events[world.events["timestamp"] < "2025-02-01"]
    early.to_parquet(tmp_path / "events.parquet")
    world.messages.to_parquet(tmp_path / "messages.parquet")
    assert main(["demo", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "messages.parquet:" in error
    assert "reach past the last event, on 2025-0" in error
    assert "Export both files up to the same day" in error
