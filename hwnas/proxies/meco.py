"""MeCo: are the channels of feature maps uncorrelated?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.spectra import by_shape, eigenvalues
from hwnas.proxies.engine.signals import Collector, Init, PassSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")
    nn = deferred("torch.nn")

# A float32 map whose channels vary less than this beside their size is rounding to a good part.
_LEAST_SPREAD = 2.0**-6
# Sizes of channels outside of which products leave float32.
_LEAST_SIZE, _LARGEST_SIZE = 1e-10, 1e10
# Numbers of a map up to which maps of one shape are reduced together: 256 KiB.
_SMALL = 2**16


@dataclass(frozen=True)
class LeastEigenvalues(PassSignal[tuple[float, ...]]):
    """Least eigenvalue of the correlation matrix of the channels, of each module's output.

    The positions of the first image's map are the observations. Modules that pass a tensor on
    unchanged, e.g. a sequence its last member's, add nothing.
    """

    def collector(self, subject: Subject) -> Collector[tuple[float, ...]]:
        """Compute each eigenvalue while the pass runs."""
        modules = list(subject.plain.named_modules())
        scaling, mixing = ([n for n, m in modules if test(m)] for test in (_scales, _mixes_few))
        return _EigenvalueCollector(scaling, mixing)


Report = Callable[["Tensor", "nn.Module", "tuple[int, Tensor] | None"], None]
"""Gets an output when it is there, its module, and the output that this one got with its number."""


class FeatureMaps:
    """A context in which each different (B, C, H, W) output of a module is reported once.

    Args:
        network: the modules.
        images: what they get; no output.
        report: gets the outputs.
    """

    def __init__(self, network: nn.Module, images: Tensor, report: Report) -> None:
        self._network, self._report = network, report
        # Keeps the tensors alive, so that their ids stay their own.
        self._seen = {(id(images), images._version): images}
        self._numbers: dict[tuple[int, int], int] = {}

    def __enter__(self) -> None:
        modules = self._network.modules()
        self._handles = [module.register_forward_hook(self._add) for module in modules]

    def __exit__(self, *raised: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._seen.clear()

    def _add(self, module: nn.Module, args: Any, output: Any) -> None:
        # Each look at a tensor would be a call of the pass's function modes.
        with torch._C.DisableTorchFunction():
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                return
            place = id(output), output._version
            got = args[0] if args and isinstance(args[0], torch.Tensor) else None
            number = None if got is None else self._numbers.get((id(got), got._version))
        if place not in self._seen:
            self._seen[place] = output
            self._numbers[place] = len(self._numbers)
            source = None if got is None or number is None else (number, got)
            self._report(output, module, source)


def _scales(module: nn.Module) -> bool:
    """Tell whether a module is a batch norm, which shifts and scales each channel.

    That changes no correlation but for its sign, and so no eigenvalue.
    """
    return _is_as_known(module, nn.BatchNorm2d)


def _mixes_few(module: nn.Module) -> bool:
    """Tell whether a convolution gives more channels than it reads numbers for each of them.

    Its channels depend on each other: the least eigenvalue is 0.
    """
    if not _is_as_known(module, nn.Conv2d):
        return False
    assert isinstance(module, nn.Conv2d)
    return module.in_channels * math.prod(module.kernel_size) < module.out_channels


def _is_as_known(module: nn.Module, kind: type[nn.Module]) -> bool:
    return type(module) is kind and not module._forward_hooks and "forward" not in vars(module)


class _EigenvalueCollector(Collector[tuple[float, ...]]):
    uses_graph = False

    def __init__(self, scaling: Sequence[str], mixing: Sequence[str]) -> None:
        self.names = scaling, mixing
        self.scaling: set[nn.Module] = set()
        self.mixing: set[nn.Module] = set()
        self.number = 0
        self.small: dict[int, Tensor] = {}
        self.moments: dict[int, Tensor] = {}
        self.products: dict[int, Tensor] = {}
        # Outputs whose eigenvalue is that of another output, or 0.
        self.known: dict[int, int | None] = {}

    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        self.scaling, self.mixing = (set(map(network.get_submodule, n)) for n in self.names)
        return FeatureMaps(network, images, self.add)

    def add(self, output: Tensor, module: nn.Module, source: tuple[int, Tensor] | None) -> None:
        """Reduce the (B, C, H, W) output of a module; keep a small one for others like it."""
        with self.timed(), torch.no_grad():
            rows = _rows(output)
            positions, C = rows.shape
            if positions > C:  # else the rank is H*W - 1 at most
                self._reduce(rows, module, source)
            self.number += 1

    def _reduce(self, rows: Tensor, module: nn.Module, source: tuple[int, Tensor] | None) -> None:
        number = self.number
        if module in self.mixing:
            self.known[number] = None
        elif source is not None and module in self.scaling and self._is_as_seen(*source):
            self.known[number] = source[0]
        if rows.numel() <= _SMALL:
            self.small[number] = rows.clone()
            return
        self.moments[number] = _moments(rows)
        self._doubt([number])
        if number not in self.known:
            self.products[number] = _products(rows)

    def _is_as_seen(self, number: int, source: Tensor) -> bool:
        """Tell whether an output is what it was, written through ``.data`` neither."""
        rows = _rows(source)
        if rows.numel() <= _SMALL:
            before, now = self.small.get(number), rows
        else:
            before, now = self.moments.get(number), _moments(rows)
        return before is not None and before.dtype == now.dtype and torch.equal(before, now)

    def _doubt(self, numbers: Iterable[int]) -> None:
        """Forget what is known of outputs that are rounding to a good part, or whose source is."""
        pairs = {n: self.known[n] for n in numbers if n in self.known}
        involved = {n for n in (*pairs, *pairs.values()) if n is not None}
        small = sorted(involved & self.small.keys())
        found = by_shape(_moments, [self.small[n] for n in small])
        moments = dict(zip(small, found, strict=True))
        moments |= {n: self.moments[n] for n in involved - moments.keys()}
        tell = by_shape(_vary, list(moments.values()))
        varied = {None} | {n for n, varies in zip(moments, tell, strict=True) if varies}
        for number, source in pairs.items():
            if not {number, source} <= varied:
                del self.known[number]

    def finish(self, logits: Tensor) -> tuple[float, ...]:
        del logits
        self._doubt(self.small)
        maps = {n: rows for n, rows in self.small.items() if n not in self.known}
        small = by_shape(_products, list(maps.values()))
        products = self.products | dict(zip(maps, small, strict=True))
        spectra = by_shape(_least_eigenvalues, list(products.values()))
        least = {n: float(value) for n, value in zip(products, spectra, strict=True)}
        for number, source in self.known.items():
            least[number] = 0.0 if source is None else least.get(source, 0.0)
        return tuple(least.get(number, 0.0) for number in range(self.number))


def _rows(maps: Tensor) -> Tensor:
    """Give the (H*W, C) channels of the first of (B, C, H, W) maps."""
    return maps[0].flatten(1).T


def _moments(rows: Tensor) -> Tensor:
    """Give (..., 2, C) means and root mean squares of the channels of (..., H*W, C).

    They are nan unless these are float32: others round in other ways.
    """
    if rows.dtype != torch.float32:
        return torch.full((*rows.shape[:-2], 2, rows.shape[-1]), torch.nan, device=rows.device)
    # A quarter of the time of `vector_norm`; squares leave float32 beyond the sizes asked for.
    sizes = rows.square().mean(dim=-2).sqrt()
    return torch.stack([rows.mean(dim=-2), sizes], dim=-2)


def _vary(moments: Tensor) -> Tensor:
    """Tell of each of (n, 2, C) moments whether all channels are more than a mean and rounding."""
    means, sizes = moments.unbind(-2)
    varied = means.abs() < math.sqrt(1 - _LEAST_SPREAD**2) * sizes
    return (varied & (sizes > _LEAST_SIZE) & (sizes < _LARGEST_SIZE)).all(dim=-1)


def _products(rows: Tensor) -> Tensor:
    """Give the (..., C, C) float64 products of the centred channels of (..., H*W, C)."""
    centred = rows.to(torch.float64, copy=True)
    centred -= centred.mean(dim=-2, keepdim=True)
    return centred.mT @ centred


def _least_eigenvalues(products: Tensor) -> Tensor:
    """Give the (n,) least eigenvalues of the correlation matrices of (n, C, C) products.

    It is 0 where a channel is constant: that correlates with nothing, itself included.
    """
    norms = products.diagonal(dim1=1, dim2=2).sqrt()  # (n, C)
    constant = ~norms.all(dim=1)
    correlations = products / (norms[:, :, None] * norms[:, None, :])
    return eigenvalues(correlations)[:, 0].masked_fill(constant, 0.0)


@dataclass(frozen=True)
class MeCo:
    """Sum of the least eigenvalues of the channels' correlation matrices. Larger is better.

    ``sum_l lambda_min(P_l)``, P_l being the (C, C) Pearson correlation matrix of the channels of
    feature map l over its positions, for one image (Jiang et al., MeCo: Zero-Shot NAS with One Data
    and Single Forward Pass via Minimum Eigenvalue of Correlation, NeurIPS 2023). It needs
    one training-mode forward pass of the first image, no labels.

    Feature maps are the different (B, C, H, W) outputs of all modules, be they layers or blocks. A
    map with no more positions than channels, or with a constant channel, contributes 0.

    The authors' code counts a map as often as there are modules around the one that made it, up to
    4 times, and takes real parts of the eigenvalues of a general float32 solver.

    Attributes:
        init: weights of the network.
    """

    init: Init = "as_built"

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    own_images: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``meco``, with ``.kaiming`` for weights drawn anew."""
        return "meco" if self.init == "as_built" else f"meco.{self.init}"

    @property
    def _eigenvalues(self) -> LeastEigenvalues:
        return LeastEigenvalues(Setting(self.init, batch_size=1))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The eigenvalues."""
        return frozenset({self._eigenvalues})

    def score(self, signals: Signals) -> float:
        """Sum them up."""
        values = signals[self._eigenvalues]
        if not values:
            raise ProxyError("`model` must have a module that gives (B, C, H, W), but has none.")
        return sum(values)
