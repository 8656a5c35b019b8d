"""Encoders made for serving: adapters merged into the weights, and 8-bit integers.

Imports torch and transformers; load it only where a model is saved or loaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from footfall.errors import InputError, SettingError
from footfall.finetune.backbone import load_backbone, quietly
from footfall.finetune.model_files import load_tensors

if TYPE_CHECKING:
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["eight_bit", "load_for_serving", "merged", "save_for_serving", "weight_bytes"]

_WEIGHTS = "int8.safetensors"


def merged(encoder: nn.Module) -> nn.Module:
    """The encoder with its adapters merged into the weights; the encoder itself is used up.

    Raises
    ------
    SettingError
        If what was trained cannot be merged.
    """
    if not hasattr(encoder, "peft_config"):
        return encoder
    if not hasattr(encoder.base_model, "merge_and_unload"):
        raise SettingError(
            "A prefix is no change of weights and cannot be merged.",
            hint="Serve the model as it is, or train it with another tuning.",
        )
    return encoder.merge_and_unload()


def eight_bit(encoder: nn.Module) -> nn.Module:
    """A copy whose linear layers hold 8-bit weights, one scale for each output.

    Inputs are rounded to 8 bits when they come, so nothing has to be measured on data. The copy
    runs on processors only.

    Raises
    ------
    SettingError
        If this processor has no kernels for it, or the encoder no linear layers of torch.
    """
    if not any(isinstance(module, nn.Linear) for module in encoder.modules()):
        raise SettingError(
            f"The {encoder.config.model_type!r} model has no linear layers that 8 bits are for.",
            hint="Export it merged.",
        )
    _choose_kernels()
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    with _old_names():
        return quantize_dynamic(encoder.cpu().eval(), {nn.Linear: per_channel_dynamic_qconfig})


def save_for_serving(encoder: nn.Module, folder: Path, form: str) -> None:
    """Write an encoder into ``folder/encoder``; ``form`` is ``merged`` or ``int8``."""
    from safetensors.torch import save_file

    target = folder / "encoder"
    if form == "merged":
        encoder.save_pretrained(str(target))
        return
    encoder.config.save_pretrained(str(target))
    save_file(_eight_bit_tensors(encoder), str(target / _WEIGHTS))


def weight_bytes(encoder: nn.Module) -> int:
    """Bytes that the encoder's weights take."""
    packed = any(_is_packed(module) for module in encoder.modules())
    values = _eight_bit_tensors(encoder).values() if packed else encoder.parameters()
    return sum(value.numel() * value.element_size() for value in values)


def _eight_bit_tensors(encoder: nn.Module) -> dict[str, torch.Tensor]:
    """All weights by name; an 8-bit layer as integers and a scale for each output."""
    tensors: dict[str, torch.Tensor] = {}
    packed = tuple(name for name, module in encoder.named_modules() if _is_packed(module))
    for name in packed:
        module = encoder.get_submodule(name)
        weight = module.weight()
        tensors[f"{name}.weight"] = weight.int_repr()
        tensors[f"{name}.scale"] = weight.q_per_channel_scales().float()
        if module.bias() is not None:
            tensors[f"{name}.bias"] = module.bias().detach()
    inside = tuple(f"{name}." for name in packed)
    tensors |= {
        name: value
        for name, value in encoder.state_dict().items()
        if isinstance(value, torch.Tensor) and not (inside and name.startswith(inside))
    }
    return {name: value.contiguous() for name, value in tensors.items()}


def load_for_serving(settings: TrainingSettings, folder: Path, form: str) -> nn.Module:
    """Read what :func:`save_for_serving` wrote.

    Raises
    ------
    InputError
        If weights are missing or damaged.
    """
    if form == "merged":
        return load_backbone(settings, folder / "encoder")
    from transformers import AutoConfig, AutoModel

    _choose_kernels()
    with quietly():
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(str(folder / "encoder")))
    tensors = load_tensors(folder / "encoder" / _WEIGHTS)
    with _old_names():
        layers = {
            name: _packed_layer(
                tensors.pop(f"{name}.weight"), scale, tensors.pop(f"{name}.bias", None)
            )
            for name, scale in _popped(tensors, ".scale").items()
        }
    # Before the 8-bit layers are put in: they do not take weights that are not there.
    missing = encoder.load_state_dict(tensors, strict=False).missing_keys
    if any(name.rpartition(".")[0] not in layers for name in missing):
        raise InputError(f"{folder}: the weights cannot be read: {missing[0]} is missing.")
    for name, layer in layers.items():
        parent, _, leaf = name.rpartition(".")
        setattr(encoder.get_submodule(parent), leaf, layer)
    return encoder.requires_grad_(False).eval()


def _popped(tensors: dict[str, torch.Tensor], ending: str) -> dict[str, torch.Tensor]:
    """Take out the tensors whose names end so, by what stands before."""
    names = [name for name in tensors if name.endswith(ending)]
    return {name.removesuffix(ending): tensors.pop(name) for name in names}


def _packed_layer(weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> Any:
    from torch.ao.nn.quantized import dynamic

    layer = dynamic.Linear(weight.shape[1], weight.shape[0], bias_=bias is not None)
    zero = torch.zeros(len(scale), dtype=torch.int64)
    packed = torch._make_per_channel_quantized_tensor(weight, scale.double(), zero, 0)
    layer.set_weight_bias(packed, bias)
    return layer


def _is_packed(module: nn.Module) -> bool:
    from torch.ao.nn.quantized import dynamic

    return isinstance(module, dynamic.Linear)


def _choose_kernels() -> None:
    engines = torch.backends.quantized.supported_engines
    for engine in ("x86", "fbgemm", "onednn", "qnnpack"):
        if engine in engines:
            torch.backends.quantized.engine = engine
            return
    raise SettingError(
        "torch has no kernels for 8-bit integers on this processor.", hint="Export it merged."
    )


@contextmanager
def _old_names() -> Iterator[None]:
    """Without torch's notices that this part of it is to move to the package torchao."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)
        yield
