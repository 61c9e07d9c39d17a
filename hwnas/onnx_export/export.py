"""Networks as ONNX models in float32.

That a model computes what its network does is proven where both can be run:
`hwnas.runtimes.agreement`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

import onnx
import torch
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError
from torch import nn

from hwnas import __version__
from hwnas.errors import InvalidValueError
from hwnas.files.atomic import write_bytes
from hwnas.networks.copying import copy_model
from hwnas.networks.plain import plain_network, to_float32
from hwnas.networks.settings import default_settings
from hwnas.onnx_export.from_fx import write_directly
from hwnas.onnx_export.graph_writer import OPSET, UnsupportedError
from hwnas.onnx_export.opsets import with_opset
from hwnas.tasks.task import TensorSpec

_LOG = logging.getLogger(__name__)
EXPORTER_KEY = "hwnas.exporter"
"""Metadata entry of an exported model: ``direct`` or ``torch.onnx``."""
LARGEST_BYTES = 2**31 - 2**20
"""Weights that an ONNX file can hold: protocol buffers end at 2 GiB, and the graph needs some."""


def export_onnx(
    model: nn.Module,
    in_shape: tuple[int, ...] | TensorSpec,
    path: str | os.PathLike[str] | None = None,
    batch: int = 1,
    dynamic_batch: bool = False,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Export a network in evaluation mode.

    Networks of usual convolutional operations are written directly, in milliseconds. A network
    with any other operation goes through `torch.onnx.export`, which takes seconds. The model's
    metadata entry ``hwnas.exporter`` says which way was taken. Identities, such as skips, and what
    the output does not depend on leave no node. Weights that are computed are written as the
    values that they have, and a wrapper around the network is left out (`plain_network`).

    Args:
        model: the network, with one tensor as its input and one tensor as its output. It is
            left as it is.
        in_shape: shape of one image, (C, H, W), or what the network gets: tokens are int64.
        path: where to write the model; None writes nothing.
        batch: images; ignored with `dynamic_batch`.
        dynamic_batch: leave the number of images free.
        opset: version of ONNX's operators, 13 or more; one that cannot say what the network does
            is refused.

    Returns:
        The checked model. Its input is named ``input``, its output ``output``.

    Raises:
        InvalidValueError: the network does not run on such inputs, cannot be exported, has more
            weights than one file holds (2 GiB), or the file cannot be written.
    """
    if batch < 1:
        raise InvalidValueError(f"`batch` must be at least 1, but got {batch}.")
    if scripted := [m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]:
        raise InvalidValueError(
            f"`model` must be a module in Python for ONNX, but got a {type(scripted[0]).__name__} "
            "of TorchScript: give the module that it was made from, or run it by the runtime torch."
        )
    if projected := [m for m in model.modules() if isinstance(m, nn.LSTM) and m.proj_size]:
        # PyTorch writes a file that nothing can run.
        raise InvalidValueError(
            f"`model` must have layers that ONNX has, but its LSTM has none with "
            f"proj_size={projected[0].proj_size}: put a Linear behind it, or run it by the runtime "
            f"torch."
        )
    with default_settings():
        model = plain_network(model)
        _check_size(model)
        try:
            proto, exporter = write_directly(model, in_shape, batch, dynamic_batch), "direct"
            onnx.checker.check_model(proto, full_check=True)
        except (UnsupportedError, ValidationError, InferenceError) as reason:
            _LOG.info("%s goes through torch.onnx.export: %s", type(model).__name__, reason)
            proto, exporter = _export_by_torch(model, in_shape, batch, dynamic_batch), "torch.onnx"
    proto = with_opset(proto, opset)
    proto.producer_name, proto.producer_version = "hwnas", __version__
    onnx.helper.set_model_props(proto, {EXPORTER_KEY: exporter})
    if path is not None:
        write_bytes(path, proto.SerializeToString())
    return proto


def _check_size(model: nn.Module) -> None:
    numbers = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if 4 * numbers >= LARGEST_BYTES:
        raise InvalidValueError(
            f"`model` must have less than 2 GiB of weights, as an ONNX file holds no more, but has "
            f"{4 * numbers / 2**30:.1f} GiB: bound params, or measure in the runtime torch."
        )


def _export_by_torch(
    model: nn.Module, in_shape: tuple[int, ...] | TensorSpec, batch: int, dynamic_batch: bool
) -> onnx.ModelProto:
    twin = copy_model(model, to_float32).eval()
    tokens = isinstance(in_shape, TensorSpec) and in_shape.vocabulary is not None
    shape = in_shape.shape if isinstance(in_shape, TensorSpec) else in_shape
    # A batch of one would be taken for a constant.
    size = (2 if dynamic_batch else batch, *shape)
    inputs = torch.zeros(size, dtype=torch.int64 if tokens else torch.float32)
    shapes = ({0: torch.export.Dim("batch")},) if dynamic_batch else None
    try:
        # Not for others: half a second.
        from hwnas.onnx_export.float_bounds import FloatBounds
        from hwnas.onnx_export.small_terms import keep_small_terms
        from hwnas.onnx_export.translations import TRANSLATIONS

        with _quiet(), FloatBounds():
            program = torch.onnx.export(
                twin,
                (inputs,),
                input_names=["input"],
                output_names=["output"],
                opset_version=OPSET,
                dynamic_shapes=shapes,
                dynamo=True,
                custom_translation_table=TRANSLATIONS,
                optimize=False,
                verbose=False,
            )
            assert program is not None
            keep_small_terms(program.model)
            program.optimize()
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # what the exporter's layers say around it helps nobody
            cause = cause.__cause__
        hint = ""
        if "data-dependent" in str(cause):
            hint = " It branches on values, which the runtime torch alone can run."
        elif "No ONNX function" in str(cause):
            hint = " The exporter does not know that operation, which the runtime torch can run."
        raise InvalidValueError(
            f"`model` must be exportable to ONNX for inputs of shape {tuple(inputs.shape)}, but "
            f"torch.onnx.export failed on {type(model).__name__}: {str(cause).splitlines()[0]}"
            f"{hint}"
        ) from error
    proto = program.model_proto
    # PyTorch keeps the number without a word: findings/torch_onnx_batch_of_len.sh.
    if dynamic_batch and not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise InvalidValueError(
            f"`model` must take any number of inputs for a dynamic batch, but the code of "
            f"{type(model).__name__} makes it a number, as len(x) and int(x.shape[0]) do: write "
            "x.shape[0] there, or export a fixed batch."
        )
    # PyTorch states wrong shapes of what nobody reads: findings/torch_onnx_lstm_cell_state.sh.
    read = _values_read(proto.graph)
    known = [info for info in proto.graph.value_info if info.name in read]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(known)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (ValidationError, InferenceError) as error:
        raise InvalidValueError(
            f"`model` must be exportable to ONNX, but what torch.onnx.export made of "
            f"{type(model).__name__} is no valid model: {str(error).splitlines()[0]}"
        ) from error
    return proto


def _values_read(graph: onnx.GraphProto) -> set[str]:
    """Name what nodes of a graph, and of those within it, and its outputs read."""
    found = {output.name for output in graph.output}
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                found |= _values_read(inner)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, advice, warnings and graphs away from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        nobody = io.StringIO()
        with (
            contextlib.redirect_stdout(nobody),
            contextlib.redirect_stderr(nobody),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
