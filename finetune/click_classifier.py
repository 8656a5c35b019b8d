"""The click-through classifier as an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from footfall.errors import DataError, SettingError
from footfall.finetune.click_model import ClickModel
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import Examples
from footfall.finetune.probability import probability_of
from footfall.finetune.row_columns import complete_examples, needed_columns

__all__ = ["ClickClassifier", "as_table"]

Array = np.ndarray[Any, Any]


class ClickClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """:class:`~footfall.finetune.ClickModel` with the methods of scikit-learn's classifiers.

    Rows are :class:`~footfall.finetune.Examples`, an Arrow table, a data frame, a mapping of
    columns, a structured array or a list of mappings; see
    :func:`~footfall.finetune.row_columns.complete_examples` for the columns. Only ``item_text`` is
    needed. Search and cross-validation take tables, data frames and lists, which scikit-learn can
    cut into rows.

    Parameters
    ----------
    settings:
        Settings to start from; the defaults of :class:`~footfall.finetune.ClickSettings` if none.
    encoder, architecture, tuning, trained_layers, lora_rank, lora_alpha, lora_targets, \
prefix_tokens, pooling, dropout, max_tokens, features, categories, smallest_category, \
head_hidden, warm_start_rows, loss, calibration, length_grouped, precision, batch_size, epochs, \
max_steps, optimizer, learning_rate, head_learning_rate, schedule, warmup_share, weight_decay, \
evaluations, patience, device, seed:
        Fields of ``ClickSettings``; None leaves one as ``settings`` has it. ``features``, and
        ``categories`` where ``settings`` does not name them, are by default those that the training
        rows have.

    Attributes
    ----------
    classes_:
        The two labels, sorted; the second is a response.
    model_:
        The trained model, which can be saved, exported and loaded.
    """

    def __init__(
        self,
        *,
        settings: ClickSettings | None = None,
        encoder: str | None = None,
        architecture: Literal["two_towers", "cross_encoder"] | None = None,
        tuning: str | None = None,
        trained_layers: int | None = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        lora_targets: Literal["attention", "all"] | None = None,
        prefix_tokens: int | None = None,
        pooling: str | None = None,
        dropout: float | None = None,
        max_tokens: int | None = None,
        features: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        smallest_category: int | None = None,
        head_hidden: int | None = None,
        warm_start_rows: int | None = None,
        loss: Literal["cross_entropy", "mse"] | None = None,
        calibration: Literal["none", "platt", "isotonic"] | None = None,
        length_grouped: bool | None = None,
        precision: Literal["float32", "bfloat16"] | None = None,
        batch_size: int | None = None,
        epochs: float | None = None,
        max_steps: int | None = None,
        optimizer: Literal["adamw", "sgd"] | None = None,
        learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        schedule: Literal["linear", "cosine", "constant"] | None = None,
        warmup_share: float | None = None,
        weight_decay: float | None = None,
        evaluations: int | None = None,
        patience: int | None = None,
        device: Literal["auto", "cpu"] | None = None,
        seed: int | None = None,
    ) -> None:
        # What is given is kept as it is: clone() and set_params() ask for no more, and no less.
        given = {name: value for name, value in locals().items() if name in _PARAMETERS}
        for name, value in given.items():
            setattr(self, name, value)

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Any = None,
        sample_weight: Any = None,
        validation: Any = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X:
            Rows.
        y:
            Labels of two values, shape (rows,); the column ``label`` of ``X`` when not given.
        sample_weight:
            Weights, shape (rows,), in place of the column ``weight``.
        validation:
            Rows that stop the training early: examples or a table with the column ``label``, or a
            pair of rows and labels.

        Raises
        ------
        SettingError
            If a parameter is no value of its setting.
        DataError
            If a column is missing, or the labels do not have two values.
        """
        table = as_table(X)
        labels, self.classes_ = _labels(table, y)
        settings = self._settings(table)
        needed = needed_columns(settings.features, settings.categories)
        train = _examples(table, needed, labels)
        if sample_weight is not None:
            train = train.with_column("weight", _sized(sample_weight, len(train), "sample_weight"))
        held_out = None
        if validation is not None:
            rows, own = validation if isinstance(validation, tuple) else (validation, None)
            rows = as_table(rows)
            held_out = _examples(rows, needed, _labels(rows, own, self.classes_)[0])
        self.model_ = ClickModel(settings).fit(train, held_out)
        return self

    def decision_function(self, X: Any) -> Array:  # noqa: N803
        """Log-odds of a response, float64, shape (rows,)."""
        check_is_fitted(self)
        return self.model_.predict_log_odds(_examples(as_table(X), self.model_.needed_columns))

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probabilities of no response and of a response, float64, shape (rows, 2)."""
        responses = probability_of(self.decision_function(X))
        return np.column_stack([1.0 - responses, responses])

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The likelier label of each row, shape (rows,)."""
        log_odds = self.decision_function(X)
        labels: Array = self.classes_[(log_odds > 0).astype(np.int64)]
        return labels

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Share of rows whose label is predicted, as scikit-learn's classifiers score.

        Where responses are rare, ``scoring="roc_auc"`` or ``"neg_log_loss"`` tells more.
        """
        check_is_fitted(self)
        if y is None:
            found = _labels(as_table(X), None, self.classes_)[0]
            y = self.classes_[found.astype(np.int64)]
        return float(super().score(X, y, sample_weight))

    def _settings(self, table: pa.Table) -> ClickSettings:
        from pydantic import ValidationError

        base = self.settings or ClickSettings()
        names = [name for name in _PARAMETERS if name != "settings"]
        given = {name: getattr(self, name) for name in names}
        changes = {name: value for name, value in given.items() if value is not None}
        if self.features is None:
            known = {*table.column_names, "has_query"}
            changes["features"] = tuple(name for name in base.features if name in known)
        if self.categories is None and "categories" not in base.model_fields_set:
            read = {name: needed_columns((), (name,)) for name in base.categories}
            known = set(table.column_names) | {"item_text"}
            changes["categories"] = tuple(name for name in read if known.issuperset(read[name]))
        try:
            return ClickSettings.model_validate(base.model_dump() | changes)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "settings"
            raise SettingError(f"ClickClassifier, {where}: {first['msg']}.") from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = False
        tags.non_deterministic = False
        return tags


_PARAMETERS = tuple(
    name for name in ClickClassifier.__init__.__annotations__ if name not in {"self", "return"}
)


def as_table(rows: Any) -> pa.Table:
    """Rows in any of the forms that :class:`ClickClassifier` takes as an Arrow table.

    Raises
    ------
    DataError
        If they are none of these, or columns differ in length.
    """
    if isinstance(rows, Examples):
        return rows.table
    try:
        if isinstance(rows, pa.Table | pa.RecordBatch) or hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
        columns = _columns(rows)
        if columns is not None:
            return pa.table({name: pa.array(column) for name, column in columns.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"The rows do not make a table: {error}") from error
    raise DataError(
        f"Rows of the type {type(rows).__name__} cannot be read.",
        hint="Give examples, an Arrow table, a data frame, a mapping of columns or a list of "
        "mappings.",
    )


def _columns(rows: Any) -> dict[str, Any] | None:
    """Columns by name of a structured array, a mapping of columns or a list of mappings."""
    if isinstance(rows, np.ndarray) and rows.dtype.names:
        return {name: rows[name].tolist() for name in rows.dtype.names}
    if isinstance(rows, Mapping):
        return {str(name): column for name, column in rows.items()}
    if isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return {str(name): [row.get(name) for row in rows] for name in names}
    return None


def _examples(table: pa.Table, needed: Sequence[str], labels: Array | None = None) -> Examples:
    kept = [name for name in table.column_names if name != "label"]
    found = complete_examples(table.select(kept), needed=needed)
    return found if labels is None else found.with_column("label", labels)


def _labels(table: pa.Table, y: Any, classes: Array | None = None) -> tuple[Array, Array]:
    """Which rows are responses, shape (rows,), and the two labels."""
    if y is None:
        if "label" not in table.column_names:
            raise DataError("The rows have no column label.", hint="Give y.")
        y = table["label"].to_numpy()
    found = _sized(y, table.num_rows, "y")
    values = np.unique(found) if classes is None else classes
    if len(values) != 2 or not np.isin(found, values).all():
        shown = ", ".join(map(str, np.unique(found)[:5].tolist()))
        raise DataError(f"The labels are {shown}, and must have two values.")
    return found == values[1], values


def _sized(values: Any, rows: int, name: str) -> Array:
    found: Array = np.asarray(values)
    if found.shape != (rows,):
        raise DataError(f"{name} has the shape {found.shape}, and there are {rows} rows.")
    return found
