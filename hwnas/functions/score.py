"""`hwnas.score`: zero-cost proxies of one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.data.real_images import real_images
from hwnas.errors import InvalidValueError
from hwnas.functions.own_network import Input, check_network, input_spec, read_input
from hwnas.networks.answer import ALL
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.ranking.recipes import RECIPES
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import AllOutputs, Task
from hwnas.typing import Proxy

if TYPE_CHECKING:
    from torch import nn

DEFAULT_PROXIES = (
    "params",
    "flops",
    "layers",
    "synflow",
    "naswot",
    "jacob_cov",
    "expressivity",
    "progressivity",
    "trainability",
)
"""Proxies of about two passes together."""


@dataclass(frozen=True, repr=False, eq=False)
class Scores(Mapping[str, float]):
    """The scores of one network by the names of the proxies; NaN where there is none.

    Attributes:
        results: each with the reason where it is missing, and the seconds that it took.
    """

    results: Mapping[str, Result]

    def __getitem__(self, name: str) -> float:
        """Give a score."""
        return self.results[name].value

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.results)

    def __len__(self) -> int:
        """Count the proxies."""
        return len(self.results)

    @property
    def errors(self) -> dict[str, str]:
        """Why scores are missing, by name."""
        return {name: result.error for name, result in self.results.items() if result.error}

    def __repr__(self) -> str:
        """Show a line a score, with the reason where there is none."""
        width = max(map(len, self.results), default=0)
        lines = (
            f"{name:<{width}}  {result.error or f'{result.value:.6g}'}"
            for name, result in self.results.items()
        )
        return "\n".join(lines)


def score(
    model: nn.Module,
    input: Input,
    proxies: str | Proxy | Sequence[str | Proxy] = DEFAULT_PROXIES,
    *,
    images: str | Batch = "gaussian",
    batch_size: int = 64,
    seed: int = 0,
    output: str | int | None = None,
    data_folder: Path | None = None,
    device: str = "cpu",
) -> Scores:
    """Score a network without training it.

    The network is left as it was: weights, buffers, hooks, mode and the global random state. A
    score depends neither on the other proxies nor on PyTorch's settings.

    Args:
        model: any network that maps one tensor to logits, a map, next tokens or real numbers.
        input: (C, H, W) of its images, (C, T) of signals or (F,) of vectors; or what it gets
            (`TensorSpec`), or what it is for (`Task`).
        proxies: names with settings after a colon, e.g. ``"naswot"`` or
            ``"vkdnw_entropy:batch_size=64"``; ``"all"``; or proxies of one's own.
        images: what proxies see: ``gaussian``, ``cifar10-sample``, one's own ``FILE.npz`` (images,
            signals, vectors or tokens) or folder of pictures, or a `hwnas.tasks.batch.Batch`.
        batch_size: inputs B that are drawn or read.
        seed: seed of weights, inputs, labels and random projections.
        output: name or index of the answer, where the network returns more than one tensor; or
            ``all``: all its real numbers behind one another, as of a detector.
        data_folder: folder of published data; None for ``HWNAS_DATA``.
        device: where the passes run: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Returns:
        The scores by name. One that is not defined for this network is NaN and has its reason in
        `Scores.errors`; none keeps another one from its value.

    Raises:
        UnknownNameError: there is no such proxy, or there are no such images.
        ProxyError: the network rejects such inputs, or returns something else.
        InvalidValueError: an argument is out of range, or the network cannot be looked at.

    Example:
        >>> import hwnas
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 5))
        >>> scores = hwnas.score(network, (3, 4, 4), ["params", "naswot"], batch_size=8)
        >>> scores["params"]
        437.0
        >>> sorted(scores), scores.errors
        (['naswot', 'params'], {})
    """
    network, task = check_network(model), read_input(input)
    if output == ALL:
        task = Task("all outputs", input_spec(task), AllOutputs())
    made = _made([proxies] if isinstance(proxies, str | Proxy) else proxies)
    if isinstance(images, Batch):
        batch: Batch | None = images
    else:
        batch = real_images(images, batch_size, task, data_folder)
    if output == ALL and batch is not None:  # labels are of one answer
        batch = replace(batch, labels=None)
    return Scores(
        score_network(
            network,
            task,
            made,
            batch=batch,
            batch_size=batch_size,
            seed=seed,
            output=output,
            device=device,
        )
    )


def _made(proxies: Sequence[str | Proxy]) -> list[Proxy]:
    ranked = [p for p in proxies if isinstance(p, str) and p in RECIPES]
    if ranked:
        members = ", ".join(RECIPES[ranked[0]].proxies)
        raise InvalidValueError(
            f"`proxies` must be scores of one network, but {ranked[0]!r} joins ranks within a "
            f"search space: name its proxies, {members}."
        )
    made = [q for p in proxies for q in (make_proxies([p]) if isinstance(p, str) else [p])]
    return list({proxy.name: proxy for proxy in made}.values())
