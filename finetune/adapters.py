"""What of a text model is trained: adapters through peft, every weight, or nothing.

Imports torch and peft; load it only where a model is trained or asked.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from footfall.errors import SettingError
from footfall.finetune.layer_split import LayerSplit

if TYPE_CHECKING:
    from footfall.finetune.layer_split import Split
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["adapt", "orthogonality", "target_names"]

#: Query and value projections of model types that peft's table lacks.
_ATTENTION = {
    "camembert": ("query", "value"),
    "distilbert": ("q_lin", "v_lin"),
    "modernbert": ("Wqkv",),
    "mpnet": ("attn.q", "attn.v"),
}
#: Layers that IA3 scales, and which of them feed forward, of model types that peft's table lacks.
_SCALED = {
    "camembert": (("key", "value", "output.dense"), ("output.dense",)),
    "distilbert": (("k_lin", "v_lin", "ffn.lin2"), ("ffn.lin2",)),
    "electra": (("key", "value", "output.dense"), ("output.dense",)),
    "modernbert": (("Wqkv", "mlp.Wo"), ("mlp.Wo",)),
    "mpnet": (("attn.k", "attn.v", "output.dense"), ("output.dense",)),
    "xlm-roberta": (("key", "value", "output.dense"), ("output.dense",)),
}
#: What query and value projections are usually called, for model types in no table.
_USUAL_ATTENTION = (
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_proj", "v_proj"),
    ("q_lin", "v_lin"),
    ("qkv_proj",),
    ("Wqkv",),
    ("query_key_value",),
)
#: The same for what IA3 scales: keys, values and the second layer that feeds forward.
_USUAL_SCALED = (
    (("k_proj", "v_proj", "down_proj"), ("down_proj",)),
    (("qkv_proj", "down_proj"), ("down_proj",)),
    (("key", "value", "ffn_output"), ("ffn_output",)),
    (("key", "value", "output.dense"), ("output.dense",)),
)
#: AdaLoRA starts with so many times the rank that it ends with.
_SPARE_RANK = 1.5
#: Weight of AdaLoRA's orthogonality; Q. Zhang et al., "Adaptive Budget Allocation for
#: Parameter-Efficient Fine-Tuning" (ICLR 2023) take 0.1 to 0.5.
_ORTHOGONALITY = 0.1


def adapt(
    encoder: nn.Module,
    settings: TrainingSettings,
    *,
    split: Split | None = None,
    steps: int = 1,
    trained: Path | None = None,
) -> nn.Module:
    """The encoder with what ``settings.tuning`` trains of it; everything else stands still.

    Parameters
    ----------
    encoder:
        A text model of transformers.
    settings:
        Its ``tuning`` decides.
    split:
        Where only the last layers are trained.
    steps:
        Training steps, over which AdaLoRA shares its ranks out.
    trained:
        A folder that holds a trained ``adapter``.

    Raises
    ------
    SettingError
        If the architecture does not take the method.
    """
    from peft import PeftModel, get_peft_model

    if settings.tuning in {"full", "none"}:
        return encoder
    if trained is not None:
        return PeftModel.from_pretrained(encoder, str(trained / "adapter"))
    layers = split if isinstance(split, LayerSplit) else None
    adapted = get_peft_model(encoder, _configuration(encoder, settings, layers, steps))
    # What is saved names the encoder, not this machine's folder.
    adapted.peft_config["default"].base_model_name_or_path = settings.encoder
    return adapted


def _configuration(
    encoder: nn.Module, settings: TrainingSettings, split: LayerSplit | None, steps: int
) -> Any:
    from peft import AdaLoraConfig, IA3Config, LoraConfig, PrefixTuningConfig

    task: dict[str, Any] = {"task_type": "FEATURE_EXTRACTION"}
    if settings.tuning == "prefix":
        _check_prefix(encoder)
        return PrefixTuningConfig(num_virtual_tokens=settings.prefix_tokens, **task)
    if settings.tuning == "ia3":
        scaled, forward = _ia3_layers(encoder)
        targets = target_names(encoder, scaled, split)
        return IA3Config(
            target_modules=targets,
            feedforward_modules=[name for name in targets if _ends_with(name, forward)],
            fan_in_fan_out=_is_transposed(encoder, targets),
            **task,
        )
    targets = target_names(encoder, _lora_layers(encoder, settings), split)
    low_rank: dict[str, Any] = {
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.dropout,
        "target_modules": targets,
        "fan_in_fan_out": _is_transposed(encoder, targets),
    }
    if settings.tuning == "lora":
        return LoraConfig(r=settings.lora_rank, **low_rank, **task)
    return AdaLoraConfig(
        init_r=math.ceil(_SPARE_RANK * settings.lora_rank),
        target_r=settings.lora_rank,
        tinit=steps // 10,
        tfinal=steps // 5,
        total_step=max(1, steps),
        orth_reg_weight=_ORTHOGONALITY,
        **low_rank,
        **task,
    )


def _lora_layers(encoder: nn.Module, settings: TrainingSettings) -> Sequence[str] | None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    if settings.lora_targets == "all":
        return None
    kind = encoder.config.model_type
    found: Any = KNOWN.get(kind, _ATTENTION.get(kind))
    if found is None or isinstance(found, str):
        found = next((names for names in _USUAL_ATTENTION if _has(encoder, names)), None)
    if found is None:
        raise SettingError(
            f"lora_targets: the attention layers of a {kind!r} model are not known.",
            hint='Use lora_targets = "all".',
        )
    return tuple(found)


def _ia3_layers(encoder: nn.Module) -> tuple[Sequence[str], Sequence[str]]:
    from peft.utils import constants

    kind = encoder.config.model_type
    if kind in _SCALED:
        return _SCALED[kind]
    scaled = constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind)
    forward = constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind)
    if scaled is None or forward is None:
        usual = next((names for names in _USUAL_SCALED if _has(encoder, names[0])), None)
        if usual is not None:
            return usual
        raise SettingError(
            f"tuning: it is not known which layers of a {kind!r} model IA3 scales.",
            hint='Use tuning = "lora" with lora_targets = "all".',
        )
    return tuple(scaled), tuple(forward)


def _has(encoder: nn.Module, endings: Sequence[str]) -> bool:
    """Whether the model has linear layers of all these names."""
    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    return all(any(_ends_with(name, (ending,)) for name in names) for ending in endings)


def _check_prefix(encoder: nn.Module) -> None:
    takes = inspect.signature(encoder.forward).parameters
    if "past_key_values" not in takes:
        raise SettingError(
            f"tuning: a {encoder.config.model_type!r} model takes no prefix of keys and values.",
            hint='Use tuning = "lora", or a BERT, RoBERTa or decoder model.',
        )


def target_names(
    encoder: nn.Module, endings: Sequence[str] | None, split: LayerSplit | None = None
) -> list[str]:
    """Full names of the linear layers that are adapted.

    Parameters
    ----------
    encoder:
        The text model.
    endings:
        How the names end; without them, all linear layers but the model's own pooling.
    split:
        Only layers above it.
    """
    from transformers.pytorch_utils import Conv1D

    names = [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and not name.startswith("pooler.")
        and (endings is None or _ends_with(name, endings))
        and (split is None or split.is_trained(name))
    ]
    if not names:
        raise SettingError(
            f"tuning: no layer of the {encoder.config.model_type!r} model can be adapted.",
            hint='Use lora_targets = "all", or tuning = "full".',
        )
    return names


def _ends_with(name: str, endings: Sequence[str]) -> bool:
    return any(name == ending or name.endswith("." + ending) for ending in endings)


def _is_transposed(encoder: nn.Module, names: Sequence[str]) -> bool:
    """Whether weights lie input by output, as those of GPT-2 do."""
    return not isinstance(encoder.get_submodule(names[0]), nn.Linear)


def orthogonality(encoder: nn.Module) -> torch.Tensor | float:
    """AdaLoRA's penalty that keeps its triplets orthogonal; 0 for other methods.

    ``w / n sum ||P P' - I||``, equation 4 of the paper named above, over the n matrices.
    """
    if getattr(encoder, "peft_type", None) != "ADALORA":
        return 0.0
    penalties = []
    for name, value in encoder.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            square = value @ value.T if ".lora_A." in name else value.T @ value
            identity = torch.eye(len(square), device=square.device)
            penalties.append(torch.linalg.matrix_norm(square - identity))
    weight: float = encoder.peft_config["default"].orth_reg_weight
    return weight * torch.stack(penalties).mean()
