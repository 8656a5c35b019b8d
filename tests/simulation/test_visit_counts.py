import numpy as np
import pytest

from footfall.errors import PersonaError
from footfall.personas.persona import Persona
from footfall.simulator.visit_counts import sessions_per_shopper


def people(activities):
    return [
        Persona(persona_id=f"p{number}", activity=activity)
        for number, activity in enumerate(activities)
    ]


def test_sessions_are_shared_out_by_activity():
    counts = sessions_per_shopper(people([1.0, 2.0, 7.0]), 20_000, np.random.default_rng(0))
    assert counts.sum() == 20_000
    assert counts / 20_000 == pytest.approx([0.1, 0.2, 0.7], abs=0.015)


def test_counts_of_equal_shoppers_vary_as_chance_has_it():
    counts = sessions_per_shopper(people([1.0] * 2000), 6000, np.random.default_rng(1))
    # Poisson in the limit: mean and variance 3, and one in twenty never comes.
    assert counts.var() == pytest.approx(3.0, rel=0.15)
    assert np.mean(counts == 0) == pytest.approx(np.exp(-3.0), abs=0.015)


def test_the_same_seed_gives_the_same_counts():
    first, second = (
        sessions_per_shopper(people([1e-300, 1e300]), 9, np.random.default_rng(2)).tolist()
        for _ in range(2)
    )
    assert first == second == [0, 9]


def test_nobody_cannot_come():
    with pytest.raises(PersonaError, match="no shoppers"):
        sessions_per_shopper([], 5, np.random.default_rng(0))
