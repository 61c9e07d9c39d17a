"""A picture of how a proxy ranks: Kendall's tau on each benchmark, beside that of another score."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from hwnas.errors import InvalidValueError

_LEFT, _RIGHT, _ROW, _BAR = 370, 690, 30, 9
_HIGHEST = 0.8
_LOWEST = -0.5


@dataclass(frozen=True)
class Pair:
    """Two bars of a picture.

    Attributes:
        name: of the benchmark.
        tau: of the proxy; None where it is not defined or the same for all.
        beside: of the score that it is compared with.
    """

    name: str
    tau: float | None
    beside: float | None


def tau_picture(proxy: str, beside: str, pairs: Sequence[Pair]) -> str:
    """Draw a row a benchmark as SVG, on one line, in the colours of the page that it stands in.

    Example:
        >>> drawn = tau_picture("meco", "params", [Pair("fbnet", 0.4, None)])
        >>> drawn.startswith("<svg") and drawn.endswith("</svg>") and "fbnet" in drawn
        True
    """
    height = _ROW * (len(pairs) + 2)
    said = html.escape(f"Kendall's tau of {proxy} and of {beside} on each benchmark")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_RIGHT + 50} {height}" '
        f'role="img" aria-label="{said}" font-size="13" fill="currentColor" '
        f'style="min-width:600px; max-width:{_RIGHT + 50}px">',
        *_key(proxy, beside),
        f'<path d="M{_x(0):.0f} {_ROW}V{height - _ROW}" stroke="currentColor"/>',
    ]
    for row, pair in enumerate(pairs, start=1):
        y = _ROW * row + 8
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">')
        parts.append(f"{html.escape(pair.name)}</text>")
        parts += _bar(pair.tau, y, "1") + _bar(pair.beside, y + _BAR + 1, ".35")
    for tick in (-0.4, 0.0, 0.4, 0.8):
        parts.append(f'<text x="{_x(tick):.0f}" y="{height - 10}" text-anchor="middle">')
        parts.append(f"{tick:g}</text>")
    return "".join([*parts, "</svg>"])


def _key(proxy: str, beside: str) -> list[str]:
    return [
        f'<rect x="{_LEFT}" y="8" width="12" height="{_BAR}"/>',
        f'<text x="{_LEFT + 18}" y="18">{html.escape(proxy)}</text>',
        f'<rect x="{_LEFT + 180}" y="8" width="12" height="{_BAR}" opacity=".35"/>',
        f'<text x="{_LEFT + 198}" y="18">{html.escape(beside)}</text>',
    ]


def _x(tau: float) -> float:
    return _LEFT + (tau - _LOWEST) / (_HIGHEST - _LOWEST) * (_RIGHT - _LEFT)


def _bar(tau: float | None, y: int, opacity: str) -> list[str]:
    if tau is None:
        return []
    if not _LOWEST <= tau <= _HIGHEST:
        raise InvalidValueError(
            f"`tau` must be in {_LOWEST} to {_HIGHEST} to be drawn, but got {tau}: widen the scale."
        )
    left, right = sorted((_x(0), _x(tau)))
    size = f'width="{right - left:.1f}" height="{_BAR}" opacity="{opacity}"'
    return [f'<rect x="{left:.1f}" y="{y}" {size}><title>{tau:.3f}</title></rect>']
