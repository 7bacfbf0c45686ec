"""Imports run one way: cli -> mmagent <- adapters, plugins; and light modules import nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    *("PIL", "accelerate", "av", "datasets", "matplotlib", "networkx", "numpy", "pandas", "peft", "pyarrow"),
    *("rdkit", "scipy", "sklearn", "soundfile", "torch", "transformers"),
}
# What a package may import of ours, besides itself.
MAY_IMPORT = {
    "mmagent": set(),
    "mmagent_prompts": set(),
    "mmagent_cli": {"mmagent"},
    "mmagent_adapters": {"mmagent"},
    "mmagent_tiny": {"mmagent"},
    "mmagent_audio": {"mmagent"},
    "mmagent_graph": {"mmagent"},
    "mmagent_image": {"mmagent"},
    "mmagent_table": {"mmagent"},
    "mmagent_series": {"mmagent"},
    "mmagent_set": {"mmagent"},
    "mmagent_video": {"mmagent"},
}
LIGHT = [
    "mmagent",
    "mmagent.adapter",
    "mmagent.bundle",
    "mmagent.data",
    "mmagent.entrypoints",
    "mmagent.errors",
    "mmagent.hookspecs",
    "mmagent.inspection",
    "mmagent.modality",
    "mmagent.plugins",
    "mmagent.scaffold",
    "mmagent.source",
    "mmagent.training.beside",
    "mmagent.training.launch",
    "mmagent.training.preset",
    "mmagent.training.processes",
    "mmagent_adapters",
    "mmagent_cli.app",
    "mmagent_cli.ask",
    "mmagent_cli.bundles",
    "mmagent_cli.bundles_travel",
    "mmagent_cli.cache_cmd",
    "mmagent_cli.data_cmd",
    "mmagent_cli.data_options",
    "mmagent_cli.eval",
    "mmagent_cli.eval_episodes",
    "mmagent_cli.failure",
    "mmagent_cli.hints",
    "mmagent_cli.inspect_cmd",
    "mmagent_cli.options",
    "mmagent_cli.plugins_check",
    "mmagent_cli.plugins_cmd",
    "mmagent_cli.plugins_new",
    "mmagent_cli.progress",
    "mmagent_cli.state",
    "mmagent_cli.table",
    "mmagent_cli.train",
    "mmagent_audio",
    "mmagent_graph",
    "mmagent_image",
    "mmagent_table",
    "mmagent_series",
    "mmagent_set",
    "mmagent_tiny",
    "mmagent_video",
]


def packages() -> dict[str, Path]:
    """Every package of the project, by name."""
    found = [ROOT / "mmagent"]
    for room in ("plugins", "adapters", "prompts", "cli"):
        found += [path.parent for path in (ROOT / room).glob("*/__init__.py")]
    return {path.name: path for path in found}


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """The top-level package of every import in a file, function bodies and type checking included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((name.name.split(".")[0], node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            yield (node.module or "").split(".")[0], node.lineno


def test_every_package_has_its_walls():
    unknown = set(packages()) - set(MAY_IMPORT)
    assert not unknown, f"say in MAY_IMPORT what these may import: {unknown}"


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_imports_run_one_way(name):
    allowed = MAY_IMPORT[name] | {name}
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {package}"
        for file in sorted(packages()[name].rglob("*.py"))
        for package, line in imports(file)
        if package.split("_")[0] == "mmagent" and package not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_source_roots_hold_packages_only():
    strays = [root / "__init__.py" for root in map(ROOT.joinpath, ("plugins", "adapters", "prompts", "cli"))]
    assert not [path for path in strays if path.exists()]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout.split() == []


def test_every_module_can_be_read_in_one_sitting():
    files = [file for path in packages().values() for file in path.rglob("*.py")]
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}
