"""People from nothing: Faker supplies who they are, priors supply their habits.

The priors, each a guess to be replaced by a log as soon as there is one:

===================  ==================  ==========================================
habit                prior               mean, and 90 % of people
===================  ==================  ==========================================
price_sensitivity    Beta(2, 2)          0.50, 0.14 to 0.86
brand_loyalty        Beta(2, 2)          0.50, 0.14 to 0.86
exploration          Beta(1.5, 3.5)      0.30, 0.05 to 0.66
activity             Gamma(2, 0.5)       1 session a week, 0.2 to 2.4
patience             1 + Gamma(2, 0.5)   2 pages, 1.2 to 3.4
interests            Dirichlet(0.5)      a few categories dominate
===================  ==================  ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from footfall.errors import MissingPartError, PersonaError
from footfall.personas.habits import INTEREST_LIMIT, interest_category
from footfall.personas.persona import Persona

__all__ = ["invent_personas"]

_AGE_BANDS: Final = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
#: Shares of adults per age band, near those of the United States census of 2020.
_AGE_SHARES: Final = (0.12, 0.18, 0.17, 0.16, 0.16, 0.21)
#: Words for women and men; other languages get the English ones.
_GENDERS: Final = {"zh": ("女", "男"), "ja": ("女性", "男性"), "en": ("female", "male")}


def invent_personas(
    count: int,
    *,
    locale: str = "en_US",
    categories: Sequence[str] = (),
    seed: int = 0,
    names: bool = False,
) -> list[Persona]:
    """Invent ``count`` people; the same arguments give the same people.

    Person ``i`` depends on the seed and ``i`` only: a longer list begins with a shorter one.

    Parameters
    ----------
    count:
        How many.
    locale:
        A Faker locale such as ``en_US`` or ``zh_CN``; job and city are in its language.
    categories:
        Category paths to be interested in; paths are cut to the depth of interests. Without any,
        personas have no interests.
    seed:
        Seed of everything.
    names:
        Add a made-up name to the demographics.

    Raises
    ------
    PersonaError
        If Faker does not know the locale, or ``count`` is negative.
    """
    if count < 0:
        raise PersonaError(f"count is {count}.", hint="Ask for 0 or more personas.")
    faker = _open_faker(locale)
    paths = sorted({interest_category(path) for path in categories if path})
    return [
        _invent(f"invented-{seed}-{number + 1:06d}", faker, paths, names, [seed, number])
        for number in range(count)
    ]


def _open_faker(locale: str) -> Any:
    try:
        from faker import Faker
        from faker.config import AVAILABLE_LOCALES
    except ImportError as error:
        raise MissingPartError(
            "Inventing personas needs Faker.", hint="pip install faker"
        ) from error
    if locale not in AVAILABLE_LOCALES:
        near = [name for name in sorted(AVAILABLE_LOCALES) if name[:2] == locale[:2]]
        some = [*near[:5], "en_US", "zh_CN", "de_DE", "ja_JP", "fr_FR"]
        raise PersonaError(
            f"The locale {locale!r} is unknown to Faker.",
            hint=f"Use one such as {', '.join(dict.fromkeys(some))}.",
        )
    return Faker(locale)


def _invent(persona_id: str, faker: Any, paths: list[str], names: bool, seed: list[int]) -> Persona:
    random = np.random.default_rng(seed)
    faker.seed_instance(int(random.integers(2**63)))
    locale = str(faker.locales[0])
    women, men = _GENDERS.get(locale[:2], _GENDERS["en"])
    female = bool(random.random() < 0.5)
    demographics = {
        "gender": women if female else men,
        "age": str(random.choice(_AGE_BANDS, p=_AGE_SHARES)),
        "job": str(faker.job()),
        "city": str(faker.city()),
    }
    if names:
        demographics["name"] = str(faker.name_female() if female else faker.name_male())
    return Persona(
        persona_id=persona_id,
        locale=locale,
        demographics=demographics,
        interests=_draw_interests(paths, random),
        price_sensitivity=round(float(random.beta(2.0, 2.0)), 4),
        brand_loyalty=round(float(random.beta(2.0, 2.0)), 4),
        exploration=round(float(random.beta(1.5, 3.5)), 4),
        activity=max(round(float(random.gamma(2.0, 0.5)), 4), 0.01),
        patience=round(1.0 + float(random.gamma(2.0, 0.5)), 4),
        source="faker",
    )


def _draw_interests(paths: list[str], random: np.random.Generator) -> dict[str, float]:
    if not paths:
        return {}
    drawn = random.gamma(0.5, size=len(paths)) + 1e-9
    order = np.argsort(-drawn, kind="stable")[:INTEREST_LIMIT]
    kept = drawn[order] / drawn[order].sum()
    return {paths[place]: float(weight) for place, weight in zip(order, kept, strict=True)}
