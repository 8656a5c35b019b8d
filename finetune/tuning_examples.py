"""Training examples for the simulator's language model: prompts of the simulation, real answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from footfall.errors import NoResponseError
from footfall.finetune.reconstruction import Reconstruction
from footfall.finetune.tuning_events import (
    Event,
    read_events,
    recorded_response,
    require_times,
)
from footfall.finetune.tuning_settings import TuningSettings
from footfall.finetune.tuning_slates import Slate, candidates_kind, make_slates
from footfall.simulator.catalog import Catalog
from footfall.simulator.engines.tuned import person_hash
from footfall.simulator.prompts import PromptBook

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = [
    "Cut",
    "TuningExample",
    "TuningExamples",
    "choice_example",
    "query_example",
    "read_tuning_examples",
]

Task = Literal["query", "choice"]
#: Cuts a text after a number of tokens.
Cut: TypeAlias = Callable[[str, int], str]
#: Tokens of a prompt that are not items: task, shopper, query, letters.
_FRAME_TOKENS = 80
_SHORTEST_TEXT = 6
_LABEL_TOKENS = 3
#: Hash of the seed's own, so that the draw of examples and that of validation users differ.
_VALIDATION_STREAM = 1


def _whole(text: str, most: int) -> str:
    del most
    return text


@dataclass(frozen=True, slots=True)
class TuningExample:
    """A prompt and the answer that a real shopper gave.

    ``options`` are those of a choice, else empty. The answer of a query ends in a line break,
    where the simulation stops to read.
    """

    task: Task
    prompt: str
    completion: str
    options: tuple[str, ...]
    search_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class TuningExamples:
    """Examples to train on, and later ones (or other users') to watch losses on."""

    train: list[TuningExample]
    validation: list[TuningExample]
    response: str
    candidates: str

    def unseen_people(self) -> tuple[str, ...]:
        """Hashes of people of whom validation has rows and training none, sorted."""
        trained = {example.user_id for example in self.train}
        held = {example.user_id for example in self.validation} - trained
        return tuple(sorted(map(person_hash, held)))

    def counts(self) -> dict[str, int]:
        """Number of examples by part, task and kind of answer."""
        found: dict[str, int] = {}
        for part, examples in (("training", self.train), ("validation", self.validation)):
            for example in examples:
                name = f"{part} {example.task}"
                found[name] = found.get(name, 0) + 1
                if example.task == "choice" and example.completion == example.options[-1]:
                    found[f"{name}, none chosen"] = found.get(f"{name}, none chosen", 0) + 1
        return found


def read_tuning_examples(
    log: Log,
    settings: TuningSettings,
    *,
    until: datetime | None = None,
    cut: Cut = _whole,
) -> TuningExamples:
    """Examples of both tasks from the real log before ``until``.

    Validation is the last part by time; where the log has no times, all searches of some users.

    Parameters
    ----------
    log:
        An open log.
    settings:
        How many examples, and of what kind.
    until:
        End of the training part, exclusive.
    cut:
        Cuts an item's text after so many tokens, so that a prompt stays below ``max_tokens``.

    Raises
    ------
    SettingError
        If the log has no times and ``until`` is given.
    EmptyLogError
        If nothing lies before ``until``.
    NoResponseError
        If the log records no response to learn choices from, or nothing is left to learn.
    """
    require_times(log, until)
    response = (
        recorded_response(log, until=until) if settings.response == "auto" else settings.response
    )
    # As many more as validation takes away.
    more = 1.0 / (1.0 - settings.validation_share)
    events = read_events(
        log,
        response=response,
        end=until,
        known_until=until,
        queries=round(settings.queries * more),
        choices=round(settings.choices * more),
        none_share=settings.largest_none_share,
        seed=settings.seed,
    )
    kind = candidates_kind(events)
    catalog = Catalog.from_log(log, until=until)
    reconstruction = (
        Reconstruction(log, catalog, response=response, end=until)
        if kind == "reconstructed"
        else None
    )
    rng = np.random.default_rng([settings.seed, 0])
    late = _validation_mask(events, settings)
    parts: list[list[TuningExample]] = []
    for chosen in (False, True):
        part = [event for event, is_late in zip(events, late, strict=True) if is_late == chosen]
        examples = _examples(part, catalog, reconstruction, rng, settings, cut)
        parts.append(examples)
    train, validation = parts
    if not train:
        raise NoResponseError(
            "The log has neither queries nor responses to learn from.",
            hint="Give a later end, or raise `queries` or `choices`.",
        )
    return TuningExamples(train, _capped(validation, settings), response, kind)


def query_example(
    event: Event, book: PromptBook, wanted: str | None, *, tried: Sequence[str] = ()
) -> TuningExample:
    """The event's query (or none) as the answer to the simulation's query prompt."""
    return TuningExample(
        "query",
        book.query(event.persona, wanted, tried=tried),
        book.answer(event.persona.locale, event.query),
        (),
        event.search_id,
        event.user_id,
    )


def choice_example(slate: Slate, book: PromptBook, texts: Sequence[str]) -> TuningExample:
    """The slate's choice as the answer to the simulation's slate prompt; ``texts`` may be cut."""
    prompt, options = book.slate(slate.persona, slate.query, texts)
    answer = options[-1] if slate.chosen is None else options[slate.chosen]
    return TuningExample("choice", prompt, answer, options, slate.search_id, slate.user_id)


def _validation_mask(events: Sequence[Event], settings: TuningSettings) -> list[bool]:
    share = settings.validation_share
    times = sorted(event.at for event in events if event.at is not None)
    if len(times) == len(events):
        boundary = times[min(int(len(times) * (1.0 - share)), len(times) - 1)]
        return [event.at is not None and event.at >= boundary for event in events]
    users = sorted({event.user_id for event in events})
    rng = np.random.default_rng([settings.seed, _VALIDATION_STREAM])
    drawn = rng.permutation(len(users))[: max(1, round(len(users) * share))]
    chosen = {users[int(place)] for place in drawn} if len(users) > 1 else set()
    return [event.user_id in chosen for event in events]


def _examples(
    events: Sequence[Event],
    catalog: Catalog,
    reconstruction: Reconstruction | None,
    rng: np.random.Generator,
    settings: TuningSettings,
    cut: Cut,
) -> list[TuningExample]:
    room = settings.max_tokens - _FRAME_TOKENS
    book = PromptBook()
    texts = dict(zip(catalog.item_ids.tolist(), catalog.texts(), strict=True))
    examples = []
    if settings.queries:
        for event in events:
            if not event.asks:
                continue
            responded = [
                texts[item]
                for item, response in zip(event.item_ids, event.responses, strict=True)
                if response and item in texts
            ]
            told = rng.random() >= settings.without_need
            wanted = responded[int(rng.integers(len(responded)))] if responded and told else None
            wanted = None if wanted is None else cut(wanted, max(room, _SHORTEST_TEXT))
            examples.append(query_example(event, book, wanted, tried=event.tried))
    if settings.choices:
        slates = make_slates(
            events,
            catalog,
            reconstruction,
            rng,
            page_size=settings.page_size,
            none_share=settings.none_share,
        )
        for slate in slates:
            most = max(room // len(slate.texts) - _LABEL_TOKENS, _SHORTEST_TEXT)
            texts_cut = [cut(text, most) for text in slate.texts]
            examples.append(choice_example(slate, book, texts_cut))
    return examples


def _capped(examples: list[TuningExample], settings: TuningSettings) -> list[TuningExample]:
    """At most ``validation_examples`` of each task, evenly spread."""
    kept: list[TuningExample] = []
    for task in ("query", "choice"):
        rows = [example for example in examples if example.task == task]
        places = np.unique(
            np.linspace(0, len(rows) - 1, min(len(rows), settings.validation_examples)).round()
        )
        kept += [rows[int(place)] for place in places]
    return kept
