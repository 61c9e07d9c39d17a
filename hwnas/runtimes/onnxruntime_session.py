"""ONNX Runtime sessions with everything fixed that changes a latency."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.input_shapes import Shapes, input_shapes
from hwnas.runtimes.onnxruntime_providers import RECORD_PLACES, provider_name, provider_settings

Feeds = dict[str, npt.NDArray[Any]]

_DTYPES: Mapping[str, type[np.generic]] = {
    "float16": np.float16,
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
}


def load_model_bytes(model: onnx.ModelProto | bytes | str | os.PathLike[str]) -> bytes | str:
    """Give what a session is made from: bytes, or a path, which may have data files beside it.

    Raises:
        InvalidValueError: the file cannot be read.
    """
    if isinstance(model, bytes):
        return model
    if isinstance(model, onnx.ModelProto):
        return bytes(model.SerializeToString())
    if not Path(model).is_file():
        raise InvalidValueError(f"`onnx` must name a file, but there is no file {str(model)!r}.")
    return os.fspath(model)


def open_session(
    model: bytes | str,
    provider: str = "cpu",
    threads: int = 1,
    spinning: bool = True,
    optimise: bool = True,
    optimised_path: str | None = None,
    profile_prefix: str | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Any:
    """Open a session: sequential execution, fixed threads, all graph optimisations or none.

    Args:
        model: an ONNX model or its path.
        provider: execution provider, e.g. ``cpu`` or ``cuda``.
        threads: threads inside an operator; operators run one after another.
        spinning: idle threads wait actively, which is ONNX Runtime's default.
        optimise: optimise the graph; without it every node runs as it stands.
        optimised_path: where to write the graph that is executed; None writes nothing.
        profile_prefix: start of the name of the file that times every node, which
            `session.end_profiling` names; None times nothing.
        provider_options: the provider's options beside those that follow from the arguments.

    Returns:
        The `onnxruntime.InferenceSession`.

    Raises:
        UnknownNameError: the provider is not in this installation.
        InvalidValueError: the model cannot be loaded, or the provider falls back to the CPU.
    """
    import onnxruntime

    if threads < 1:
        raise InvalidValueError(f"`threads` must be at least 1, but got {threads}.")
    name = provider_name(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if optimised_path is not None:
        options.optimized_model_filepath = optimised_path
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    if provider_name("cpu") != name:
        options.add_session_config_entry(*RECORD_PLACES)
    settings = {**provider_settings(provider, threads), **(provider_options or {})}
    try:
        # Its own fallback prints, and would try again what has failed.
        session = onnxruntime.InferenceSession(
            model, options, providers=[(name, settings)], enable_fallback=0
        )
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`onnx` must be a model that ONNX Runtime {onnxruntime.__version__} can load with "
            f"{name}, but it says: {str(error).splitlines()[0]}"
        ) from error
    if session.get_providers()[0] != name:
        raise InvalidValueError(
            f"`provider` {provider!r} must be usable on this host, but ONNX Runtime fell back to "
            f"{session.get_providers()[0]}: check its driver and libraries."
        )
    return session


def random_feeds(
    session: Any,
    batch: int,
    in_shape: Sequence[int] | None = None,
    seed: int = 0,
    shapes: Shapes | None = None,
    undeclared: Collection[str] = (),
) -> Feeds:
    """Draw inputs: Gaussian floats, integers and truth values from {0, 1}.

    Args:
        session: the session.
        batch: images; see `hwnas.runtimes.input_shapes` for what is a batch.
        in_shape: the other dimensions, for inputs of that rank.
        seed: seed of the draws.
        shapes: whole shapes by the names of inputs.
        undeclared: names of inputs that declare no shape.

    Returns:
        An array for each input.

    Raises:
        InvalidValueError: a shape or type cannot be made, or contradicts the model's.
    """
    rng, values = np.random.default_rng(seed), session.get_inputs()
    if not values:
        raise InvalidValueError(
            "`onnx` must have an input, but the model has none: what it gives is a constant, and "
            "there is nothing to measure."
        )
    found = input_shapes(values, batch, in_shape, shapes or {}, undeclared)
    return {
        value.name: _draw(value.name, value.type, shape, rng)
        for value, shape in zip(values, found, strict=True)
    }


def _draw(name: str, kind: str, shape: list[int], rng: np.random.Generator) -> npt.NDArray[Any]:
    dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    if dtype is None:
        raise InvalidValueError(
            f"`onnx` must have inputs of a type that can be drawn, but input {name!r} is {kind}."
        )
    if issubclass(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(2, size=shape).astype(dtype)
