"""Functions of a trial as spaces: what they may ask for, what they build, how they are named."""

from __future__ import annotations

import functools
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.choosers import DeclarationError
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.model_choice import ModelChoice
from hwnas.spaces.own import own_space
from hwnas.spaces.source_code import fingerprint, target_of
from hwnas.spaces.space_text import keep, named_space, permit, read_space, sized_text, written_space
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_task
from hwnas.testing import ArchitecturesContract, FacetsContract, NetworksContract
from hwnas.typing import SearchSpace

BUILT: list[str] = []
"""Devices on which `chain` has built."""


def chain(trial: Any) -> nn.Module:
    """One to three convolutions, each with choices of its own."""
    layers: list[nn.Module] = []
    before = 3
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width_{i}", 4, 12, step=4)
        kernel = trial.suggest_categorical(f"kernel_{i}", [1, 3])
        layers += [nn.Conv2d(before, width, kernel, padding=kernel // 2), nn.ReLU()]
        before = width
    drop = trial.suggest_float("dropout", 0.0, 0.2, step=0.1)
    head = nn.Linear(before, 7)
    BUILT.append(head.weight.device.type)
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Dropout(drop), head)


def space_of(function: Callable[[Any], Any], shape: tuple[int, ...] = (3, 8, 8)) -> FunctionSpace:
    return FunctionSpace(function, input=shape, classes=7)


class TestContract(ArchitecturesContract, NetworksContract, FacetsContract):
    @pytest.fixture
    def space(self) -> SearchSpace[Any]:
        return space_of(chain)

    @pytest.fixture
    def archs(self, space: SearchSpace[Any]) -> list[Any]:
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(8)]


def test_what_is_asked_for_exists() -> None:
    space = space_of(chain)
    arch = space.decode({"depth": 1, "width_0": 8, "kernel_0": 3, "dropout": 0.1})
    assert str(arch) == '{"depth": 1, "width_0": 8, "kernel_0": 3, "dropout": 0.1}'
    assert space.parameters["dropout"] == (0.0, 0.1, 0.2)
    assert set(space.parameters) == {
        "depth", "dropout", *(f"{what}_{i}" for i in range(3) for what in ("width", "kernel"))
    }  # fmt: skip
    network = space.build(arch)
    assert isinstance(network, nn.Sequential)
    assert network[0].weight.shape == (8, 3, 3, 3)
    assert network[-2].p == 0.1


def test_asking_builds_without_values_and_only_for_what_is_new() -> None:
    space = space_of(chain)
    BUILT.clear()
    arch = space.sample(np.random.default_rng(0))
    assert BUILT == ["meta"]
    assert space.decode(space.encode(arch)) == arch
    assert space.parse(str(arch)) == arch
    assert BUILT == ["meta"]
    space.build(arch)
    assert BUILT == ["meta", "cpu"]


def test_a_function_that_needs_values_is_asked_on_the_cpu() -> None:
    def build(trial: Any) -> nn.Module:
        rates = [x.item() for x in torch.linspace(0, 0.1, trial.suggest_int("depth", 1, 3))]
        devices.append(torch.empty(1).device.type)
        return nn.Sequential(*map(nn.Dropout, rates), nn.Flatten(), nn.Linear(192, 7))

    devices: list[str] = []
    space = space_of(build)
    assert space.members(10) is not None
    assert devices == ["cpu"] * 3


def test_equal_networks_have_one_key() -> None:
    def build(trial: Any) -> nn.Module:
        width = trial.suggest_int("width", 4, 8, step=4)
        trial.suggest_categorical("unused", ["a", "b"])
        return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.ReLU(), nn.Linear(width, 7))

    space = space_of(build)
    members = space.members(10)
    assert members is not None
    assert len(members) == 4
    assert len({space.canonical_key(arch) for arch in members}) == 2


def test_choices_may_be_of_any_type_and_order_is_kept() -> None:
    def build(trial: Any) -> nn.Module:
        act = trial.suggest_categorical("act", [nn.ReLU, nn.GELU, None])
        sizes = trial.suggest_categorical("sizes", [(4, 4), (8,)])
        asked.append((act, sizes, trial.params))
        return nn.Linear(2, 2)

    asked: list[Any] = []
    space = space_of(build)
    assert space.parameters == {"act": ("ReLU", "GELU", "null"), "sizes": ("[4, 4]", "[8]")}
    space.build(space.decode({"act": "null", "sizes": "[8]"}))
    assert asked[-1] == (None, (8,), {"act": "null", "sizes": "[8]"})


