from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_shop import build

from footfall.finetune.fuse import fuse, fuse_with_report
from footfall.finetune.fusion_report import PROVENANCE_SCHEMA, rescaled_provenance, save_provenance
from footfall.finetune.fusion_settings import FusionSettings


def row(search, item, label, origin="real", query="soup", **values):
    return {
        "search_id": search,
        "item_id": item,
        "item_text": item,
        "label": label,
        "origin": origin,
        "query": query,
        **values,
    }


def named(rows):
    return build([entry | {"example_id": f"x{number}"} for number, entry in enumerate(rows)])


def test_every_row_has_an_outcome_and_a_product_of_factors():
    real = build([row(f"r{n}", "known", n == 0, query=f"q{n}") for n in range(6)])
    synthetic = named(
        [
            row("s1", "known", True, "run", query="Q1"),
            row("s1", "a", True, "run"),
            row("s2", "a", True, "run", query="Soup!"),
            row("s2", "b", False, "run", item_cold=True),
            row("s3", "c", False, "run"),
            row("s3", "d", False, "run"),
            row("s3", "e", False, "run"),
        ]
    )
    # At most 3 rows beside 6 real ones: s1 (1 row), s2 (1), or s3 alone.
    chosen = FusionSettings(strategy="by_time", alpha=0.5, max_share=0.34)
    fusion = fuse_with_report(real, synthetic, chosen)
    found = {entry["example_id"]: entry for entry in fusion.provenance.to_pylist()}
    assert found["x0"]["outcome"] == "the real log answers them"
    assert found["x2"]["outcome"] == "merged into others"
    assert found["x2"]["merged_into"] == "x1"
    assert fusion.provenance.schema == PROVENANCE_SCHEMA
    kept = {entry["example_id"]: entry["weight"] for entry in found.values() if entry["weight"]}
    added = fusion.examples.take(fusion.examples.synthetic)
    assert kept == dict(zip(added.column("example_id"), added.weights, strict=True))
    report = fusion.report
    assert report.kept_rows + sum(report.dropped.values()) == report.synthetic_rows == 7
    assert report.dropped["over the largest share"] >= 2
    assert report.runs == {"run": len(added)}
    assert f"{report.kept_rows} of 7 synthetic rows" in report.lines()[1]


def test_a_merged_row_says_what_it_stands_for():
    real = build([row("r", "z", True), row("r2", "z", False)])
    synthetic = named([row(f"s{n}", "a", True, "run", weight=2.0) for n in range(3)])
    chosen = FusionSettings(strategy="by_time", alpha=0.25, max_share=0.5)
    entry = fuse_with_report(real, synthetic, chosen).provenance.to_pylist()[0]
    assert entry["merged_rows"] == 3
    assert entry["read_weight"] == 6.0
    assert entry["merging"] == pytest.approx((1 + np.log(3)) / 3)
    assert entry["alpha"] == 0.25
    assert entry["weight"] == pytest.approx(0.5 * (1 + np.log(3)))


def test_alpha_zero_says_why_nothing_is_left():
    synthetic = named([row("s", "a", True, "run")])
    fusion = fuse_with_report(build([row("r", "z", True)]), synthetic, FusionSettings(alpha=0.0))
    assert fusion.report.dropped == {"alpha is 0": 1}
    assert fusion.report.kept_rows == 0
    assert fusion.report.lines()


def test_no_synthetic_rows():
    fusion = fuse_with_report(build([row("r", "z", True)]), build([]), FusionSettings())
    assert len(fusion.examples) == 1
    assert fusion.provenance.num_rows == 0
    assert fusion.report.effective_rows == 0.0


def test_all_rows_are_known():
    real = build([row("r", "z", True), row("r2", "z", False, query="tea")])
    fusion = fuse_with_report(real, named([row("s", "z", True, "run")] * 4), FusionSettings())
    assert len(fusion.examples) == 2
    assert fusion.report.dropped == {"the real log answers them": 4}


def test_slates_larger_than_the_cap_leave_nothing_and_are_counted():
    real = build([row("r", "z", True)])
    synthetic = named([row("s", f"i{n}", n == 0, "run") for n in range(30)])
    chosen = FusionSettings(strategy="by_diversity", max_share=0.5)
    fusion = fuse_with_report(real, synthetic, chosen)
    assert len(fusion.examples) == 1
    assert fusion.report.dropped == {"over the largest share": 30}


