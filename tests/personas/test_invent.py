from __future__ import annotations

import re

import pytest

from footfall.errors import PersonaError
from footfall.personas import invent_personas


def test_same_seed_same_people() -> None:
    people = invent_personas(6, seed=3, categories=["A > B > C", "D"])
    assert people == invent_personas(6, seed=3, categories=["D", "A > B > C"])
    assert people[:2] == invent_personas(2, seed=3, categories=["A > B > C", "D"])
    assert people != invent_personas(6, seed=4, categories=["A > B > C", "D"])
    assert len({person.persona_id for person in people}) == 6


def test_chinese_people() -> None:
    for person in invent_personas(5, locale="zh_CN", names=True):
        assert person.locale == "zh_CN"
        assert set(person.demographics) == {"gender", "age", "job", "city", "name"}
        assert person.demographics["gender"] in {"女", "男"}
        assert re.search(r"[\u4e00-\u9fff]", person.demographics["city"])
        assert person.source == "faker"


def test_interests_only_from_given_categories() -> None:
    people = invent_personas(20, categories=["A > B > C", "A > B > D", "E"])
    assert {path for person in people for path in person.interests} == {"A > B", "E"}
    assert all(sum(person.interests.values()) == pytest.approx(1.0) for person in people)
    assert all("name" not in person.demographics for person in people)
    assert invent_personas(1)[0].interests == {}


def test_errors() -> None:
    with pytest.raises(PersonaError, match=r"xx_XX.*en_US, zh_CN"):
        invent_personas(1, locale="xx_XX")
    with pytest.raises(PersonaError, match="count is -1"):
        invent_personas(-1)
    assert invent_personas(0) == []
