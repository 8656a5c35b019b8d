import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import footfall
from footfall.cli import app
from footfall.finetune import ClickSettings, FusionSettings, QuerySettings
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.simulator.ingest import Mapping

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])


def console_commands():
    joined = [path.read_text(encoding="utf-8").replace("\\\n", " ") for path in DOCUMENTS]
    lines = [line for text in joined for line in text.splitlines()]
    commands = [shlex.split(line[2:]) for line in lines if line.startswith("$ footfall")]
    # What follows > is for the shell.
    return [words[: words.index(">")] if ">" in words else words for words in commands]


@pytest.mark.parametrize("words", console_commands(), ids=" ".join)
def test_every_command_line_of_the_documents_is_one_that_footfall_takes(words):
    command, arguments = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
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


@pytest.mark.parametrize(
    ("settings", "document"),
    [
        (ClickSettings, "classifier"),
        (QuerySettings, "classifier"),
        (FusionSettings, "fusion"),
        (AugmentationSettings, "fusion"),
    ],
)
def test_every_setting_is_documented_with_its_default(settings, document):
    lines = (ROOT / f"docs/{document}.md").read_text(encoding="utf-8").splitlines()
    for name, field in settings.model_fields.items():
        rows = [
            line for line in lines if line.startswith("|") and f"`{name}`" in line.split("|")[1]
        ]
        assert rows, name
        told = [_default(row, name) for row in rows]
        if isinstance(field.default, tuple):
            whole = name == "features"
            listed = ", ".join(f"`{value}`" for value in field.default)
            assert rows[0].split("|")[2].strip() == ("all six" if whole else listed), name
        else:
            shown = str(field.default)
            shown = shown.lower() if isinstance(field.default, bool | None) else shown
            assert any(_same(value, shown) for value in told), (name, told)


def _default(row, name):
    """The default beside a name; one row may have several, in order."""
    names, defaults = row.split("|")[1:3]
    names = re.findall(r"`(\w+)`", names)
    values = [value.strip(" `") for value in defaults.split(",")]
    return values[names.index(name)]


def _same(told, default):
    try:
        return float(told) == float(default)
    except ValueError:
        return told == default


def test_every_public_name_loads():
    for name in footfall.__all__:
        assert getattr(footfall, name) is not None
