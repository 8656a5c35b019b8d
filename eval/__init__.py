"""Is the synthetic part true to life, and does it help: metrics, fidelity, likeness, the report.

``evaluate``, ``fidelity`` and ``likeness`` are here the functions; their modules are imported by
full name, as in ``from footfall.eval.likeness import LikenessRow``.
"""

from __future__ import annotations

from footfall.eval.arms import compare_arms
from footfall.eval.evaluate import compare, evaluate
from footfall.eval.fidelity import fidelity
from footfall.eval.fidelity_page import fidelity_table, write_fidelity
from footfall.eval.fidelity_results import Fidelity, FidelityRow, check_limits
from footfall.eval.likeness import Likeness, likeness
from footfall.eval.metrics import METRICS
from footfall.eval.report import CostLine, ReportContent, write_report
from footfall.eval.results import ArmComparison, Comparison, Evaluation
from footfall.eval.run_report import describe_run
from footfall.eval.sessions import collect_sessions

__all__ = [
    "METRICS",
    "ArmComparison",
    "Comparison",
    "CostLine",
    "Evaluation",
    "Fidelity",
    "FidelityRow",
    "Likeness",
    "ReportContent",
    "check_limits",
    "collect_sessions",
    "compare",
    "compare_arms",
    "describe_run",
    "evaluate",
    "fidelity",
    "fidelity_table",
    "likeness",
    "write_fidelity",
    "write_report",
]
