"""The house rules that a machine can check: which way imports point, what is light, what the documents promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab_helpers.cli import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lab_helpers"

MAY_IMPORT = {
    "pocketkube": {"pocketkube", "iptables", "errors"},
    "iptables": {"iptables", "errors"},
    "clusters": {"clusters", "pocketkube", "iptables", "errors", "kubectl", "paths"},
    "topology": {"topology", "reader", "clusters", "pocketkube", "iptables", "errors"},
}
"""Room of the house -> rooms its modules may import: the arrows of the design point one way."""


def imports_of(path: Path) -> set[str]:
    """Rooms of lab_helpers that a module imports."""
    folder = path.relative_to(PACKAGE).parent.parts
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = folder[: len(folder) - (node.level - 1)]
        target = (*base, *(node.module or "").split(".")) if node.module else base
        rooms |= {target[0]} if target else {alias.name for alias in node.names}
    return rooms


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_point_one_way(room: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports_of(path) - MAY_IMPORT[room])
        for path in (PACKAGE / room).rglob("*.py")
        if imports_of(path) - MAY_IMPORT[room]
    }
    assert wrong == {}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("kubernetes", "jupyterlab", "ipywidgets", "aiohttp", "graphviz", "rich", "IPython")
    script = f"import sys, lab_helpers; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_the_map_of_pocketkube_names_every_room_and_module() -> None:
    package = PACKAGE / "pocketkube"
    rooms = {f"`{path.name}/`" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {f"`{path.name}`" for path in package.glob("*.py") if path.name != "__init__.py"}
    text = (package / "README.md").read_text()
    assert {name for name in rooms | modules if name not in text} == set()


def test_the_map_of_pocketkube_names_nothing_that_is_gone() -> None:
    package = PACKAGE / "pocketkube"
    there = {path.name for path in PACKAGE.rglob("*")}
    named = re.findall(r"`(?:[a-z_]+/)*([a-z_]+\.(?:py|toml))`", (package / "README.md").read_text())
    assert {name for name in named if name not in there} == set()


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert "servicelab" in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"[`, ]{command}[`, \]]", (ROOT / "README.md").read_text())


def test_the_readme_sets_up_with_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [1, 1]
    assert ".venv/bin/servicelab lab" in blocks[0]
    assert ".venv/bin/pytest" in blocks[1]


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
