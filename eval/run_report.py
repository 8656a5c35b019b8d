"""Everything a report says about one simulated run, collected from its log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from footfall.eval.likeness import likeness
from footfall.eval.report import (
    BehaviourFact,
    CostLine,
    Repeat,
    ReportContent,
    collect_rejects,
)
from footfall.eval.results import ArmComparison
from footfall.eval.run_record import RunRecord, read_run, run_cautions
from footfall.eval.sessions import collect_sessions
from footfall.simulator.behaviour import Behaviour, Rate
from footfall.simulator.log import Log

if TYPE_CHECKING:
    from footfall.simulator.shop_opening import ShopFit

__all__ = ["describe_behaviour", "describe_run"]


def describe_run(
    log: Log,
    run_id: str,
    *,
    title: str,
    verdict: str = "",
    arms: ArmComparison | None = None,
    sessions: int = 4,
    splits: int = 20,
    seed: int = 0,
    cost: Sequence[CostLine] = (),
    commands: Sequence[str] = (),
    cautions: Sequence[str] = (),
    facts: dict[str, str] | None = None,
) -> ReportContent:
    """Collect the sessions to read, the likeness, the fitted behaviour and how to repeat a run.

    Real sessions are compared up to the time that the run could know of. Without a ``verdict`` of
    its own the report makes one from the arms.

    Raises
    ------
    DataError
        If the log has no such run.
    EmptyLogError
        If the run has no sessions.
    """
    record = read_run(log, run_id)
    run, configuration, moment = record.row, record.configuration, record.known_until(log)
    fitted = configuration.get("fit")
    fit = _fit(fitted) if fitted else None
    # Runs of version 0.1 stored the click curve alone.
    behaviour = (
        fit.behaviour if fit else Behaviour.model_validate(configuration.get("behaviour", {}))
    )
    return ReportContent(
        title=title,
        verdict=verdict,
        facts=_facts(log, run, configuration) | (facts or {}),
        sessions=collect_sessions(log, run_id, sessions, seed),
        likeness=likeness(log, run_id, end=moment, until=moment, splits=splits, seed=seed),
        arms=arms,
        behaviour=[*describe_behaviour(behaviour), *(_further_rates(fit) if fit else [])],
        rejects=collect_rejects(log),
        cost=list(cost),
        cautions=[*_cautions(log, record, arms), *cautions],
        repeat=Repeat(
            commands=list(commands),
            seed=run["seed"],
            versions=json.loads(run["versions"] or "{}"),
            model=run["model"] or "",
            model_hash=run["model_hash"] or "",
            notes=_settings(configuration),
        ),
    )


def _settings(configuration: dict[str, Any]) -> list[str]:
    settings = configuration.get("settings")
    if not settings:
        return []
    given = ", ".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    return [f"Settings of the simulation: {given}."]


def describe_behaviour(behaviour: Behaviour) -> list[BehaviourFact]:
    """The curves that shoppers followed, each with its interval and where it comes from."""
    facts = []
    for name, field in Behaviour.model_fields.items():
        value = getattr(behaviour, name)
        words = name.replace("_", " ")
        if isinstance(value, Rate):
            facts.append(_fact(f"{words}: {field.description or ''}", value))
            continue
        facts += [
            _fact(f"{words} at position {position}", rate)
            for position, rate in enumerate(value, start=1)
        ]
    return facts


def _fit(stored: dict[str, Any]) -> ShopFit:
    from footfall.simulator.shop_opening import ShopFit

    return ShopFit.model_validate(stored)


def _further_rates(fit: ShopFit) -> list[BehaviourFact]:
    return [_fact(name, rate) for name, rate in fit.rates().items()]


def _fact(name: str, rate: Rate) -> BehaviourFact:
    low = high = None
    if rate.standard_error is not None:
        low, high = rate.value - 1.96 * rate.standard_error, rate.value + 1.96 * rate.standard_error
    return BehaviourFact(
        name=name, value=rate.value, low=low, high=high, source=rate.source, note=rate.note
    )


def _facts(log: Log, run: dict[str, Any], configuration: dict[str, Any]) -> dict[str, str]:
    counts = {
        table: (log.count(table, "real"), log.count(table, run["run_id"]))
        for table in ("users", "sessions", "searches", "impressions")
    }
    facts = {"run": run["run_id"], "state": run["state"], "language model": run["model"] or "none"}
    facts |= {
        f"{table}, real and synthetic": f"{real:,} and {made:,}"
        for table, (real, made) in counts.items()
    }
    facts["items"] = f"{log.count('items'):,}"
    if configuration.get("knowledge_until"):
        facts["simulated with the log until"] = configuration["knowledge_until"]
    return facts


def _cautions(log: Log, run: RunRecord, arms: ArmComparison | None) -> list[str]:
    cautions = run_cautions(log, run)
    if arms is not None:
        seeds = min(evaluation.seeds for evaluation in arms.evaluations.values())
        if seeds < 5:
            cautions.append(
                f"Every arm was trained with {seeds} seed(s); a claim of a lift needs at least 5."
            )
    return cautions