def test_lambdas_of_a_list_go_by_their_place() -> None:
    def build(trial: Any) -> nn.Module:
        made: nn.Module = trial.suggest_categorical(
            "make", [lambda: nn.ReLU(), lambda: nn.Tanh()]
        )()
        return made

    places = space_of(build).parameters["make"]
    assert [str(place)[:3] for place in places] == ["0: ", "1: "]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 4, (1, 2, 3, 4)), (1, 256, (1, 2, 3, 4, 6, 9, 13, 19, 28, 40, 58, 84, 122, 177, 256))],
)
def test_logarithmic_integers_are_few_and_hold_both_ends(
    low: int, high: int, expected: tuple[int, ...]
) -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Linear(2, trial.suggest_int("width", low, high, log=True))

    found = space_of(build).parameters["width"]
    # 16 numbers at equal ratios, 256**(k/15), rounded; two of them round to 2.
    assert found in (expected, tuple(sorted({round(256 ** (k / 15)) for k in range(16)})))


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda t: t.suggest_float("rate", 0, 1, log=True), "`low > 0`"),
        (lambda t: t.suggest_float("rate", 0.1, 1, step=0.1, log=True), "no step"),
        (lambda t: t.suggest_float("rate", 0, float("inf")), "finite `low <= high`"),
        (lambda t: t.suggest_float("rate", 1, 0, step=0.1), "`low <= high`"),
        (lambda t: t.suggest_int("width", 5, 4), "`low <= high`"),
        (lambda t: t.suggest_int("width", 1, 8, step=2, log=True), "no step"),
        (lambda t: t.suggest_int("seed", 0, 10**9), "at most 10,000 choices"),
        (lambda t: t.suggest_categorical("kind", []), "at least one"),
        (lambda t: t.suggest_categorical("kind", [1, "1"]), "different texts"),
        (lambda t: t.suggest_int("a", 1, t.suggest_int("b", 1, 2)), "same options each time"),
        (lambda t: [t.suggest_int("a", 1, 2) for _ in count()], "still asking after 100,000"),
        (lambda t: [t.suggest_int(f"a{i}", 1, 2) for i in count()], "still asking after 100,000"),
    ],
)
def test_what_cannot_be_asked_for_is_told_in_one_line(ask: Callable[[Any], Any], text: str) -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Linear(2, int(ask(trial)))

    with pytest.raises(DeclarationError, match=text) as told:
        assert space_of(build).options
    assert "\n" not in str(told.value)


def test_a_function_that_asks_otherwise_at_another_time_is_told() -> None:
    calls: list[int] = []

    def build(trial: Any) -> nn.Module:
        calls.append(0)
        return nn.Linear(2, trial.suggest_int(f"width_{len(calls)}", 1, 2))

    with pytest.raises(DeclarationError, match="must ask for the same"):
        assert space_of(build).options


def test_choices_that_raise_are_no_architectures_and_say_why() -> None:
    def build(trial: Any) -> nn.Module:
        groups = trial.suggest_categorical("groups", [1, 2, 5])
        return nn.Sequential(nn.Conv2d(4, 4, 1, groups=groups), nn.Flatten(), nn.Linear(256, 7))

    space = space_of(build, (4, 8, 8))
    assert [a.chosen[0][1] for a in space.members(10) or ()] == [1, 2]
    with pytest.raises(InvalidArchitectureError, match=r'"groups": 5.*raised ValueError: in_cha'):
        space.decode({"groups": 5})


def test_a_function_that_would_end_the_process_refuses_its_choices() -> None:
    def build(trial: Any) -> nn.Module:
        if trial.suggest_categorical("ends", [False, True]):
            sys.exit(3)
        return nn.Linear(2, 2)

    space = space_of(build)
    assert [a.chosen[0][1] for a in space.members(10) or ()] == [False]
    with pytest.raises(InvalidArchitectureError, match="raised SystemExit: 3"):
        space.decode({"ends": True})


@pytest.mark.parametrize("given", [None, 3, [nn.ReLU()]])
def test_what_is_no_network_is_no_architecture(given: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"must give a torch\.nn\.Module"):
        space_of(lambda _: given).sample(np.random.default_rng(0))


def test_an_error_of_the_chooser_is_not_one_of_the_function() -> None:
    def build(trial: Any) -> nn.Module:
        try:
            width = trial.suggest_int("width", 1, 2)
        except LookupError as error:
            raise ValueError("of the function") from error
        return nn.Linear(1, width)

    def choose(name: str, options: Any) -> Any:
        raise LookupError(f"{name} of {len(options.values)}")

    space = space_of(build)
    with pytest.raises(LookupError, match="width of 2"):
        space.make(choose)
    assert space.members(10)  # and it is not kept in mind


