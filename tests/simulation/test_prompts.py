from itertools import takewhile

import pytest

from footfall.errors import SettingError
from footfall.personas.persona import Persona
from footfall.simulator.prompts import (
    LARGEST_SLATE,
    NO_QUERY,
    PromptBook,
    QueryExample,
    wording_language,
)

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


def test_without_examples_and_wants_only_the_shopper_is_described():
    assert PromptBook().query(persona(), None).splitlines() == [
        "What shoppers look for and the short search query they type.",
        "Shopper: 25-34 ; soup, bread, tea ; two, three, four",
        "Query:",
    ]


def test_queries_tried_come_last_one_a_line():
    prompt = PromptBook().query(persona(), "green tea", tried=["sencha", "tee"])
    assert prompt.splitlines()[-4:] == [
        "Looking for: green tea",
        "Tried: sencha",
        "Tried: tee",
        "Query:",
    ]
    chinese = PromptBook().query(persona("zh_CN"), None, tried=["绿茶"])
    assert chinese.splitlines()[-2:] == ["试过：绿茶", "搜索词:"]


def test_no_query_is_no_word_of_any_query():
    assert not any(sign.isalnum() for sign in NO_QUERY)


def test_the_slate_prompt_by_hand():
    prompt, options = PromptBook().slate(persona(), "green tea", ["tea A", "tea\n B"])
    assert prompt.splitlines() == [
        "What the shopper chooses among the items shown: a letter, or none.",
        "Shopper: 25-34 ; soup, bread, tea ; two, three, four",
        "Looking for: green tea",
        "A: tea A",
        "B: tea B",
        "Chosen:",
    ]
    assert options == (" A", " B", " none")


def test_a_chinese_slate_who_browses():
    prompt, options = PromptBook().slate(persona("zh_TW"), None, ["方便面", "牛奶", "面包"])
    assert options == ("A", "B", "C", "无")
    assert prompt.splitlines()[2:] == [
        "想找: 随便看看",
        "A: 方便面",
        "B: 牛奶",
        "C: 面包",
        "选择：",
    ]


@pytest.mark.parametrize("locale", ["en_US", "zh_CN"])
@pytest.mark.parametrize("wording", ["first", "second"])
def test_a_slate_is_as_long_as_there_are_letters_and_no_longer(locale, wording):
    book = PromptBook(wording=wording)
    prompt, options = book.slate(persona(locale), "tea", ["tea"] * LARGEST_SLATE)
    assert len(options) == LARGEST_SLATE + 1
    # Options are told apart by their first token: no two may begin alike.
    assert len({option.strip()[0] for option in options}) == len(options)
    assert f"\n{options[-2].strip()}: tea\n" in prompt
    with pytest.raises(SettingError, match="21 items"):
        book.slate(persona(locale), "tea", ["tea"] * (LARGEST_SLATE + 1))


@pytest.mark.parametrize("locale", ["en_US", "zh_CN"])
def test_the_second_wording_asks_the_same_in_other_words(locale):
    first, second = PromptBook(), PromptBook(wording="second")
    one, other = (book.slate(persona(locale), "tea", ["x", "y"]) for book in (first, second))
    assert one[1] == other[1]
    assert one[0].splitlines()[1:-1] == other[0].splitlines()[1:-1]
    assert one[0].splitlines()[0] != other[0].splitlines()[0]
    (one,), options = first.choices(persona(locale), "tea", ["x"])
    (other,), same = second.choices(persona(locale), "tea", ["x"])
    assert options == same
    assert one.splitlines()[1:-1] == other.splitlines()[1:-1]
    assert one.splitlines()[-1] != other.splitlines()[-1]


def test_the_language_of_asking():
    assert [wording_language(name) for name in ("zh_TW", "en_GB", "de_DE")] == ["zh", "en", "en"]


def test_an_example_that_was_said_anew_shows_what_was_tried_before():
    book = PromptBook((QueryExample("rye bread 500 g", "dark bread", ("bread",)),))
    assert book.query(persona(), "tea").splitlines()[1:4] == [
        "Looking for: rye bread 500 g",
        "Tried: bread",
        "Query: dark bread",
    ]
