"""Zero-cost proxies: scores of untrained networks that go with their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwnas.files.grammar import read_component
from hwnas.registry import make, names
from hwnas.typing import Direction, Proxy


def proxy_names() -> list[str]:
    """List the proxies in a fixed order."""
    return names("proxies")


def make_proxy(name: str, **settings: Any) -> Proxy:
    """Make a proxy.

    Args:
        name: one of `proxy_names`.
        settings: its constructor's arguments, e.g. ``published=True`` for ``vkdnw_entropy``.

    Raises:
        UnknownNameError: there is no such proxy.
        InvalidValueError: the proxy has no such setting.
    """
    proxy: Proxy = make("proxies", name, **settings)
    return proxy


def make_proxies(names: Sequence[str]) -> list[Proxy]:
    """Make proxies from texts; each once.

    Args:
        names: names with settings after a colon where they are not the default, e.g. ``naswot``,
            ``vkdnw_entropy:batch_size=64,elements=2`` or ``epsilon:weights=(1e-6,1)``; ``all``
            stands for every proxy.

    Raises:
        UnknownNameError: there is no such proxy.
        InvalidValueError: a setting cannot be read, or the proxy has none of that name.
    """
    expanded = [n for name in names for n in (proxy_names() if name == "all" else [name])]
    made = [_from_text(text) for text in dict.fromkeys(expanded)]
    return list({proxy.name: proxy for proxy in made}.values())


def proxy_direction(column: str) -> Direction:
    """Give the direction of a proxy by its name, with or without a variant's after a dot."""
    return make_proxy(column.partition(".")[0]).direction


def _from_text(text: str) -> Proxy:
    component = read_component(text, "proxy")
    return make_proxy(component.name, **component.settings)
