import re
import tomllib
from pathlib import Path

import pytest
import typer

import footfall
from footfall.cli import app
from footfall.simulator.ingest import Mapping

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])


def console_commands():
    joined = README.replace("\\\n", " ")
    return [line[2:].split() for line in joined.splitlines() if line.startswith("$ footfall")]


@pytest.mark.parametrize("words", console_commands(), ids=" ".join)
def test_every_command_line_of_the_readme_is_one_that_footfall_takes(words):
    _, name, *arguments = words
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, list(arguments))
    assert context.params


def test_the_readme_names_every_command_and_every_call_exists():
    for name in typer.main.get_command(app).commands:
        assert f"footfall {name}" in README, name
    for name in re.findall(r"`footfall\.(\w+)`", README):
        assert getattr(footfall, name)


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "check"} <= named <= targets


def test_the_mapping_of_the_documentation_is_valid():
    text = (ROOT / "docs/mappings.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1)
    assert Mapping.model_validate(tomllib.loads(example)).name == "my-shop"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_every_public_name_loads():
    for name in footfall.__all__:
        assert getattr(footfall, name) is not None
