"""How well queries were told apart, beside what needs no text model, and the model's card."""

from __future__ import annotations

from typing import Any

import numpy as np

from footfall.finetune.model_card import export_lines
from footfall.finetune.query_pairs import QueryPairs
from footfall.personas.tokens import tokenize

__all__ = ["card_text", "control_figures", "figures_of"]

Array = np.ndarray[Any, Any]


def figures_of(predicted: Array, targets: Array, weights: Array) -> dict[str, float]:
    """Accuracy, and the mean over the classes present of their F1, both weighted by responses."""
    from sklearn.metrics import accuracy_score, f1_score

    present = np.unique(targets)
    f1 = f1_score(
        targets,
        predicted,
        labels=present,
        average="macro",
        sample_weight=weights,
        zero_division=0.0,
    )
    return {
        "accuracy": round(float(accuracy_score(targets, predicted, sample_weight=weights)), 6),
        "macro_f1": round(float(f1), 6),
    }


def control_figures(
    train: QueryPairs, targets: Array, validation: QueryPairs, truth: Array
) -> dict[str, dict[str, float]]:
    """The figures of the commonest class, and of logistic regression on TF-IDF of words.

    Words are those of :func:`footfall.personas.tokens.tokenize`, which knows scripts without blanks
    between them.

    Parameters
    ----------
    train, validation:
        Pairs that are learnt from, and that are judged on.
    targets, truth:
        Numbers of their classes, shape (pairs,).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    commonest = int(np.bincount(targets, train.weights).argmax())
    majority = np.full(len(truth), commonest)
    found = {"majority": figures_of(majority, truth, validation.weights)}
    model = make_pipeline(
        TfidfVectorizer(analyzer=tokenize), LogisticRegression(C=10.0, max_iter=500)
    )
    try:
        model.fit(train.queries, targets, logisticregression__sample_weight=train.weights)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        # Queries of signs only have no words.
        return found | {"tfidf": found["majority"]}
    predicted = model.predict(validation.queries)
    return found | {"tfidf": figures_of(predicted, truth, validation.weights)}


def card_text(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    settings, training = card["settings"], card["training"]
    lines = [
        "# Query classifier",
        "",
        "The category that a query is for, made with Footfall. Load it with",
        "`footfall.finetune.QueryClassifier.load(folder)`.",
        "",
        f"* encoder: {settings['encoder']}, tuning: {settings['tuning']}, seed: {settings['seed']}",
        f"* classes: {card['classes']}, of at most {settings['depth']} step(s)",
        f"* steps: {training['steps']} of {training['planned_steps']}; weights kept: "
        f"{training['kept']}",
        *export_lines(card.get("export"), {"accuracy": "accuracy", "macro_f1": "macro-F1"}),
        *(
            f"* {part}: {rows['pairs']:,} distinct pairs of {rows['responses']:,.0f} responses, "
            f"{rows['left_out']:,.0f} left out because their category is no class"
            for part, rows in card["rows"].items()
        ),
    ]
    if card["validation"]:
        lines += ["", "| on the validation rows | accuracy | macro-F1 |", "|---|---:|---:|"]
        lines += [
            f"| {name} | {figures['accuracy']:.4f} | {figures['macro_f1']:.4f} |"
            for name, figures in card["validation"].items()
        ]
        lines += ["", f"{card['seen']:.0%} of the validation responses follow a query of training."]
    lines += ["", "Versions: " + ", ".join(f"{k} {v}" for k, v in card["versions"].items())]
    return "\n".join(lines) + "\n"
