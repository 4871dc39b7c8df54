"""The next item on Amazon Toys and Games, under the protocol of the published table: ours beside it, with intervals.

    OMNIRECO_DATA=/path/to/data python benchmarks/sequences.py [--tune]

Protocol, published numbers and settings stand in omnireco/_published.py; om.reproduce runs them. --tune prints what
mixes of the two models give on the last but one item, which the parameters never see either. Learning on that item as
well would raise such numbers by 15 to 18 %; no number here does. Writes results/sequences.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import omnireco as om
from omnireco._published import DECAYED, TABLES, Mix
from omnireco.reproduce import fit_sequences, read_sequences, sequence_gains

NAME = "amazon_toys_seq"


def tune(folder: Path) -> None:
    train, known, target = read_sequences(folder / NAME / "sequences.parquet", back=1)
    parts, histories = fit_sequences(TABLES[NAME], train)[0], known.matrix(DECAYED)
    for mix in (0.0, 0.25, 0.5, 1.0, 2.0):
        value = sequence_gains(parts, Mix(1.0, mix), histories, target, k=10)[:, 1].mean()
        print(f"  last but one item, NextItem + {mix:g} x EASE: NDCG@10 {value:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="print mixes on the last but one item, choose none by hand")
    arguments = parser.parse_args()
    if not (folder := os.environ.get("OMNIRECO_DATA")):
        sys.exit(f"Set OMNIRECO_DATA to the folder that holds {NAME}")
    if arguments.tune:
        tune(Path(folder))
    done = om.reproduce(NAME, folder)
    print(done)
    target = Path(__file__).parent / "results"
    target.mkdir(exist_ok=True)
    (target / "sequences.json").write_text(json.dumps(done.to_frame().to_dict("records"), indent=1))


if __name__ == "__main__":
    main()
