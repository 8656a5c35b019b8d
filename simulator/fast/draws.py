"""Random numbers that are looked up instead of drawn: the same keys give the same number.

Two crowds in front of two targets meet other items at other times. A generator that is read in
order would give them other chances from the first difference on; here a chance belongs to what it
is about (a visit, a need, an item), so that what differs between the crowds is what the targets
caused (common random numbers; Glasserman and Yao 1992).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

__all__ = ["exponentials", "normals", "text_keys", "uniforms"]

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
#: A uniform number has 53 random bits, the most that a float64 holds evenly spaced.
_UNIT: Final = 2.0**-53


def uniforms(seed: int, stream: int, *keys: npt.ArrayLike) -> Floats:
    """Uniform numbers in [0, 1), of the shape that the keys broadcast to.

    Parameters
    ----------
    seed:
        Of the whole crowd, 0 or more.
    stream:
        What is drawn; numbers of different streams have nothing to do with each other.
    *keys:
        Integers, or arrays of them, that say what the number is about.
    """
    start = (int(seed) * 0x1_0000 + int(stream)) & 0xFFFF_FFFF_FFFF_FFFF
    mixed = _mixed(np.array([start], dtype=np.uint64))
    for key in keys:
        mixed = _mixed(mixed ^ _as_keys(key))
    found = np.asarray((mixed >> np.uint64(11)).astype(np.float64) * _UNIT)
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys))
    return found.reshape(shape)


def normals(seed: int, stream: int, *keys: npt.ArrayLike) -> Floats:
    """Standard normal numbers; parameters as in :func:`uniforms`."""
    # Half a unit keeps the smallest number from becoming minus infinity.
    return np.asarray(ndtri(uniforms(seed, stream, *keys) + 0.5 * _UNIT), dtype=np.float64)


def exponentials(seed: int, stream: int, *keys: npt.ArrayLike) -> Floats:
    """Exponential numbers of mean 1; parameters as in :func:`uniforms`."""
    return np.asarray(-np.log1p(-uniforms(seed, stream, *keys)), dtype=np.float64)


def text_keys(texts: Sequence[str]) -> Keys:
    """A key of each text, the same on every machine, shape (texts,)."""
    digests = b"".join(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _as_keys(values: npt.ArrayLike) -> Keys:
    array = np.asarray(values)
    return array if array.dtype == np.uint64 else array.astype(np.int64).astype(np.uint64)


def _mixed(state: Keys) -> Keys:
    """One step of SplitMix64 (Steele, Lea and Flood 2014): every bit of a key reaches all bits."""
    with np.errstate(over="ignore"):
        state = state + _GOLDEN
        state = (state ^ (state >> np.uint64(30))) * _FIRST
        state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)))
