"""ONNX Runtime: one device an execution provider."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import (
    THIS_CPU,
    Activations,
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
from hwnas.runtimes.lowering import FLOAT_OPERATORS, between_int8, exported
from hwnas.runtimes.onnx_facts import computed_in, precision_of, undeclared_inputs
from hwnas.runtimes.onnxruntime_providers import (
    OPTIONS,
    available_providers,
    check_places,
    own_options,
    provider_name,
)
from hwnas.runtimes.onnxruntime_session import (
    Feeds,
    load_model_bytes,
    open_session,
    random_feeds,
)
from hwnas.runtimes.own_onnx import in_int8, own_images

_ON_GPU = ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu")


class OnnxRuntime:
    """ONNX Runtime: torch networks exported by hwnas, and ONNX models as they are.

    Runs are sequential and optimised at the highest level; copies to and from a GPU are part of
    them. Inputs and outputs are float32 in every precision. int8 is static, see
    `hwnas.runtimes.lowering`; the result's facts say which operators compute in float32 all the
    same. A precision that the provider does not compute in is refused, and so is a network that
    runs on another provider in part.

    Options: ``spinning``, whether idle threads wait actively; ``float_operators``, what int8 leaves
    in float32; ``fallback=allow``, which lets other providers run a part and tells the share; and
    the provider's own.
    """

    name: ClassVar[str] = "onnxruntime"
    packages: ClassVar[tuple[str, ...]] = (
        "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn",
        "onnxruntime-directml",
    )  # fmt: skip
    precisions: ClassVar[tuple[str, ...]] = ("float32", "float16", "int8")
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "spinning": ("on", "off"),
        "float_operators": FLOAT_OPERATORS,
        "fallback": ("refuse", "allow"),
        **{name: choices for own in OPTIONS.values() for name, choices in own.items()},
    }

    def version(self) -> str:
        """Version of the package."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def devices(self) -> list[str]:
        """List the execution providers of this installation, the CPU first."""
        return list(available_providers())

    def place(self, settings: RunSettings) -> Place:
        """Tell a GPU's provider from those that run on the CPU."""
        name = provider_name(settings.device)
        if name.startswith(_ON_GPU):
            return Place("gpu0", _gpu_name())
        if name.startswith("OpenVINO") and (kind := dict(settings.options).get("device_type")):
            return Place(THIS_CPU) if kind == "CPU" else Place(f"openvino-{kind}", kind)
        in_this_thread = settings.threads == 1 and name == "CPUExecutionProvider"
        return Place(THIS_CPU, own_thread=in_this_thread)

    def written(self, settings: RunSettings) -> str:
        """Name how int8 is written where it was written otherwise before; else nothing."""
        unsigned = settings.precision == "int8" and activations_for(settings.device) == "unsigned"
        return "unsigned activations" if unsigned else ""

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Open a session and draw its inputs."""
        from onnxruntime import RunOptions

        chosen = replace(settings, options=check_options(self, settings))
        model = self._model(network, chosen)
        session, found = _open(model.content, model.precision, chosen, model.lowered)
        shapes = dict(network.shapes) if isinstance(network, OnnxModel) else {}
        batch = settings.batch or batch_of(session.get_inputs(), shapes) or 1
        feeds = _feeds(session, network, model, replace(chosen, batch=batch))
        first_run = RunOptions()
        yield Prepared(
            device_key(self, replace(chosen, batch=batch, precision=model.precision)),
            list(feeds.values()),
            lambda: session.run(None, feeds),
            lambda *own: _outputs(
                session, dict(zip(feeds, own, strict=True)) if own else feeds, first_run
            ),
            lambda: setattr(first_run, "terminate", True),
            model.examples,
            {**model.facts, **found},
            model.expected,
        )

    def _model(self, network: Network, settings: RunSettings) -> _Model:
        if isinstance(network, TorchNetwork):
            # Checks what the user gave against the model, too.
            inputs = [input_batch(network, settings)]
            stored = activations_for(settings.device)
            made = exported(network, explicit(self, settings), activations=stored)
            return _Model(*made, True, inputs)
        content = load_model_bytes(network.content)
        precision = precision_of(content)
        if settings.precision == "int8" != precision:
            own = in_int8(network, settings, activations_for(settings.device))
            return _Model(
                own.content, "int8", own.examples, own.facts, True, own.inputs, own.expected
            )
        if settings.precision not in (None, precision):
            or_int8 = ", or int8" if precision == "float32" else ""
            raise InvalidValueError(
                f"`precision` of an ONNX model must be its own, {precision}{or_int8}, but got "
                f"{settings.precision!r}: leave it out."
            )
        return _Model(
            content, precision, [], {}, inputs=own_images(network, settings, precision) or None
        )


class _Model(NamedTuple):
    """What is run.

    Attributes:
        content: the model.
        precision: its precision.
        examples: inputs to compare it on.
        facts: what to tell of it.
        lowered: whether hwnas wrote it in its precision.
        inputs: what it runs on; None for random inputs.
        expected: outputs in float32, where there is no torch network to compute them.
    """

    content: bytes | str
    precision: str
    examples: list[list[Array]]
    facts: dict[str, str]
    lowered: bool = False
    inputs: list[Array] | None = None
    expected: Sequence[Sequence[Array]] = ()


def activations_for(device: str) -> Activations:
    """Tell how a provider wants activations in int8: the CPU's kernels are for uint8."""
    return "unsigned" if provider_name(device) == provider_name("cpu") else "signed"


