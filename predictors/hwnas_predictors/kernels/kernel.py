"""A fused kernel: one node of the graph that a runtime executes, and its configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod

Shape = tuple[int, ...]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

NCHWC = "com.microsoft.nchwc"
"""ONNX domain of operators on channels in blocks, e.g. of 8 or 16."""
_CONVOLUTIONS = frozenset(("Conv", "FusedConv", "QLinearConv"))
_INT8 = re.compile(r"Q(Linear)?(?=[A-Z])")
"""Begins the names of operators in int8, e.g. QGemm and QLinearConv, but not QuantizeLinear."""
_NHWC = "Nhwc"
"""Begins the names of ONNX Runtime's operators on channels last, which say it by nothing else."""
_NHWC_POOL = "NhwcMaxPool"
"""Is in int8 alone."""
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Configuration:
    """What a latency regressor sees of a kernel.

    Channels are those that are computed: where the runtime pads them to whole blocks, the padded
    ones. A tensor that is no image counts its second dimension as channels and all later ones as
    height.

    Attributes:
        kind: type of the kernel; each has a regressor of its own.
        height: H of the first input.
        width: W of the first input.
        c_in: channels of the first input.
        c_out: channels of the output.
        out_height: H of the output.
        out_width: W of the output.
        kernel: (height, width) of the window; (1, 1) where there is none.
        stride: (vertical, horizontal) step of the window.
        groups: groups of a convolution.
        activation: activation that is fused into the kernel, e.g. ``Relu``; empty if none.
        fused_add: whether another tensor is added to the output.
        operands: tensors that are read, weights left out.
        batch: images.
        model_weights: numbers in the weights of the whole model, rounded up to a power of two: they
            decide which caches hold this kernel's when its turn comes; 0 if that is not known.
    """

    kind: str
    height: int
    width: int
    c_in: int
    c_out: int
    out_height: int
    out_width: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    activation: str = ""
    fused_add: bool = False
    operands: int = 1
    batch: int = 1
    model_weights: int = 0

    @property
    def has_weights(self) -> bool:
        """Tell whether the kernel multiplies by weights."""
        return "conv" in self.kind or self.kind.startswith(("gemm", "matmul"))

    @property
    def weights(self) -> int:
        """Number of weights, biases left out."""
        if not self.has_weights:
            return 0
        return self.c_out * (self.c_in // self.groups) * prod(self.kernel)

    @property
    def in_elements(self) -> int:
        """Elements of the first input."""
        return self.batch * self.c_in * self.height * self.width

    @property
    def out_elements(self) -> int:
        """Elements of the output."""
        return self.batch * self.c_out * self.out_height * self.out_width

    @property
    def flops(self) -> int:
        """Floating-point operations; one multiply-accumulate is 2."""
        if self.has_weights:
            return 2 * self.weights * self.batch * self.out_height * self.out_width
        if self.kind.startswith("global"):
            return self.in_elements
        return self.out_elements * prod(self.kernel)

    @property
    def bytes(self) -> int:
        """Bytes that are read and written at least if all numbers are in float32."""
        read = self.in_elements * self.operands + self.weights
        return _FLOAT_BYTES * (read + self.out_elements * (2 if self.fused_add else 1))


@dataclass(frozen=True)
class Kernel:
    """One node of a fused graph, complete enough to be run by itself.

    Attributes:
        operator: ONNX name of the operator.
        domain: its ONNX domain; empty for the standard one.
        inputs: shape of each input; None where an optional one is absent.
        output: shape of the first output.
        attributes: (name, value) pairs, sorted by name.
        weights: positions of the inputs that are constant floats, or in int8 weights, scales, zero
            points and biases.
        constants: (position, values) of the inputs that are other constants.
        outputs: number of outputs.
        version: version of the domain's operator set.
        model_weights: as in `Configuration`.
    """

    operator: str
    domain: str
    inputs: tuple[Shape | None, ...]
    output: Shape
    attributes: tuple[tuple[str, Attribute], ...] = ()
    weights: tuple[int, ...] = ()
    constants: tuple[tuple[int, tuple[int, ...]], ...] = ()
    outputs: int = 1
    version: int = 1
    model_weights: int = 0

    @property
    def kind(self) -> str:
        """Type of the kernel, e.g. ``depthwise-conv nchwc`` or ``pointwise-conv int8 nhwc``."""
        name = "MaxPool" if self.operator == _NHWC_POOL else _INT8.sub("", self.operator)
        layout = " nchwc" if self.domain == NCHWC else " nhwc" if self._channels_last else ""
        if program := dict(self.attributes).get("primitive"):
            layout = f" {program}"  # OpenVINO has several for one type of layer
        layout = (" int8" if name != self.operator else "") + layout
        if self.operator in _CONVOLUTIONS:
            return self._convolution() + layout
        broadcast = len(set(self._operands())) > 1 and name in ("Add", "Mul", "Sub", "Div")
        name = name.lower().removeprefix("fused")
        return name + (" broadcast" if broadcast else "") + layout

    @property
    def configuration(self) -> Configuration:
        """What a regressor sees."""
        first = next(shape for shape in self.inputs if shape is not None)
        last = self._channels_last
        (batch, c_in, height, width), out = _as_image(first, last), _as_image(self.output, last)
        values = dict(self.attributes)
        convolution = self.operator in _CONVOLUTIONS
        sum_at = 3 if self.operator != "QLinearConv" else len(self.inputs)
        return Configuration(
            kind=self.kind,
            height=height,
            width=width,
            c_in=c_in,
            c_out=out[1],
            out_height=out[2],
            out_width=out[3],
            kernel=_pair(values.get("kernel_shape"), self._window()),
            stride=_pair(values.get("strides"), (1, 1)),
            groups=self._groups() if convolution else 1,
            activation=str(values.get("activation", "")),
            fused_add=convolution and any(s is not None for s in self.inputs[sum_at:][:1]),
            operands=max(1, len(self._operands()) - (convolution and len(self._operands()) > 1)),
            batch=batch,
            model_weights=self.model_weights,
        )

    def with_channels(self, c_in: int, c_out: int) -> Kernel | None:
        """Give the same kernel with other channels; None where channels are no free choice.

        Only convolutions, poolings and element-wise operations on whole images can change them;
        where input and output must have equally many, `c_out` is taken for both.
        """
        if self.operator in ("Conv", "FusedConv"):
            return self._convolution_with(c_in, c_out)
        images = {len(shape) for shape in self.inputs if shape is not None} == {4}
        same = self.inputs[0] is not None and images and self.inputs[0][1] == self.output[1]
        fixed = self.constants or self.weights or self._channels_last
        if fixed or not same or self.operator == "Reshape":
            return None
        inputs = tuple(None if s is None else _replace_channels(s, c_out) for s in self.inputs)
        attributes = tuple((k, c_out if k == "channels" else v) for k, v in self.attributes)
        output = _replace_channels(self.output, c_out)
        return replace(self, inputs=inputs, output=output, attributes=attributes)

    def _convolution_with(self, c_in: int, c_out: int) -> Kernel | None:
        groups = self._groups()
        image, weight = self.inputs[0], self.inputs[1]
        assert image is not None
        assert weight is not None
        if groups > 1:
            if self._convolution() != "depthwise-conv":
                return None
            c_in, groups = c_out, c_out
        bias_and_sum = (
            None if s is None else (c_out,) if len(s) == 1 else _replace_channels(s, c_out)
            for s in self.inputs[2:]
        )
        inputs = (
            _replace_channels(image, c_in),
            (c_out, c_in // groups, *weight[2:]),
            *bias_and_sum,
        )
        attributes = tuple((k, groups if k == "group" else v) for k, v in self.attributes)
        output = _replace_channels(self.output, c_out)
        return replace(self, inputs=inputs, output=output, attributes=attributes)

    @property
    def _channels_last(self) -> bool:
        named = self.operator.startswith(_NHWC)
        return named or dict(self.attributes).get("channels_last") == 1

    def _weight(self) -> Shape:
        """Give the shape (C_out, C_in of a group, kernel) of a convolution's weights."""
        weight = self.inputs[3 if self.operator == "QLinearConv" else 1]
        assert weight is not None
        return weight

    def _convolution(self) -> str:
        weight, groups = self._weight(), self._groups()
        if groups > 1:
            return "depthwise-conv" if weight[1] == 1 and weight[0] == groups else "grouped-conv"
        return "pointwise-conv" if set(weight[2:]) == {1} else "conv"

    def _groups(self) -> int:
        groups = dict(self.attributes).get("group", 1)
        assert isinstance(groups, int)
        return groups

    def _window(self) -> tuple[int, int]:
        window = (*self._weight()[2:], 1) if self.operator in _CONVOLUTIONS else (1, 1)
        return (window[0], window[1])

    def _operands(self) -> list[Shape]:
        """List the shapes of the inputs that are neither weights nor constants."""
        fixed = {*self.weights, *(position for position, _ in self.constants)}
        return [s for i, s in enumerate(self.inputs) if s is not None and i not in fixed]


def _as_image(shape: Shape, channels_last: bool) -> tuple[int, int, int, int]:
    if channels_last:
        shape = (shape[0], shape[-1], *shape[1:-1])
    padded = (*shape, 1, 1, 1, 1)
    if len(shape) <= 4:
        return (padded[0], padded[1], padded[2], padded[3])
    return (shape[0], shape[1], prod(shape[2:]), 1)


def _pair(value: Attribute | None, default: tuple[int, int]) -> tuple[int, int]:
    """Give the first two numbers; of a signal, which has a height alone, the second is 1."""
    if not isinstance(value, tuple):
        return default
    return (int(value[0]), int(value[1]) if len(value) > 1 else 1)


def _replace_channels(shape: Shape, channels: int) -> Shape:
    return (shape[0], channels, *shape[2:])
