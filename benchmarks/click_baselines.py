"""Click models of the field on the same examples as Footfall's classifier.

Logistic regression (scikit-learn), gradient boosting (LightGBM), DeepFM and DIN (Torch-RecHub).
Every model sees ids, categories, brand, what shoppers say of themselves and of the kind of item,
the parts of a situation, the numbers of the examples, how many words query and shopper share with
the item, and the words of query and item in the form that suits it. Logistic
regression and LightGBM read the shopper's words too, DIN the history's items. Settings are chosen,
and training is stopped, by log loss on the validation rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from footfall.finetune import Examples
from footfall.finetune.categories import Categories, CategoryName
from footfall.personas.tokens import tokenize

__all__ = ["BASELINES", "Facts", "Predicted", "read_facts"]

Array = np.ndarray[Any, Any]

TEXTS = ("query", "item_text", "shopper_text")
CODES = ("user_id", "item_text", "category", "top_category", "item_brand")
CATEGORIES: tuple[CategoryName, ...] = ("habit", "query_parts", "demographics")
#: Codes of padding and of what the training rows do not have.
PADDING, UNKNOWN = 0, 1
HISTORY, WORDS = 8, 12
#: Columns of :data:`CODES` that are of one person or item, and dimensions of words for trees.
IDS, DIMENSIONS = 2, 64


@dataclass(frozen=True)
class Facts:
    """One part's rows as arrays; shapes start with (rows,)."""

    labels: Array
    weights: Array
    #: Numbers of the examples and similarities of the texts.
    numbers: Array
    #: Columns of :data:`CODES`, by the training rows' vocabulary, and after them those of
    #: :data:`CATEGORIES`.
    codes: Array
    #: TF-IDF of the words of all texts.
    words: sp.csr_matrix
    #: Items of the history, latest last, and words of query and item; padded on the left.
    history: Array
    query_words: Array
    item_words: Array


@dataclass(frozen=True)
class Predicted:
    """Probabilities of the test rows by one model and seed, and the settings chosen."""

    test: Array
    validation_loss: float
    chosen: str


def read_facts(parts: Sequence[Examples]) -> tuple[list[Facts], tuple[int, ...]]:
    """Facts of training, validation and test rows, and the sizes of the vocabularies.

    Vocabularies and document frequencies are those of the training rows. The sizes are those of the
    codes and, last, of the words.
    """
    train = parts[0]
    vectorizer = TfidfVectorizer(analyzer=tokenize, min_df=2, sublinear_tf=True)
    vectorizer.fit(itertools.chain.from_iterable(_texts(train, name) for name in TEXTS))
    vocabularies = [_vocabulary(_codes(train, name)) for name in CODES]
    for texts in train.table["shopper_history"].to_pylist():
        for text in texts or ():
            vocabularies[1].setdefault(text, len(vocabularies[1]) + 2)
    words = {word: place + 2 for word, place in vectorizer.vocabulary_.items()}
    categories = Categories.fit(train, CATEGORIES, 1)
    facts = [_facts(part, vectorizer, vocabularies, categories, words) for part in parts]
    sizes = [len(vocabulary) + 2 for vocabulary in vocabularies]
    return facts, (*sizes, *(size + 1 for size in categories.sizes), len(words) + 2)


def _facts(
    part: Examples,
    vectorizer: TfidfVectorizer,
    vocabularies: list[dict[str, int]],
    categories: Categories,
    words: dict[str, int],
) -> Facts:
    texts = {name: _texts(part, name) for name in TEXTS}
    vectors = {name: vectorizer.transform(values) for name, values in texts.items()}
    similar = [
        np.asarray(vectors[name].multiply(vectors["item_text"]).sum(axis=1)).ravel()
        for name in ("query", "shopper_text")
    ]
    codes = [
        np.array([vocabulary.get(value, UNKNOWN) for value in _codes(part, name)])
        for name, vocabulary in zip(CODES, vocabularies, strict=True)
    ]
    history = part.table["shopper_history"].to_pylist()
    return Facts(
        labels=part.labels.astype(np.float32),
        weights=part.weights,
        numbers=np.column_stack([np.nan_to_num(part.features), *similar]),
        codes=np.column_stack([*codes, categories.apply(part) + UNKNOWN]),
        words=sp.hstack([vectors[name] for name in TEXTS]).tocsr(),
        history=_padded(history, vocabularies[1], HISTORY),
        query_words=_padded(map(tokenize, texts["query"]), words, WORDS),
        item_words=_padded(map(tokenize, texts["item_text"]), words, WORDS),
    )


