"""Which language model to use: the settings, and the engine opened from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from footfall.errors import SettingError
from footfall.models import BUNDLED_LANGUAGE_MODEL
from footfall.simulator.engines.plugins import PLUGIN_GROUP, plugin_engines
from footfall.simulator.engines.protocol import Engine

__all__ = ["BUILT_IN_KINDS", "EngineSettings", "engine_kinds", "open_engine"]

#: Kinds of engine that need no plug-in.
BUILT_IN_KINDS = ("replay", "scripted", "server", "vllm")


class EngineSettings(BaseModel):
    """How the language model is reached and how much it may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(
        "vllm",
        description="`vllm` in this process, `server` at an address, `replay` of a recording, "
        "`scripted` without any language model, or the name of a plug-in.",
    )
    model: str = Field(
        BUNDLED_LANGUAGE_MODEL,
        min_length=1,
        description="The bundled model's name, a folder, a hub name, or the name that the server "
        "knows the model by.",
    )
    address: str | None = Field(
        None,
        description="Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1; "
        "for `server` only.",
    )
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        description="Name of the environment variable that holds the server's key, if it wants "
        "one.",
    )
    recording: Path | None = Field(
        None,
        description="A JSON Lines file: `replay` answers from it, every other kind records to it "
        "and does not ask again what is already there.",
    )
    max_concurrent: int = Field(
        64, ge=1, le=4096, description="Requests that the engine works on at the same time."
    )
    max_model_len: int = Field(
        1024,
        ge=64,
        description="Tokens of a prompt and its answer together; of a longer prompt the end is "
        "kept.",
    )
    kv_cache_gb: float = Field(
        2.0,
        gt=0,
        le=1024,
        description="Memory for what the model keeps of prompts in work, in GiB; for `vllm`.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the weights; `auto` is the one that this machine computes "
        "fastest; for `vllm`.",
    )
    tuning: Literal["card", "merged", "adapter"] = Field(
        "card",
        description="How a model made by `footfall tune` is served: as its card says, with the "
        "adapter merged into the weights, or beside them; for `vllm`.",
    )
    compile_model: bool | None = Field(
        None,
        description="Compile the model at the start: a minute longer to load and somewhat faster "
        "after; left open, yes on a GPU and no on a CPU; for `vllm`.",
    )
    separate_process: bool = Field(
        False,
        description="Run the model in a process of its own: slower to start, and survives "
        "its death with an error instead of ending; for `vllm`.",
    )
    seed: int = Field(
        0,
        ge=0,
        description="Start of the randomness of sampled words for `vllm`, of everything for "
        "`scripted`.",
    )
    timeout_seconds: float = Field(
        120.0, gt=0, description="Longest wait for one answer of a server."
    )
    retries: int = Field(
        4,
        ge=0,
        le=20,
        description="How often a request to a server that is down or busy is repeated, waiting "
        "longer each time.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Further settings, passed on to a plug-in unread."
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.netloc:
                raise ValueError("an address starts with http:// or https:// and names a host")
        return value

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.kind == "server" and self.address is None:
            raise ValueError("kind `server` needs an `address`")
        if self.kind == "replay" and self.recording is None:
            raise ValueError("kind `replay` needs a `recording`")
        if self.kind in {"vllm", "replay", "scripted"} and self.address is not None:
            raise ValueError(f"`address` is for kind `server`, not `{self.kind}`")
        if self.kind in BUILT_IN_KINDS and self.options:
            raise ValueError(f"`options` are for plug-ins, not for kind `{self.kind}`")
        return self


def engine_kinds() -> list[str]:
    """All kinds that can be asked for: built in, and from working plug-ins."""
    return sorted({*BUILT_IN_KINDS, *plugin_engines()})


def open_engine(settings: EngineSettings) -> Engine:
    """Open the engine that ``settings`` describe; the caller closes it.

    Raises
    ------
    SettingError
        If no built-in engine or working plug-in has this kind.
    EngineError
        Of the kind's own: model missing, memory short, server down, recording damaged.
    MissingPartError
        If the engine's package is not installed.
    """
    engine = _open(settings)
    if settings.recording is None or settings.kind == "replay":
        return engine
    from footfall.simulator.engines.replay import RecordingEngine

    try:
        return RecordingEngine(engine, settings.recording)
    except BaseException:
        engine.close()
        raise


def _open(settings: EngineSettings) -> Engine:
    match settings.kind:
        case "vllm":
            from footfall.simulator.engines.in_process import VllmEngine

            return VllmEngine(settings)
        case "server":
            from footfall.simulator.engines.server import ServerEngine

            return ServerEngine(settings)
        case "replay":
            from footfall.simulator.engines.replay import ReplayEngine

            # The settings' validator has seen to it that there is one.
            return ReplayEngine(settings.recording or Path())
        case "scripted":
            from footfall.simulator.engines.scripted import ScriptedEngine

            return ScriptedEngine(settings.seed)
    plugins = plugin_engines()
    if settings.kind not in plugins:
        raise SettingError(
            f"There is no engine of kind {settings.kind!r}; there are "
            f"{', '.join(sorted({*BUILT_IN_KINDS, *plugins}))}.",
            hint=f"Correct `kind`, or install the plug-in that offers it ({PLUGIN_GROUP}).",
        )
    return plugins[settings.kind](settings)