def test_random_structure_is_the_same_each_time_and_nobody_else_is_disturbed() -> None:
    def build(trial: Any) -> nn.Module:
        drawn.append(random.randint(1, 10**6) + int(np.random.randint(10**6)))  # noqa: NPY002
        return nn.Linear(1, trial.suggest_int("width", 1, 2))

    drawn: list[int] = []
    random.seed(5)
    expected = random.random()
    random.seed(5)
    space = space_of(build)
    for arch in space.members(10) or ():
        space.build(arch)
    assert len(set(drawn)) == 1
    assert random.random() == expected


def test_mutations_differ_in_one_choice_and_are_all_different() -> None:
    space, rng = space_of(chain), np.random.default_rng(0)
    for _ in range(5):
        arch = space.sample(rng)
        found = list(space.mutations(arch, rng))
        assert len(found) == len(set(found)) > 3
        for other in found:
            mine, theirs = space.encode(arch), space.encode(other)
            assert sum(mine[n] != theirs[n] for n in set(mine) & set(theirs)) == 1


def test_a_task_of_other_sizes_is_refused() -> None:
    space = space_of(chain)
    arch = space.sample(np.random.default_rng(0))
    assert space.build(arch, image_task(7, (3, 8, 8), "another name"))
    for task in (image_task(8, (3, 8, 8)), image_task(7, (1, 8, 8))):
        with pytest.raises(InvalidValueError, match=r"^`task` must be"):
            space.build(arch, task)


def test_a_space_survives_pickling_without_what_it_remembers() -> None:
    space = space_of(chain)
    assert space.options
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space
    assert hash(twin) == hash(space)
    assert twin.options == space.options


# Names, texts and fingerprints.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        del sys.modules[name]


SOURCE = """
from torch import nn
from {module}_parts import activation

def build(trial):
    width = trial.suggest_int("width", 4, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), activation(), nn.Linear(width, 7))

def network():
    return build

class Net(nn.Module):
    pass

small = lambda trial: build(trial)
MODELS = [Net, build]
NOT_ONE = 3
"""


def write(folder: Path, module: str) -> None:
    (folder / f"{module}.py").write_text(SOURCE.format(module=module))
    (folder / f"{module}_parts.py").write_text("from torch.nn import ReLU as activation\n")


def test_a_text_names_function_input_and_classes(folder: Path) -> None:
    write(folder, "texts_of_functions")
    text = sized_text("texts_of_functions:build", get_task("1x8x8:7"))
    assert text == "texts_of_functions:build:input=1x8x8,classes=7"
    space = named_space(text)
    assert isinstance(space, FunctionSpace)
    assert repr(space) == f"{text},source={space.source}" == written_space(space)
    assert read_space(repr(space)) == space
    assert space.default_task == get_task("1x8x8:7")
    assert sized_text(repr(space), None) == repr(space)
    assert named_space(sized_text("texts_of_functions:small", get_task("1x8x8:7"))).parameters


def test_tokens_and_signals_have_sizes_too(folder: Path) -> None:
    write(folder, "tokens_of_functions")
    for name in ("64:4:300", "2x100:5"):
        space = named_space(sized_text("tokens_of_functions:build", get_task(name)))
        assert space.default_task == get_task(name)
        assert read_space(repr(space)) == space


def test_a_file_alone_imports_nothing(folder: Path) -> None:
    write(folder, "unnamed_functions")
    text = "unnamed_functions:build:input=1x8x8,classes=7"
    with pytest.raises(InvalidValueError, match="add --space unnamed_functions:build"):
        read_space(text)
    assert "unnamed_functions" not in sys.modules
    permit("unnamed_functions:build")
    assert read_space(text).parameters


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Net", "a network"),
        ("NOT_ONE", "a int"),
        ("build", "`--input` and `--classes` must be given"),
    ],
)
def test_what_is_no_space_is_told(folder: Path, name: str, text: str) -> None:
    write(folder, "wrong_functions")
    with pytest.raises(InvalidValueError, match=text):
        sized_text(f"wrong_functions:{name}", None)


def test_a_function_without_sizes_is_told_with_what_to_write(folder: Path) -> None:
    write(folder, "unsized_functions")
    for given in ("", ":input=1x8x8", ":classes=3"):
        with pytest.raises(InvalidValueError, match=r"told input and classes.*:input=1x96x96"):
            named_space(f"unsized_functions:build{given}")


