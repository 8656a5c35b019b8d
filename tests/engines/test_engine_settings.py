"""Settings, and engines of other packages."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from pydantic import ValidationError

from footfall.errors import MissingPartError, SettingError
from footfall.simulator.engines import (
    EngineSettings,
    ScriptedEngine,
    engine_kinds,
    open_engine,
    plugins,
)


def test_every_setting_is_explained_in_a_sentence() -> None:
    for name, field in EngineSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"modle": "x"}, "modle"),
        ({"kind": "server"}, "needs an `address`"),
        ({"kind": "server", "address": "localhost:8000"}, "http://"),
        ({"kind": "server", "address": "http://"}, "names a host"),
        ({"kind": "replay"}, "needs a `recording`"),
        ({"address": "http://a/v1"}, "`address` is for kind `server`"),
        ({"options": {"a": 1}}, "`options` are for plug-ins"),
        ({"kv_cache_gb": 0}, "kv_cache_gb"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"dtype": "int4"}, "dtype"),
        ({"model": ""}, "model"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        EngineSettings.model_validate(given)


def test_settings_do_not_change_and_come_back_from_json() -> None:
    settings = EngineSettings(kind="server", address="http://a/v1", model="m")
    with pytest.raises(ValidationError, match="frozen"):
        settings.model = "n"  # type: ignore[misc]
    assert EngineSettings.model_validate_json(settings.model_dump_json()) == settings


def _offer(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = EntryPoints(
        EntryPoint(name, value, plugins.PLUGIN_GROUP) for name, value in values.items()
    )
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))


def make_engine(settings: EngineSettings) -> ScriptedEngine:
    return ScriptedEngine(settings.options["seed"])


NOT_CALLABLE = 5


def test_a_plug_in_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, mine=f"{__name__}:make_engine")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    engine = open_engine(EngineSettings(kind="mine", options={"seed": 7}))
    assert engine.identity == ScriptedEngine(7).identity
    assert engine_kinds() == ["mine", "replay", "scripted", "server", "vllm"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package_at_all:make", "ModuleNotFoundError"),
        (f"{__name__}:no_such_name", "AttributeError"),
        (f"{__name__}:NOT_CALLABLE", "cannot be called"),
    ],
)
def test_a_broken_plug_in_is_named_and_kills_nothing(
    monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    _offer(monkeypatch, broken=value, fine=f"{__name__}:make_engine")
    with pytest.warns(RuntimeWarning, match=f"'broken' .*{reason}"):
        assert open_engine(EngineSettings(kind="fine", options={"seed": 1}))
    with (
        pytest.warns(RuntimeWarning, match="broken"),
        pytest.raises(SettingError, match=r"kind 'broken'; there are fine, replay, scripted"),
    ):
        open_engine(EngineSettings(kind="broken"))


def test_built_in_kinds_load_no_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, broken="no_such_package_at_all:make", scripted="no_such:thing")
    open_engine(EngineSettings(kind="scripted")).close()


@pytest.mark.parametrize(
    ("package", "settings"),
    [
        ("openai", EngineSettings(kind="server", address="http://127.0.0.1:9/v1")),
        ("vllm", EngineSettings(model="{folder}")),
    ],
)
def test_a_missing_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, package: str, settings: EngineSettings
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, package, None)
    settings = settings.model_copy(update={"model": str(tmp_path)})
    with pytest.raises(MissingPartError) as caught:
        open_engine(settings)
    assert "pip install" in caught.value.hint


def test_importing_the_engines_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, footfall.simulator.engines as e; "
        "heavy = {'torch', 'vllm', 'transformers', 'openai'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
