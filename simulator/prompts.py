"""The words put to the language model, in the shopper's language.

Prompts are ordered for prefix reuse: what all shoppers share comes first, then the shopper, then
what is wanted, and the items last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from footfall.errors import SettingError
from footfall.personas.fit import persona_text
from footfall.personas.persona import Persona

__all__ = ["LARGEST_SLATE", "NO_QUERY", "PromptBook", "QueryExample", "wording_language"]

#: The answer to a query prompt that means "types nothing, browses".
NO_QUERY = "-"
#: Most items of one slate prompt: its labels are the letters A to T, one token each.
LARGEST_SLATE = 20

_LETTERS = "ABCDEFGHIJKLMNOPQRST"


@dataclass(frozen=True, slots=True)
class QueryExample:
    """What someone looked for and what they typed, shown to the model as a pattern."""

    wanted: str
    query: str
    tried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asking:
    """One way of asking for a preference: over one item, or over a slate."""

    task: str
    question: str
    options: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Wording:
    query_task: str
    wanted: str
    tried: str
    query: str
    shopper: str
    browsing: str
    item: str
    choice: dict[str, _Asking]
    slate: dict[str, _Asking]


# Options of `choice` are (suits, does not suit); of `slate`, (blank before a letter, none).
_ENGLISH = _Wording(
    query_task="What shoppers look for and the short search query they type.",
    wanted="Looking for",
    tried="Tried",
    query="Query",
    shopper="Shopper",
    browsing="just browsing",
    item="Item",
    choice={
        "first": _Asking(
            "Does the item suit the shopper? Answer Yes or No.", "Suits:", (" Yes", " No")
        ),
        "second": _Asking(
            "No or Yes: would this shopper click on the item?", "Clicks:", (" Yes", " No")
        ),
    },
    slate={
        "first": _Asking(
            "What the shopper chooses among the items shown: a letter, or none.",
            "Chosen:",
            (" ", " none"),
        ),
        "second": _Asking(
            "None of the items, or one of them: which would this shopper click on?",
            "Clicked:",
            (" ", " none"),
        ),
    },
)
_CHINESE = _Wording(
    query_task="顾客想找的东西和他们输入的简短搜索词。",
    wanted="想找",
    tried="试过",
    query="搜索词",
    shopper="顾客",
    browsing="随便看看",
    item="商品",
    choice={
        "first": _Asking("商品是否适合这位顾客？回答是或否。", "适合：", ("是", "否")),
        "second": _Asking("否还是是：这位顾客会点击这件商品吗？", "点击：", ("是", "否")),
    },
    slate={
        "first": _Asking("顾客在所示商品中选择哪一件：一个字母，或无。", "选择：", ("", "无")),
        "second": _Asking("都不点，还是点其中一件：这位顾客会点击哪一件？", "点击：", ("", "无")),
    },
)
_LANGUAGES = {"en": _ENGLISH, "zh": _CHINESE}


@dataclass(frozen=True, slots=True)
class PromptBook:
    """Prompts for one shop; ``examples`` come from its own log or catalogue.

    Shoppers of a locale without wording of its own are asked in English; their interests, queries
    and items stay in the words of the log. The ``second`` wording asks for preferences in other
    words: comparing the two measures how much the answer owes to the question.
    """

    examples: tuple[QueryExample, ...] = ()
    shopper_interests: int = 3
    shopper_history: int = 3
    wording: Literal["first", "second"] = "first"

    def query(self, persona: Persona, wanted: str | None, *, tried: Sequence[str] = ()) -> str:
        """Prompt whose next line is the query that ``persona`` types for ``wanted``.

        Nothing is said of what is wanted where ``wanted`` is ``None``. ``tried`` are queries of
        this visit that served the same need and found nothing. The answer :data:`NO_QUERY` means
        that nothing is typed.
        """
        words = _wording(persona.locale)
        lines = [words.query_task]
        # The label's colon is the language's own: full-width in Chinese, as in the questions.
        tried_label = words.tried + ("：" if words is _CHINESE else ": ")
        for example in self.examples:
            lines.append(f"{words.wanted}: {example.wanted}")
            lines += [f"{tried_label}{query}" for query in example.tried]
            lines.append(f"{words.query}: {example.query}")
        lines.append(f"{words.shopper}: {self._describe(persona)}")
        if wanted is not None:
            lines.append(f"{words.wanted}: {wanted}")
        lines += [f"{tried_label}{query}" for query in tried]
        return "\n".join([*lines, f"{words.query}:"])

    def typed(self, locale: str, wanted: str | None, query: str | None) -> tuple[str, str]:
        """A query prompt of an unknown shopper without patterns, and ``query`` as its answer.

        How likely the answer is tells how well ``query`` goes with what is wanted.
        """
        unknown = Persona(persona_id="unknown", locale=locale)
        prompt = PromptBook().query(unknown, None if wanted is None else " ".join(wanted.split()))
        return prompt, self.answer(locale, query)

    def answer(self, locale: str, query: str | None) -> str:
        """How ``query`` (or none) follows a query prompt, with the line break that ends it."""
        # Languages with full-width signs put no blank after a label; the prompt's end tells.
        blank = "" if _wording(locale) is _CHINESE else " "
        return f"{blank}{NO_QUERY if query is None else ' '.join(query.split())}\n"

    def choices(
        self, persona: Persona, wanted: str | None, items: Sequence[str]
    ) -> tuple[list[str], tuple[str, str]]:
        """One prompt an item, and the options (suits, does not suit) to weigh after each."""
        words = _wording(persona.locale)
        asking = words.choice[self.wording]
        head = "\n".join([*self._head(persona, wanted, asking), f"{words.item}: "])
        return [f"{head}{item}\n{asking.question}" for item in items], asking.options

    def slate(
        self, persona: Persona, wanted: str | None, items: Sequence[str]
    ) -> tuple[str, tuple[str, ...]]:
        """One prompt that shows all ``items`` in the order given, and the options after it.

        The options are one letter an item, in that order, and "none" last.

        Raises
        ------
        SettingError
            If there are more items than letters (:data:`LARGEST_SLATE`).
        """
        if len(items) > LARGEST_SLATE:
            raise SettingError(
                f"A slate of {len(items)} items cannot be put into one prompt.",
                hint=f"Show at most {LARGEST_SLATE} items, or ask in blocks.",
            )
        words = _wording(persona.locale)
        asking = words.slate[self.wording]
        letters = _LETTERS[: len(items)]
        lines = [
            *self._head(persona, wanted, asking),
            *(
                f"{letter}: {' '.join(item.split())}"
                for letter, item in zip(letters, items, strict=True)
            ),
            asking.question,
        ]
        blank, none = asking.options
        return "\n".join(lines), (*(blank + letter for letter in letters), none)

    def labels(self, persona: Persona) -> tuple[str, ...]:
        """Words that begin lines of the persona's query prompt; a model may echo them."""
        words = _wording(persona.locale)
        return (words.shopper, words.wanted, words.tried, words.query)

    def _head(self, persona: Persona, wanted: str | None, asking: _Asking) -> list[str]:
        words = _wording(persona.locale)
        return [
            asking.task,
            f"{words.shopper}: {self._describe(persona)}",
            f"{words.wanted}: {wanted or words.browsing}",
        ]

    def _describe(self, persona: Persona) -> str:
        return persona_text(persona, interests=self.shopper_interests, history=self.shopper_history)


def wording_language(locale: str) -> str:
    """Language in which shoppers of ``locale`` are asked: ``zh``, or ``en`` for all others."""
    language = locale.split("_", maxsplit=1)[0]
    return language if language in _LANGUAGES else "en"


def _wording(locale: str) -> _Wording:
    return _LANGUAGES[wording_language(locale)]
