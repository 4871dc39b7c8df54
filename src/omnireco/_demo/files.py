"""Files of the command line, opened: CSV as texts, as they are written; parquet as it is stored.

No type is guessed from what a column happens to hold. No cell is quoted in an error: rows hold personal data.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omnireco.errors import SchemaError

__all__ = ["is_text", "read_table"]

_SEPARATORS = (",", ";", "\t", "|")
_MARKS = (  # the longer first: one of UTF-32 begins like one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KNOWN = (
    (b"PAR1", "a parquet file", "call it {stem}.parquet"),
    (b"PK\x03\x04", "a zip archive (an Excel sheet is one too)", "take the CSV out of it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel sheet", "save it as CSV"),
    (b"\x1f\x8b", "compressed with gzip", "call it {stem}.csv.gz"),
    (b"BZh", "compressed with bzip2", "decompress it"),
    (b"\xfd7zXZ", "compressed with xz", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it"),
)
_WIDTH = re.compile(r"(Row #\d+: )?Expected (\d+) columns, got (\d+)")
_LONGEST_ROW = 1 << 26  # bytes


def is_text(file: Path) -> bool:
    """Return whether a file is read as CSV, in which everything is text."""
    return file.suffix.lower() != ".parquet"


def read_table(file: Path, needed: Iterable[str], encoding: str | None = None) -> Any:
    """Return the cells of a file as a pyarrow table: texts of a CSV, an empty cell being "", or stored values.

    Parameters
    ----------
    file : Path
        Ends in .parquet, or is CSV, compressed with gzip where it ends in .gz.
    needed : iterable of str
        Columns by which the separator of a CSV is known: the one of comma, semicolon, tab and bar that gives the
        header most of them.
    encoding : str, optional
        Of a CSV that is not UTF-8. A byte-order mark takes precedence.

    Raises
    ------
    SchemaError
        When the file is empty, damaged, or of another type than its name.
    """
    return _read_csv(file, tuple(needed), encoding) if is_text(file) else _read_parquet(file)


def _read_parquet(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as source:
            table = source.read()
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SchemaError(
            f"{file.name} cannot be read as parquet ({type(error).__name__}): it is damaged, cut short, or of another "
            "kind. Write it again, or save it as CSV."
        ) from None
    _check_names(file, table.column_names)
    return table


def _read_csv(file: Path, needed: tuple[str, ...], encoding: str | None) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text = _text(file, encoding)
    names, separator, body = _header(file, text, needed)
    if body.count('"') % 2:
        raise SchemaError(
            f'{file.name} cannot be read: a quote (") is opened and never closed. Was the file cut short?'
        )
    if not body.strip("\n"):
        return pa.table({name: pa.array([], pa.large_string()) for name in names})
    try:
        return arrow_csv.read_csv(
            io.BytesIO(body.encode("utf-8")),
            read_options=arrow_csv.ReadOptions(block_size=_LONGEST_ROW, column_names=names),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SchemaError(f"{file.name} {_why_not(error)}") from None


def _text(file: Path, encoding: str | None) -> str:
    """Return the text of a file, decoded by its byte-order mark, the encoding that the user gave, or UTF-8."""
    raw = file.read_bytes()
    if file.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, zlib.error, OSError) as error:
            raise SchemaError(
                f"{file.name} cannot be unpacked ({type(error).__name__}): it is damaged, cut short, or no gzip file. "
                "Copy it again."
            ) from None
    for mark, what, advice in _KNOWN:
        if raw.startswith(mark):
            stem = file.name.split(".")[0]
            raise SchemaError(f"{file.name} cannot be read as CSV: it is {what}. So {advice.format(stem=stem)}.")
    named = next((name for mark, name in _MARKS if raw.startswith(mark)), encoding or "utf-8")
    try:
        text = raw.decode(named)
    except UnicodeError:
        raise SchemaError(
            f"{file.name} is not text in {named}. Give its encoding: --encoding latin-1 (or cp1252, utf-16)."
        ) from None
    except LookupError:
        raise SchemaError(f"--encoding {named!r} is not known. Write utf-8, latin-1, cp1252 or utf-16.") from None
    if "\0" in text:
        raise SchemaError(f"{file.name} holds zero bytes: it is no CSV, or saved as UTF-16: --encoding utf-16-le.")
    if not text.strip():
        raise SchemaError(f"{file.name} is empty: it has not even a header. Write it again.")
    lines = text if "\n" in text else text.replace("\r", "\n")  # as old spreadsheets end their lines
    return lines.lstrip("\r\n")


def _header(file: Path, text: str, needed: tuple[str, ...]) -> tuple[list[str], str, str]:
    """Return the names of the columns, the separator with which they were written, and the rows below them."""
    found: dict[str, tuple[list[str], str]] = {}
    for separator in _SEPARATORS:
        lines = io.StringIO(text)
        try:
            names = next(csv.reader(lines, delimiter=separator, strict=True), [])
        except csv.Error:
            continue
        found[separator] = names, lines.read()
    if not found:
        raise SchemaError(f'{file.name} cannot be read: its first line is no header. Is a quote (") never closed?')
    wanted = [name.casefold() for name in needed]

    def score(separator: str) -> tuple[int, int]:
        names = found[separator][0]
        return sum(name.strip().casefold() in wanted for name in names), len(names)

    best = max(found, key=score)
    names, body = found[best]
    _check_names(file, names)
    return names, best, body


def _check_names(file: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1 and name.strip()})
    if twice:
        raise SchemaError(
            f"{file.name} has several columns called {', '.join(map(repr, twice))}. Which one counts? Rename "
            "the others."
        )


def _why_not(error: Exception) -> str:
    """Return what is wrong with a CSV, without the row that the parser quotes."""
    message = str(error)
    if (width := _WIDTH.search(message)) is not None:
        row = (width[1] or "a row").removesuffix(": ")
        cells = f"{width[3]} cell{'' if width[3] == '1' else 's'}"
        return (
            f"cannot be read: {row.replace('Row #', 'row ')} has {cells} and the header {width[2]}. A text "
            'that holds the separator belongs in quotes ("..."); a file that was cut short ends so too.'
        )
    if "straddling" in message or "block" in message.lower():
        return 'cannot be read: a row is longer than 64 MB. Is a quote (") never closed?'
    return f'cannot be read as CSV ({type(error).__name__}). Is a quote (") never closed? Save it again.'
