"""What holds for every test: none has a time limit, what CI draws at random is the same in every run, and all cores help."""

import os

from hypothesis import settings

settings.register_profile("omnireco", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("omnireco")


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
