"""What rows must be before a classifier is trained on them."""

from __future__ import annotations

import hashlib

from footfall.errors import EmptyLogError, InputError, NoResponseError
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import Examples

__all__ = ["check_rows", "check_validation", "training_fingerprint"]


def check_rows(examples: Examples, name: str) -> None:
    """Refuse rows that cannot be learnt from.

    Raises
    ------
    EmptyLogError
        If there are none.
    NoResponseError
        If they have one label only.
    """
    if not len(examples):
        raise EmptyLogError(
            f"There are no {name} examples with a weight.",
            hint="Check the time span and the label.",
        )
    positives = int(examples.labels.sum())
    if positives in {0, len(examples)}:
        raise NoResponseError(
            f"All {len(examples)} {name} examples have the label {bool(positives)}.",
            hint="Learning needs both: check the label, or read a log that holds what was shown.",
        )


def check_validation(validation: Examples) -> None:
    """Refuse validation rows that are not real, beside those that cannot be learnt from.

    Raises
    ------
    InputError
        If a row is synthetic.
    """
    check_rows(validation, "validation")
    if validation.synthetic.any():
        raise InputError(
            "The validation examples hold synthetic rows.",
            hint="Stopping early on them would reward likeness to the simulator; use real rows.",
        )


def training_fingerprint(
    settings: ClickSettings, train: Examples, validation: Examples | None
) -> str:
    """Identify a training: settings and all columns of the rows."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for part in (train, validation):
        if part is None:
            continue
        for column in part.table.columns:
            digest.update(repr(column.to_pylist()).encode())
    return digest.hexdigest()
