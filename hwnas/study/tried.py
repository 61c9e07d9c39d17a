"""Networks of a user's own space, tried where they can do no harm before they are used here."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.measure.endless import network_name, once
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import NotSendableError
from hwnas.spaces.networks import Networks
from hwnas.study.configuration import bounded
from hwnas.typing import Arch


def insist_that_they_run(networks: Networks[Arch], archs: Sequence[Arch]) -> None:
    """Build and run each network once in a child process; those of hwnas itself need not be tried.

    What writes or measures networks goes on in this process then. What cannot be sent to a child,
    e.g. a space that was made in a notebook, is not tried.

    Args:
        networks: space and task.
        archs: `(n,)` architectures.

    Raises:
        InvalidValueError: a network raises, ends its process or does not end in time; says which.
    """
    space = networks.space
    if (limits := bounded(space)) is None:
        return
    for arch in archs:
        try:
            with once(network_name(space, space.canonical_key(arch), networks.task), limits):
                child_with(limits).call(_run, networks, arch)
        except NotSendableError:
            return
        except HwnasError as error:
            raise InvalidValueError(
                f"`architecture` {arch} of {space.name} must be a network that runs, but trying it "
                f"failed: {error}"
            ) from error


def _run(networks: Networks[Arch], arch: Arch) -> None:
    """Run a network on two inputs."""
    import torch

    from hwnas.tasks.batch import draw_inputs

    network = networks.network(arch, seed=0)
    with torch.no_grad():
        network.eval()(draw_inputs(networks.task.input, 2, torch.Generator().manual_seed(0)))
