"""Values to files and back, without pickle."""

from omnireco.files.export import recommend_to_parquet
from omnireco.files.io import load, save

__all__ = ["load", "recommend_to_parquet", "save"]