@pytest.mark.parametrize(
    ("given", "text"), [(nn.Linear(2, 2), "one network"), (3, "a int"), (None, "a NoneType")]
)
def test_a_function_without_a_trial_gives_a_space(given: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=rf"`m:one` .* but gave {text}: write `def build"):
        own_space(lambda: given, "m:one")()
    space = space_of(lambda _: nn.Linear(2, 2))
    assert own_space(lambda: space, "m:one")() is space


def test_code_that_has_changed_is_told(folder: Path) -> None:
    write(folder, "changed_functions")
    text = repr(named_space("changed_functions:build:input=1x8x8,classes=7"))
    parts = folder / "changed_functions_parts.py"
    parts.write_text("from torch.nn import Tanh as activation\n")
    with pytest.raises(InvalidValueError, match=r"must be the code that was searched.*has changed"):
        read_space(text)
    (folder / "not_imported.py").write_text("1")
    assert read_space(text.partition(",source")[0])


def make(width: int) -> Callable[[Any], nn.Module]:
    def build(trial: Any) -> nn.Module:
        return nn.Linear(width, trial.suggest_int("width", 1, 2))

    return build


def widths(trial: Any, width: Any = 1) -> nn.Module:
    return nn.Linear(width, trial.suggest_int("width", 1, 2))


def test_what_a_function_is_bound_to_is_part_of_its_fingerprint() -> None:
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    two = functools.partial(widths, width=2)
    assert fingerprint(two) != fingerprint(functools.partial(widths, width=3))
    assert target_of(two).endswith(":widths")
    with pytest.raises(InvalidValueError, match="told apart"):
        fingerprint(functools.partial(widths, width=object()))


def test_a_function_in_this_process_is_read_again() -> None:
    space = FunctionSpace(make(3), input=(3, 8, 8), classes=7)
    with pytest.raises(InvalidValueError):
        read_space(repr(space))
    keep(space)
    assert read_space(repr(space)) == space


# Lists of models.


class Small(nn.Module):
    """A network that takes no arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 7))

    def forward(self, x: torch.Tensor) -> Any:
        return self.layers(x)


def test_a_list_of_models_is_one_choice_and_what_they_ask_for() -> None:
    space = space_of(ModelChoice.of([Small, chain], "MODELS"))
    assert space.parameters["model"] == ("Small", "chain")
    assert str(space.decode({"model": "Small"})) == '{"model": "Small"}'
    asked = {"depth": 1, "width_0": 4, "kernel_0": 1, "dropout": 0}
    arch = space.decode({"model": "chain", **{f"chain.{n}": v for n, v in asked.items()}})
    assert len(space.build(arch)(torch.zeros(1, 3, 8, 8))) == 1
    named = space_of(ModelChoice.of({"a": Small, "b": Small}, "MODELS"))
    assert len(named.members(9) or ()) == 2


@pytest.mark.parametrize("models", [[], [Small, Small], [Small()], [3], {}])
def test_a_list_of_something_else_is_refused(models: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^`MODELS` must list"):
        ModelChoice.of(models, "MODELS")


def test_sizes_that_are_none_are_refused() -> None:
    for shape in ((1, 2, 3, 4), (), "1,2,3", (0, 8, 8)):
        with pytest.raises(InvalidValueError, match=r"^`(input|shape)`"):
            FunctionSpace(chain, input=shape, classes=7)


def test_a_trial_knows_its_task() -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(trial.input)), trial.classes))

    task: Task = get_task("2x5x5:3")
    space = FunctionSpace(build, input=task.input.shape, classes=3)
    arch = space.decode({})
    assert space.build(arch)(torch.zeros(4, 2, 5, 5)).shape == (4, 3)


def test_relative_imports_and_late_ones_are_part_of_the_fingerprint(folder: Path) -> None:
    package = folder / "package_of_functions"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("WIDTH = 3\n")
    (package / "late.py").write_text("DEPTH = 1\n")
    (package / "nets.py").write_text(
        "from torch import nn\nfrom .parts import WIDTH\n\ndef build(trial):\n"
        "    from . import late\n    return nn.Linear(WIDTH, late.DEPTH)\n"
    )
    space = named_space("package_of_functions.nets:build:input=1x1x3,classes=1")
    assert isinstance(space, FunctionSpace)
    assert space.parameters == {}
    assert fingerprint(space.function) == space.source
    for name in ("parts", "late"):
        before = fingerprint(space.function)
        (package / f"{name}.py").write_text("WIDTH = DEPTH = 2\n")
        assert fingerprint(space.function) != before
    (package / "others.py").write_text("")
    assert fingerprint(space.function) == fingerprint(space.function)
