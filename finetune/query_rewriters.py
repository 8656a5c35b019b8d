"""Writes queries in other words: by the engine, through another language, by translation models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from footfall.finetune.augment_prompts import AskedText, paraphrase_prompt, translation_prompt
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.progress import track
from footfall.simulator.engines.protocol import Answer, Engine, TextAnswer, TextRequest
from footfall.simulator.language import Language, locale_script
from footfall.simulator.queries import accept_query

__all__ = ["BackTranslator", "ModelBackTranslator", "Paraphraser", "Rewriter", "Translator"]


class Rewriter(Protocol):
    """Writes queries in other words."""

    def rewrite(self, queries: Sequence[str], draws: Sequence[int]) -> list[str]:
        """One rewriting a query, not yet checked; empty where there is none.

        Another number in ``draws`` asks for another rewriting of the same query; the same number
        gives the same one again.
        """


class Translator(Protocol):
    """A translation model of one direction."""

    def translate(self, texts: Sequence[str], ranks: Sequence[int]) -> list[str]:
        """The ``rank``-th best translation of each text; 0 is the best."""


class Paraphraser:
    """Asks the engine for a query in other words of its language.

    Parameters
    ----------
    engine:
        What answers; the caller closes it.
    language:
        Code of the queries' language.
    settings:
        Temperature and length.
    seed:
        Tells the draws of different augmentations apart.
    """

    def __init__(
        self, engine: Engine, language: str, settings: AugmentationSettings, seed: int = 0
    ) -> None:
        self._engine = engine
        self._language = language
        self._settings = settings
        self._seed = seed

    def rewrite(self, queries: Sequence[str], draws: Sequence[int]) -> list[str]:
        """One paraphrase a query; empty where the answer is an echo of the prompt or no query."""
        asked = [paraphrase_prompt(query, self._language) for query in queries]
        keys = [f"paraphrase/{self._seed}/{draw}" for draw in draws]
        return _answers(self._engine, asked, keys, self._settings, "Paraphrasing queries")


class BackTranslator:
    """Asks the engine for a query in the pivot language, and for that in the query's language.

    The parameters are those of :class:`Paraphraser`, and ``pivot``, a language's code.
    """

    def __init__(
        self,
        engine: Engine,
        language: str,
        pivot: str,
        settings: AugmentationSettings,
        seed: int = 0,
    ) -> None:
        self._engine = engine
        self._language = language
        self._pivot = pivot
        self._settings = settings
        self._seed = seed

    def rewrite(self, queries: Sequence[str], draws: Sequence[int]) -> list[str]:
        """One back-translation a query; empty where either way gave no usable text."""
        there = self._translate(queries, draws, self._language, self._pivot)
        script = Language(shares={locale_script(self._pivot): 1.0})
        # A name that is the same in both languages was not translated, and comes back unchanged.
        places = [
            place
            for place, (query, text) in enumerate(zip(queries, there, strict=True))
            if accept_query(text, tried=(query,), language=script).kind == "query"
        ]
        back = self._translate(
            [there[place] for place in places],
            [draws[place] for place in places],
            self._pivot,
            self._language,
        )
        found = [""] * len(queries)
        for place, text in zip(places, back, strict=True):
            found[place] = text
        return found

    def _translate(
        self, texts: Sequence[str], draws: Sequence[int], source: str, target: str
    ) -> list[str]:
        asked = [translation_prompt(text, source, target, self._language) for text in texts]
        keys = [f"translation/{self._seed}/{source}-{target}/{draw}" for draw in draws]
        words = f"Translating queries ({source} to {target})"
        return _answers(self._engine, asked, keys, self._settings, words)


class ModelBackTranslator:
    """Two translation models, one for each direction; further draws take less likely words."""

    def __init__(self, forth: Translator, back: Translator) -> None:
        self._forth = forth
        self._back = back

    def rewrite(self, queries: Sequence[str], draws: Sequence[int]) -> list[str]:
        """One back-translation a query; another draw is the next best way back."""
        there = self._forth.translate(queries, [0] * len(queries))
        return self._back.translate(there, draws)


def _answers(
    engine: Engine,
    asked: Sequence[AskedText],
    keys: Sequence[str],
    settings: AugmentationSettings,
    description: str,
) -> list[str]:
    """Answers as queries; empty where they are echoes, endless or no words."""
    places: dict[int, int] = {}
    for place, (text, key) in enumerate(zip(asked, keys, strict=True)):
        request = TextRequest(text.prompt, settings.max_tokens, settings.temperature, key)
        places[engine.submit(request)] = place
    found = [""] * len(asked)
    with track(description, total=len(asked)) as progress:
        while places:
            for ticket, answer in engine.collect():
                place = places.pop(ticket)
                found[place] = _query(asked[place], answer)
                progress.advance()
    return found


def _query(asked: AskedText, answer: Answer) -> str:
    text = answer.text if isinstance(answer, TextAnswer) else ""
    return accept_query(text, tried=asked.examples, labels=asked.labels).query or ""
