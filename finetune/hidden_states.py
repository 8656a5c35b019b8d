"""Hidden states of texts below what is trained: computed once, shared by models, bounded.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from footfall.personas.encoder import TextEncoder
from footfall.progress import track

if TYPE_CHECKING:
    from footfall.finetune.batches import Chunk, PairTable, TokenTable
    from footfall.finetune.layer_split import Split
    from footfall.finetune.training_settings import TrainingSettings

__all__ = ["STATES", "HiddenStates", "StateCache", "states_of", "with_states"]

Array = np.ndarray[Any, Any]
Key = tuple[str, Any]

#: Fewer texts than this are computed without a progress bar.
_SHOWN_FROM = 2000


class StateCache:
    """Hidden states by text, float32, shape (tokens, width); the least recently used go first.

    Parameters
    ----------
    limit:
        Most bytes kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[Key, Array] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Array | None:
        """The states kept under a key, which are now the last to go."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, states: Array) -> None:
        """Keep states; what is larger than the limit is not kept."""
        if states.nbytes > self.limit or key in self._kept:
            return
        self._kept[key] = states
        self.size += states.nbytes
        self._shrink()

    def set_limit(self, limit: int) -> None:
        """Change the bound, in bytes."""
        self.limit = limit
        self._shrink()

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.size = 0

    def _shrink(self) -> None:
        while self.size > self.limit:
            _, states = self._kept.popitem(last=False)
            self.size -= states.nbytes


#: Shared by all models of a process, so that many arms and seeds pay for a text once.
STATES = StateCache(0)


class HiddenStates:
    """What leaves the part of an encoder that stands still, for the texts of a token table.

    It stands in for the table: :meth:`padded` gives hidden states where the table gives token
    ids. States that the cache has let go of are computed again.

    Parameters
    ----------
    tokens:
        The texts.
    split:
        Where the encoder is cut.
    identity:
        Tells this encoder's lower part, token limit and device from others.
    cache:
        Where states are kept.
    """

    def __init__(
        self, tokens: TokenTable, split: Split, identity: str, cache: StateCache = STATES
    ) -> None:
        self._tokens = tokens
        self._split = split
        self._identity = identity
        self._cache = cache

    def prepare(self, texts: Array) -> None:
        """Compute the states of some texts, as many as the cache can hold beside each other."""
        bytes_after = np.cumsum(self._rows(texts)) * self._split.width * 4
        held = texts[bytes_after <= self._cache.limit].tolist()
        missing = [n for n in held if self._cache.get(self._key(n)) is None]
        parts, _ = self._tokens.parts(np.asarray(missing, np.int64))
        if len(missing) < _SHOWN_FROM:
            for part in parts:
                self._compute(part)
            return
        with track("Reading texts", len(missing)) as task:
            for part in parts:
                self._compute(part)
                task.advance(len(part))

    def padded(self, texts: Array) -> Chunk:
        """Hidden states, float32, shape (texts, tokens, width), and the mask of some texts."""
        found = {n: self._cache.get(self._key(n)) for n in texts.tolist()}
        missing = [n for n, states in found.items() if states is None]
        if missing:
            found |= self._compute(np.asarray(missing, np.int64))
        lengths = self._rows(texts)
        first = found[int(texts[0])]
        assert first is not None
        states = np.zeros((len(texts), int(lengths.max()), first.shape[1]), np.float32)
        for place, (number, length) in enumerate(zip(texts.tolist(), lengths, strict=True)):
            states[place, :length] = found[number]
        mask = np.arange(states.shape[1]) < lengths[:, None]
        return torch.from_numpy(states), torch.from_numpy(mask.astype(np.int64))

    def _rows(self, texts: Array) -> Array:
        return self._split.rows(self._tokens.lengths[texts])

    def _key(self, number: int) -> Key:
        return self._identity, self._tokens.texts[number]

    def _compute(self, texts: Array) -> dict[int, Array | None]:
        ids, mask = self._tokens.padded(texts)
        device = self._split.device
        states = self._split.lower(ids.to(device), mask.to(device))[0].float().cpu().numpy()
        made: dict[int, Array | None] = {}
        for place, (number, rows) in enumerate(zip(texts.tolist(), self._rows(texts), strict=True)):
            # A copy, because a slice would keep the whole chunk in memory.
            own = states[place, :rows].copy()
            made[number] = own
            self._cache.put(self._key(number), own)
        return made


def states_of(tokens: TokenTable, split: Split, settings: TrainingSettings) -> HiddenStates:
    """Hidden states of some texts below what is trained."""
    encoder = TextEncoder(settings.encoder, max_tokens=settings.max_tokens)
    identity = f"{encoder.identity} {split.name} {split.device.type}"
    STATES.set_limit(int(settings.state_memory * 2**30))
    return HiddenStates(tokens, split, identity)


def with_states(pairs: PairTable, split: Split, settings: TrainingSettings) -> PairTable:
    """Pairs whose texts start from their hidden states below what is trained."""
    return replace(pairs, states=states_of(pairs.tokens, split, settings))
