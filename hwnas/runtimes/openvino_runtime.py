"""OpenVINO: its CPU, GPU and NPU devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import openvino

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.runtimes.base import (
    THIS_CPU,
    Array,
    Executable,
    Network,
    OnnxModel,
    Place,
    PrecisionError,
    Prepared,
    RunSettings,
    TorchNetwork,
    check_options,
    device_key,
    explicit,
)
from hwnas.runtimes.examples import input_batch
from hwnas.runtimes.input_shapes import batch_of
from hwnas.runtimes.lowering import FLOAT_OPERATORS, between_int8, exported, staying
from hwnas.runtimes.onnx_facts import precision_of, undeclared_inputs
from hwnas.runtimes.onnxruntime_session import Feeds, load_model_bytes, random_feeds
from hwnas.runtimes.own_onnx import in_float32, in_int8, own_images, own_outputs, without_functions

_HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "f32"}
_FORMATS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}
_TYPES = {"f32": "float", "f64": "double", "f16": "float16", "i8": "int8", "u8": "uint8",
          "i16": "int16", "i32": "int32", "i64": "int64", "boolean": "bool"}  # fmt: skip
_HALVES = frozenset(("float16", "bfloat16"))
# What only moves, cuts or converts computes in no format.
_MOVES = frozenset(
    (
        "Broadcast", "Concatenation", "Const", "Convert", "Gather", "Input", "MemoryInput",
        "MemoryOutput", "Output", "Reorder", "Reshape", "ShapeOf", "Split", "StridedSlice",
        "Transpose",
    )
)  # fmt: skip


class OpenVino:
    """OpenVINO with one stream, and with the precision that is asked for.

    By itself OpenVINO computes in bfloat16 on CPUs that have it. Here the precision is always
    named, and what every layer computed in is read from the compiled model: layers in another
    format than the key's are refused in float32, and told in the lower ones. int8 is the quantised
    model of `hwnas.runtimes.lowering` without zero points, whose other layers are in float32.

    The option ``float_operators`` names what int8 leaves in float32.
    """

    name: ClassVar[str] = "openvino"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16", "float16", "int8")
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"float_operators": FLOAT_OPERATORS}

    def version(self) -> str:
        """Version of the package."""
        return str(openvino.__version__).partition("-")[0]

    def devices(self) -> list[str]:
        """List OpenVINO's devices, e.g. ``cpu``, ``gpu`` and ``gpu.1``, the CPU first."""
        found = [str(name).lower() for name in _core().available_devices]
        return sorted(found, key=lambda name: (name != "cpu", name))

    def place(self, settings: RunSettings) -> Place:
        """Name the device as OpenVINO does, unless it is the CPU."""
        if settings.device not in (known := self.devices()):
            raise unknown_name(f"device of {self.name}", settings.device, known)
        if settings.device == "cpu":
            return Place(THIS_CPU, own_thread=settings.threads == 1)
        name = _core().get_property(settings.device.upper(), "FULL_DEVICE_NAME")
        return Place(f"openvino-{settings.device}", str(name))

    def written(self, settings: RunSettings) -> str:
        """Name how int8 is written where it was written otherwise before; else nothing."""
        return "unsigned behind Concat" if settings.precision == "int8" else ""

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Compile the network and draw its inputs."""
        self.place(settings)
        chosen = replace(settings, options=check_options(self, settings))
        if isinstance(network, TorchNetwork):
            chosen = explicit(self, settings)
            source = _exported(network, chosen)
        else:
            source = _own(network, chosen, self.precisions)
            first = np.atleast_1d(source.inputs[0])
            chosen = replace(chosen, batch=chosen.batch or len(first))
        if source.precision not in _HINTS:
            raise unknown_name(f"precision of {self.name}", source.precision, _HINTS)
        model, inputs = source.model, source.inputs
        model.reshape({i: list(array.shape) for i, array in enumerate(inputs)})
        compiled = _compile(model, source.precision, chosen)
        request = compiled.create_infer_request()
        _give(request, inputs)
        yield Prepared(
            device_key(self, replace(chosen, precision=source.precision)),
            inputs,
            request.infer,
            lambda *own: _outputs(request, own, inputs),
            None,
            source.examples,
            {**source.facts, **_formats(compiled, source.precision, source.stays, source.between)},
            source.expected,
        )


class _Source(NamedTuple):
    """A model as OpenVINO read it: its precision, inputs and examples, and what it should give."""

    model: Any
    precision: str
    inputs: list[Array]
    examples: Sequence[Sequence[Array]]
    facts: Mapping[str, str]
    expected: Sequence[Sequence[Array]] = ()
    stays: frozenset[str] = frozenset()
    between: Mapping[str, str] = MappingProxyType({})


def _exported(network: TorchNetwork, settings: RunSettings) -> _Source:
    # OpenVINO pads average pools by 0 where the zero point is meant.
    content, precision, examples, facts = exported(
        network, settings, written=("int8",), activations="symmetric", without=("Pad.wrap",)
    )
    inputs = [input_batch(network, settings)]
    source = _Source(_read(content), precision, inputs, examples, facts)
    if precision != "int8":
        return source
    return source._replace(stays=staying(content), between=between_int8(content))


def _own(network: OnnxModel, settings: RunSettings, precisions: Sequence[str]) -> _Source:
    """Read a user's model, which is compared with what ONNX Runtime computes.

    As it is, or with itself in float32 in a lower precision.
    """
    content = without_functions(load_model_bytes(network.content))
    own = precision_of(content)
    wanted = settings.precision or own
    if wanted == own or wanted not in precisions:
        model = _read(content)
        feeds = _draw(network, content, model, settings)
        if images := own_images(network, settings, own):
            feeds = dict(zip(feeds, images, strict=True))
        expected, reason = own_outputs(content, feeds)
        facts = {"compared": f"no, {reason}"} if reason else {}
        return _Source(model, wanted, [*feeds.values()], [], facts, expected)
    if wanted == "int8":
        made = in_int8(network, settings, "symmetric")
    else:
        made = in_float32(network, settings, lower=True)
    return _Source(
        _read(made.content), wanted, made.inputs, made.examples, made.facts, made.expected,
        staying(made.content), between_int8(made.content),
    )  # fmt: skip


@cache
def _core() -> Any:
    """Give the process's one core, which loads each plug-in once."""
    return openvino.Core()


