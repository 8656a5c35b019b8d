from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.personas.stated_habits import field_about

SNAKE = ("age", "bar", "coffee_house", "restaurant_less_than_20", "number_of_children")
CAMEL = ("Age", "Bar", "CoffeeHouse", "RestaurantLessThan20", "Restaurant20To50")


@pytest.mark.parametrize(
    ("names", "category", "found"),
    [
        (SNAKE, "Bar", "bar"),
        (SNAKE, "Places > Bars", "bar"),
        (SNAKE, "Coffee House", "coffee_house"),
        (SNAKE, "Restaurant(<20)", "restaurant_less_than_20"),
        (CAMEL, "Coffee House", "CoffeeHouse"),
        (CAMEL, "Restaurant(20-50)", "Restaurant20To50"),
        # Only the last step of the path is compared, words are whole, and one of three is too few.
        (SNAKE, "Bar > Snacks", None),
        (SNAKE, "Barbecue", None),
        (SNAKE, "Cuts of beef", None),
        (SNAKE, "", None),
        ((), "Bar", None),
        (("年龄", "牛奶", "性别"), "食品 > 纯牛奶", "牛奶"),
        (("年龄", "性别"), "年货", None),
        # The better name counts, and of equally good ones the first.
        (("tea_and_coffee", "coffee_and", "coffee"), "Coffee", "coffee"),
        (("coffee_cups", "coffee_beans"), "Coffee", "coffee_cups"),
        (("coffee_beans", "coffee_cups"), "Coffee", "coffee_beans"),
    ],
)
def test_the_field_that_is_named_like_the_category(names, category, found):
    assert field_about(category, names) == found


words = st.text(st.sampled_from("abcxyz咖啡馆"), min_size=4, max_size=6)


@given(kind=words, others=st.lists(st.text("0123456789", min_size=1, max_size=4), max_size=4))
def test_a_field_of_the_categorys_own_name_is_found_wherever_it_stands(kind, others):
    category = f"shop > {kind.upper()}"
    assert field_about(category, others) is None
    for place in range(len(others) + 1):
        assert field_about(category, [*others[:place], kind, *others[place:]]) == kind


def test_every_kind_of_coupon_has_its_field():
    mapping = files("footfall.simulator.ingest") / "mappings" / "coupon.toml"
    told = tomllib.loads(mapping.read_text(encoding="utf-8"))
    fields = [name for name in _keys(told) if name.startswith(("visits", "takes"))]
    assert len(fields) == 5
    assert field_about("Bar", fields) == "visits_bars"
    assert field_about("Coffee House", fields) == "visits_coffee_houses"
    assert field_about("Carry out & Take away", fields) == "takes_away"
    assert field_about("Restaurant(<20)", fields) == "visits_restaurants_under_20"
    assert field_about("Restaurant(20-50)", fields) == "visits_restaurants_20_to_50"


def _keys(table):
    for name, value in table.items():
        yield name
        if isinstance(value, dict):
            yield from _keys(value)