def _texts(part: Examples, name: str) -> list[str]:
    values: list[str] = pc.fill_null(part.table[name], "").to_pylist()
    return values


def _codes(part: Examples, name: str) -> list[str]:
    if name in {"category", "top_category"}:
        paths = _texts(part, "item_category")
        return [path.split(" > ")[0] for path in paths] if name == "top_category" else paths
    return _texts(part, name)


def _vocabulary(values: list[str]) -> dict[str, int]:
    return {value: place + 2 for place, value in enumerate(sorted(set(values)))}


def _padded(rows: Any, vocabulary: dict[str, int], width: int) -> Array:
    made = []
    for row in rows:
        known = [vocabulary.get(value, UNKNOWN) for value in row or ()][-width:]
        made.append([PADDING] * (width - len(known)) + known)
    return np.array(made, np.int64).reshape(-1, width)


def log_loss(labels: Array, probability: Array, weights: Array) -> float:
    """Mean cross-entropy in nats."""
    held = np.clip(probability, 1e-7, 1 - 1e-7)
    losses = -(labels * np.log(held) + (1 - labels) * np.log(1 - held))
    return float(np.average(losses, weights=weights))


def _best(
    tried: Sequence[dict[str, Any]],
    fit: Callable[..., tuple[Array, Array]],
    validation: Facts,
) -> Predicted:
    """The settings whose validation log loss is lowest; ``fit`` gives validation and test."""
    found = []
    for settings in tried:
        on_validation, on_test = fit(**settings)
        loss = log_loss(validation.labels, on_validation, validation.weights)
        told = ", ".join(f"{name} {value}" for name, value in settings.items())
        found.append(Predicted(on_test, loss, told))
    return min(found, key=lambda one: one.validation_loss)


def logistic_regression(parts: list[Facts], sizes: tuple[int, ...], seed: int) -> Predicted:
    """Linear in words, ids, categories and numbers; L2."""
    del sizes
    train, validation, test = parts
    scaler = StandardScaler().fit(train.numbers)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(train.codes)
    tables = [
        sp.hstack(
            [part.words, encoder.transform(part.codes), scaler.transform(part.numbers)]
        ).tocsr()
        for part in parts
    ]

    def fit(C: float) -> tuple[Array, Array]:  # noqa: N803
        model = LogisticRegression(C=C, max_iter=1000, random_state=seed)
        model.fit(tables[0], train.labels, sample_weight=train.weights)
        return model.predict_proba(tables[1])[:, 1], model.predict_proba(tables[2])[:, 1]

    del test
    return _best([{"C": value} for value in (0.03, 0.3, 3.0)], fit, validation)


