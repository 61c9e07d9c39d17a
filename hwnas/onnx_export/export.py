"""Networks as ONNX models in float32, and the proof that they compute the same."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from torch import nn

from hwnas import __version__
from hwnas.errors import InvalidValueError
from hwnas.files.atomic import write_bytes
from hwnas.onnx_export.from_fx import write_directly
from hwnas.onnx_export.graph_writer import OPSET, UnsupportedError

_LOG = logging.getLogger(__name__)
EXPORTER_KEY = "hwnas.exporter"
"""Metadata entry of an exported model: ``direct`` or ``torch.onnx``."""


def export_onnx(
    model: nn.Module,
    in_shape: tuple[int, ...],
    path: str | os.PathLike[str] | None = None,
    batch: int = 1,
    dynamic_batch: bool = False,
) -> onnx.ModelProto:
    """Export a network in evaluation mode.

    Networks of usual convolutional operations are written directly, in milliseconds. A network
    with any other operation goes through `torch.onnx.export`, which takes seconds, and its result
    is compared with the network. The model's metadata entry ``hwnas.exporter`` says which way was
    taken. Identities, such as skips, and what the
    output does not depend on leave no node.

    Args:
        model: the network, with one image tensor as its input and one tensor as its output. It is
            left as it is.
        in_shape: shape of one image, (C, H, W).
        path: where to write the model; None writes nothing.
        batch: images; ignored with `dynamic_batch`.
        dynamic_batch: leave the number of images free.

    Returns:
        The checked model. Its input is named ``input``, its output ``output``.

    Raises:
        InvalidValueError: the network does not run on such images, cannot be exported, or the
            file cannot be written.
    """
    if batch < 1:
        raise InvalidValueError(f"`batch` must be at least 1, but got {batch}.")
    try:
        proto, exporter = write_directly(model, in_shape, batch, dynamic_batch), "direct"
    except UnsupportedError as reason:
        _LOG.info("%s goes through torch.onnx.export: %s", type(model).__name__, reason)
        proto, exporter = _export_by_torch(model, in_shape, batch, dynamic_batch), "torch.onnx"
        verify_onnx(proto, model, in_shape)
    proto.producer_name, proto.producer_version = "hwnas", __version__
    onnx.helper.set_model_props(proto, {EXPORTER_KEY: exporter})
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        write_bytes(path, proto.SerializeToString())
    return proto


def verify_onnx(
    model: onnx.ModelProto | str | os.PathLike[str],
    module: nn.Module,
    in_shape: tuple[int, ...],
    atol: float = 1e-4,
    rtol: float = 1e-4,
    seed: int = 0,
) -> float:
    """Compare an ONNX model in ONNX Runtime with the network that it was made from.

    Args:
        model: the model or its file, with one input and one output.
        module: the network; evaluated in evaluation mode and left as it is.
        in_shape: shape of one image, (C, H, W).
        atol: largest difference that is accepted.
        rtol: difference that is accepted on top, as a share of the largest output.
        seed: seed of the Gaussian images.

    Returns:
        The largest absolute difference of an output.

    Raises:
        InvalidValueError: the difference is larger than `atol + rtol * max |output|`, or one
            of the outputs is not finite.
    """
    from hwnas.runtimes.onnxruntime_session import batch_of, load_model_bytes, open_session

    session = open_session(load_model_bytes(model), threads=1)
    shape = (batch_of(session) or 2, *in_shape)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    twin = copy.deepcopy(module).float().cpu().eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        expected = twin(images).numpy()
    (got,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    if got.shape != expected.shape:
        raise InvalidValueError(
            f"`model` must give outputs of shape {expected.shape}, as the network does, but got "
            f"{got.shape}."
        )
    difference = float(np.max(np.abs(got - expected), initial=0.0))
    accepted = atol + rtol * float(np.max(np.abs(expected), initial=0.0))
    # Written so that NaN fails.
    if not (difference <= accepted < float("inf")):
        raise InvalidValueError(
            f"`model` must agree with the network within {accepted:.3g}, but differs by "
            f"{difference:.3g}: it was made from another network, other weights or another mode."
        )
    return difference


def _export_by_torch(
    model: nn.Module, in_shape: tuple[int, ...], batch: int, dynamic_batch: bool
) -> onnx.ModelProto:
    twin = copy.deepcopy(model).float().cpu().eval()
    # A batch of one would be taken for a constant.
    images = torch.zeros((2 if dynamic_batch else batch, *in_shape))
    shapes = ({0: torch.export.Dim("batch")},) if dynamic_batch else None
    try:
        with _quiet():
            program = torch.onnx.export(
                twin,
                (images,),
                input_names=["input"],
                output_names=["output"],
                opset_version=OPSET,
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        cause = error.__cause__ or error
        raise InvalidValueError(
            f"`model` must be exportable to ONNX for images of shape {tuple(images.shape)}, but "
            f"torch.onnx.export failed on {type(model).__name__}: {str(cause).splitlines()[0]}"
        ) from error
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, advice and warnings away from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
