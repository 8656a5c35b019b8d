"""The verdict of a fidelity comparison in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from footfall.eval.fidelity_results import FidelityRow
from footfall.eval.results import format_number

__all__ = ["difference_sentence", "verdict_paragraph"]


_SUMMARIES: Final = (
    "session Frechet distance",
    "classifier two-sample test",
    "train on synthetic, test on real",
)


def _capitalised(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _digits(value: float) -> int:
    """Decimals that show about two figures of a value."""
    size = abs(value)
    if size == 0 or size >= 10:
        return 1
    return min(4, 1 - math.floor(math.log10(size)))


def _pair(row: FidelityRow) -> tuple[str, str] | None:
    """The run's value and the real one, with as many decimals as keep them apart."""
    made, real = row.synthetic.value, row.real
    if made is None or real is None:
        return None
    digits = max(_digits(made), _digits(real))
    while digits < 6 and f"{made:.{digits}f}" == f"{real:.{digits}f}":
        digits += 1
    return format_number(made, digits=digits), format_number(real, digits=digits)


def _times(row: FidelityRow) -> str:
    made, real = row.synthetic.value, row.real
    if made is None or not real or real < 0:
        return ""
    times = made / real
    return f"{times:,.2f}" if times < 1 or abs(times - 1) < 0.1 else f"{times:,.1f}"


def difference_sentence(row: FidelityRow) -> str:
    """How the run differs on one measure, and in which direction."""
    far = row.words
    pair, times = _pair(row), _times(row)
    if row.measure == "classifier two-sample test":
        return (
            "a classifier tells synthetic sessions from real ones with an AUC of "
            f"{row.synthetic.value:.2f} (0.50 is chance; {far})"
        )
    if row.measure == "train on synthetic, test on real":
        return (
            "a click model trained on the run ranks real responses with an AUC of "
            f"{row.synthetic.value:.2f}, against {row.real:.2f} for one trained on as many real "
            f"pages ({far})"
        )
    if row.kind == "difference" and pair is not None:
        if row.deed and times and row.direction != "same":
            each = "an impression" if row.measure.endswith("per impression") else "a session"
            return (
                f"shoppers {row.deed} {times} times as often as real ones: "
                f"{pair[0]} against {pair[1]} {each} ({far})"
            )
        return f"{row.measure}, {pair[0]} in the run against {pair[1]} in the real log ({far})"
    words = f"; {row.shift}" if row.shift else ""
    return f"{row.measure}, a distance of {row.synthetic.distance:.3f} ({far}){words}"


def verdict_paragraph(rows: Sequence[FidelityRow]) -> str:
    """How many measures lie within, what differs most, where the simple simulator is nearer."""
    measured = [row for row in rows if row.measured]
    if not measured:
        return "Nothing could be compared: the real log and the run record nothing in common."
    within = sum(row.verdict == "within" for row in measured)
    sentences = [
        f"{within} of {len(measured)} measures lie within what a random part of the real log, as "
        "large as the run, differs from the rest."
    ]
    outside = [row for row in measured if row.verdict == "further"]
    # Where all real parts are alike, often because of how the log was cut, no ratio says how far.
    alike = [row for row in outside if math.isinf(row.excess)]
    told = [row for row in outside if not math.isinf(row.excess)]
    # Summaries say that sessions differ, the other measures say in what.
    further = sorted((r for r in told if r.measure not in _SUMMARIES), key=_severity, reverse=True)
    if further:
        sentences.append(f"What differs most: {difference_sentence(further[0])}.")
        rate = next((row for row in further if row.section == "rates"), None)
        if rate is not None and rate is not further[0]:
            sentences.append(f"Of the rates, most: {difference_sentence(rate)}.")
    sentences += [_capitalised(difference_sentence(r)) for r in told if r.measure in _SUMMARIES]
    if alike:
        names = ", ".join(row.measure for row in alike)
        sentences.append(f"All real parts are alike and the run is not in: {names}.")
    if not outside:
        sentences.append("No measure differs more than real shoppers do among themselves.")
    sentences.append(_simple_sentence(measured))
    lacking = len(rows) - len(measured)
    if lacking:
        one = "measure was" if lacking == 1 else "measures were"
        sentences.append(f"{lacking} {one} not recorded or not measurable.")
    return " ".join(sentence for sentence in sentences if sentence)


def _severity(row: FidelityRow) -> tuple[float, float]:
    real = abs(row.real or 0.0) or 1.0
    return row.excess, (row.synthetic.distance or 0.0) / real


def _simple_sentence(measured: Sequence[FidelityRow]) -> str:
    compared = [row for row in measured if row.simple.distance is not None]
    if not compared:
        return ""
    # Where the run is within real against real, nothing can be nearer in earnest.
    nearer = [
        row
        for row in compared
        if row.verdict == "further" and (row.simple.distance or 0) < (row.synthetic.distance or 0)
    ]
    beaten = sum((row.simple.distance or 0) > (row.synthetic.distance or 0) for row in compared)
    start = (
        f"The run is nearer to the real log than the simple simulator on {beaten} of "
        f"{len(compared)} measures"
    )
    if not nearer:
        return f"{start}, and the simple simulator does better nowhere that matters."
    names = ", ".join(row.measure for row in nearer[:4])
    more = f" and {len(nearer) - 4} more" if len(nearer) > 4 else ""
    return f"{start}; outside real against real, the simple simulator does better on {names}{more}."
