"""Files of records: read by what they are, wherever the records stand in them, or refused with the way to convert."""

import gzip
import io
import json
from contextlib import nullcontext

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnireco import adapters
from omnireco.errors import SchemaError, StorageError

ROWS = [
    {"event_name": "view_item", "event_timestamp": 1_746_086_400_000_000 + n, "user_pseudo_id": f"p{n}",
     "items": [{"item_id": "Teeschälchen", "price": 4.5}]}
    for n in range(3)
]  # fmt: skip
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
PRETTY = "".join(json.dumps(row, indent=1) for row in ROWS)

FORMS = {
    "lines": LINES.encode(),
    "windows lines": LINES.replace("\n", "\r\n").encode() + b"\r\n\r\n",
    "empty lines": b"\n \n" + LINES.replace("\n", "\n\n\t\n").encode(),
    "array": json.dumps(ROWS).encode(),
    "pretty array": json.dumps(ROWS, indent=2).encode(),
    "objects after each other": PRETTY.encode(),
    "text sequence": "".join(f"\x1e{json.dumps(row)}\n" for row in ROWS).encode(),
    "mark": b"\xef\xbb\xbf" + LINES.encode(),
    "marks of joined files": "\n".join("\ufeff" + json.dumps(row) for row in ROWS).encode(),
    "UTF-16": LINES.encode("utf-16"),
    "UTF-16 big": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "UTF-16 without a mark": LINES.encode("utf-16-le"),
    "UTF-32": LINES.encode("utf-32"),
    "gzip": gzip.compress(LINES.encode(), mtime=0),
    "gzip of UTF-16": gzip.compress(LINES.encode("utf-16"), mtime=0),
    "gzip of gzips": b"".join(gzip.compress(json.dumps(row).encode() + b"\n") for row in ROWS),
    "wrapper": json.dumps({"rows": ROWS}).encode(),
    "wrapper with other lists": json.dumps({"errors": [], "schema": [{"name": "x"}], "mine": {"here": ROWS}}).encode(),
    "GraphQL": json.dumps({"data": {"hits": {"edges": [{"node": row, "cursor": "c"} for row in ROWS]}}}).encode(),
    "pages": json.dumps([{"rows": ROWS[:2]}, {"rows": ROWS[2:]}, {"rows": []}]).encode(),
    "lines of pages": "\n".join(json.dumps({"rows": [row]}) for row in ROWS).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["events.json", "events.jsonl", "events.json.gz", "events"])
def test_a_file_is_read_by_its_content_whatever_its_name(form, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FORMS[form])
    read = adapters.ga4(path)
    assert read.n_records == read.counts["records"].sum() == 3
    pd.testing.assert_frame_equal(read.events, adapters.ga4(ROWS).events)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", gzip.compress(b"", mtime=0), b"[]", b'{"rows": []}', b'{"a": [], "b": []}']
)
def test_a_file_without_records_has_none(content, tmp_path):
    path = tmp_path / "events.json"
    path.write_bytes(content)
    assert adapters.ga4(path).n_records == 0


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [lambda order: order, lambda order: {"order": order},
                                  lambda order: {"errors": [], "orders": [order]}])  # fmt: skip
def test_one_order_is_one_record(wrap, indent, tmp_path):
    order = {"id": 1, "tags": [], "note_attributes": [{"name": "x"}], "customer": {"id": 5}, "refunds": [],
             "created_at": "2025-05-01T08:00:00Z", "line_items": [{"product_id": 9, "price": "10.00"}]}  # fmt: skip
    path = tmp_path / "order.json"
    path.write_text(json.dumps(wrap(order), indent=indent))
    assert adapters.shopify(path).events[["item_id", "value"]].values.tolist() == [["9", 10.0]]


def parquet():
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), out)
    return out.getvalue()


