"""What `hwnas profile` measures, made and measured in child processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.options import chosen_networks, sizes_text
from hwnas.cli.output import note
from hwnas.files.csv_table import ARCHITECTURE

if TYPE_CHECKING:
    from torch import nn

    from hwnas.functions.profile import Profile
    from hwnas.measure.isolation import Child
    from hwnas.measure.limits import Limits
    from hwnas.runtimes.base import OnnxModel
    from hwnas.tasks.task import TensorSpec
    from hwnas.typing import InShape

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
_DEFAULT_SPACE = "nasbench201"
_LEAST_SECONDS, _LIMIT_SHARE = 30.0, 10.0


@dataclass(frozen=True)
class _Subject:
    """What is profiled: a torch network with its images, or an ONNX model."""

    label: dict[str, str]
    network: nn.Module | OnnxModel
    in_shape: InShape | TensorSpec | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be profiled, as the options say it."""

    space: str | None
    arch: str | None
    onnx: Path | None
    model: str | None
    in_shape: str | None
    shapes: Shapes
    classes: str | None
    dataset: str | None
    seed: int

    def import_into(self, child: Child) -> None:
        """Import the user's module there, so that it is no part of the network's time."""
        from hwnas.measure.isolation import Child
        from hwnas.measure.limits import Limits
        from hwnas.spaces.space_text import is_function, is_own

        own = self.model or self.space
        if own is not None and is_own(own):
            Child(Limits(), process=child.process).call(is_function, own)

    def subject(self) -> _Subject:
        """Make it."""
        from hwnas.networks.importing import parse_sizes

        text, dataset = self.in_shape, self.dataset
        if self.onnx is not None:
            return _onnx(self.onnx, parse_sizes(text) if text else None, self.shapes)
        if self.model is not None:
            return _own_model(self.model, _own_input(text, self.classes, dataset), self.seed)
        assert self.arch is not None
        space = self.space or _DEFAULT_SPACE
        return _architecture(space, self.arch, text, self.classes, dataset, self.seed)


def measured(
    wanted: Wanted, how: dict[str, Any], resource: str, limit_seconds: float | None
) -> tuple[dict[str, Any], list[str]]:
    """Measure while nobody else measures there; give a row and remarks.

    Args:
        wanted: the network.
        how: the arguments of `hwnas.profile`; a `length` says that it is to be strict.
        resource: where it runs.
        limit_seconds: longest time of a process; None for ten times that of a measurement.
    """
    from hwnas.measure.isolation import child_with
    from hwnas.measure.limits import LONGEST_SECONDS, Limits, within_memory
    from hwnas.measure.resource_lock import hold

    strict, processes = how["length"], _processes(how)
    if limit_seconds is None:
        longest = strict.max_seconds if strict else how["max_seconds"]
        limit_seconds = min(max(_LEAST_SECONDS, _LIMIT_SHARE * longest), LONGEST_SECONDS)
    limits = within_memory(Limits(limit_seconds))
    if processes > 1:
        with hold(resource):
            return _in_fresh_processes(processes, limits, wanted, how, resource)
    child = child_with(limits)
    child.start()
    with hold(resource):  # the time for which another one measures is not the network's
        label, found = child.call(_profiled, wanted, how, resource)
    return {**label, **found.as_dict()}, [*found.remarks()]


def _processes(how: dict[str, Any]) -> int:
    """Say how many fresh processes a measurement needs."""
    from hwnas.measure.strict import PROCESSES
    from hwnas.runtimes import make_runtime

    if how["length"]:
        return PROCESSES
    differ = getattr(make_runtime(how["runtime"]), "differs_between_processes", False)
    return PROCESSES if differ and how["metric"] == "latency" and how["reference"] else 1


def _in_fresh_processes(
    processes: int, limits: Limits, wanted: Wanted, how: dict[str, Any], held: str
) -> tuple[dict[str, Any], list[str]]:
    """Measure strictly, or each for a share of the time; give a row and remarks."""
    from hwnas.measure.isolation import Child
    from hwnas.measure.machine_state import machine_state
    from hwnas.measure.strict import combine, complaints, cool_down, differences

    strict, how = how["length"], {**how, "max_seconds": how["max_seconds"] / processes}
    idle, all_found = machine_state(), []
    for number in range(1, processes + 1):
        note(f"process {number} of {processes} ...")
        if strict:
            cool_down(idle)
        child = Child(limits)
        try:
            wanted.import_into(child)
            label, found = child.call(_profiled, wanted, how, held)
        finally:
            child.close()
        all_found.append(found.measurement)
    whole = replace(found, measurement=combine(all_found))
    said = complaints(all_found) if strict else differences(whole.measurement)
    return {**label, **whole.as_dict()}, [*whole.remarks(), *said]


def _profiled(wanted: Wanted, how: dict[str, Any], held: str) -> tuple[dict[str, str], Profile]:
    """Make the network, count and measure it; give what it is called, too."""
    from hwnas.functions.profile import profile as measure
    from hwnas.measure.resource_lock import lent

    subject = wanted.subject()
    with lent(held):
        return subject.label, measure(subject.network, subject.in_shape, **how)


def _own_input(text: str | None, classes: str | None, dataset: str | None) -> TensorSpec | InShape:
    """Read what a network gets: real numbers, or tokens, whose `classes` are told."""
    from hwnas.tasks.catalogue import get_task

    if classes is not None:
        return get_task(sizes_text(text, classes, dataset)).input
    if text is None:
        return _shape_of(dataset or "cifar10")
    return get_task(sizes_text(text, "1", None)).input


def _shape_of(dataset: str) -> InShape:
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import image_classes

    return image_classes(get_task(dataset), "hwnas profile")[1]


def _architecture(
    space_name: str,
    text: str,
    in_shape: str | None,
    classes: str | None,
    dataset: str | None,
    seed: int,
) -> _Subject:
    import torch

    from hwnas.networks.importing import parse_in_shape
    from hwnas.spaces.space_text import is_function, named_space
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import image_classes, image_task

    if in_shape is not None and classes is None and not is_function(space_name):
        known, _ = image_classes(get_task(dataset or "cifar10"), "hwnas profile")
        space, task = named_space(space_name), image_task(known, parse_in_shape(in_shape))
    else:
        name, sizes = chosen_networks(space_name, dataset, "gaussian", in_shape, classes)
        space, task = named_space(name), get_task(sizes)
    arch = space.parse(text)
    torch.manual_seed(seed)
    network = space.build(arch, task)
    return _Subject({"space": space.name, ARCHITECTURE: str(arch)}, network, task.input)


def _own_model(spec: str, shape: InShape | TensorSpec, seed: int) -> _Subject:
    from hwnas.networks.importing import load_model

    return _Subject({"model": spec}, load_model(spec, seed), shape)


def _onnx(file: Path, sizes: tuple[int, ...] | None, shapes: Shapes) -> _Subject:
    from hwnas.runtimes.base import OnnxModel

    return _Subject({"onnx": str(file)}, OnnxModel(file, sizes, shapes))
