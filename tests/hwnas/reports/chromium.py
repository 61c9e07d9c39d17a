"""Pages in a headless Chromium: what a script on them finds, at a width of one's choice."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium to run the page's script"
)
_FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --dump-dom
--disable-background-networking --disable-component-update --disable-sync
--virtual-time-budget=6000 --window-size=1500,1200"""
# What goes wrong is told with what was found; a window of Chromium's is never narrower than 500.
_PROBE = """<script>
const wrong = [];
console.error = (...said) => wrong.push(said.join(" "));
addEventListener("error", (e) => wrong.push(e.message));
addEventListener("securitypolicyviolation", (e) => wrong.push("blocked " + e.blockedURI));
addEventListener("load", () => setTimeout(async () => {
  const found = await (async () => { SCRIPT })();
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  parent.postMessage(JSON.stringify({ found, wrong, wide }), "*");
}, 300));
</script>"""
_PAGE = """<!doctype html><body><script>
const found = [];
addEventListener("message", (e) => {
  const frames = [...document.querySelectorAll("iframe")];
  found[frames.findIndex((frame) => frame.contentWindow === e.source)] = JSON.parse(e.data);
  if (found.filter(Boolean).length === frames.length)
    document.body.dataset.found = JSON.stringify(found);
});
</script>FRAMES"""
_FRAME = '<iframe src="page.html" style="border:0;width:{}px;height:1000px"></iframe>'


def look(page: str, script: str, folder: Path, *widths: int) -> list[dict[str, Any]]:
    """Open a page at some widths, run a script in each, and give what that returns.

    Args:
        page: HTML.
        script: body of an asynchronous function; its result must be JSON.
        folder: scratch.
        widths: of the windows, in CSS pixels.

    Returns:
        Of each width `found`, the result; `wrong`, errors that the page met; and `wide`, the pixels
        by which its content is wider than the window.
    """
    probed = page.replace("<main>", _PROBE.replace("SCRIPT", script) + "<main>", 1)
    (folder / "page.html").write_text(probed, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(_PAGE.replace("FRAMES", "".join(map(_FRAME.format, widths))), encoding="utf-8")
    command = [str(CHROMIUM), *_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, frame.as_uri()], capture_output=True, text=True, timeout=180, check=False
    )
    match = re.search(r'<body data-found="([^"]*)"', done.stdout)
    assert match, done.stderr[-2000:]
    answers: list[dict[str, Any]] = json.loads(html.unescape(match[1]))
    return answers