def _read(content: bytes | str) -> Any:
    try:
        return _core().read_model(content)
    except Exception as error:
        raise _refused(error) from error


def compiled(content: bytes, settings: RunSettings, timed: bool = False) -> tuple[Any, Any]:
    """Compile an ONNX model as a network that is measured.

    Args:
        content: the model, quantised where the precision is int8.
        settings: device, threads and precision.
        timed: whether OpenVINO times each layer of a run.

    Returns:
        What OpenVINO read, and what it made of it.

    Raises:
        InvalidValueError: OpenVINO cannot run it.
    """
    model = _read(content)
    return model, _compile(model, str(settings.precision), settings, timed)


def _compile(model: Any, precision: str, settings: RunSettings, timed: bool = False) -> Any:
    """Compile for one stream, and without moving threads to other cores than they are on."""
    wanted = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "NUM_STREAMS": 1, "PERF_COUNT": timed}
    if settings.device == "cpu":
        wanted |= {"INFERENCE_NUM_THREADS": settings.threads, "ENABLE_CPU_PINNING": False}
    try:
        return _core().compile_model(model, settings.device.upper(), wanted)
    except Exception as error:
        raise _refused(error) from error


def _draw(network: OnnxModel, content: bytes | str, model: Any, settings: RunSettings) -> Feeds:
    """Draw inputs of an ONNX model as for ONNX Runtime."""
    values = [
        SimpleNamespace(
            name=value.get_any_name(),
            type=f"tensor({_TYPES.get(value.get_element_type().get_type_name(), 'unknown')})",
            shape=[
                d.get_length() if d.is_static else None for d in value.get_partial_shape()
            ] if value.get_partial_shape().rank.is_static else [],
        )
        for value in model.inputs
    ]  # fmt: skip
    shapes = dict(network.shapes)
    session = SimpleNamespace(get_inputs=lambda: values)
    batch = settings.batch or batch_of(values, shapes) or 1
    undeclared = undeclared_inputs(content)
    return random_feeds(session, batch, network.in_shape, settings.seed, shapes, undeclared)


