"""What the documentation says: its Python runs, its commands and links exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main

from benchmarks.proxies import page, picture
from hwnas import cli
from hwnas.errors import InvalidValueError
from hwnas.proxies import make_proxies, make_proxy, proxy_names
from hwnas.ranking.recipes import RECIPES
from tests.programs import LONGEST_S, Programs

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Run by their own tests, or only by what is not always installed: these are compiled here.
ELSEWHERE = {"own_network.md", "nni.md", "predictors.md", "kernel_predictors.md", "runtimes.md"}


def blocks(python: bool) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for kind, text in _FENCE.findall(page.read_text(encoding="utf-8"))
        if (kind == "python") == python and kind in ("python", "", "bash", "sh")
    ]


PYTHON = blocks(python=True)
RUN = [(name, text) for name, text in PYTHON if name not in ELSEWHERE]


def test_there_are_blocks_to_run() -> None:
    assert {name for name, _ in RUN} >= {"README.md", "optuna.md", "own_space.md"}


FIRST = next(i for i, (_, text) in enumerate(RUN) if "import hwnas" in text)
"""Run by an interpreter of its own: others begin with libraries that are imported already."""


@pytest.mark.parametrize("i", range(len(RUN)), ids=[f"{n}-{i}" for i, (n, _) in enumerate(RUN)])
def test_python_runs(i: int, tmp_path: Path, programs: Programs) -> None:
    command = ["-c", RUN[i][1]]
    if i == FIRST:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=LONGEST_S,
        )  # fmt: skip
    else:
        done = programs.run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "text"), PYTHON)
def test_python_is_python(name: str, text: str) -> None:
    compile(text, name, "exec")


def commands() -> Iterator[tuple[str, str]]:
    for name, text in blocks(python=False):
        for line in text.replace("\\\n", " ").splitlines():
            if line.startswith("hwnas "):
                yield name, line


def options_of(words: list[str]) -> tuple[Any, list[str]]:
    """Find the command that words name, and what follows."""
    cli._register()
    command: Any = typer.main.get_command(cli.app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_commands_and_their_options_exist(name: str, line: str) -> None:
    del name
    words = shlex.split(line.partition("  #")[0], comments=True)
    command, rest = options_of(words[1:])
    assert command.name not in (None, "hwnas"), line
    known = {text for p in command.params for text in (*p.opts, *p.secondary_opts)} | {"--help"}
    asked = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert asked <= known, line


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as both the site and GitHub make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target) or target.startswith("#hwnas"):
            continue
        file, _, anchor = target.partition("#")
        other = path if not file else path.parent / file
        assert other.is_file(), target
        if anchor:
            assert anchor in anchors(other), target


def test_a_picture_draws_each_benchmark() -> None:
    pairs = [picture.Pair("a, b", 0.8, -0.4), picture.Pair("c", None, 0.0)]
    root = ElementTree.fromstring(picture.tau_picture("<x>", "y", pairs))
    kinds = {name: root.findall(f"{{*}}{name}") for name in ("rect", "text")}
    bars = [(float(r.attrib["x"]), float(r.attrib["width"])) for r in kinds["rect"][2:]]
    (first, wide), (second, narrow), (third, none) = bars
    assert none == 0
    assert wide == pytest.approx(2 * narrow, abs=0.2)
    assert first == third == pytest.approx(second + narrow, abs=0.2)
    assert [text.text for text in kinds["text"][:4]] == ["<x>", "y", "a, b", "c"]


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_site_has_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    notebooks = {f"notebooks/{path.stem}.md" for path in (ROOT / "docs/notebooks").glob("*.ipynb")}
    pages = {page.name for page in PAGES[1:]} | notebooks
    assert pages == set(re.findall(r": ([\w/]+\.md)$", nav, re.MULTILINE))


def test_every_proxy_and_score_is_described() -> None:
    text = (ROOT / "docs/proxies.md").read_text(encoding="utf-8")
    assert text == page.page(), "run benchmarks/proxies/page.py"
    assert all(f"| [`{proxy.name}`](" in text for proxy in make_proxies(["all"]))
    assert all(f"| `{name}` |" in text for name in RECIPES)


def test_every_proxy_has_a_page() -> None:
    pages = page.proxy_pages()
    assert {proxy.name for proxy in make_proxies(["all"])} <= pages.keys() == {*proxy_names()}
    for name, text in pages.items():
        assert f"::: {type(make_proxy(name)).__module__}." in text
        assert "| cost alone |" in text, "run benchmarks/proxies/figures.py --passes"
        assert ("<svg " in text) == ("Nobody has ranked" not in text)
        assert "Kendall" in text or "Nobody has ranked" in text
    assert "| nasbench201 | cifar10 | validation | 9445 | 0.675 | 0.562 |" in pages["meco"]
    assert "| better | larger; smaller in `hwnas-any` |" in pages["grad_norm"]
    assert "| better | larger |" in pages["meco"]


def test_bars_of_a_picture_are_as_long_as_their_figures() -> None:
    drawn = picture.tau_picture("x", "y", [picture.Pair("a", -0.43, -0.4)])
    lower, higher = (
        float(found)
        for found in re.findall(r'width="([\d.]+)" height="9" opacity="[^"]*"><title', drawn)
    )
    assert lower / higher == pytest.approx(0.43 / 0.4, rel=1e-2)
    with pytest.raises(InvalidValueError, match=r"must be in -0\.5 to 0\.8"):
        picture.tau_picture("x", "y", [picture.Pair("a", None, -0.6)])


def test_the_site_builds(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api/index.html").is_file()
    notebook = (tmp_path / "notebooks/optuna_study/index.html").read_text(encoding="utf-8")
    for name in proxy_names():
        assert (tmp_path / f"proxies/{name}/index.html").is_file()
    overview = (tmp_path / "proxies/index.html").read_text(encoding="utf-8")
    assert 'href="../hwnas/' not in overview
    assert 'href="naswot/"' in overview
    assert 'src="data:image/png;base64,' in notebook
    assert "ipynb" not in (tmp_path / "index.html").read_text(encoding="utf-8")
