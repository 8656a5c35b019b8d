"""The classifier's network: two towers of one text encoder beside a numeric head.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from footfall.errors import EngineMissingError
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.layer_split import LayerSplit
from footfall.models import encoder_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ClickNetwork", "build_network", "load_tokenizer"]

#: Scales of the cosines before any fitting; positive, so that ranking starts at zero-shot.
_QUERY_SCALE, _SHOPPER_SCALE = 8.0, 4.0


class ClickNetwork(nn.Module):  # type: ignore[misc]
    """Log-odds of a response.

    ``scale_q cos(query, item) + scale_s cos(shopper, item) + bias + head(numbers)``; the query
    term is 0 when browsing. Vectors are mean-pooled and normalised. The scales are exponentials,
    so they stay positive.
    """

    def __init__(
        self, encoder: nn.Module, features: int, hidden: int, split: LayerSplit | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.split = split
        self.log_scales = nn.Parameter(torch.tensor([_QUERY_SCALE, _SHOPPER_SCALE]).log())
        self.bias = nn.Parameter(torch.zeros(()))
        self.linear = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.hidden: nn.Module | None = None
        if hidden:
            last = nn.Linear(hidden, 1, bias=False)
            nn.init.zeros_(last.weight)
            self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), last)

    def encode(self, chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Vectors of all texts of the chunks, in order, float, shape (texts, width).

        Each chunk is token ids, int64, shape (texts, tokens), or the hidden states that enter the
        trained layers, float, shape (texts, tokens, width); and the attention mask.
        """
        vectors = []
        for first, mask in chunks:
            states = self._last_states(first, mask)
            shares = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * shares).sum(1) / shares.sum(1).clamp(min=1.0)
            vectors.append(nn.functional.normalize(pooled.float(), dim=-1))
        return torch.cat(vectors)

    def _last_states(self, first: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.split is None:
            states: torch.Tensor = self.encoder(input_ids=first, attention_mask=mask)[0]
            return states
        entering = first if first.is_floating_point() else self.split.lower(first, mask)
        return self.split.upper(entering, mask)

    def score(
        self, query: torch.Tensor, shopper: torch.Tensor, asked: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Log-odds from cosines, shape (rows,); ``asked`` is 1 where there is a query."""
        scales = self.log_scales.exp()
        logits = scales[0] * query * asked + scales[1] * shopper + self.bias
        logits = logits + self.linear(numbers).squeeze(-1)
        if self.hidden is not None:
            logits = logits + self.hidden(numbers).squeeze(-1)
        return logits

    def forward(
        self,
        *,
        chunks: Sequence[tuple[torch.Tensor, torch.Tensor]],
        query: torch.Tensor,
        shopper: torch.Tensor,
        item: torch.Tensor,
        asked: torch.Tensor,
        numbers: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted cross-entropy and log-odds of a batch.

        ``query``, ``shopper`` and ``item`` are places among the texts of ``chunks``, shape (rows,).
        The loss is divided by rows, not by their weights: a batch of light rows stays light.
        """
        vectors = self.encode(chunks)
        items = vectors[item]
        logits = self.score(
            (vectors[query] * items).sum(-1), (vectors[shopper] * items).sum(-1), asked, numbers
        )
        losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return {"loss": (losses * weights).mean(), "logits": logits}

    def head_parameters(self) -> list[nn.Parameter]:
        """Everything that is not the encoder."""
        return [p for n, p in self.named_parameters() if not n.startswith("encoder.")]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is trained of the encoder."""
        return [p for p in self.encoder.parameters() if p.requires_grad]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Only what is trained, so that a checkpoint does not repeat the encoder."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name in trained}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load what is trained; the rest of the encoder stays as it is."""
        del strict
        keys = super().load_state_dict(state_dict, strict=False, assign=assign)
        trained = set(self.state_dict())
        # Trainer warns about missing keys; only those of trained weights are missing in truth.
        keys.missing_keys[:] = [name for name in keys.missing_keys if name in trained]
        return keys


def load_tokenizer(settings: ClickSettings) -> Any:
    """The encoder's tokeniser."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(encoder_folder(settings.encoder))


def build_network(
    settings: ClickSettings, features: int, *, trained: Path | None = None
) -> ClickNetwork:
    """A fresh network, or with ``trained`` one whose encoder or adapter lies in that folder.

    Raises
    ------
    EngineMissingError
        If the encoder cannot be loaded.
    """
    from transformers import AutoConfig, AutoModel

    folder = encoder_folder(settings.encoder)
    if trained is not None and settings.tuning == "full":
        folder = str(trained / "encoder")
    try:
        config = AutoConfig.from_pretrained(folder)
        _set_dropout(config, settings.dropout if settings.tuning == "full" else 0.0)
        with _quietly():
            encoder = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise EngineMissingError(
            f"The text encoder {settings.encoder!r} cannot be loaded: {error}",
            hint="Give the name of the bundled encoder or a folder with a model.",
        ) from error
    split = LayerSplit(encoder, settings.trained_layers) if settings.trained_layers else None
    if settings.tuning == "lora":
        encoder = _adapted(encoder, settings, trained, split)
    return ClickNetwork(encoder, features, settings.head_hidden, split)


def _set_dropout(config: Any, rate: float) -> None:
    """Set the dropout of hidden states, under whichever name an architecture has for it.

    Dropout of attention would forbid the fast kernels, so it is off; adapters have their own.
    """
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0 if "att" in name else rate)


def _adapted(
    encoder: nn.Module, settings: ClickSettings, trained: Path | None, split: LayerSplit | None
) -> nn.Module:
    from peft import LoraConfig, PeftModel, get_peft_model

    if trained is not None:
        return PeftModel.from_pretrained(encoder, str(trained / "adapter"))
    targets: Any = ["query", "value"] if settings.lora_targets == "attention" else "all-linear"
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        layers_to_transform=None if split is None else split.trained_numbers,
        task_type="FEATURE_EXTRACTION",
    )
    adapted = get_peft_model(encoder, config)
    # What is saved names the encoder, not this machine's folder.
    adapted.peft_config["default"].base_model_name_or_path = settings.encoder
    return adapted


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the loading bars of transformers, which would cut through ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