def _give(request: Any, inputs: Any) -> None:
    for i, array in enumerate(inputs):
        # `np.ascontiguousarray` gives a scalar a dimension.
        request.set_input_tensor(i, openvino.Tensor(np.asarray(array, order="C")))


def _outputs(request: Any, own: tuple[Array, ...], inputs: list[Array]) -> list[Array]:
    """Run on other inputs, and leave the network's own behind."""
    try:
        _give(request, own or inputs)
        request.infer()
        count = len(request.model_outputs)
        return [np.array(request.get_output_tensor(i).data) for i in range(count)]
    except Exception as error:
        raise _refused(error) from error
    finally:
        _give(request, inputs)


def _formats(
    compiled: Any,
    precision: str,
    stays: frozenset[str] = frozenset(),
    between: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Tell which layers compute in another format than the precision.

    Args:
        compiled: what OpenVINO made of the model.
        precision: what it is to compute in.
        stays: nodes of a model in int8 that are to stay in float32.
        between: their operators, of those that stand there as operators in int8 do.

    Raises:
        PrecisionError: none computes in it, or one in a lower one than float32, or in the other
            half precision.
        InvalidValueError: one that is to stay in float32 does not.
    """
    found: dict[str, Counter[str]] = {}
    wrong: Counter[str] = Counter()
    seen: set[str] = set()
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        kind, given = (str(facts[name].astype(str)) for name in ("layerType", "runtimePrecision"))
        # Truths, as of a comparison, are u8 there too.
        truths = given == "u8" and precision != "int8"
        kept = stays.intersection(_origins(facts)) if stays else frozenset()
        seen |= kept
        if kept and _FORMATS.get(given) == "int8":
            wrong[kind] += 1
        if kind not in _MOVES and given in _FORMATS and not truths:
            found.setdefault(_FORMATS[given], Counter())[kind] += 1
    # A ReLU before a quantisation is left to that one, and no layer is made of it.
    wrong += Counter(kind for name, kind in between.items() if name not in seen)
    if wrong:
        made = ", ".join(f"{number} {kind}" for kind, number in sorted(wrong.items()))
        raise InvalidValueError(
            f"`float_operators` must stay in float32, but OpenVINO computes {made} in int8, as all "
            f"around them is: leave the option out, or take the runtime litert."
        )
    others = {name: kinds for name, kinds in found.items() if name != precision}
    told = {
        f"{name}_operators": ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        for name, kinds in others.items()
    }
    # Of the other half precision, one layer in the asked one may be a conversion alone.
    half = bool(_HALVES & others.keys()) and precision in _HALVES
    if (found and precision not in found) or (precision == "float32" and others) or half:
        raise PrecisionError(
            f"`precision` must be one that OpenVINO computes in here, but of {precision} it makes "
            f"{'; '.join(f'{name[:-10]}: {kinds}' for name, kinds in told.items())}."
        )
    return told


def _origins(facts: Any) -> list[str]:
    """Name what a layer was made of; OpenVINO takes a bias for a node of its own."""
    names = str(facts["originalLayersNames"].astype(str)).split(",")
    return [name.removesuffix("/WithoutBiases") for name in names]


def _refused(error: Exception) -> InvalidValueError:
    """Say in a line what OpenVINO says in many; its errors have no class of their own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    # What its reader says of operators stands below the rest.
    summary = lines[lines.index("Summary:") + 1 :] if "Summary:" in lines else []
    operators = [line.removeprefix("-- ") for line in summary if line.startswith("-- ")]
    return InvalidValueError(
        f"`model` must be a network that OpenVINO {openvino.__version__.partition('-')[0]} can run "
        f"on inputs of these shapes, but it says: {(operators or said or lines or ['nothing'])[0]}"
    )
