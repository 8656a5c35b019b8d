"""The one error hierarchy of Footfall.

Every error says what was wrong, where, and what to do about it::

    FootfallError
    ├── InputError              the user's data or settings are wrong
    │   ├── SettingError        a recipe, option or mapping has a wrong value
    │   ├── DataError           a file, table, row or column has wrong content
    │   │   ├── EmptyLogError       nothing to work on
    │   │   ├── NoResponseError     no clicks or purchases to learn from
    │   │   ├── CatalogueError      item ids missing or duplicated
    │   │   └── TooManyRejectsError more malformed rows than allowed
    │   └── PersonaError        a persona file or population is unusable
    ├── LogError                the DuckDB file
    │   ├── LogVersionError     of another program or schema version
    │   ├── LogLockedError      another process holds it (retryable)
    │   └── LogFullError        the disk or memory limit is exhausted (retryable)
    ├── EngineError             the language model
    │   ├── EngineMissingError  the package or the model is not installed
    │   ├── EngineUnavailableError  the server or process is down (retryable)
    │   ├── EngineMemoryError   not enough memory to load the model
    │   ├── EngineAnswerError   answers that cannot be used
    │   └── RecordingError      a recording lacks a request or is damaged
    ├── TargetError             the search engine or recommender under test
    │   └── TargetUnavailableError  its address does not answer (retryable)
    ├── TrainingError           training cannot start or went wrong
    └── MissingPartError        an optional dependency (extra) is not installed
"""

from __future__ import annotations

__all__ = [
    "CatalogueError",
    "DataError",
    "EmptyLogError",
    "EngineAnswerError",
    "EngineError",
    "EngineMemoryError",
    "EngineMissingError",
    "EngineUnavailableError",
    "FootfallError",
    "InputError",
    "LogError",
    "LogFullError",
    "LogLockedError",
    "LogVersionError",
    "MissingPartError",
    "NoResponseError",
    "PersonaError",
    "RecordingError",
    "SettingError",
    "TargetError",
    "TargetUnavailableError",
    "TooManyRejectsError",
    "TrainingError",
]


class FootfallError(Exception):
    """Root of all errors raised on purpose.

    Parameters
    ----------
    message:
        What was wrong and where (file, row, column, setting).
    hint:
        What the user can do about it; a command wherever there is one.
    """

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InputError(FootfallError):
    """The user's data or settings are wrong."""


class SettingError(InputError):
    """A recipe, option or mapping has a wrong value."""


class DataError(InputError):
    """A file, table, row or column has wrong content."""


class EmptyLogError(DataError):
    """There is nothing to work on."""


class NoResponseError(DataError):
    """There are no clicks or purchases to learn from."""


class CatalogueError(DataError):
    """Item ids are missing or duplicated."""


class TooManyRejectsError(DataError):
    """More rows are malformed than the settings allow."""


class PersonaError(InputError):
    """A persona file or population is unusable."""


class LogError(FootfallError):
    """The DuckDB file cannot be used."""


class LogVersionError(LogError):
    """The file belongs to another program or another schema version."""


class LogLockedError(LogError):
    """Another process holds the file."""

    retryable = True


class LogFullError(LogError):
    """The disk or the memory limit is exhausted; everything committed so far is kept."""

    retryable = True


class EngineError(FootfallError):
    """The language model cannot be used."""


class EngineMissingError(EngineError):
    """The engine's package or the model is not installed."""


class EngineUnavailableError(EngineError):
    """The server or the engine process is down."""

    retryable = True


class EngineMemoryError(EngineError):
    """There is not enough memory to load the model."""


class EngineAnswerError(EngineError):
    """The engine's answers cannot be used."""


class RecordingError(EngineError):
    """A recording lacks a request or is damaged."""


class TargetError(FootfallError):
    """The search engine or recommender under test cannot be used."""


class TargetUnavailableError(TargetError):
    """The address of the target does not answer."""

    retryable = True


class TrainingError(FootfallError):
    """Training cannot start or went wrong."""


class MissingPartError(FootfallError):
    """An optional dependency is not installed."""
