import json
import subprocess
import sys
from pathlib import Path

import pytest

from footfall.doctor import diagnose

FOOTFALL = Path(sys.executable).parent / "footfall"
COMMANDS = (
    "ingest",
    "personas",
    "simulate",
    "runs",
    "fuse",
    "train",
    "evaluate",
    "report",
    "run",
    "doctor",
)


def run(*arguments, cwd=None):
    return subprocess.run(
        [FOOTFALL, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory, small_source):
    path = tmp_path_factory.mktemp("cli") / "shop.duckdb"
    result = run("ingest", small_source / "mapping.toml", path, "--folder", small_source)
    assert result.returncode == 0, result.stderr
    assert "2,400" in result.stdout
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert command in result.stdout
    assert "--help" in result.stdout


def test_all_commands_are_listed():
    listed = run("--help").stdout
    for command in COMMANDS:
        assert command in listed


def test_from_log_to_sessions_by_hand(log, tmp_path):
    people = tmp_path / "people.jsonl"
    made = run(
        "personas",
        people,
        "--log",
        log,
        "--count",
        12,
        "--until",
        "2024-03-10",
        "--settings",
        settings_file(tmp_path),
    )
    assert made.returncode == 0, made.stderr
    assert len(people.read_text(encoding="utf-8").splitlines()) == 12
    command = (
        "simulate",
        log,
        people,
        "--engine",
        "scripted",
        "--sessions",
        10,
        "--until",
        "2024-03-10",
        "--settings",
        settings_file(tmp_path),
    )
    first = run(*command)
    assert first.returncode == 0, first.stderr
    assert "finished" in first.stdout
    again = run(*command)
    assert "10 are in the log already" in again.stderr
    run_id = first.stdout.split()[1]
    assert run_id in run("runs", log).stdout
    report = tmp_path / "report.html"
    result = run("report", log, report, "--run", run_id)
    assert result.returncode == 0, result.stderr
    assert run_id in report.read_text(encoding="utf-8")
    fused = run(
        "fuse",
        log,
        tmp_path / "examples",
        "--run",
        run_id,
        "--label",
        "clicked",
        "--train-until",
        "2024-03-10",
        "--settings",
        settings_file(tmp_path),
    )
    assert fused.returncode == 0, fused.stderr
    assert (tmp_path / "examples" / "synthetic.parquet").exists()


def settings_file(folder):
    path = folder / "settings.toml"
    path.write_text(
        "[personas]\nsegments = 3\nk_anonymity = 3\n[simulation]\nscored_slates = 3\n"
        "[split]\ntrain_until = 2024-01-02\nvalidation_until = 2024-03-25\n",
        encoding="utf-8",
    )
    return path


def test_personas_are_invented_in_chinese(tmp_path):
    path = tmp_path / "people.jsonl"
    assert run("personas", path, "--locale", "zh_CN", "--count", 3).returncode == 0
    people = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [person["locale"] for person in people] == ["zh_CN"] * 3
    assert any("\u4e00" <= letter <= "\u9fff" for letter in json.dumps(people, ensure_ascii=False))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulate", "none.duckdb", "people.jsonl", "--engine", "scripted"), "none.duckdb"),
        (("ingest", "bestbuy", "x.duckdb"), "--folder"),
        (("ingest", "nowhere.toml", "x.duckdb", "--folder", "."), "nowhere.toml"),
        (("run", "nowhere.toml"), "complete-journey"),
        (("evaluate", "none.parquet", "--arm", "real"), "NAME=MODEL_FOLDER"),
        (("train", "none.parquet", "model"), "footfall fuse"),
        (("personas", "p.jsonl", "--locale", "xx_XX"), "locale"),
        (("run", "complete-journey", "--folder", "/proc/none/here"), "/proc/none"),
    ],
)
def test_mistakes_print_what_to_do_and_no_traceback(arguments, words, tmp_path):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode in {1, 2}
    assert "Traceback" not in result.stderr
    assert words in " ".join(result.stderr.split())
    assert "Error" in result.stderr
    assert not (tmp_path / "x.duckdb").exists()


def test_a_wrong_persona_field_is_named(log, tmp_path):
    people = tmp_path / "people.jsonl"
    people.write_text('{"persona_id": "a"}\n{"persona_id": "b", "mood": "good"}\n')
    result = run("simulate", log, people, "--engine", "scripted")
    assert result.returncode == 2
    assert "line 2" in result.stderr
    assert "mood" in result.stderr


def test_a_missing_replay_says_what_to_do(log, tmp_path):
    people = tmp_path / "people.jsonl"
    people.write_text('{"persona_id": "a"}\n')
    result = run(
        "simulate", log, people, "--engine", "replay", "--recording", tmp_path / "no.jsonl"
    )
    assert result.returncode in {1, 2}
    assert "Traceback" not in result.stderr
    assert "no.jsonl" in " ".join(result.stderr.split()).replace(" ", "")


def test_doctor_finds_every_part_and_says_how_to_get_what_is_missing():
    findings = {finding.subject: finding for finding in diagnose()}
    assert {"Python", "Processor", "Memory", "Disk", "vllm", "peft"} <= set(findings)
    for finding in findings.values():
        assert finding.detail or finding.state == "missing"
        if finding.state == "missing":
            assert finding.remedy
    result = run("doctor")
    shown = "".join(result.stderr.split())
    for finding in findings.values():
        assert "".join(finding.remedy.split())[:20] in shown.replace("│", "")
    assert "SmolLM2" in result.stderr or "smollm2" in result.stderr
    missing = any(finding.state == "missing" for finding in findings.values())
    assert result.returncode == (1 if missing else 0)


def test_doctor_notices_a_missing_package(monkeypatch):
    import footfall.doctor

    real = footfall.doctor.find_spec
    monkeypatch.setattr(
        footfall.doctor, "find_spec", lambda name: None if name == "peft" else real(name)
    )
    finding = next(f for f in footfall.doctor.diagnose() if f.subject == "peft")
    assert finding.state == "missing"
    assert "footfall[train]" in finding.remedy
