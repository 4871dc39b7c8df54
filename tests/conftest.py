"""What holds for every test: no time limit, the same draws in every run of CI, all cores for the whole suite."""

import os
import sys

import pytest
from hypothesis import settings

settings.register_profile("omnireco", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("omnireco")


@pytest.fixture(autouse=True)
def _no_picture_is_left_open():
    """Close what a test has drawn: pyplot keeps every figure, and warns of many."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def spark_session():
    """Start Spark in local mode, in a zone that is not UTC; it takes seconds, so all tests share it."""
    pyspark = pytest.importorskip("pyspark", reason="PySpark (extra spark) is not installed")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the executors run what runs here
    builder = pyspark.sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "3").config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.sql.session.timeZone", "Asia/Tokyo").getOrCreate()
    yield spark
    spark.stop()


def pytest_xdist_auto_num_workers(config):
    """Return one process per core for the whole suite, and none for chosen files, where the start would cost more."""
    whole = set(map(str, config.getini("testpaths"))) >= set(config.args) or not config.args
    return (
        len(os.sched_getaffinity(0))
        if whole and hasattr(os, "sched_getaffinity")
        else (os.cpu_count() or 1)
        if whole
        else 0
    )
