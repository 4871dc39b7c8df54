"""Every public module has a test file of its name: whoever changes ranker.py knows to open test_ranker.py."""

import ast
from pathlib import Path

import pytest

import omnireco

SOURCE = Path(omnireco.__file__).parent
TESTS = Path(__file__).resolve().parents[1]
FACES = [face for face in sorted(SOURCE.glob("*/__init__.py")) if not face.parent.name.startswith("_")]
ALONE = [file for file in sorted(SOURCE.glob("*.py")) if not file.name.startswith("_")]

READERS = "one table of records goes through every reader, so that none is kinder than another"
ELSEWHERE = {
    "omnireco._kernels.topk.exact": ("unit/test_topk.py", "the file is named for what it answers, not for how"),
    "omnireco._moved": ("house/test_moved.py", "what every room answers for a name that it does not have"),
    "omnireco.adapters.cloudevents": ("unit/test_adapters.py", READERS),
    "omnireco.adapters.ga4": ("unit/test_adapters.py", READERS),
    "omnireco.adapters.outbound": ("unit/test_adapters.py", "what is written is read back there"),
    **dict.fromkeys(
        [f"omnireco.adapters.platforms.{name}" for name in ("adobe", "braze", "klaviyo", "opentelemetry", "rees46")],
        ("unit/test_platforms.py", READERS),
    ),
    "omnireco.adapters.records": ("unit/test_adapters.py", READERS),
    "omnireco.adapters.segment": ("unit/test_adapters.py", READERS),
    "omnireco.adapters.shops": ("unit/test_adapters.py", READERS),
    "omnireco.adapters.snowplow": ("unit/test_adapters.py", READERS),
    **dict.fromkeys(
        (
            "omnireco._core.parts",
            "omnireco._core.small",
            "omnireco.data.parts",
            "omnireco.files.people",
            "omnireco.files.registering",
        ),
        ("contract/test_part_laws.py", "laws over every kind of value, and over a class of a stranger"),
    ),
    "omnireco.models.together.blended": ("unit/test_blend.py", "the model beside its estimator"),
    "omnireco.timing.sending.response_model": ("unit/test_send_time.py", "the model beside its estimator"),
    "omnireco.models.cold.attributes": (
        "unit/test_new_people.py",
        "attributes, segments and the chain of both are one subject",
    ),
    "omnireco.models.together.fallback": (
        "unit/test_new_people.py",
        "attributes, segments and the chain of both are one subject",
    ),
    **dict.fromkeys(
        ("omnireco.plotting.results", "omnireco.plotting.gains"),
        ("unit/test_plotting.py", "one file of pictures, whatever they draw"),
    ),
    "omnireco.plotting.plans": ("unit/test_tables.py", "what a plan shows, as tables and as pictures"),
    "omnireco.planning.choosing": ("unit/test_candidates.py", "the verb has the name of what it makes"),
    "omnireco.live.answers": ("unit/test_live.py", "tuples that the verbs of Live return"),
    "omnireco.live.drift": ("unit/test_refresh.py", "when to refresh, and how, are one subject"),
    **dict.fromkeys(
        ("omnireco.live.sqlite_store", "omnireco.live.redis_store"),
        ("unit/test_store.py", "one table of promises goes over every store"),
    ),
    "omnireco.errors": ("unit/test_checks.py", "each error is raised where it belongs, with match="),
    **dict.fromkeys(
        [f"omnireco.spark.{name}" for name in ("best_slots", "lists", "measuring")],
        ("unit/test_spark.py", "one session of Spark serves them all: it takes seconds to start"),
    ),
    "omnireco.testing": ("contract/test_model_laws.py", "laws are tried on models that keep and that break them"),
}


def shown_by(face):
    """The modules of the library that the face of a package imports from."""
    tree = ast.parse(face.read_text(encoding="utf-8"))
    found = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    return {module for module in found if module.startswith("omnireco.")}


PUBLIC = sorted(set().union(*map(shown_by, FACES)) | {f"omnireco.{file.stem}" for file in ALONE})


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_has_its_test_file(module):
    name, _ = ELSEWHERE.get(module, (f"unit/test_{module.rpartition('.')[2]}.py", ""))
    assert (TESTS / name).is_file(), f"{module} has no tests/{name}; write one, by hand-worked numbers"


def test_the_list_of_exceptions_is_short_and_true():
    assert set(ELSEWHERE) <= set(PUBLIC)
    assert len(ELSEWHERE) <= len(PUBLIC) / 5
    for module, (_, reason) in ELSEWHERE.items():
        own = TESTS / f"unit/test_{module.rpartition('.')[2]}.py"
        assert reason
        assert not own.exists(), f"{own.name} is there: take {module} off the list"
