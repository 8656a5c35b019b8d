"""Conditional neural models of table rows: a variational autoencoder and a generative adversary.

Both draw a row of a :class:`~footfall.simulator.generators.columns.TableCodec` matrix given a row
of conditions. Training is seeded and done on the CPU: the networks are small. All noise of drawing
comes from a numpy generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from footfall.progress import track
from footfall.simulator.generators.columns import TableCodec
from footfall.simulator.generators.network_settings import GANSettings, NetworkSettings, VAESettings

__all__ = ["TableGAN", "TableModel", "TableVAE"]

Matrix: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.float64]


class TableModel(Protocol):
    """A model of rows given conditions."""

    def fit(self, rows: Matrix, conditions: Matrix, weights: Floats, *, seed: int) -> None:
        """Train on rows drawn in proportion to ``weights``, shape ``(rows,)``."""

    def sample(self, conditions: Matrix, generator: np.random.Generator) -> Matrix:
        """A row for each row of conditions, shape ``(rows, codec.width)``."""


class TableVAE:
    """Conditional variational autoencoder (Kingma and Welling 2014; Sohn et al. 2015).

    Numbers are normal around the decoder's mean with a learned deviation, categories are drawn
    from its softmax, as in TVAE (Xu et al. 2019, "Modeling tabular data using conditional GAN").

    Parameters
    ----------
    codec:
        Layout of the rows.
    conditions:
        Columns of the conditions.
    """

    def __init__(self, codec: TableCodec, conditions: int, settings: VAESettings) -> None:
        self._codec, self._settings = codec, settings
        self._conditions = conditions

    def fit(self, rows: Matrix, conditions: Matrix, weights: Floats, *, seed: int) -> None:
        """As in :class:`TableModel`."""
        settings, width = self._settings, self._codec.width
        with _seeded(seed):
            self._encoder = _layers(
                width + self._conditions, settings.width, 2 * settings.latent, nn.ReLU
            )
            self._decoder = _layers(
                settings.latent + self._conditions, settings.width, width, nn.ReLU
            )
            self._deviation = torch.zeros(len(self._codec.numbers), requires_grad=True)
            optimiser = torch.optim.Adam(
                [*self._encoder.parameters(), *self._decoder.parameters(), self._deviation],
                lr=settings.learning_rate,
            )
            batches = _Batches(rows, conditions, weights, settings, seed)
            with track("Training the autoencoder", total=settings.steps) as progress:
                for _ in range(settings.steps):
                    loss = self._loss(*batches.draw())
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    progress.advance()

    def _loss(self, rows: Any, conditions: Any) -> Any:
        """Negative evidence lower bound, in nats a row."""
        encoded = self._encoder(torch.cat([rows, conditions], dim=1))
        mean, log_variance = encoded.chunk(2, dim=1)
        drawn = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded = self._decoder(torch.cat([drawn, conditions], dim=1))
        numbers = self._codec.numbers
        spread = (rows[:, numbers] - decoded[:, numbers]) / self._deviation.exp()
        loss = (0.5 * spread.square() + self._deviation).sum(dim=1)
        for begin, end in self._codec.blocks:
            likely = functional.log_softmax(decoded[:, begin:end], dim=1)
            loss = loss - (rows[:, begin:end] * likely).sum(dim=1)
        apart = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (loss + apart).mean()

    def sample(self, conditions: Matrix, generator: np.random.Generator) -> Matrix:
        """As in :class:`TableModel`."""
        noise = _normal(generator, len(conditions), self._settings.latent)
        with torch.no_grad():
            decoded = self._decoder(torch.cat([noise, torch.from_numpy(conditions)], dim=1))
            numbers = self._codec.numbers
            spread = _normal(generator, len(conditions), len(numbers))
            decoded[:, numbers] += spread * self._deviation.exp()
        return _one_hot(decoded.numpy(), self._codec, generator)


class TableGAN:
    """Conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017).

    Categories leave the generator through a Gumbel softmax, and conditions are drawn more evenly
    than they occur, as in CTGAN (Xu et al. 2019). The generator that draws is the moving average of
    the trained one.

    Parameters are those of :class:`TableVAE`.
    """

    def __init__(self, codec: TableCodec, conditions: int, settings: GANSettings) -> None:
        self._codec, self._settings = codec, settings
        self._conditions = conditions

    def fit(self, rows: Matrix, conditions: Matrix, weights: Floats, *, seed: int) -> None:
        """As in :class:`TableModel`."""
        settings, width = self._settings, self._codec.width
        with _seeded(seed):
            inputs = settings.latent + self._conditions
            self._generator = _layers(inputs, settings.width, width, nn.ReLU)
            critic = _layers(width + self._conditions, settings.width, 1, nn.LeakyReLU)
            average = torch.optim.swa_utils.AveragedModel(
                self._generator,
                multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.averaging),
            )
            adam = {"lr": settings.learning_rate, "betas": (0.5, 0.9)}
            improve_critic = torch.optim.Adam(critic.parameters(), **adam)
            improve_generator = torch.optim.Adam(self._generator.parameters(), **adam)
            batches = _Batches(rows, conditions, weights, settings, seed)
            with track("Training the adversaries", total=settings.steps) as progress:
                for _ in range(settings.steps):
                    for _ in range(settings.critic_steps):
                        real, given = batches.draw()
                        with torch.no_grad():
                            made = self._made(given)
                        loss = (
                            critic(torch.cat([made, given], 1)).mean()
                            - critic(torch.cat([real, given], 1)).mean()
                            + settings.penalty * _steepness(critic, real, made, given)
                        )
                        _improve(improve_critic, loss)
                    _, given = batches.draw()
                    loss = -critic(torch.cat([self._made(given), given], 1)).mean()
                    _improve(improve_generator, loss)
                    average.update_parameters(self._generator)
                    progress.advance()
            self._generator = average.module

    def _made(self, conditions: Any) -> Any:
        """Rows that the critic sees: categories nearly one-hot, so that gradients pass."""
        noise = torch.randn(len(conditions), self._settings.latent)
        raw = self._generator(torch.cat([noise, conditions], dim=1))
        parts, done = [], 0
        for begin, end in self._codec.blocks:
            parts.append(raw[:, done:begin])
            parts.append(
                functional.gumbel_softmax(raw[:, begin:end], tau=self._settings.temperature)
            )
            done = end
        return torch.cat([*parts, raw[:, done:]], dim=1)

    def sample(self, conditions: Matrix, generator: np.random.Generator) -> Matrix:
        """As in :class:`TableModel`."""
        noise = _normal(generator, len(conditions), self._settings.latent)
        with torch.no_grad():
            raw = self._generator(torch.cat([noise, torch.from_numpy(conditions)], dim=1))
        return _one_hot(raw.numpy(), self._codec, generator)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from ``seed`` inside the block, on one thread.

    Networks of this size gain nothing from more, and sums come out the same on every machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class _Batches:
    """Rows drawn with replacement, in proportion to their weights."""

    def __init__(
        self,
        rows: Matrix,
        conditions: Matrix,
        weights: Floats,
        settings: NetworkSettings,
        seed: int,
    ) -> None:
        self._rows, self._conditions = torch.from_numpy(rows), torch.from_numpy(conditions)
        self._cumulated = np.cumsum(weights)
        self._size = settings.batch_size
        self._random = np.random.default_rng(seed)

    def draw(self) -> tuple[Any, Any]:
        wanted = self._random.random(self._size) * self._cumulated[-1]
        places = np.searchsorted(self._cumulated, wanted, side="right")
        chosen = torch.from_numpy(np.minimum(places, len(self._rows) - 1))
        return self._rows[chosen], self._conditions[chosen]


def _layers(inputs: int, width: int, outputs: int, activation: Any) -> Any:
    return nn.Sequential(
        nn.Linear(inputs, width),
        activation(),
        nn.Linear(width, width),
        activation(),
        nn.Linear(width, outputs),
    )


def _steepness(critic: Any, real: Any, made: Any, conditions: Any) -> Any:
    """Mean squared distance of the critic's slope from 1, between real and made rows."""
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * made).requires_grad_()
    worth = critic(torch.cat([between, conditions], dim=1)).sum()
    (slope,) = torch.autograd.grad(worth, between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def _improve(optimiser: Any, loss: Any) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def _normal(generator: np.random.Generator, rows: int, columns: int) -> Any:
    return torch.from_numpy(generator.standard_normal((rows, columns), dtype=np.float32))


def _one_hot(raw: Matrix, codec: TableCodec, generator: np.random.Generator) -> Matrix:
    """Categories drawn from the softmax of ``raw``, by the largest of Gumbel-shifted values."""
    rows = raw.copy()
    for begin, end in codec.blocks:
        shifted = raw[:, begin:end] + generator.gumbel(size=(len(raw), end - begin))
        rows[:, begin:end] = shifted == shifted.max(axis=1, keepdims=True)
    return rows
