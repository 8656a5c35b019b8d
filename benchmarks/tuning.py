"""What tuning the language model on a real log gains on later clicks of that log.

Tunes on the clicks of Best Buy's log before ``--until`` and measures on those from then on: choice
accuracy among reconstructed candidates against popularity, BM25, MiniLM and the untuned model;
likelihood of real queries; and how like real queries the generated ones are. Needs for generated
queries are drawn from the training part only. Run it with::

    footfall ingest bestbuy bestbuy.duckdb --folder FOLDER
    python benchmarks/tuning.py bestbuy.duckdb [--minutes 20] [--slates 400] [--seeds 1]

With ``--model FOLDER`` an earlier tuning is measured instead of a new one made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from footfall import steps
from footfall.eval.choice_accuracy import (
    accuracy_difference,
    choice_accuracy,
    cosine_scorer,
    engine_scorer,
    popularity_scorer,
    search_scorer,
)
from footfall.eval.query_quality import TypedQueries, query_likelihood, query_quality
from footfall.eval.user_means import UserMean
from footfall.finetune.reconstruction import Reconstruction
from footfall.finetune.tuning_card import TuningCard
from footfall.finetune.tuning_events import Event, read_events
from footfall.finetune.tuning_examples import TuningExample, query_example
from footfall.finetune.tuning_network import load_language_model, training_dtype
from footfall.finetune.tuning_settings import TuningSettings
from footfall.finetune.tuning_slates import Slate, make_slates
from footfall.personas.encoder import TextEncoder
from footfall.simulator import Catalog, EngineSettings, Log, open_engine
from footfall.simulator.engines.bundled import prepare_model
from footfall.simulator.engines.protocol import Engine, TextRequest, ask
from footfall.simulator.engines.shared_answers import SharedAnswers
from footfall.simulator.needs import NeedBook
from footfall.simulator.prompt_examples import read_query_examples
from footfall.simulator.prompts import PromptBook
from footfall.simulator.scoring import measure_correction
from footfall.simulator.search import BM25Search

PAGE = 10
NONE_SHARE = 0.0


class Part:
    """The test part, and what of the training part the baselines may know."""

    def __init__(self, path: Path, until: datetime, options: argparse.Namespace) -> None:
        with Log.open(path) as log:
            self.catalog = Catalog.from_log(log, until=until)
            events = read_events(
                log,
                response="clicked",
                start=until,
                known_until=until,
                queries=10**9,
                choices=options.slates,
                none_share=NONE_SHARE,
                seed=options.data_seed,
            )
            reconstruction = Reconstruction(log, self.catalog, response="clicked", end=None)
            rng = np.random.default_rng([options.data_seed, 7])
            self.slates: list[Slate] = make_slates(
                events, self.catalog, reconstruction, rng, page_size=PAGE
            )
            self.patterns = PromptBook(read_query_examples(log, until=until))
            self.earlier = _typed(
                read_events(
                    log, response="clicked", end=until, queries=10**9, choices=0, none_share=0.0
                )
            )
        self.later = _typed(events)
        asked = [event for event in events if event.asks and event.query]
        drawn = np.random.default_rng([options.data_seed, 8]).permutation(len(asked))
        self.asked = [asked[int(place)] for place in np.sort(drawn[: options.queries])]
        self.trained_users = set(self.earlier.user_ids)


def _typed(events: Sequence[Event]) -> TypedQueries:
    rows = [event for event in events if event.query]
    return TypedQueries(
        tuple(str(event.query) for event in rows), tuple(event.user_id for event in rows)
    )


def likelihood_examples(part: Part, book: PromptBook, *, told: bool) -> list[TuningExample]:
    texts = dict(zip(part.catalog.item_ids.tolist(), part.catalog.texts(), strict=True))
    examples = []
    for event in part.asked:
        responded = [
            texts[item]
            for item, response in zip(event.item_ids, event.responses, strict=True)
            if response and item in texts
        ]
        wanted = responded[0] if told and responded else None
        examples.append(query_example(event, book, wanted, tried=event.tried))
    return examples


def likelihoods(part: Part, folder: str, *, tuned: bool) -> dict[str, Any]:
    """Nats per token, with shopper and history only and with the clicked item."""
    model, tokenizer = load_language_model(folder, training_dtype(TuningSettings()))
    books = {"": PromptBook()} if tuned else {"": PromptBook(), ", patterns": part.patterns}
    found = {}
    for words, book in books.items():
        for told, name in ((False, "shopper and history"), (True, "and the clicked item")):
            rows = likelihood_examples(part, book, told=told)
            found[name + words] = query_likelihood(model, tokenizer, rows).model_dump()
    return found


def generated(
    part: Part, engine: Engine, book: PromptBook, people: Sequence[Any], count: int, seed: int
) -> dict[float, list[str]]:
    """Queries by temperature, for needs drawn from items responded to in the training part."""
    table = part.catalog.table.filter(part.catalog.table["popularity"].to_numpy() > 0)
    needs = NeedBook(Catalog(table))
    rng = np.random.default_rng([seed, 9])
    prompts = []
    for number in range(count):
        persona = people[number % len(people)]
        prompts.append(book.query(persona, needs.draw(persona, rng).wanted))
    found = {}
    for temperature in (0.8, 1.0):
        requests = [
            TextRequest(prompt, temperature=temperature, draw=f"{number}/{temperature}")
            for number, prompt in enumerate(prompts)
        ]
        found[temperature] = [answer.text for answer in ask(engine, requests)]
    return found


def with_engine(part: Part, model: str, *, tuned: bool, people: Any, options: Any) -> dict:
    """Scores and queries of one model, served by vLLM."""
    opened = open_engine(EngineSettings(model=model, kv_cache_gb=options.kv_cache_gb))
    # The corrected scores come from the same answers, which are not asked for twice.
    engine = SharedAnswers(opened, remembered=20 * len(part.slates))
    try:
        book = PromptBook() if tuned else part.patterns
        plain = PromptBook()
        locales = [slate.persona.locale for slate in part.slates]
        scores = {}
        for kind in options.ways:
            correction = measure_correction(engine, plain, locales, [PAGE], kind)
            corrections = {kind: None, f"{kind}, corrected": correction}
            if kind == "query":  # compared with what is typed anyway: nothing to correct
                del corrections["query, corrected"]
            for name, used in corrections.items():
                scorer = engine_scorer(engine, kind, correction=used, seed=options.data_seed)
                scores[name] = scorer(part.slates)
        queries = generated(part, engine, book, people, options.generated, options.data_seed)
    finally:
        engine.close()
    return {"scores": scores, "queries": queries}


def quality(
    part: Part, queries: dict[float, list[str]], encoder: TextEncoder
) -> dict[str, list[dict]]:
    return {
        str(temperature): quality_of(part, texts, encoder) for temperature, texts in queries.items()
    }


def quality_of(part: Part, texts: list[str], encoder: TextEncoder) -> list[dict]:
    return [
        figure.model_dump() for figure in query_quality(texts, part.later, part.earlier, encoder)
    ]


def tune_all(options: argparse.Namespace) -> list[tuple[Path, TuningCard]]:
    from footfall.finetune.tuning import read_tuning_card

    if options.model:
        return [(folder, read_tuning_card(folder)) for folder in options.model]
    made = []
    for seed in range(options.seeds):
        folder = options.folder / f"tuned-{seed}"
        settings = TuningSettings(
            max_minutes=options.minutes,
            seed=seed,
            learning_rate=options.learning_rate,
            serving=options.serving,
        )
        card = steps.tune(options.log, folder, until=options.until, settings=settings, resume=True)
        made.append((folder, card))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, help="log made by `footfall ingest bestbuy`")
    parser.add_argument("--until", type=datetime.fromisoformat, default=datetime(2011, 10, 5))
    parser.add_argument("--folder", type=Path, default=Path("tuning-benchmark"))
    parser.add_argument("--model", type=Path, action="append", help="measure this tuned folder")
    parser.add_argument("--minutes", type=float, default=20.0, help="training a seed, at most")
    parser.add_argument("--learning-rate", type=float, default=TuningSettings().learning_rate)
    parser.add_argument("--serving", default="auto", choices=["auto", "merged", "adapter"])
    parser.add_argument("--seeds", type=int, default=1, help="tunings, each with its own seed")
    parser.add_argument("--slates", type=int, default=400, help="test slates")
    parser.add_argument(
        "--ways", nargs="+", default=["query", "slate", "item"], choices=["query", "slate", "item"]
    )
    parser.add_argument("--queries", type=int, default=400, help="real test queries foreseen")
    parser.add_argument("--generated", type=int, default=600, help="queries a model writes")
    parser.add_argument("--data-seed", type=int, default=0, help="seed of what is tested on")
    parser.add_argument("--kv-cache-gb", type=float, default=1.0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tunings = tune_all(options)
    part = Part(options.log, options.until, options)
    people = steps.make_personas(
        options.folder / "people.jsonl", count=200, log=options.log, until=options.until
    )
    result = measure(part, tunings, people, options)
    (options.folder / "tuning.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    print_tables(part, tunings, result)


def measure(part: Part, tunings: list, people: Any, options: argparse.Namespace) -> dict:
    encoder = TextEncoder()
    base = tunings[0][1].base_model
    served = {"untuned": with_engine(part, base, tuned=False, people=people, options=options)}
    likelihood = {"untuned": likelihoods(part, prepare_model(base), tuned=False)}
    for number, (folder, _) in enumerate(tunings):
        name = f"tuned {number}"
        served[name] = with_engine(part, str(folder), tuned=True, people=people, options=options)
        likelihood[name] = likelihoods(part, str(folder), tuned=True)
    scorers = {
        "popularity before the test part": popularity_scorer(part.catalog),
        "BM25": search_scorer(BM25Search(part.catalog), len(part.catalog)),
        "MiniLM cosine": cosine_scorer(encoder),
    }
    for name, found in served.items():
        for kind, scores in found["scores"].items():
            scorers[f"{name}, {kind}"] = lambda _slates, scores=scores: scores
    figures, hits = choice_accuracy(part.slates, scorers)
    best = f"tuned 0, {options.ways[0]}"
    # What was typed before differs from what is typed later: whoever knows the past only cannot
    # be expected to come nearer than the past itself.
    drawn = np.random.default_rng([options.data_seed, 10]).permutation(len(part.earlier.queries))
    past = [part.earlier.queries[int(place)] for place in drawn[: options.generated]]
    typed = {"real shoppers of the training part": {"-": quality_of(part, past, encoder)}}
    return {
        "machine": describe_machine(),
        "until": options.until.isoformat(),
        "cards": [card.model_dump(mode="json") for _, card in tunings],
        "accuracy": [figure.model_dump() for figure in figures],
        "tuned less others": {
            name: accuracy_difference(part.slates, hits[best], values).model_dump()
            for name, values in hits.items()
            if not name.startswith("tuned")
        },
        "likelihood": likelihood,
        "queries": typed
        | {name: quality(part, found["queries"], encoder) for name, found in served.items()},
        "examples of queries": {
            name: {str(key): texts[:20] for key, texts in found["queries"].items()}
            for name, found in served.items()
        },
        "test users seen in training": float(
            np.mean([slate.user_id in part.trained_users for slate in part.slates])
        ),
    }


def _mean(value: dict) -> str:
    figure = UserMean.model_validate(value)
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def print_tables(part: Part, tunings: list, result: dict) -> None:
    print(f"{result['machine']}; {len(tunings)} tuning(s)")
    for _, card in tunings:
        print(
            f"seed {card.settings.seed}: {card.seconds / 60:.1f} min, {card.tokens:,} tokens, "
            f"{card.steps} steps, kept {card.kept}; validation loss query "
            f"{card.before.query:.3f} -> {card.after.query:.3f}, choice {card.before.choice:.3f} "
            f"-> {card.after.choice:.3f}; served {card.serving} "
            f"(merged {card.speeds.merged}, adapter {card.speeds.adapter} prompts/s)"
        )
    print(
        f"\nChoice accuracy among {PAGE} candidates, all but the clicked one *reconstructed*; "
        f"{len(part.slates)} test slates, 95 % intervals over users\n"
    )
    print("| scorer | accuracy | tuned less this |\n|---|---|---|")
    for row in result["accuracy"]:
        less = result["tuned less others"].get(row["scorer"])
        print(f"| {row['scorer']} | {_mean(row['accuracy'])} | {_mean(less) if less else ''} |")
    print("\n| model | the prompt tells | nats a token | perplexity |\n|---|---|---|---|")
    for model, rows in result["likelihood"].items():
        for name, row in rows.items():
            print(
                f"| {model} | {name} | {_mean(row['nats_per_token'])} | {row['perplexity']:.1f} |"
            )
    print(
        "\n| model | temperature | measure | generated | real against real | queries a side |"
        "\n|---|---|---|---|---|---|"
    )
    for model, temperatures in result["queries"].items():
        for temperature, rows in temperatures.items():
            for row in rows:
                print(
                    f"| {model} | {temperature} | {row['measure']} | {row['generated']:.3f} | "
                    f"{row['real']:.3f} ({row['real_low']:.3f} to {row['real_high']:.3f}) | "
                    f"{row['sample']} |"
                )


if __name__ == "__main__":
    main()
