"""How well simulated people foretell who accepts a coupon, on respondents never seen before.

Five-fold cross-validation by respondent on the public in-vehicle coupon log (UCI): everything is
fitted on the training respondents of a fold, and the held-out ones' offers are scored by two
reference regressions on one-hot columns and by the simulator. With ``--scored`` the language model
scores offers too, in the first fold; with ``--tune-minutes`` it is tuned first, on that fold's
training respondents only. Run it with::

    python benchmarks/acceptance.py FOLDER [--scored 600] [--tune-minutes 8] [--output figures.json]

FOLDER holds ``coupon_offers.csv``. AUC over all held-out offers, and AUC by respondent: the mean
of the respondents' own AUCs, weighted by offers. Intervals are of a bootstrap over respondents.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from footfall import steps
from footfall.eval.intervals import UserResamples, percentiles
from footfall.eval.metrics import Predictions
from footfall.eval.weighted import WeightedMetrics
from footfall.finetune import TuningSettings
from footfall.simulator import Catalog, EngineSettings, Log, open_engine
from footfall.simulator.calibration import Calibration, calibrate
from footfall.simulator.click_chance import slate_chances
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.engines.scripted import ScriptedEngine
from footfall.simulator.prompts import PromptBook
from footfall.simulator.real_slates import RealSlate, real_slates
from footfall.simulator.scored_slates import ScoredSlates
from footfall.simulator.scoring import SlateScores

FILE = "coupon_offers.csv"
FOLDS = 5
#: Columns that describe the situation and the offer.
CONTEXT = ("destination", "passanger", "weather", "temperature", "time", "coupon", "expiration")
TRAVEL = ("toCoupon_GEQ15min", "toCoupon_GEQ25min", "direction_same", "direction_opp")
#: The habit that goes with each kind of coupon.
VISITS = {
    "Bar": "Bar",
    "Coffee House": "CoffeeHouse",
    "Carry out & Take away": "CarryAway",
    "Restaurant(<20)": "RestaurantLessThan20",
    "Restaurant(20-50)": "Restaurant20To50",
}
CONTEXT_ONLY, WITH_HABITS = REFERENCES = (
    "logistic, context",
    "logistic, context and habits",
)
NO_MODEL = "simulator without a language model"
METRICS = ("grouped_auc", "auc", "log_loss")
#: Every offer of the log is fitted on.
ALL = 20_000

Row = dict[str, str]


@dataclass
class Scored:
    """Chances of acceptance of offers, with their respondents; all of shape (offers,)."""

    respondents: list[str]
    accepted: list[bool]
    chances: list[float]

    def extend(self, other: Scored) -> None:
        self.respondents += other.respondents
        self.accepted += other.accepted
        self.chances += other.chances

    def of(self, respondents: set[str]) -> Scored:
        rows = zip(self.respondents, self.accepted, self.chances, strict=True)
        kept = [row for row in rows if row[0] in respondents]
        return Scored(*(list(column) for column in zip(*kept, strict=True)))


@dataclass
class Fold:
    """One fold: offers of its respondents as rows of the file and as slates of the log."""

    train: list[Row]
    test: list[Row]
    log: Path
    slates: list[RealSlate]


def read_offers(folder: Path) -> list[Row]:
    with (folder / FILE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def folds_of(offers: list[Row], seed: int) -> list[tuple[list[Row], list[Row]]]:
    respondents = [row["respondent_id"] for row in offers]
    splits = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(offers, groups=respondents)
    return [([offers[i] for i in train], [offers[i] for i in test]) for train, test in splits]


def ingest(rows: list[Row], folder: Path) -> Path:
    """A log of these offers alone, by the packaged mapping."""
    folder.mkdir(parents=True)
    with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    steps.ingest("coupon", folder / "shop.duckdb", folder=folder)
    return folder / "shop.duckdb"


def make_fold(train: list[Row], test: list[Row], folder: Path) -> Fold:
    log = ingest(train, folder / "train")
    with Log.open(ingest(test, folder / "test")) as held_out:
        slates = real_slates(held_out, Catalog.from_log(held_out), count=ALL)
    assert not {row["respondent_id"] for row in train} & {row["respondent_id"] for row in test}
    assert len(slates) == len(test)
    return Fold(train, test, log, slates)


def regression(fold: Fold, *, habits: bool) -> Scored:
    """Logistic regression on one-hot columns: the context, or also travel and the fitting habit."""

    def columns(rows: list[Row]) -> list[list[str]]:
        names = (*CONTEXT, *TRAVEL) if habits else CONTEXT
        found = [[row[name] for name in names] for row in rows]
        if habits:
            found = [
                [*values, row[VISITS[row["coupon"]]]]
                for values, row in zip(found, rows, strict=True)
            ]
        return found

    model = make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), LogisticRegression(C=1.0, max_iter=2000)
    )
    model.fit(columns(fold.train), [row["Y"] == "1" for row in fold.train])
    return Scored(
        [row["respondent_id"] for row in fold.test],
        [row["Y"] == "1" for row in fold.test],
        model.predict_proba(columns(fold.test))[:, 1].tolist(),
    )


def acceptance(
    calibration: Calibration, slates: Sequence[RealSlate], scores: Sequence[SlateScores]
) -> Scored:
    """The simulator's own chance that the shopper looks at the offer and takes it."""
    found = Scored([], [], [])
    for slate, score in zip(slates, scores, strict=True):
        chances = slate_chances(
            calibration.behaviour,
            slate.persona,
            slate.query,
            slate.rows,
            score,
            appeal=calibration.appeal,
        )
        found.respondents += [slate.persona.persona_id] * len(slate.rows)
        found.accepted += slate.responses
        found.chances += (chances.looks * chances.clicks).tolist()
    return found