def gradient_boosting(parts: list[Facts], sizes: tuple[int, ...], seed: int) -> Predicted:
    """LightGBM on numbers, similarities, words by latent semantic analysis, codes as categories.

    Validation also chooses whether ids of one person or item are among the codes: trees learn these
    by heart.
    """
    import lightgbm

    del sizes
    train, validation, test = parts
    width = min(DIMENSIONS, min(train.words.shape) - 1)
    reduced = TruncatedSVD(width, random_state=seed).fit(train.words)
    dense = [np.column_stack([part.numbers, reduced.transform(part.words)]) for part in parts]

    def fit(leaves: int, rows_a_leaf: int, ids: bool) -> tuple[Array, Array]:
        codes = [part.codes if ids else part.codes[:, IDS:] for part in parts]
        tables = [np.column_stack(pair) for pair in zip(dense, codes, strict=True)]
        categorical = list(range(dense[0].shape[1], tables[0].shape[1]))
        given = {"label": train.labels, "weight": train.weights}
        data = lightgbm.Dataset(
            tables[0], **given, categorical_feature=categorical, free_raw_data=False
        )
        held = lightgbm.Dataset(
            tables[1], validation.labels, weight=validation.weights, reference=data
        )
        model = lightgbm.train(
            {
                "objective": "binary",
                "num_leaves": leaves,
                "min_data_in_leaf": rows_a_leaf,
                "learning_rate": 0.05,
                "feature_fraction": 0.8,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "cat_smooth": 20,
                "seed": seed,
                "num_threads": 0,
                "verbosity": -1,
            },
            data,
            num_boost_round=1000,
            valid_sets=[held],
            callbacks=[lightgbm.early_stopping(50, verbose=False)],
        )
        return np.asarray(model.predict(tables[1])), np.asarray(model.predict(tables[2]))

    del test
    grid = [
        {"leaves": a, "rows_a_leaf": b, "ids": c}
        for a in (7, 31)
        for b in (20, 100)
        for c in (False, True)
    ]
    return _best(grid, fit, validation)


def deep_fm(parts: list[Facts], sizes: tuple[int, ...], seed: int) -> Predicted:
    """DeepFM (Guo et al. 2017)."""
    from torch_rechub.basic.features import DenseFeature
    from torch_rechub.models.ranking import DeepFM

    def make(width: int, dropout: float) -> Any:
        sparse = _sparse(sizes, width)
        dense = [DenseFeature(f"number {n}") for n in range(parts[0].numbers.shape[1])]
        tower = {"dims": [64, 32], "dropout": dropout, "activation": "relu"}
        return DeepFM([*sparse, *_worded(sizes, width), *dense], sparse, tower)

    return _deep(parts, make, seed)


def deep_interest_network(parts: list[Facts], sizes: tuple[int, ...], seed: int) -> Predicted:
    """DIN (Zhou et al. 2018): the history is weighed by the item."""
    from torch_rechub.basic.features import DenseFeature, SequenceFeature
    from torch_rechub.models.ranking import DIN

    def make(width: int, dropout: float) -> Any:
        sparse = _sparse(sizes, width)
        target = [feature for feature in sparse if feature.name == "item_text"]
        rest = [feature for feature in sparse if feature.name != "item_text"]
        history = [
            SequenceFeature(
                "history",
                sizes[1],
                embed_dim=width,
                pooling="concat",
                shared_with="item_text",
                padding_idx=PADDING,
            )
        ]
        dense = [DenseFeature(f"number {n}") for n in range(parts[0].numbers.shape[1])]
        return _WithNumbers(
            DIN(
                features=[*rest, *_worded(sizes, width)],
                history_features=history,
                target_features=target,
                mlp_params={"dims": [64, 32], "dropout": dropout},
                attention_mlp_params={"dims": [32], "use_softmax": True},
            ),
            dense,
        )

    return _deep(parts, make, seed)


def _sparse(sizes: tuple[int, ...], width: int) -> list[Any]:
    from torch_rechub.basic.features import SparseFeature

    return [
        SparseFeature(name, size, embed_dim=width, padding_idx=PADDING, initializer=_initializer())
        for name, size in zip(_code_names(len(sizes) - 1), sizes[:-1], strict=True)
    ]


def _code_names(count: int) -> list[str]:
    return [*CODES, *(f"category {n}" for n in range(count - len(CODES)))]


def _worded(sizes: tuple[int, ...], width: int) -> list[Any]:
    from torch_rechub.basic.features import SequenceFeature

    return [
        SequenceFeature(
            name,
            sizes[-1],
            embed_dim=width,
            pooling="mean",
            padding_idx=PADDING,
            initializer=_initializer(),
        )
        for name in ("query_words", "item_words")
    ]


def _initializer() -> Any:
    """The library's default of 0.0001 leaves small sets untouched for many passes."""
    from torch_rechub.basic.initializers import RandomNormal

    return RandomNormal(0, 0.05)


