"""Zero-cost proxies: scores of untrained networks that go with their accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwnas.errors import InvalidValueError
from hwnas.registry import load, names
from hwnas.typing import Proxy


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
    factory = load("proxies", name)
    try:
        proxy: Proxy = factory(**settings)
    except TypeError as error:
        raise InvalidValueError(
            f"`settings` of proxy {name!r} must be its own, but got {settings}: {error}"
        ) from error
    return proxy


def make_proxies(names: Sequence[str]) -> list[Proxy]:
    """Make proxies with their default settings; each once, ``all`` stands for all of them."""
    expanded = [n for name in names for n in (proxy_names() if name == "all" else [name])]
    return [make_proxy(name) for name in dict.fromkeys(expanded)]
