"""Fusion of real and synthetic rows, the click-through classifier, tuning of the language model.

Nothing heavy is imported here: names are loaded when they are first used. Fusion is called as
``footfall.finetune.fuse.fuse``; a function exported here would hide its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from footfall.exports import lazy_exports

if TYPE_CHECKING:
    from footfall.finetune.alpha import AlphaChoice, choose_alpha, validation_log_loss
    from footfall.finetune.alpha_halving import (
        HalvingChoice,
        choose_alpha_by_halving,
        share_of_slates,
    )
    from footfall.finetune.augment import Augmented, augment_with_report
    from footfall.finetune.augmentation_settings import AugmentationSettings
    from footfall.finetune.chosen_weight import choose_weight
    from footfall.finetune.click_classifier import ClickClassifier
    from footfall.finetune.click_model import ClickModel
    from footfall.finetune.click_settings import ClickSettings
    from footfall.finetune.controls import oversample_real, random_pairs
    from footfall.finetune.example_batches import ExampleBatches, log_batches, parquet_batches
    from footfall.finetune.example_files import load_examples, save_examples
    from footfall.finetune.example_table import FEATURE_NAMES, Examples
    from footfall.finetune.examples import read_examples
    from footfall.finetune.export import export_model, export_query_classifier
    from footfall.finetune.fuse import Fusion, fuse_with_report
    from footfall.finetune.fusion_report import FusionReport
    from footfall.finetune.fusion_settings import FusionSettings
    from footfall.finetune.query_classifier import QueryClassifier
    from footfall.finetune.query_pairs import QueryPairs, read_query_pairs
    from footfall.finetune.query_settings import QuerySettings
    from footfall.finetune.scoring import score_batches
    from footfall.finetune.tuning import read_tuning_card, tune_model
    from footfall.finetune.tuning_card import TuningCard
    from footfall.finetune.tuning_settings import TuningSettings

__all__ = [
    "FEATURE_NAMES",
    "AlphaChoice",
    "AugmentationSettings",
    "Augmented",
    "ClickClassifier",
    "ClickModel",
    "ClickSettings",
    "ExampleBatches",
    "Examples",
    "Fusion",
    "FusionReport",
    "FusionSettings",
    "HalvingChoice",
    "QueryClassifier",
    "QueryPairs",
    "QuerySettings",
    "TuningCard",
    "TuningSettings",
    "augment_with_report",
    "choose_alpha",
    "choose_alpha_by_halving",
    "choose_weight",
    "export_model",
    "export_query_classifier",
    "fuse_with_report",
    "load_examples",
    "log_batches",
    "oversample_real",
    "parquet_batches",
    "random_pairs",
    "read_examples",
    "read_query_pairs",
    "read_tuning_card",
    "save_examples",
    "score_batches",
    "share_of_slates",
    "tune_model",
    "validation_log_loss",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "FEATURE_NAMES": "example_table",
        "AlphaChoice": "alpha",
        "AugmentationSettings": "augmentation_settings",
        "Augmented": "augment",
        "ClickClassifier": "click_classifier",
        "ClickModel": "click_model",
        "ClickSettings": "click_settings",
        "ExampleBatches": "example_batches",
        "Examples": "example_table",
        "Fusion": "fuse",
        "FusionReport": "fusion_report",
        "FusionSettings": "fusion_settings",
        "HalvingChoice": "alpha_halving",
        "QueryClassifier": "query_classifier",
        "QueryPairs": "query_pairs",
        "QuerySettings": "query_settings",
        "TuningCard": "tuning_card",
        "TuningSettings": "tuning_settings",
        "augment_with_report": "augment",
        "choose_alpha": "alpha",
        "choose_alpha_by_halving": "alpha_halving",
        "choose_weight": "chosen_weight",
        "export_model": "export",
        "export_query_classifier": "export",
        "fuse_with_report": "fuse",
        "load_examples": "example_files",
        "log_batches": "example_batches",
        "oversample_real": "controls",
        "parquet_batches": "example_batches",
        "random_pairs": "controls",
        "read_examples": "examples",
        "read_query_pairs": "query_pairs",
        "read_tuning_card": "tuning",
        "save_examples": "example_files",
        "score_batches": "scoring",
        "share_of_slates": "alpha_halving",
        "tune_model": "tuning",
        "validation_log_loss": "alpha",
    },
)
