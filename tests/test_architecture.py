"""The shape of the code base: who may import whom, how long a module is, what files are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.registry import BUILT_IN, Kind

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hwnas": ROOT / "hwnas",
    "hwnas_predictors": ROOT / "predictors/hwnas_predictors",
    "hwnas_optuna": ROOT / "plugins/hwnas_optuna",
    "hwnas_nni": ROOT / "plugins/hwnas_nni",
}
OUTER = {"hwnas_predictors", "hwnas_optuna", "hwnas_nni"}
HOSTS = {"optuna", "nni"}
# Dependencies point inwards: outer packages import hwnas, and never each other.
FORBIDDEN = {
    "hwnas": OUTER | HOSTS,
    "hwnas_predictors": (OUTER | HOSTS) - {"hwnas_predictors"},
    "hwnas_optuna": OUTER - {"hwnas_optuna"},
    "hwnas_nni": OUTER - {"hwnas_nni"},
}
LONGEST_MODULE = 500
# From the ground to its users: a unit of hwnas imports only what stands before it, also inside
# functions. The registry names modules by text, and so does the face.
UNITS = (
    "errors", "registry", "deferred", "process_state", "graphs", "tasks", "typing", "seeding",
    "face", "files", "networks", "spaces", "tables", "data", "proxies", "onnx_export",
    "torch_source", "runtimes", "meters", "measure", "bundles", "costs", "ranking", "pareto",
    "evaluation", "strategies", "testing", "reports", "study", "rank_study", "functions", "cli",
    "__main__",
)  # fmt: skip
ROOT_MODULES = {
    "__init__", "__main__", "deferred", "errors", "process_state", "registry", "seeding", "typing",
}  # fmt: skip
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
SHADOWING = {"optuna", "nni", "torch", "onnx", "onnxruntime", "numpy", "pandas", "sklearn"}


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


ALL = [path for package in PACKAGES for path in modules(package)]


def imports(source: str) -> Iterator[str]:
    """Yield the top-level packages that a module imports anywhere, by name or by statement."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args:
            function, first = node.func, node.args[0]
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if name in {"import_module", "__import__"} and literal:
                assert isinstance(first, ast.Constant)
                yield str(first.value).partition(".")[0]


def test_the_import_finder_finds_every_form() -> None:
    source = """
import optuna.samplers as s
def f():
    from nni.nas import space
    import importlib
    importlib.import_module("torch.nn")
    __import__("onnx")
from . import sibling
"""
    assert set(imports(source)) == {"optuna", "nni", "importlib", "torch", "onnx"}


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_point_inwards(package: str) -> None:
    assert modules(package), f"no modules found in {PACKAGES[package]}"
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path.read_text(encoding="utf-8"))
        if name in FORBIDDEN[package]
    }
    assert not wrong


def unit(module: str) -> str:
    """Give the folder or module right below hwnas; the package itself is its face."""
    return module.split(".")[1] if "." in module else "face"


def imported_modules(source: str, known: set[str]) -> Iterator[str]:
    """Yield the modules of hwnas that a module imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "hwnas")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hwnas":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else str(node.module)


def test_units_of_hwnas_import_in_one_direction() -> None:
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules("hwnas")
    }
    assert {unit(name) for name in paths} == set(UNITS)
    upwards = {
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in paths.items()
        for target in imported_modules(path.read_text(encoding="utf-8"), set(paths))
        if UNITS.index(unit(target)) > UNITS.index(unit(name))
    }
    assert not upwards


def test_the_root_holds_face_roles_and_ground_only() -> None:
    assert {path.stem for path in (ROOT / "hwnas").glob("*.py")} == ROOT_MODULES


def test_imports_inside_functions_are_found() -> None:
    source = """
from hwnas import registry
def f():
    from hwnas.costs.source import make_cost
    import hwnas.pareto
from hwnas import __version__
"""
    known = {"hwnas", "hwnas.registry", "hwnas.costs.source", "hwnas.pareto"}
    found = list(imported_modules(source, known))
    assert sorted(found) == ["hwnas", "hwnas.costs.source", "hwnas.pareto", "hwnas.registry"]


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ALL}
    assert not {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > LONGEST_MODULE}


def test_percentages_are_written_with_a_space() -> None:
    """As in "5.9 %", which the format specification ``%`` does not give."""
    glued = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in ALL
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None
        if ast.unparse(node.format_spec).rstrip("'\"").endswith("%")
    }
    assert not glued


def test_names_say_what_is_inside() -> None:
    names = [path for path in ALL if {path.stem, *path.parts[len(ROOT.parts) :]} & VAGUE]
    assert not names


def test_names_do_not_shadow_packages() -> None:
    below = {path.relative_to(ROOT) for path in [*ALL, *(ROOT / "tests").rglob("*.py")]}
    parts = {part.removesuffix(".py") for path in below for part in path.parts}
    assert not parts & SHADOWING


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed_and_every_folder_a_package(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").is_file()
    folders = {path.parent for path in modules(package)}
    assert not [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").is_file()]


def test_no_module_level_import_of_heavy_packages_in_the_command_line() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "pandas", "scipy", "sklearn", "plotly", "moocore"}
    wrong = set()
    for path in sorted((ROOT / "hwnas/cli").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = set(imports(ast.unparse(node))) & heavy
                wrong |= {f"{path.name} imports {name}" for name in found}
    assert not wrong


def test_spaces_and_proxies_are_listed_without_torch() -> None:
    """They import it within functions, see `hwnas.deferred`: it takes seconds."""
    named = [target for kind in ("spaces", "proxies") for target in BUILT_IN[kind].values()]
    paths = {ROOT / f"{target.partition(':')[0].replace('.', '/')}.py" for target in named}
    wrong = {
        str(path.relative_to(ROOT))
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "torch" in imports(ast.unparse(node))
    }
    assert not wrong


CONTRACTS = {
    "spaces": "SearchSpace|Architectures",
    "proxies": "Proxy",
    "costs": "CostModel",
    "runtimes": "Runtime",
    "meters": "Meter",
    "strategies": "Strategy",
    "predictors": "Predictor|CostModel",
}
"""Contract classes of `hwnas.testing` by the table of the registry."""


@pytest.mark.parametrize("kind", CONTRACTS)
def test_every_component_runs_through_its_contract(kind: Kind) -> None:
    """A test module with the contract names its class or its name, or takes the whole table."""
    contract = re.compile(rf"^class \w+\(.*({CONTRACTS[kind]})Contract", re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    tests = "\n".join(text for text in texts if contract.search(text))
    assert tests
    missing = {
        name
        for name, target in BUILT_IN[kind].items()
        if not re.search(rf'\b{target.partition(":")[2]}\b|"{name}[":]', tests)
    }
    assert not missing or f'names("{kind}")' in tests, missing
