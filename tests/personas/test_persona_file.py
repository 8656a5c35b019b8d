from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footfall.errors import PersonaError
from footfall.personas.persona import Persona, read_personas, write_personas

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_PERSONAS = st.builds(
    Persona,
    persona_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    locale=st.sampled_from(["en_US", "zh_CN"]),
    demographics=st.dictionaries(_TEXT, _TEXT, max_size=3),
    interests=st.dictionaries(_TEXT, st.floats(0, 1), max_size=3),
    history=st.lists(_TEXT, max_size=3).map(tuple),
    price_sensitivity=st.floats(0, 1),
    patience=st.floats(0.1, 9),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(_PERSONAS, min_size=1, max_size=4, unique_by=lambda one: one.persona_id))
def test_round_trip(tmp_path: Path, people: list[Persona]) -> None:
    path = tmp_path / "people.jsonl"
    assert write_personas(people, path) == len(people)
    assert read_personas(path) == people


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"persona_id": "b", "shoe_size": 9}', "shoe_size"),
        ('{"persona_id": "b", "patience": 0}', "patience"),
        ('{"persona_id": "b", "price_sensitivity": 1.5}', "price_sensitivity"),
        ('{"persona_id": "a"}', "persona_id"),
        ("{", "the line"),
    ],
)
def test_error_names_line_and_field(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"persona_id": "a"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(PersonaError, match=rf"line 3.*{named}"):
        read_personas(path)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(PersonaError, match="no such persona file"):
        read_personas(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(PersonaError, match="empty"):
        read_personas(tmp_path / "empty.jsonl")
