"""A printed recipe is the recipe."""

from __future__ import annotations

import itertools
import tomllib
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from footfall.cli import app
from footfall.lift_recipe import LiftRecipe
from footfall.recipe import Recipe, load_settings, parse_toml, validated
from footfall.recipe_text import recipe_toml

RECIPES = sorted(
    file.name.removesuffix(".toml")
    for file in files("footfall").joinpath("recipes").iterdir()
    if file.name.endswith(".toml")
)


class Inner(BaseModel):
    """A table."""

    options: dict[str, Any] = Field(default_factory=dict)
    words: tuple[str, ...] = ()
    ratio: float = 0.5
    until: datetime | None = Field(None, description="End of it, [in] = words # and more.")


class Outer(BaseModel):
    """A recipe whose tables stand before its values."""

    table: Inner = Inner()
    perhaps: Inner | None = None
    name: str = "x"
    folder: Path = Path("x")
    count: int = 0
    on: bool = False


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
inner = st.builds(
    Inner,
    words=st.lists(texts, max_size=3).map(tuple),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    until=st.none()
    | st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.sampled_from([None, UTC])),
    options=st.dictionaries(
        texts, st.integers(-(2**40), 2**40) | texts | st.lists(st.booleans(), max_size=2)
    ),
)
outer = st.builds(
    Outer,
    table=inner,
    perhaps=st.none() | inner,
    name=texts,
    folder=st.just(Path("runs/一")),
    count=st.integers(-(2**40), 2**40),
    on=st.booleans(),
)


@given(outer)
def test_settings_are_read_back_as_they_were(settings):
    printed = recipe_toml(settings)
    assert Outer.model_validate(tomllib.loads(printed)) == settings


@pytest.mark.parametrize("name", RECIPES)
def test_a_packaged_recipe_is_read_back(name, tmp_path):
    kind = LiftRecipe if name.startswith("lift-") else Recipe
    loaded = load_settings(kind, name, hint="")
    printed = recipe_toml(loaded)
    assert validated(kind, parse_toml(printed.encode(), name), name, hint="") == loaded
    command = "lift" if kind is LiftRecipe else "run"
    shown = CliRunner().invoke(app, [command, name, "--check"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.strip() == printed.strip()


def test_every_setting_of_a_proof_is_told_and_says_what_it_is_for():
    printed = recipe_toml(load_settings(LiftRecipe, "lift-coupon", hint="")).splitlines()
    place = printed.index('cold_categories = ["Bar"]')
    assert printed[place - 1].startswith("# Category paths whose items are held out")
    assert "# labelled = (left open)" in printed
    unsaid = [
        line
        for before, line in itertools.pairwise(printed)
        if " = " in line and not line.startswith("#") and not before.startswith("#")
    ]
    assert unsaid == []
