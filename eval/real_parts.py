"""Random parts of the real users, of the size of the run that they are compared with.

A run of 200 sessions cannot come closer to the mean of 100,000 than 200 real sessions do. So the
floor of every distance is a random part of the real users that holds about as many sessions as the
run (at most half of the users), against the rest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["real_parts"]


def real_parts(
    sizes: npt.NDArray[np.int64], target: int, splits: int, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draw random parts of the users that hold about ``target`` sessions.

    Parameters
    ----------
    sizes:
        Sessions (or rows) of each user, shape ``(users,)``.
    target:
        Sessions that a part should hold. Users stay whole, so a part is as near as its random order
        of users allows: at least one user, at most half of them.
    splits:
        How many parts.
    generator:
        Source of the draws.

    Returns
    -------
    numpy.ndarray of bool
        Shape ``(splits, users)``; all false where there are fewer than two users.
    """
    users = len(sizes)
    chosen = np.zeros((splits, users), dtype=np.bool_)
    if users < 2:
        return chosen
    for part in chosen:
        order = generator.permutation(users)
        held = np.cumsum(sizes[order])
        nearest = int(np.abs(held[: users // 2] - target).argmin())
        part[order[: nearest + 1]] = True
    return chosen
