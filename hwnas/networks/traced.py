"""Keys of networks: equal exactly where two networks compute the same for equal weights.

A pass is traced on `meta` tensors, at no computation, and its graph of values is named by its
isomorphism class (`hwnas.graphs.value_graph`). In these terms:

- names of modules and the order of branches and registrations are nowhere in it;
- `Identity`, operators in place or not, copies, chains of views, sums with zeros and the like are
  seen through, and what the output does not depend on is left out;
- parameters are told apart by shape, type and whether they are trained, and by *sharing*: one that
  is used twice is not two. Their values, hence their initialisation, are no part of the function;
- buffers and constants are their values: a table of positions, a mask, a mean to subtract. Buffers
  that are drawn at random therefore tell networks apart;
- evaluation and training mode are traced, for proxies run in either: dropout with probability .1 is
  told from dropout with .2 and from none, though only training sees it; with 0 it is nothing. So
  are gradients that are stopped (`detach`, `no_grad`).

Not recognised as equal, though they are: products of matrices in another order, a concatenation
whose order the next layer undoes, a sum of stacked tensors, partial sums that are used elsewhere,
and what only algebra shows.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from hwnas.graphs.value_graph import ValueGraph
from hwnas.networks.answer import answer_path, tensors_in
from hwnas.networks.copying import copy_model
from hwnas.networks.meta import MetaShapes
from hwnas.networks.plain import plain_network
from hwnas.networks.settings import default_settings
from hwnas.networks.usable import complete_network
from hwnas.networks.values import Values, constant
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import TensorSpec

_MADE_OF_NUMBERS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)
_DATA: Any = Tensor.data  # a property of the class
_STOPS = (Tensor.detach, torch.detach, _DATA.__get__)
_BATCH = 2  # of one input, axes of the batch would not be told from others of one place


@dataclass(frozen=True)
class NetworkKey:
    """What a network is, whatever its weights.

    Attributes:
        function: 32 hexadecimal digits of what it computes.
        work: 32 hexadecimal digits of how: executed operators and parameters, used or not. Networks
            of equal function and work cost the same, but for the order of their operators.
        how: ``traced``; or ``described`` if it cannot be traced, e.g. because it branches on its
            inputs. Then function and work are those of its modules, types, settings and shapes:
            what its code makes of them is not seen, so unequal networks may have equal keys.
        reason: why it is not traced; empty if it is.
        live: whether its answer depends on its input; True where that is not known.
        whole: whether its answer depends on all its parameters; True where that is not known.
    """

    function: str
    work: str
    how: Literal["traced", "described"] = "traced"
    reason: str = ""
    live: bool = True
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.how}:{self.function}:{self.work}"


def network_key(model: nn.Module, spec: TensorSpec) -> NetworkKey:
    """Give the key of a network for inputs of a kind.

    >>> from hwnas.tasks.task import TensorSpec
    >>> one = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> same = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Identity(), nn.ReLU(inplace=True))
    >>> other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU())
    >>> keys = [network_key(m, TensorSpec((1, 8, 8))).function for m in (one, same, other)]
    >>> keys[0] == keys[1], keys[0] == keys[2]
    (True, False)

    Args:
        model: the network; it is left as it is.
        spec: what its input is.

    Raises:
        InvalidValueError: its lazy modules cannot be completed on such inputs.
    """
    generator = torch.Generator().manual_seed(0)
    with default_settings():
        inputs = draw_inputs(spec, _BATCH, generator)
        complete = complete_network(model, lambda: inputs)
        plain = plain_network(complete)
        try:
            return _traced(plain, inputs, _sizes(complete))
        except Exception as error:  # whatever the user's network raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return _described(plain, spec, reason)


def _traced(model: nn.Module, inputs: Tensor, sizes: list[str]) -> NetworkKey:
    tracer = _Tracer(model, inputs)
    evaluation, values = tracer.run(training=False)
    training, _ = tracer.run(training=True)
    reached = tracer.graph.reached([evaluation])
    return NetworkKey(
        tracer.graph.digest([evaluation, training]),
        _digest([*sorted(values.work.items()), *sizes]),
        live=tracer.input in reached,
        whole=reached.issuperset(tracer.weights),
    )


class _Tracer:
    """A network's tensors as values of one graph, and passes over them on `meta`.

    Attributes:
        graph: values of all passes.
        input: value of the input.
        weights: values of the parameters.
    """

    def __init__(self, model: nn.Module, inputs: Tensor) -> None:
        """Copy a plain network without its numbers."""
        origins: list[tuple[Tensor, Tensor]] = []
        self._twin = copy_model(model, partial(_without_data, origins)).requires_grad_(False)
        self._inputs = inputs
        self.graph = ValueGraph()
        self.input = self.graph.source(f"input {inputs.dtype} {tuple(inputs.shape)}")
        self.weights: set[int] = set()
        self._shared: dict[tuple[Any, ...], int] = {}
        parameters = {id(parameter) for parameter in model.parameters()}
        self._known = [(copied, self._source(o, id(o) in parameters)) for o, copied in origins]

    def run(self, training: bool) -> tuple[int, Values]:
        """Give the value of what the network returns, and how it was computed."""
        values = Values(self.graph, training)
        images = self._inputs.to("meta")
        for tensor, number in (*self._known, (images, self.input)):
            values.define(tensor, number)
        twin, seen = self._twin.train(training), (_Constants(values), MetaShapes(values.observe))
        with torch.device("meta"), torch.enable_grad(), _fixed_draws(), seen[0], seen[1]:
            result = twin(images)
        answer_path(result)  # says that there must be tensors
        outputs = [values.value(tensor) for _, tensor in tensors_in(result)]
        return self.graph.apply("training" if training else "evaluation", outputs), values

    def _source(self, original: Tensor, is_weight: bool) -> int:
        if not is_weight and not original.is_meta:
            return constant(self.graph, original)
        kind = "weight" if original.requires_grad else "fixed weight"
        memory = original.untyped_storage()._cdata, original.storage_offset()
        place = (*memory, original.shape, original.stride())
        if place not in self._shared:
            label = f"{kind} {original.dtype} {tuple(original.shape)}"
            self._shared[place] = self.graph.source(label)
        if is_weight:
            self.weights.add(self._shared[place])
        return self._shared[place]


class _Constants(TorchFunctionMode):
    """Keep the values of tensors that are made of numbers, in the pass or before it."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        self._values = values

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func in _MADE_OF_NUMBERS:
            return self._made(func, args, kwargs)
        if func in _STOPS:
            return self._values.stopped(func(*args, **kwargs))
        index = func in (Tensor.__getitem__, Tensor.__setitem__)
        return func(*self._on_meta(args, index), **self._on_meta(kwargs, False))

    def _made(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        numbers = args[-1] if func is Tensor.new_tensor else (*args, kwargs.get("data"))[0]
        if result.is_meta and not isinstance(numbers, Tensor):
            with _disable_current_modes():
                known = torch.tensor(numbers, dtype=result.dtype, device="cpu")
            self._values.define(result, constant(self._values.graph, known))
        return result

    def _on_meta(self, value: Any, index: bool) -> Any:
        """Move tensors with numbers to `meta`, where the pass is, and those that index too."""
        if isinstance(value, Tensor) and value.device.type == "cpu":
            number = self._values.value(value)
            value = value.to("meta")
            self._values.define(value, number)
        elif isinstance(value, dict):
            return {key: self._on_meta(item, index) for key, item in value.items()}
        elif type(value) is tuple or (type(value) is list and not index):
            return type(value)(self._on_meta(item, index) for item in value)
        elif type(value) is list:
            return self._on_meta(self._made(torch.tensor, (value,), {}), index)
        return value


@contextmanager
def _fixed_draws() -> Iterator[None]:
    """Let Python's and NumPy's global generators draw the same in each pass, as if never used."""
    # The users' networks draw from NumPy's global generator, if they draw from NumPy.
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)  # noqa: NPY002


def _without_data(origins: list[tuple[Tensor, Tensor]], tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    copied = torch.empty_like(tensor, device="meta", dtype=dtype)
    origins.append((tensor, copied))
    return copied


def _described(model: nn.Module, spec: TensorSpec, reason: str) -> NetworkKey:
    modules = [
        f"{name} {type(module).__module__}.{type(module).__qualname__} {module.extra_repr()} "
        f"{sorted((k, repr(v)) for k, v in vars(module).items() if _is_plain(v))}"
        for name, module in model.named_modules()
    ]
    tensors = [f"{n} {t.dtype} {tuple(t.shape)}" for n, t in _named_tensors(model)]
    text = _digest([str(spec), *modules, *tensors])
    return NetworkKey(text, text, "described", reason)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _sizes(model: nn.Module) -> list[str]:
    return sorted(f"{p.dtype} {tuple(p.shape)} {p.requires_grad}" for p in model.parameters())


def _digest(parts: Sequence[object]) -> str:
    text = "\n".join(map(str, parts))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
