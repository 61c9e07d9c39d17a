"""From a traced network to ONNX nodes, without PyTorch's exporter: milliseconds, not seconds."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping
from typing import Any

import onnx
import torch
from torch import Tensor, fx, nn

from hwnas.networks.meta import MetaShapes, meta_copy
from hwnas.onnx_export.graph_writer import GraphWriter, UnsupportedError, Value
from hwnas.onnx_export.operators import FUNCTIONS, MODULES, SHAPE_FUNCTIONS
from hwnas.tasks.task import TensorSpec

# Stands for a free batch while shapes are worked out; a network that fixes its batch shows itself.
_FREE_BATCH = 7


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
        UnsupportedError: the network cannot be traced, takes tokens, or an operation is not known.
    """
    if isinstance(in_shape, TensorSpec):
        if in_shape.vocabulary is not None:
            raise UnsupportedError("tokens")
        in_shape = in_shape.shape
    twin, _ = meta_copy(model)
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        raise UnsupportedError("forward hooks")
    try:
        graph = fx.Tracer().trace(twin)
        with torch.no_grad(), torch.device("meta"), MetaShapes():
            source = torch.empty((_FREE_BATCH if dynamic_batch else batch, *in_shape))
            writer = GraphWriter(Value("input", tuple(source.shape)), dynamic_batch)
            return _Translation(twin, model, graph, writer).write(source)
    except UnsupportedError:
        raise
    except Exception as error:
        raise UnsupportedError(f"{type(error).__name__}: {error}") from error


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

    def _visit(self, node: fx.Node) -> None:
        arguments = [self._results[n] for n in node.all_input_nodes]
        versions = [(t, t._version) for t in arguments if isinstance(t, Tensor)]
        result = self._run(node)
        changed = {t.untyped_storage()._cdata for t, version in versions if t._version != version}
        if changed:
            self._check_in_place(node, changed)
        self._results[node] = result
        if node not in self._alive:
            return
        if not isinstance(result, Tensor):
            # Sizes, e.g. of `x.view(x.size(0), -1)`: known once the shapes are.
            self._values[node] = result
            return
        if result.dtype != torch.float32 and not _is_index(node, result):
            # ONNX does not convert types as PyTorch's arithmetic does.
            raise UnsupportedError(f"a tensor of type {result.dtype}")
        out = Value(node.name, tuple(result.shape))
        self._values[node] = Value(self._name(node, out), out.shape)

    def _check_in_place(self, node: fx.Node, changed: set[int]) -> None:
        """Refuse an in-place operation whose effect something else than its result shows."""
        later = set(itertools.dropwhile(lambda n: n is not node, self._graph.nodes)) - {node}
        for other, result in self._results.items():
            shared = isinstance(result, Tensor) and result.untyped_storage()._cdata in changed
            if shared and later.intersection(other.users):
                raise UnsupportedError("in-place operation on a tensor that is used again")

    def _run(self, node: fx.Node) -> Any:
        args = fx.map_arg(node.args, self._results.__getitem__)
        kwargs = fx.map_arg(node.kwargs, self._results.__getitem__)
        target: Any = node.target
        match node.op:
            case "get_attr":
                return operator.attrgetter(target)(self._twin)
            case "call_module":
                return self._twin.get_submodule(target)(*args, **kwargs)
            case "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)

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
        sizes = not all(isinstance(self._values[n], Value) for n in node.all_input_nodes)
        if sizes and self._writer.dynamic_batch and target not in SHAPE_FUNCTIONS:
            raise UnsupportedError("a size used as a number while the batch is free")
        if target not in FUNCTIONS:
            raise UnsupportedError(f"the function {getattr(target, '__name__', target)}")
        return FUNCTIONS[target](self._writer, out, *args, **kwargs)

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
