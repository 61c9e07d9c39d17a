"""What a score depends on beside the architecture, as the text of caches and shipped tables."""

from __future__ import annotations

import hashlib
from typing import Any

from hwnas import __version__
from hwnas.files.identity import identity_text
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import Task
from hwnas.typing import Proxy, SearchSpace


def score_identity(
    proxy: Proxy,
    space: SearchSpace[Any],
    task: Task,
    *,
    batch_size: int = 64,
    seed: int = 0,
    batch: Batch | None = None,
    device: str = "cpu",
) -> str:
    """State everything that a score of a space's network depends on; see `hwnas.files.identity`.

    Args:
        proxy: the proxy.
        space: search space.
        task: what the network is built for; its name does not matter.
        batch_size: images B of the synthetic batch.
        seed: user seed.
        batch: images of the user, or None for Gaussian ones.
        device: where the passes run; which of several does not matter.
    """
    kind = device.partition(":")[0]
    further: dict[str, Any] = {} if kind == "cpu" else {"device": kind}
    if version := networks_version(space, task):
        further["networks"] = version
    return identity_text(
        proxy=proxy,
        version=_version(proxy),
        space=space,
        task=task.settings,
        data=_data(proxy, batch_size, batch),
        seed=seed,
        **further,
    )


def former_score_identity(
    proxy: Proxy,
    space: SearchSpace[Any],
    task: Task,
    *,
    batch_size: int = 64,
    seed: int = 0,
    batch: Batch | None = None,
) -> str:
    """Give the text that caches of hwnas before schema 1 know the same score by."""
    data = _data(proxy, batch_size, batch)
    return f"proxy|{proxy!r}|v{_version(proxy)}|{space!r}|{_text(task)}|{data}|seed={seed}"


def networks_version(space: SearchSpace[Any], task: Task) -> int:
    """Give a number that a space counts up where its networks for a task get other scores.

    It is what the space's method `networks_version(task)` gives, if it has one; 0 at first.
    """
    version = getattr(space, "networks_version", None)
    return 0 if version is None else int(version(task))


def _version(proxy: Proxy) -> Any:
    return getattr(proxy, "version", __version__)


def _data(proxy: Proxy, batch_size: int, batch: Batch | None) -> str:
    """Name what the proxy sees."""
    # A proxy that sees Gaussian images of its own number is the same for every batch size, one
    # that sees none for every batch.
    own = getattr(proxy, "own_images", None)
    size = batch_size if own is None else own
    images = None if size == 0 else batch
    return f"gaussian B={size}" if images is None else _fingerprint(images)


def _text(task: Task) -> str:
    """State the task without its name; classes of images as caches have known them."""
    short = {"num_classes": "K", "in_shape": "in"}
    return "|".join(f"{short.get(name, name)}={value}" for name, value in task.settings.items())


def _fingerprint(batch: Batch) -> str:
    """Tell a user's batch from every other one, whatever it is called."""
    digest = hashlib.blake2b(batch.inputs.detach().cpu().contiguous().numpy().tobytes())
    if batch.labels is not None:
        digest.update(batch.labels.cpu().contiguous().numpy().tobytes())
    return f"{batch.description} {tuple(batch.inputs.shape)} {digest.hexdigest()[:32]}"
