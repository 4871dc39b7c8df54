"""Values to files and back, without pickle; what they weigh, and who is in them."""

from omnireco._core.parts import (
    Array,
    Maybe,
    Offsets,
    Part,
    Record,
    coded,
    counts,
    declare,
    flags,
    instants,
    numbers,
    probabilities,
)
from omnireco._core.small import Apart, Each, Flag, Number, Plain, Table, Text, Value, Whole
from omnireco._moved import explain_unknown_names
from omnireco.data.parts import Frame, Ids, Labels, Matrix
from omnireco.files.export import recommend_to_parquet
from omnireco.files.io import load, save
from omnireco.files.people import erase, memory, people_in
from omnireco.files.registering import register

__all__ = [
    "Apart",
    "Array",
    "Each",
    "Flag",
    "Frame",
    "Ids",
    "Labels",
    "Matrix",
    "Maybe",
    "Number",
    "Offsets",
    "Part",
    "Plain",
    "Record",
    "Table",
    "Text",
    "Value",
    "Whole",
    "coded",
    "counts",
    "declare",
    "erase",
    "flags",
    "instants",
    "load",
    "memory",
    "numbers",
    "people_in",
    "probabilities",
    "recommend_to_parquet",
    "register",
    "save",
]

explain_unknown_names(__name__)
