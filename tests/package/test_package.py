import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("simulator", "personas", "finetune", "eval")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_module_of_every_room(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        for module in (ROOT / room).rglob("*.py"):
            assert f"footfall/{module.relative_to(ROOT).as_posix()}" in names
    for module in (ROOT / "src/footfall").glob("*.py"):
        assert f"footfall/{module.name}" in names


def test_the_wheel_installs_nothing_outside_footfall(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"footfall"}


def test_the_wheel_carries_templates_mappings_and_recipes(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for suffix in (".toml", ".j2", "py.typed"):
        assert any(name.endswith(suffix) for name in names), suffix


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_relative_links_in_the_source_package(room):
    link = ROOT / "src/footfall" / room
    assert link.is_symlink()
    assert link.readlink().as_posix() == f"../../{room}"


def test_imports_point_one_way():
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("room", [*ROOMS, "cli", "recipe", "doctor"])
def test_importing_a_room_loads_nothing_heavy(room):
    code = (
        f"import sys, footfall.{room}; "
        "heavy = ('torch', 'transformers', 'vllm', 'peft', 'openai'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_no_module_names_a_public_name_twice():
    for path in [
        *ROOT.glob("src/footfall/*.py"),
        *(p for r in ROOMS for p in ROOT.glob(f"{r}/**/*.py")),
    ]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names = ast.literal_eval(node.value)
                assert len(set(names)) == len(names), path


def test_every_error_of_the_tree_is_exported_and_drawn():
    from footfall import errors

    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FootfallError)
    }
    assert classes == set(errors.__all__)
    for name in classes:
        assert name in errors.__doc__


def test_the_lock_pins_every_dependency_of_the_project():
    lock = {
        line.split("==")[0].lower()
        for line in (ROOT / "requirements-cpu.lock").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [
        name
        for extra in ("cpu", "server", "train", "models", "demo", "dev")
        for name in extras[extra]
    ]
    missing = {
        requirement
        for requirement in wanted
        if not any(requirement.lower().startswith(name) for name in lock)
    }
    assert not missing
    assert not lock & {"torchvision", "torchaudio", "torchcodec"}
