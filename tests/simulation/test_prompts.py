from itertools import takewhile

import pytest

from footfall.personas.persona import Persona
from footfall.simulator.prompts import PromptBook, QueryExample

EXAMPLES = (QueryExample("rye bread 500 g", "bread"), QueryExample("tomato soup", "soup can"))


def persona(locale="en_US", **values):
    return Persona(
        persona_id="p",
        locale=locale,
        demographics={"age": "25-34"},
        interests={"food > soup": 0.5, "food > bread": 0.3, "food > tea": 0.15, "home": 0.05},
        history=("one", "two", "three", "four"),
        **values,
    )


def test_the_query_prompt_by_hand():
    assert PromptBook(EXAMPLES[:1]).query(persona(), "green tea").splitlines() == [
        "What shoppers look for and the short search query they type.",
        "Looking for: rye bread 500 g",
        "Query: bread",
        "Shopper: 25-34 ; soup, bread, tea ; two, three, four",
        "Looking for: green tea",
        "Query:",
    ]


def test_the_choice_prompts_by_hand():
    prompts, options = PromptBook().choices(persona(), "green tea", ["tea A", "tea B"])
    assert options == (" Yes", " No")
    assert prompts[1].splitlines() == [
        "Does the item suit the shopper? Answer Yes or No.",
        "Shopper: 25-34 ; soup, bread, tea ; two, three, four",
        "Looking for: green tea",
        "Item: tea B",
        "Suits:",
    ]
    assert len(prompts) == 2


def shared(one, other):
    """Length of the beginning that two texts have in common."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


def test_what_is_shared_comes_first_and_the_item_last():
    book = PromptBook(EXAMPLES)
    someone = persona(price_sensitivity=0.1)
    one, other = book.query(someone, "xylophone"), book.query(someone, "tea")
    assert one[shared(one, other) :].startswith("xylophone")
    stranger = Persona(persona_id="q", demographics={"age": "99"})
    assert one[: shared(one, book.query(stranger, "xylophone"))].endswith("Shopper: ")
    (first, second), _ = book.choices(someone, "tea", ["xylophone", "tea"])
    assert first[shared(first, second) :].startswith("xylophone")


def test_chinese_shoppers_are_asked_in_chinese():
    shopper = persona("zh_CN")
    prompt = PromptBook((QueryExample("纯牛奶 250ml", "牛奶"),)).query(shopper, "方便面")
    assert "Looking" not in prompt
    assert prompt.splitlines()[-2:] == ["想找: 方便面", "搜索词:"]
    prompts, options = PromptBook().choices(shopper, None, ["方便面"])
    assert options == ("是", "否")
    assert "随便看看" in prompts[0]
    assert "Shopper" not in prompts[0]


@pytest.mark.parametrize("locale", ["de_DE", "en_GB", "fil_PH"])
def test_other_languages_are_asked_in_english(locale):
    assert PromptBook().query(persona(locale), "Brot").endswith("Looking for: Brot\nQuery:")


@pytest.mark.parametrize("wanted", [None, ""])
def test_who_wants_nothing_is_just_browsing(wanted):
    prompts, _ = PromptBook().choices(persona(), wanted, ["tea"])
    assert "Looking for: just browsing" in prompts[0]
    assert PromptBook().choices(persona(), "tea", []) == ([], (" Yes", " No"))