def _WithNumbers(network: Any, dense: list[Any]) -> Any:  # noqa: N802
    """A network that reads no plain numbers, with a linear term for them."""
    import torch

    class Together(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.linear = torch.nn.Linear(len(dense), 1, bias=False)
            self.names = [feature.name for feature in dense]

        def forward(self, given: dict[str, Any]) -> Any:
            numbers = torch.stack([given[name] for name in self.names], dim=1)
            log_odds = torch.logit(self.network(given), eps=1e-6)
            return torch.sigmoid(log_odds + self.linear(numbers).squeeze(1))

    return Together()


def _deep(parts: list[Facts], make: Callable[[int, float], Any], seed: int) -> Predicted:
    import torch

    scaler = StandardScaler().fit(parts[0].numbers)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    given = [_tensors(part, scaler, device) for part in parts]

    def fit(width: int, dropout: float, weight_decay: float) -> tuple[Array, Array]:
        torch.manual_seed(seed)
        network = make(width, dropout).to(device)
        _train(network, parts, given, weight_decay, seed)
        return _probability(network, given[1]), _probability(network, given[2])

    grid = [
        {"width": 16, "dropout": dropout, "weight_decay": decay}
        for dropout in (0.0, 0.3)
        for decay in (1e-5, 1e-2)
    ]
    return _best(grid, fit, parts[1])


def _tensors(part: Facts, scaler: StandardScaler, device: str) -> dict[str, Any]:
    import torch

    numbers = scaler.transform(part.numbers).astype(np.float32)
    columns = {f"number {n}": numbers[:, n] for n in range(numbers.shape[1])}
    columns |= {name: part.codes[:, n] for n, name in enumerate(_code_names(part.codes.shape[1]))}
    columns |= {
        "history": part.history,
        "query_words": part.query_words,
        "item_words": part.item_words,
    }
    return {name: torch.from_numpy(values.copy()).to(device) for name, values in columns.items()}


def _train(
    network: Any, parts: list[Facts], given: list[dict[str, Any]], weight_decay: float, seed: int
) -> None:
    """AdamW until validation log loss has not fallen for five passes; the best weights stay."""
    import copy

    import torch

    train, validation = parts[:2]
    device = next(network.parameters()).device
    targets = torch.from_numpy(train.labels).to(device)
    weights = torch.from_numpy(train.weights.astype(np.float32)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=weight_decay)
    rng = np.random.default_rng(seed)
    best, kept, worse = np.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(60):
        network.train()
        order = rng.permutation(len(targets))
        # Fifty steps a pass at least, so that small sets are learned before patience ends; a batch
        # of few rows has no variance for the batch norm.
        size = max(16, min(256, len(order) // 50))
        for chosen in np.array_split(order, max(1, len(order) // size)):
            rows = torch.from_numpy(chosen).to(device)
            probability = network({name: values[rows] for name, values in given[0].items()})
            loss = torch.nn.functional.binary_cross_entropy(
                probability.clamp(1e-6, 1 - 1e-6), targets[rows], weight=weights[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = log_loss(validation.labels, _probability(network, given[1]), validation.weights)
        if found < best:
            best, kept, worse = found, copy.deepcopy(network.state_dict()), 0
        elif (worse := worse + 1) >= 5:
            break
    network.load_state_dict(kept)


def _probability(network: Any, given: dict[str, Any]) -> Array:
    import torch

    network.eval()
    rows = len(given["item_text"])
    with torch.inference_mode():
        found = [
            network({name: values[start : start + 8192] for name, values in given.items()})
            for start in range(0, rows, 8192)
        ]
    probability: Array = torch.cat(found).double().cpu().numpy()
    return probability


#: The models by the name that is printed.
BASELINES: dict[str, Callable[[list[Facts], tuple[int, ...], int], Predicted]] = {
    "logistic regression": logistic_regression,
    "LightGBM": gradient_boosting,
    "DeepFM": deep_fm,
    "DIN": deep_interest_network,
}
