"""From a traced network to ONNX nodes, without PyTorch's exporter: milliseconds, not seconds."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import onnx
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from hwnas.networks.meta import MetaShapes, meta_copy
from hwnas.onnx_export.graph_writer import GraphWriter, UnsupportedError, Value
from hwnas.onnx_export.operators import FUNCTIONS, MODULES, PARTS, SHAPE_FUNCTIONS
from hwnas.tasks.task import TensorSpec

# Stands for a free batch while shapes are worked out; a network that fixes its batch shows itself.
_FREE_BATCH = 7
# What is taken apart into as many parts at both is so at every batch.
_FEWEST, _MANY = 1, 1009


def write_directly(
    model: nn.Module, in_shape: tuple[int, ...] | TensorSpec, batch: int, dynamic_batch: bool
) -> onnx.ModelProto:
    """Write the graph of a network whose operations are all known.

    Args:
        model: the network; it is left as it is, and written as it is in evaluation mode.
        in_shape: shape of one image, or what the network gets.
        batch: images.
        dynamic_batch: leave the number of images free.

    Raises:
        UnsupportedError: the network cannot be traced, or an operation is not known.
    """
    tokens = isinstance(in_shape, TensorSpec) and in_shape.vocabulary is not None
    one = in_shape.shape if isinstance(in_shape, TensorSpec) else in_shape
    shape = (_FREE_BATCH if dynamic_batch else batch, *one)
    counted = (_FEWEST, _MANY) if dynamic_batch else (batch,)
    twin, _ = meta_copy(model)
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        raise UnsupportedError("forward hooks")
    try:
        dtype = torch.int64 if tokens else torch.float32
        source = torch.empty(shape, dtype=dtype, device="meta")
        graph = _Tracer([source.new_empty((n, *one)) for n in counted]).trace(twin)
        with _without_numbers():
            writer = GraphWriter(Value("input", shape), dynamic_batch, tokens)
            return _Translation(twin, model, graph, writer).write(source)
    except UnsupportedError:
        raise
    except Exception as error:
        raise UnsupportedError(f"{type(error).__name__}: {error}") from error


@contextmanager
def _without_numbers() -> Iterator[None]:
    with torch.no_grad(), torch.device("meta"), MetaShapes():
        yield


class _Tracer(fx.Tracer):
    """Traces loops over what a tensor is taken apart into, since its shape says how often."""

    def __init__(self, sources: Sequence[Tensor]) -> None:
        super().__init__()
        self._runs: list[tuple[Tensor, dict[fx.Node, Any]]] = [(source, {}) for source in sources]
        self._running = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def iter(self, obj: fx.Proxy) -> Iterator[fx.Proxy]:
        parts = cast(Sequence[fx.Proxy], obj)
        return (parts[number] for number in range(self.count(obj.node)))

    def count(self, wanted: fx.Node) -> int:
        """Give of how many parts the result of a node is."""
        counts = {len(result) for result in self.known(wanted)}
        if len(counts) > 1:
            raise UnsupportedError("as many parts as a free batch says")
        return counts.pop()

    def known(self, wanted: fx.Node) -> list[Any]:
        """Give the results of a node on the `meta` tensors."""
        self._running = True
        with _without_numbers():
            for (source, results), node in itertools.product(self._runs, self.graph.nodes):
                if node not in results:
                    given = node.op == "placeholder"
                    results[node] = source if given else _run(self.root, node, results)
        self._running = False
        return [results[wanted] for _, results in self._runs]

    # What runs for its shape leaves no nodes.
    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self._running:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class _Proxy(fx.Proxy):
    """What stands for a result in a trace; it knows of how many parts it is, if it is several."""

    def __len__(self) -> int:
        tracer = cast(_Tracer, self.tracer)
        several = isinstance(tracer.known(self.node)[0], tuple)
        return tracer.count(self.node) if several else super().__len__()


def _run(twin: Any, node: fx.Node, results: Mapping[fx.Node, Any]) -> Any:
    """Run a node on `meta` tensors."""
    args = fx.map_arg(node.args, results.__getitem__)
    kwargs = fx.map_arg(node.kwargs, results.__getitem__)
    target: Any = node.target
    match node.op:
        case "get_attr":
            return operator.attrgetter(target)(twin)
        case "call_module":
            return twin.get_submodule(target)(*args, **kwargs)
        case "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
    return target(*args, **kwargs)


class _Translation:
    """Walk the nodes: run each on `meta` tensors for its shape, and write it."""

    def __init__(
        self, twin: nn.Module, model: nn.Module, graph: fx.Graph, writer: GraphWriter
    ) -> None:
        self._twin = twin
        self._graph = graph
        self._weights: Mapping[str, Tensor] = {
            **dict(model.named_parameters(remove_duplicate=False)),
            **dict(model.named_buffers(remove_duplicate=False)),
        }
        self._alive = _alive_nodes(graph)
        self._writer = writer
        self._results: dict[fx.Node, Any] = {}
        self._values: dict[fx.Node, Any] = {}

    def write(self, source: Tensor) -> onnx.ModelProto:
        inputs = [node for node in self._graph.nodes if node.op == "placeholder"]
        self._results[inputs[0]] = source
        self._values[inputs[0]] = Value("input", tuple(source.shape))
        if any(node.users for node in inputs[1:]):
            raise UnsupportedError("more than one input")
        if source.dtype == torch.int64 and not all(map(self._looks_up, inputs[0].users)):
            raise UnsupportedError("tokens that are not looked up")
        for node in self._graph.nodes:
            if node.op == "output":
                return self._finish(node.args[0])
            if node.op != "placeholder":
                self._visit(node)
        raise UnsupportedError("no output")

    def _finish(self, output: Any) -> onnx.ModelProto:
        result = self._values.get(output) if isinstance(output, fx.Node) else None
        if not isinstance(result, Value):
            raise UnsupportedError("an output other than one float tensor")
        return self._writer.finish(result)

    def _looks_up(self, user: fx.Node) -> bool:
        """Tell whether a node asks for the vectors of tokens, or for how many there are."""
        target: Any = user.target
        if user.op == "call_module":
            return type(self._twin.get_submodule(target)) is nn.Embedding
        return target in (F.embedding, "size", getattr)

    def _visit(self, node: fx.Node) -> None:
        arguments = [self._results[n] for n in node.all_input_nodes]
        versions = [(t, t._version) for t in arguments if isinstance(t, Tensor)]
        result = _run(self._twin, node, self._results)
        changed = {t.untyped_storage()._cdata for t, version in versions if t._version != version}
        if changed:
            self._check_in_place(node, changed)
        self._results[node] = result
        if node not in self._alive:
            return
        self._values[node] = self._value(node, result)

    def _value(self, node: fx.Node, result: Any) -> Any:
        """Write a node; give its value, those of its parts, or its sizes."""
        source = node.all_input_nodes[:1]
        if node.target is operator.getitem and _is_parts(self._results[source[0]]):
            return self._values[source[0]][node.args[1]]
        if _is_parts(result):
            return self._parts(node, result)
        if not isinstance(result, Tensor):
            # Sizes, e.g. of `x.view(x.size(0), -1)`: known once the shapes are.
            return result
        if result.dtype != torch.float32 and not _is_index(node, result):
            # ONNX does not convert types as PyTorch's arithmetic does.
            raise UnsupportedError(f"a tensor of type {result.dtype}")
        out = Value(node.name, tuple(result.shape))
        return Value(self._name(node, out), out.shape)

    def _check_in_place(self, node: fx.Node, changed: set[int]) -> None:
        """Refuse an in-place operation whose effect something else than its result shows."""
        later = set(itertools.dropwhile(lambda n: n is not node, self._graph.nodes)) - {node}
        for other, result in self._results.items():
            tensors = result if _is_parts(result) else [result]
            stored = {t.untyped_storage()._cdata for t in tensors if isinstance(t, Tensor)}
            if changed.intersection(stored) and later.intersection(other.users):
                raise UnsupportedError("in-place operation on a tensor that is used again")

    def _name(self, node: fx.Node, out: Value) -> str:
        target: Any = node.target
        if node.op == "get_attr":
            if target not in self._weights:
                raise UnsupportedError(f"the constant {target}")
            return self._writer.weight(target, self._weights[target])
        args: Any = fx.map_arg(node.args, self._values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self._values.__getitem__)
        if node.op == "call_module":
            return self._module(target, out, *args, **kwargs)
        if target not in SHAPE_FUNCTIONS:
            self._check_sizes(node)
        if target not in FUNCTIONS:
            raise UnsupportedError(f"the function {getattr(target, '__name__', target)}")
        return FUNCTIONS[target](self._writer, out, *args, **kwargs)

    def _check_sizes(self, node: fx.Node) -> None:
        sizes = not all(isinstance(self._values[n], Value | list) for n in node.all_input_nodes)
        if sizes and self._writer.dynamic_batch:
            raise UnsupportedError("a size used as a number while the batch is free")

    def _parts(self, node: fx.Node, results: Any) -> list[Value]:
        """Write what a tensor is taken apart into."""
        target: Any = node.target
        if target not in PARTS or any(part.dtype != torch.float32 for part in results):
            raise UnsupportedError(f"parts by {getattr(target, '__name__', target)}")
        self._check_sizes(node)
        args: Any = fx.map_arg(node.args, self._values.__getitem__)
        kwargs: Any = fx.map_arg(node.kwargs, self._values.__getitem__)
        shapes = [tuple(part.shape) for part in results]
        names = PARTS[target](self._writer, shapes, *args, **kwargs)
        return [Value(name, shape) for name, shape in zip(names, shapes, strict=True)]

    def _module(self, target: str, out: Value, input: Value) -> str:
        module = self._twin.get_submodule(target)
        if type(module) not in MODULES:
            raise UnsupportedError(f"the module {type(module).__name__}")
        write, tensors, arguments = MODULES[type(module)]
        weights = {name: self._weight(f"{target}.{name}") for name in tensors}
        return write(self._writer, out, input, **weights, **arguments(module))

    def _weight(self, name: str) -> Value | None:
        tensor = self._weights.get(name)
        if tensor is None:
            return None
        return Value(self._writer.weight(name, tensor), tuple(tensor.shape))


def _is_parts(result: Any) -> bool:
    """Tell whether a result is several tensors."""
    several = isinstance(result, (tuple, list)) and len(result) > 0
    return several and all(isinstance(part, Tensor) for part in result)


def _is_index(node: fx.Node, result: Tensor) -> bool:
    """Tell whether a result is a table of indices that nothing but indexing uses."""
    indexes = all(user.target is operator.getitem and user.args[1] is node for user in node.users)
    return node.op == "get_attr" and result.dtype == torch.int64 and indexes


def _alive_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Give the nodes that the output depends on."""
    alive: set[fx.Node] = set()
    todo = [node for node in graph.nodes if node.op == "output"]
    while todo:
        node = todo.pop()
        if node not in alive:
            alive.add(node)
            todo += node.all_input_nodes
    return alive
