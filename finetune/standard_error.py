"""How far a mean over training seeds may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["standard_error"]


def standard_error(values: Sequence[float] | np.ndarray[Any, Any]) -> float | None:
    """Of the mean of values, one a seed; None with one value, which tells nothing of it."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
