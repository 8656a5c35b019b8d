from __future__ import annotations

import subprocess
import sys

import footfall.eval


def test_every_exported_name_loads_from_a_fresh_interpreter():
    code = (
        "import footfall.eval as e, types\n"
        "found = {name: getattr(e, name) for name in e.__all__}\n"
        "bad = [n for n, v in found.items() if isinstance(v, types.ModuleType)]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_order_of_imports_does_not_hide_a_function_behind_its_module():
    code = (
        "import footfall.eval.report, footfall.eval.likeness, footfall.eval.evaluate\n"
        "import footfall.eval.fidelity\n"
        "from footfall.eval import fidelity, likeness, evaluate\n"
        "assert callable(likeness) and callable(evaluate) and callable(fidelity)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import footfall.eval, footfall.eval.report, sys\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there():
    assert set(footfall.eval.__all__) <= set(dir(footfall.eval))