def _feeds(session: Any, network: Network, model: _Model, settings: RunSettings) -> Feeds:
    values = session.get_inputs()
    if model.inputs is not None:
        return dict(zip((value.name for value in values), model.inputs, strict=True))
    assert isinstance(network, OnnxModel)
    return random_feeds(
        session, settings.batch or 1, network.in_shape, settings.seed, dict(network.shapes),
        undeclared_inputs(model.content),
    )  # fmt: skip


def _open(
    content: bytes | str, precision: str, settings: RunSettings, exported: bool
) -> tuple[Any, dict[str, str]]:
    """Open a session that runs where and in what it should; give what to tell of it.

    Raises:
        InvalidValueError: nothing of what was `exported` in the precision is computed in it, or
            another provider runs a part.
    """
    options, device = dict(settings.options), settings.device
    own = own_options(device, options)
    looked_into = device == "cpu" and precision in ("float16", "int8")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/optimised.onnx" if looked_into else None
        session = open_session(
            content,
            device,
            settings.threads,
            options.get("spinning", "on") == "on",
            optimised_path=path,
            provider_options=own,
        )
        facts = check_places(session, device, options.get("fallback") == "allow")
        if precision == "int8" and "float_operators" in options:
            kinds = options["float_operators"].split("+")
            _insist_on_float(path, kinds) if path else _insist_on_told(content, device)
        return session, facts | (_formats(path, precision, exported) if path else {})


def _insist_on_float(path: str, kinds: Sequence[str]) -> None:
    """Insist that operators of an optimised graph stay in float32.

    The quantiser writes one between others in int8 as it writes one in int8, and ONNX Runtime runs
    it so: findings/onnxruntime_int8_excluded_nodes.sh.
    """
    found = computed_in(path).get("int8", Counter())
    names = {name for kind in kinds for name in (kind, f"QLinear{kind}", f"Nhwc{kind}")}
    if wrong := [f"{number} {name}" for name, number in sorted(found.items()) if name in names]:
        raise InvalidValueError(
            f"`float_operators` must stay in float32, but ONNX Runtime computes {', '.join(wrong)} "
            f"in int8, as all around them is: leave the option out, add what is around them, or "
            f"take the runtime litert."
        )


def _insist_on_told(content: bytes | str, device: str) -> None:
    """Insist that operators stay in float32 where a provider does not tell in what it computes."""
    if wrong := between_int8(content):
        raise InvalidValueError(
            f"`float_operators` must stay in float32, but {device} may compute "
            f"{', '.join(sorted(set(wrong.values())))} in int8, as all around is, and does not "
            f"say: leave the option out, or add what is around them."
        )


def _formats(path: str, precision: str, exported: bool) -> dict[str, str]:
    """Tell which operators of an optimised graph compute in float32 in spite of its precision."""
    found = computed_in(path)
    if exported and precision not in found:
        kinds = ", ".join(found) or "nothing"
        raise PrecisionError(
            f"`precision` must be one that ONNX Runtime computes in here, but of {precision} it "
            f"makes {kinds} on this CPU: take another one."
        )
    kept = sorted(found.get("float32", Counter()).items())
    return {"float32_operators": ", ".join(f"{n} {o}" for o, n in kept)} if kept else {}


def _outputs(session: Any, feeds: Feeds, options: Any) -> list[Array]:
    try:
        return list(session.run(None, feeds, options))
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`onnx` must run on random inputs of shapes "
            f"{[list(array.shape) for array in feeds.values()]}, but ONNX Runtime says: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _gpu_name() -> str:
    """Name the GPU as the driver does; ONNX Runtime itself does not tell."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "GPU"
