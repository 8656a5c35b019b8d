import numpy as np
import pytest

from footfall.personas.persona import Persona
from footfall.simulator.affinity import affinities
from footfall.simulator.needs import category_prefixes


def test_prefixes_of_a_category_path():
    assert category_prefixes("a > b > c") == ["a", "a > b", "a > b > c"]
    assert category_prefixes(None) == []


def test_affinity_is_the_log_of_interest_when_prices_are_unknown():
    persona = Persona(persona_id="p", interests={"food > soup": 0.25})
    found = affinities(persona, ["food > soup > tomato", None], [None, None])
    assert found[0] == pytest.approx(np.log(0.25))
    assert found[1] == pytest.approx(np.log(0.002))


def test_the_price_counts_as_much_as_the_shopper_minds_it():
    categories = ["a", "a"]
    careful = Persona(persona_id="c", interests={"a": 1.0}, price_sensitivity=1.0)
    careless = Persona(persona_id="d", interests={"a": 1.0}, price_sensitivity=0.0)
    cheap, dear = affinities(careful, categories, [1.0, np.e**2])
    assert cheap - dear == pytest.approx(2.0)
    assert affinities(careless, categories, [1.0, np.e**2]).tolist() == [0.0, 0.0]