REFUSED = {
    "cut lines": (LINES[:-9].encode(), SchemaError, r"line 3 of 'x' is not JSON: .* at character \d+. Is the file cut"),
    "cut array": (json.dumps(ROWS, indent=1)[:-9].encode(), SchemaError, r"line \d+ of 'x' is not JSON"),
    "comma too many": (json.dumps(ROWS)[:-1].encode() + b",]", SchemaError, "a comma too many"),
    "lines with commas": (LINES.replace("\n", ",\n").encode(), SchemaError, "line 1 of 'x' is not JSON"),
    "Python": (str(ROWS[0]).encode(), SchemaError, "line 1 of 'x' is not JSON"),
    "too deep": (b"[" * 200_000, SchemaError, "too deep or too large"),
    "too large": (b'{"event_timestamp": ' + b"9" * 5_000 + b"}", SchemaError, "too deep or too large"),
    "numbers": (b"[1, 2]", SchemaError, "record 0 is not a dict but int"),
    "texts": (b'["{}"]', SchemaError, "record 0 is not a dict but str: json.loads it first"),
    "XML": (b"<events/>", SchemaError, "'x' does not begin as JSON. Export it as JSON"),
    "CSV": (b"a,b\n1,2\n", SchemaError, r"takes JSON .* looks like CSV. .*from_frame\(pd.read_csv"),
    "semicolons": (b"a;b\n1;2\n", SchemaError, "looks like CSV"),
    "TSV": (b"shop\tweb\n", SchemaError, r"looks like a tab-separated table. .*sep='\\t'"),
    "parquet": (parquet(), SchemaError, r"'x' is parquet. .*adapters.ga4\(pd.read_parquet\(path\)\)"),
    "packed parquet": (gzip.compress(parquet(), mtime=0), SchemaError, "'x' is parquet"),
    "zip": (b"PK\x03\x04....", SchemaError, "a zip archive .*Unpack it first"),
    "bzip2": (b"BZh91AY", SchemaError, "packed by bzip2"),
    "twice packed": (gzip.compress(gzip.compress(b"{}"), mtime=0), SchemaError, "packed twice by gzip"),
    "cut gzip": (gzip.compress(LINES.encode(), mtime=0)[:-9], StorageError, "'x' is cut off or damaged"),
    "Latin-1": (json.dumps(ROWS, ensure_ascii=False).encode("latin-1"), StorageError, "'x' is not UTF-8"),
    "two lists": (json.dumps({"m": {"a": ROWS}, "b": ROWS[:1]}).encode(), SchemaError,
                  r"'m.a' \(3\), 'b' \(1\)\. Several .*json.load\(open\(path\)\)\['m'\]\['a'\]\)"),
    "no list of records": (json.dumps({"customers": [{"id": 1}]}).encode(), SchemaError,
                           r"'customers' \(1\)\. None .* such as event_name"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_other_files_are_refused_with_the_way_to_convert(form, tmp_path):
    content, error, match = REFUSED[form]
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(error, match=match):
        adapters.ga4(path)


def test_the_advice_for_parquet_leads_to_the_records(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet())
    pd.testing.assert_frame_equal(adapters.ga4(pd.read_parquet(path)).events, adapters.ga4(ROWS).events)


def test_the_advice_for_two_lists_leads_to_the_records(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"m": {"a": ROWS}, "b": ROWS[:1]}))
    assert adapters.ga4(json.loads(path.read_text())["m"]["a"]).n_records == 3


def test_a_folder_and_an_impossible_name(tmp_path):
    with pytest.raises(StorageError, match="is a folder"):
        adapters.ga4(tmp_path)
    with pytest.raises(StorageError, match="cannot read"):
        adapters.ga4("a\0b")


@pytest.mark.parametrize("place", ["userId", "event", "product_id"])
def test_half_of_a_pair_is_refused_with_advice_that_works(place, tmp_path):
    good = {"type": "track", "event": "Product Viewed", "userId": "ann", "timestamp": "2025-05-01T12:00:00Z",
            "properties": {"product_id": "tea"}}  # fmt: skip
    bad = json.loads(json.dumps(good))
    (bad["properties"] if place == "product_id" else bad)[place] = "x\udc00"
    records = [good, bad]
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    kept = pd.Series(["a"]).dtype == object  # older pandas keeps such texts as they are
    for source in (records, path):
        with nullcontext() if kept else pytest.raises(SchemaError, match=r"record 1 .*udc00.*json.loads") as caught:
            adapters.segment(source)
        assert kept or "'ann" not in str(caught.value)
    mended = [json.loads(json.dumps(one, ensure_ascii=False).encode("utf-8", "replace")) for one in records]
    assert adapters.segment(mended).n_records == 2
