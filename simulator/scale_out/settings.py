"""How a run is spread over a cluster."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RaySettings"]


class RaySettings(BaseModel):
    """How many workers lead the shoppers, and where. None of it changes what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: int = Field(
        2,
        ge=1,
        le=4096,
        description="Processes that lead shoppers, each with an engine of its own.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="Address of a running Ray cluster, such as 10.0.0.1:6379; left open, that of "
        "the environment variable RAY_ADDRESS, else Ray is started on this machine and ended "
        "with the run.",
    )
    shard_size: int | None = Field(
        None,
        ge=1,
        description="Shoppers in a shard, which is what a worker is given at a time; left open, a "
        "quarter of a worker's share of the population, 256 at most.",
    )
    batch_visits: int = Field(
        64,
        ge=1,
        description="Finished sessions that a worker hands over at a time: what is done again "
        "when it dies, beside the sessions that it had begun. After two seconds they come with "
        "the next one that ends, however few they are.",
    )
    cpus_per_worker: float = Field(
        1.0,
        gt=0,
        description="Processor cores that Ray sets aside for a worker. A `vllm` engine on a "
        "processor computes on its worker's share of the machine's cores.",
    )
    gpus_per_worker: float | None = Field(
        None,
        ge=0,
        description="GPUs that Ray sets aside for a worker; left open, one for a `vllm` engine "
        "where the cluster has any, else none.",
    )
    restarts: int = Field(
        3,
        ge=0,
        description="How often a shard whose worker died is given to another worker, and how "
        "often in a row a worker that failed to open its engine is started again.",
    )
    start_timeout_seconds: float = Field(
        300.0,
        gt=0,
        description="Longest wait for a worker to start while none is there; a cluster without "
        "room for any never starts one.",
    )
