"""A hook of mkdocs: pages that no Markdown file of docs/ holds are made when the site is built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from benchmarks.proxies.page import proxy_pages

_PROXIES = proxy_pages()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page a proxy into the navigation."""
    pages = [{name: f"proxies/{name}.md"} for name in _PROXIES]
    for entry in config.nav or ():
        if entry.get("Proxies") == "proxies.md":
            entry["Proxies"] = [{"All": "proxies.md"}, *pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook and each proxy."""
    for name, text in _PROXIES.items():
        files.append(File.generated(config, f"proxies/{name}.md", content=text))
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        text = notebook_page(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to notebooks and to the code of proxies to their pages."""
    markdown = re.sub(r"\]\(((?:notebooks/)?\w+)\.ipynb\)", r"](\1.md)", markdown)
    return re.sub(r"\[`(\w+)`\]\(\.\./hwnas/proxies/\w+\.py\)", r"[`\1`](proxies/\1.md)", markdown)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Give a notebook with its outputs as Markdown."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _parts(cell))


def _parts(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *map(_shown, cell["outputs"])]


def _shown(output: dict[str, Any]) -> str:
    """Give the richest form of an output."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f"![Output](data:image/png;base64,{''.join(data['image/png']).strip()})"
    if "text/html" in data:
        return "".join(data["text/html"])
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
