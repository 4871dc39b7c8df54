"""The files around the code: each is there, well-formed, and agrees with the others."""

import re
import tomllib
from pathlib import Path

import pytest

import omnireco as om

PROJECT = Path(__file__).resolve().parents[2]
FORMS = sorted((PROJECT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
YAML = [PROJECT / "CITATION.cff", PROJECT / ".pre-commit-config.yaml", PROJECT / "mkdocs.yml", *FORMS]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "RELEASING.md",
    ".github/PULL_REQUEST_TEMPLATE.md",
]


def text_of(name):
    return (PROJECT / name).read_text("utf-8")


def read(path):
    yaml = pytest.importorskip("yaml", reason="no YAML parser here; it comes with the docs extra")
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.mark.parametrize("name", [*PAGES, "LICENSE", "CITATION.cff", ".pre-commit-config.yaml"])
def test_it_is_there(name):
    assert len(text_of(name)) > 200


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_it_is_well_formed(path):
    assert isinstance(read(path), dict)


def test_the_version_is_the_same_everywhere():
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["version"] == om.__version__
    assert re.search(r"^version: (.+)$", text_of("CITATION.cff"), re.MULTILINE).group(1) == om.__version__
    assert re.findall(r"^## (\d+\.\d+\.\d+) - ", text_of("CHANGELOG.md"), re.MULTILINE)[0] == om.__version__


def test_the_changelog_keeps_its_form():
    heads = re.findall(r"^## (.+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head) for head in heads[1:])
    numbers = [tuple(map(int, head.split(" ")[0].split("."))) for head in heads[1:]]
    assert numbers == sorted(set(numbers), reverse=True)
    for part in re.split(r"^## .+$", text_of("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert len(kinds) == len(set(kinds))
        assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_has_what_its_format_asks_for():
    found = read(PROJECT / "CITATION.cff")
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert {"cff-version", "message", "title", "authors", "version", "license", "type"} <= set(found)
    assert (found["title"], found["license"]) == (project["name"], project["license"])
    assert [author["name"] for author in found["authors"]] == [author["name"] for author in project["authors"]]


def test_no_address_is_made_up():
    assert "urls" not in tomllib.loads(text_of("pyproject.toml"))["project"]
    assert not re.search(r"https?://|@\w+\.\w", text_of("CITATION.cff") + text_of("SECURITY.md"))
    assert all("http" not in form.read_text("utf-8") for form in FORMS)


def test_there_is_a_form_for_what_fails_what_is_missing_and_what_is_wrong():
    assert {path.stem for path in FORMS} == {"bug", "config", "feature", "wrong-number"}


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_a_form_asks_for_what_a_maintainer_needs(path):
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert len({part["attributes"]["label"] for part in asked}) == len(asked)
    assert {part["type"] for part in asked} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert any(part.get("validations", {}).get("required") for part in asked)
    assert all(isinstance(option, str | dict) for part in asked for option in part["attributes"].get("options", []))
    if path.stem != "feature":
        assert "show_versions" in path.read_text("utf-8")
        assert "real people" in path.read_text("utf-8")


def test_hooks_fetch_nothing_and_are_those_of_make_check():
    (repo,) = read(PROJECT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff", "ruff-format", "mypy"]
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    for tool in ("ruff check", "ruff format", "mypy"):
        assert f"-m {tool}" in text_of("Makefile")
        assert any(hook["entry"].startswith(f"python -m {tool}") for hook in repo["hooks"])


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_lead_somewhere(name):
    folder = (PROJECT / name).parent
    links = re.findall(r"\]\(((?!https?:|#)[^)\s#]+)", text_of(name))
    assert [link for link in links if not (folder / link).exists()] == []


def test_contributing_names_every_one_of_them():
    page = text_of("CONTRIBUTING.md")
    names = [
        *PAGES[1:2],
        *PAGES[3:],
        "CITATION.cff",
        *(f".github/ISSUE_TEMPLATE/{p.name}" for p in FORMS if p.stem != "config"),
    ]
    assert [name for name in names if f"]({name})" not in page] == []


def test_what_is_packed_with_the_sources_exists():
    packed = tomllib.loads(text_of("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in packed if not (PROJECT / name).exists()] == []
    assert {"CITATION.cff", "SECURITY.md", "RELEASING.md", "CONTRIBUTING.md"} <= set(packed)