def fit(fold: Fold, engine: Engine, scored: int, options: argparse.Namespace) -> Calibration:
    """The simulator's own calibration; offers come one at a time."""
    with Log.open(fold.log) as log:
        return calibrate(
            log,
            Catalog.from_log(log),
            engine,
            PromptBook(),
            scored_slates=scored,
            slates=ALL,
            scoring=options.scoring,
            page_size=1,
            seed=options.seed,
        )


def without_model(fold: Fold, options: argparse.Namespace) -> Scored:
    calibration = fit(fold, ScriptedEngine(), 0, options)
    silent = SlateScores(np.full(1, np.nan), float("nan"), 0)
    return acceptance(calibration, fold.slates, [silent] * len(fold.slates))


def some_slates(fold: Fold, count: int, seed: int) -> list[RealSlate]:
    """All offers of as many respondents as it takes to have ``count`` of them."""
    people = sorted({slate.persona.persona_id for slate in fold.slates})
    chosen: list[RealSlate] = []
    for place in np.random.default_rng(seed).permutation(len(people)):
        if len(chosen) >= count:
            break
        chosen += [slate for slate in fold.slates if slate.persona.persona_id == people[place]]
    return chosen


def with_model(fold: Fold, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Acceptance with the model's attraction, and the attraction alone, on some held-out offers."""
    slates = some_slates(fold, options.scored, options.seed)
    engine = open_engine(EngineSettings(model=model, kv_cache_gb=options.kv_cache_gb))
    try:
        calibration = fit(fold, engine, options.scored, options)
        asked = ScoredSlates.ask(slates, engine, PromptBook(), calibration.scoring, [options.seed])
    finally:
        engine.close()
    scores = asked.scores(calibration.correction)
    alone = acceptance(calibration, slates, scores)
    attraction = np.nan_to_num([score.attraction for score in scores])
    alone.chances = (1 / (1 + np.exp(-attraction))).tolist()
    return {
        "simulator": acceptance(calibration, slates, scores),
        "attraction alone": alone,
        "asked by": calibration.scoring,
        "weight of attraction": calibration.behaviour.on_attraction.model_dump(),
        "weight of appeal": calibration.behaviour.on_appeal.model_dump(),
    }


def tune(fold: Fold, options: argparse.Namespace) -> Path:
    """A model tuned on the fold's training respondents: its log holds nobody else."""
    folder: Path = options.work / f"tuned-fold-0-seed-{options.seed}"
    settings = TuningSettings(
        max_minutes=options.tune_minutes, queries=0, choices=8000, seed=options.seed
    )
    steps.tune(fold.log, folder, settings=settings, resume=True)
    return folder


def judge(scored: dict[str, Scored], seed: int) -> list[dict[str, Any]]:
    """Every scorer's figures, and how far they lie above the references', with intervals."""
    respondents = sorted(set(scored[CONTEXT_ONLY].respondents))
    place = {name: number for number, name in enumerate(respondents)}
    resamples = UserResamples(len(respondents), seed=seed)
    drawn: dict[str, dict[str, Any]] = {}
    for name, rows in scored.items():
        users = np.asarray([place[respondent] for respondent in rows.respondents])
        predictions = Predictions.of(rows.accepted, rows.chances, groups=users)
        metrics = WeightedMetrics(predictions, users, len(respondents))
        values = [metrics(np.ones((len(respondents), 1)))]
        values += [metrics(weights) for _, weights in resamples.batches()]
        drawn[name] = {
            metric: np.concatenate([value[metric] for value in values]) for metric in METRICS
        }
    found = []
    for name, samples_of in drawn.items():
        row: dict[str, Any] = {"scorer": name, "offers": len(scored[name].accepted)}
        row |= {metric: _figure(samples) for metric, samples in samples_of.items()}
        for reference in REFERENCES:
            row[f"less {reference}"] = {
                metric: _figure(samples - drawn[reference][metric])
                for metric, samples in samples_of.items()
            }
        found.append(row)
    return found


def _figure(samples: Any) -> dict[str, float | None]:
    interval = percentiles(samples[1:])
    return {"value": float(samples[0]), "low": interval.low, "high": interval.high}


def _cell(figure: dict[str, Any], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f})"


