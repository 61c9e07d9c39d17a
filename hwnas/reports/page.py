"""Self-contained pages: a template, a style, a script, data, and plotly.js.

A content security policy forbids every network access, and the template escapes every text.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hwnas.pareto.provenance import plain

_FOLDER = "report_page"


def page(template: str, *, script: str, data: Any, plots: bool = True, **values: Any) -> str:
    """Give a page's HTML.

    Args:
        template: file name of a template that extends ``base.html``.
        script: file name of its script.
        data: values that the script reads as JSON; NaN and infinities become null.
        plots: whether the page needs plotly.js, about 5 MB.
        values: what the template shows; texts are escaped.
    """
    from plotly.offline import get_plotlyjs

    document = json.dumps(plain(data), allow_nan=False).replace("<", "\\u003c")
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(_text("style.css")),
            script=Markup(_text(script)),
            plotly=Markup(get_plotlyjs()) if plots else "",
            # JSON with no `<` cannot end the script element that it stands in.
            data=Markup(document),
            **values,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("hwnas.reports", _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return (resources.files(__package__) / _FOLDER / name).read_text(encoding="utf-8")
