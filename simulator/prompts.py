"""The words put to the language model, in the shopper's language.

Prompts are ordered for prefix reuse: what all shoppers share comes first, then the shopper, then
what is wanted, and the item last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from footfall.personas.fit import persona_text
from footfall.personas.persona import Persona

__all__ = ["PromptBook", "QueryExample"]


@dataclass(frozen=True, slots=True)
class QueryExample:
    """What someone looked for and what they typed, shown to the model as a pattern."""

    wanted: str
    query: str


@dataclass(frozen=True, slots=True)
class _Wording:
    query_task: str
    wanted: str
    query: str
    choice_task: str
    shopper: str
    browsing: str
    item: str
    question: str
    options: tuple[str, str]


_ENGLISH = _Wording(
    query_task="What shoppers look for and the short search query they type.",
    wanted="Looking for",
    query="Query",
    choice_task="Does the item suit the shopper? Answer Yes or No.",
    shopper="Shopper",
    browsing="just browsing",
    item="Item",
    question="Suits:",
    options=(" Yes", " No"),
)
_CHINESE = _Wording(
    query_task="顾客想找的东西和他们输入的简短搜索词。",
    wanted="想找",
    query="搜索词",
    choice_task="商品是否适合这位顾客？回答是或否。",
    shopper="顾客",
    browsing="随便看看",
    item="商品",
    question="适合：",
    options=("是", "否"),
)
_LANGUAGES = {"en": _ENGLISH, "zh": _CHINESE}


@dataclass(frozen=True, slots=True)
class PromptBook:
    """Prompts for one shop; ``examples`` come from its own log or catalogue.

    Shoppers of a locale without wording of its own are asked in English; their interests, queries
    and items stay in the words of the log.
    """

    examples: tuple[QueryExample, ...] = ()
    shopper_interests: int = 3
    shopper_history: int = 3

    def query(self, persona: Persona, wanted: str) -> str:
        """Prompt whose next line is the query that ``persona`` types for ``wanted``."""
        words = _wording(persona.locale)
        lines = [words.query_task]
        for example in self.examples:
            lines += [f"{words.wanted}: {example.wanted}", f"{words.query}: {example.query}"]
        lines += [
            f"{words.shopper}: {self._describe(persona)}",
            f"{words.wanted}: {wanted}",
            f"{words.query}:",
        ]
        return "\n".join(lines)

    def choices(
        self, persona: Persona, wanted: str | None, items: Sequence[str]
    ) -> tuple[list[str], tuple[str, str]]:
        """One prompt an item, and the options (suits, does not suit) to weigh after each."""
        words = _wording(persona.locale)
        head = "\n".join(
            [
                words.choice_task,
                f"{words.shopper}: {self._describe(persona)}",
                f"{words.wanted}: {wanted or words.browsing}",
                f"{words.item}: ",
            ]
        )
        return [f"{head}{item}\n{words.question}" for item in items], words.options

    def _describe(self, persona: Persona) -> str:
        return persona_text(persona, interests=self.shopper_interests, history=self.shopper_history)


def _wording(locale: str) -> _Wording:
    return _LANGUAGES.get(locale.split("_", maxsplit=1)[0], _ENGLISH)