def print_table(rows: list[dict[str, Any]]) -> None:
    differences = [f"less {reference}" for reference in REFERENCES]
    heads = ["scorer", "AUC by respondent", *differences, "AUC of all offers", "log loss"]
    print(f"\n{rows[0]['offers']:,} offers held out\n\n| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    for row in rows:
        less = [_cell(row[name]["grouped_auc"], signed=True) for name in differences]
        cells = [row["scorer"], _cell(row["grouped_auc"]), *less, _cell(row["auc"])]
        print(f"| {' | '.join(cells)} | {row['log_loss']['value']:.4f} |")


def cross_validate(folds: list[Fold], options: argparse.Namespace) -> dict[str, Scored]:
    scored = {name: Scored([], [], []) for name in (CONTEXT_ONLY, WITH_HABITS, NO_MODEL)}
    for number, fold in enumerate(folds):
        print(
            f"fold {number + 1} of {len(folds)}: {len(fold.slates):,} offers held out", flush=True
        )
        scored[CONTEXT_ONLY].extend(regression(fold, habits=False))
        scored[WITH_HABITS].extend(regression(fold, habits=True))
        scored[NO_MODEL].extend(without_model(fold, options))
    return scored


def compare_models(
    fold: Fold, scored: dict[str, Scored], options: argparse.Namespace
) -> dict[str, Any]:
    """The first fold once more, on the offers that the models scored too."""
    models = {"untuned": EngineSettings().model}
    if options.tune_minutes:
        models["tuned"] = str(tune(fold, options))
    found: dict[str, Scored] = {}
    notes = {}
    for name, model in models.items():
        result = with_model(fold, model, options)
        found[f"simulator, {name} model"] = result.pop("simulator")
        found[f"attraction of the {name} model alone"] = result.pop("attraction alone")
        notes[name] = result
    people = set(found["simulator, untuned model"].respondents)
    same = {name: rows.of(people) for name, rows in scored.items()} | found
    return {"figures": judge(same, options.seed), "models": notes}


def write(result: dict[str, Any], options: argparse.Namespace) -> None:
    if options.output:
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help=f"folder of {FILE}")
    parser.add_argument("--seed", type=int, default=0, help="of folds, fits and resamples")
    parser.add_argument("--scored", type=int, default=0, help="offers that the model scores")
    parser.add_argument("--scoring", default="auto", choices=["auto", "item", "slate"])
    parser.add_argument("--first-fold", action="store_true", help="leave out the other folds")
    parser.add_argument("--tune-minutes", type=float, default=0.0, help="tuning, at most")
    parser.add_argument("--work", type=Path, default=Path("acceptance-benchmark"))
    parser.add_argument("--kv-cache-gb", type=float, default=1.0)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    offers = read_offers(options.folder)
    last = 1 if options.first_fold else FOLDS
    with tempfile.TemporaryDirectory() as temporary:
        folds = [
            make_fold(train, test, Path(temporary) / str(number))
            for number, (train, test) in enumerate(folds_of(offers, options.seed)[:last])
        ]
        scored = cross_validate(folds, options)
        result: dict[str, Any] = {
            "machine": describe_machine(),
            "seed": options.seed,
            "respondents": len({row["respondent_id"] for row in offers}),
            "figures": judge(scored, options.seed),
        }
        print(f"\n{result['machine']}; seed {options.seed}, {len(offers):,} offers")
        print_table(result["figures"])
        write(result, options)
        if options.scored:
            result["with a language model"] = compare_models(folds[0], scored, options)
            print_table(result["with a language model"]["figures"])
            print(json.dumps(result["with a language model"]["models"], indent=1))
            write(result, options)


if __name__ == "__main__":
    main()