def test_one_label_and_no_times():
    real = build([row(f"r{n}", "z", False, shown_at=None, query=f"q{n}") for n in range(8)])
    synthetic = named(
        [row(f"s{n}", "a", False, "run", shown_at=None, query=f"p{n}") for n in range(4)]
    )
    chosen = FusionSettings(confidence="both", density="all", max_share=0.9, keep_share=1.0)
    fusion = fuse_with_report(real, synthetic, chosen)
    assert fusion.examples.weights[:8].tolist() == [1.0] * 8
    assert fusion.report.kept_rows == 4
    assert any("both labels" in note for note in fusion.report.notes)


def test_the_encoder_setting_loads_an_encoder(monkeypatch):
    from footfall.personas import encoder

    class Fake:
        def __init__(self, model):
            self.model = model

        def encode(self, texts):
            return np.ones((len(texts), 2))

    monkeypatch.setattr(encoder, "TextEncoder", Fake)
    real = build([row(f"r{n}", "z", n % 2 == 0, query=f"q{n}") for n in range(8)])
    synthetic = named([row(f"s{n}", "a", True, "run", query=f"p{n}") for n in range(4)])
    chosen = FusionSettings(strategy="by_feature", density="texts", encoder="any", alpha=1.0)
    assert fuse(real, synthetic, chosen).weights[8:] == pytest.approx(np.ones(4))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    density=st.sampled_from(["numbers", "texts", "all"]),
    confidence=st.sampled_from([None, "agreement", "score", "both"]),
    similarity=st.sampled_from([0.5, 1.0]),
)
def test_any_weighing_adds_up_and_repeats(seed, density, confidence, similarity):
    rng = np.random.default_rng(seed)

    def part(origin, count):
        return [
            row(
                f"{origin}{rng.integers(6)}",
                f"i{rng.integers(4)}",
                bool(rng.random() < 0.4),
                origin,
                query=[None, "soup", "soups", "绿茶"][rng.integers(4)],
                user_id=f"u{rng.integers(3)}",
                score=None if rng.random() < 0.3 else float(rng.normal()),
                price_log=float(rng.normal()),
                item_cold=bool(rng.random() < 0.5),
                weight=float(rng.integers(3)) if rng.random() < 0.2 else 1.0,
            )
            for _ in range(count)
        ]

    ours = build(part("real", int(rng.integers(1, 25))))
    theirs = named(part("run", int(rng.integers(0, 25))))
    chosen = FusionSettings(
        density=density, confidence=confidence, duplicate_similarity=similarity, max_share=0.9
    )
    fusion = fuse_with_report(ours, theirs, chosen)
    assert np.isfinite(fusion.examples.weights).all()
    assert (fusion.examples.weights >= 0).all()
    report = fusion.report
    assert report.kept_rows + sum(report.dropped.values()) == len(theirs)
    added = fusion.examples.take(fusion.examples.synthetic)
    table = fusion.provenance.to_pylist()
    for entry, weight in zip(
        (entry for entry in table if entry["outcome"] == "kept"), added.weights, strict=True
    ):
        factors = ("read_weight", "merging", "alpha", "time", "density", "confidence")
        assert np.prod([entry[name] for name in factors]) == pytest.approx(weight)
    assert fuse(ours, theirs, chosen).table.equals(fusion.examples.table)


def test_provenance_is_written_as_parquet(tmp_path):
    fusion = fuse_with_report(
        build([row("r", "z", True)]), named([row("s", "a", True, "run")]), FusionSettings()
    )
    path = save_provenance(fusion.provenance, tmp_path / "provenance.parquet")
    assert pq.read_table(path).equals(fusion.provenance)


def test_at_another_weight_the_provenance_tells_that_weight():
    table = pa.table(
        {
            "example_id": ["kept", "dropped"],
            "alpha": pa.array([0.5, None], pa.float64()),
            "density": pa.array([2.0, None], pa.float64()),
            "weight": pa.array([3.0, None], pa.float64()),
        }
    )
    assert rescaled_provenance(table, 0.25).to_pylist() == [
        {"example_id": "kept", "alpha": 0.125, "density": 2.0, "weight": 0.75},
        {"example_id": "dropped", "alpha": None, "density": None, "weight": None},
    ]
