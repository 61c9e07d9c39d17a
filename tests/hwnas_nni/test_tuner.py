from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

from hwnas.errors import InvalidValueError, UnknownNameError  # noqa: E402
from hwnas_nni import HwnasTuner  # noqa: E402
from hwnas_nni.search_space import JsonSpace  # noqa: E402

SPACE = {
    "batch": {"_type": "choice", "_value": [16, 32]},
    "layers": {"_type": "randint", "_value": [1, 4]},
    "optimizer": {
        "_type": "choice",
        "_value": [
            {"_name": "adam"},
            {"_name": "sgd", "momentum": {"_type": "choice", "_value": [0.0, 0.9]}},
        ],
    },
}
OBJECTIVES: Any = {"gain": "maximize", "cost": "minimize"}


def measure(parameters: dict[str, Any]) -> dict[str, float]:
    momentum = parameters["optimizer"].get("momentum", 0.5)
    gain = parameters["layers"] * parameters["batch"] + momentum
    return {"default": gain, "gain": gain, "cost": parameters["layers"] + parameters["batch"]}


def drive(tuner: HwnasTuner, n: int, first: int = 0) -> list[dict[str, Any]]:
    """Do what NNI's dispatcher does."""
    proposed = []
    for i in range(first, first + n):
        try:
            parameters = tuner.generate_parameters(i)
        except nni.NoMoreTrialError:
            break
        proposed.append(parameters)
        tuner.receive_trial_result(i, parameters, measure(parameters))
        tuner.trial_end(i, True)
    return proposed


def started(**arguments: Any) -> HwnasTuner:
    tuner = HwnasTuner(OBJECTIVES, **arguments)
    tuner.update_search_space(SPACE)
    return tuner


def test_the_whole_space_is_proposed_once_and_then_no_more() -> None:
    proposed = drive(started(), 100)
    assert len({str(p) for p in proposed}) == len(proposed) == 2 * 3 * (1 + 2)
    assert all(
        ("momentum" in p["optimizer"]) == (p["optimizer"]["_name"] == "sgd") for p in proposed
    )


def test_proposals_depend_on_the_seed_only() -> None:
    assert drive(started(seed=1), 10) == drive(started(seed=1), 10) != drive(started(seed=2), 10)


def test_failed_trials_are_not_repeated() -> None:
    tuner = started()
    parameters = [tuner.generate_parameters(i) for i in range(3)]
    for i in range(3):
        tuner.trial_end(i, False)
    assert not [p for p in drive(tuner, 100, 3) if p in parameters]


def test_trials_that_run_each_others_parameters_have_not_failed() -> None:
    """NNI tells the parameters that a trial was made for when it ends, whatever it ran."""
    tuner = started()
    first, second, third = (tuner.generate_parameters(i) for i in range(3))
    tuner.receive_trial_result(1, second, measure(second))
    tuner.trial_end(0, True)  # It ran those of 1.
    tuner.trial_end(2, False)  # It ran those of 2, or of 0 as far as anybody knows.
    tuner.receive_trial_result(0, first, measure(first))
    assert [record.metrics for record in tuner._records] == [measure(second), measure(first)]
    tuner.trial_end(1, True)
    assert [record.metrics for record in tuner._records][2:] == [None]
    assert not [p for p in drive(tuner, 100, 3) if p in (first, second, third)]


def test_a_resumed_experiment_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drive(started(), 18)
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))
    half = drive(started(), 9)
    again = HwnasTuner(OBJECTIVES)
    again.load_checkpoint()
    again.update_search_space(SPACE)
    # NNI hands over what it knows, in part what the checkpoint has.
    again.import_data([{"parameter": p, "value": measure(p)} for p in half])
    assert half + drive(again, 18, 9) == whole


def test_imported_trials_are_not_proposed() -> None:
    known = drive(started(seed=5), 6)
    tuner = started()
    foreign = {**known[0], "batch": 1024}
    tuner.import_data(
        [{"parameter": p, "value": measure(p)} for p in known]
        + [{"parameter": foreign, "value": {}}]
    )
    proposed = drive(tuner, 100)
    assert len(proposed) == 12
    assert not [p for p in proposed if p in known]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("uniform", [0, 1], [0.125, 0.375, 0.625, 0.875]),
        ("quniform", [0, 6, 2], [0, 2, 4, 6]),
        # To YAML 1e-4 is a text; NNI takes it for a number.
        ("loguniform", ["1e-4", 1], [10**-3.5, 10**-2.5, 10**-1.5, 10**-0.5]),
        ("qloguniform", [1, 16, 5], [1, 5, 10, 15]),
        ("randint", [3, 6], [3, 4, 5]),
        ("randint", [0, 301], [0, 100, 200, 300]),
        # Quantiles 1/8 and 3/8 of the normal distribution.
        ("normal", [0, 1], [-1.15034938, -0.31863936, 0.31863936, 1.15034938]),
        ("qnormal", [0, 10, 4], [-12, -4, 4, 12]),
        (
            "lognormal",
            [0, 1],
            [math.exp(x) for x in (-1.15034938, -0.31863936, 0.31863936, 1.15034938)],
        ),
    ],
)
def test_every_type_has_levels(kind: str, value: list[Any], expected: list[float]) -> None:
    space = JsonSpace({"x": {"_type": kind, "_value": value}}, levels=4)
    members = space.space.members(4) or []
    found = sorted(space.to_parameters(arch)["x"] for arch in members)
    assert found == pytest.approx(expected)
    for arch in members:
        assert space.from_parameters(space.to_parameters(arch)) == arch


@pytest.mark.parametrize("levels", ["16", 0, 2.5])
def test_levels_are_a_whole_number(levels: Any) -> None:
    with pytest.raises(InvalidValueError, match=f"`levels` must be a whole number.*{levels!r}"):
        JsonSpace({"x": {"_type": "uniform", "_value": [0, 1]}}, levels=levels)


def test_levels_may_be_numpy_s() -> None:
    made = JsonSpace({"x": {"_type": "uniform", "_value": [0, 1]}}, levels=np.int64(4))
    assert len(made.space.parameters["x"]) == 4


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1, "1"], r"`x` must have .* no value twice, also as text, but got \[1, '1'\]"),
        ([2, 1, True], "`_value` of x must be choices that differ by more .*, but has 1 and True"),
        ([None, "None"], "but has None and 'None'"),
    ],
)
def test_choices_that_look_alike_are_told(values: list[Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        JsonSpace({"x": {"_type": "choice", "_value": values}})


def test_numbers_are_ordered_and_conditions_hold() -> None:
    """A deep network has widths and, of one kind, a rate; a flat one has neither."""
    kinds = [
        {"_name": "plain"},
        {"_name": "dropped", "rate": {"_type": "quniform", "_value": [0, 0.4, 0.1]}},
    ]
    deep = {
        "_name": "deep",
        "width": {"_type": "randint", "_value": [1, 9]},
        "kind": {"_type": "choice", "_value": kinds},
    }
    made = JsonSpace({"net": {"_type": "choice", "_value": [{"_name": "flat"}, deep]}})
    options = made.space.options
    assert {name: o.ordered for name, o in options.items()} == {
        "net": False, "net/1/width": True, "net/1/kind": False, "net/1/kind/1/rate": True
    }  # fmt: skip
    assert list(options["net/1/width"].values) == list(range(1, 9))
    members = made.space.members(100) or []
    assert len(members) == 1 + 8 * (1 + 5)
    for arch in members:
        assert made.from_parameters(made.to_parameters(arch)) == arch
        assert all(arch in made.space.neighbours(other) for other in made.space.neighbours(arch))
    flat = made.to_parameters(members[0])
    assert flat == {"net": {"_name": "flat"}}


def test_a_conditional_space_is_searched_to_the_end() -> None:
    dropped = {"_name": "dropped", "rate": {"_type": "quniform", "_value": [0, 0.4, 0.1]}}
    space = {
        "width": {"_type": "randint", "_value": [1, 9]},
        "kind": {"_type": "choice", "_value": [{"_name": "plain"}, dropped]},
    }
    tuner = HwnasTuner(OBJECTIVES, strategy="predictor-guided")
    tuner.update_search_space(space)
    seen: list[Any] = []
    for number in range(8 * (1 + 5)):
        parameters = tuner.generate_parameters(number)
        assert ("rate" in parameters["kind"]) is (parameters["kind"]["_name"] == "dropped")
        width, rate = parameters["width"], parameters["kind"].get("rate", 0.0)
        value = {"default": width, "gain": width - rate, "cost": width**2 + rate}
        tuner.receive_trial_result(number, parameters, value)
        seen.append(str(parameters))
    assert len(set(seen)) == len(seen)
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(len(seen))


def test_bad_settings_are_refused() -> None:
    arguments: Any
    for arguments in ({}, {"objectives": OBJECTIVES, "optimize_mode": "maximize"}):
        with pytest.raises(InvalidValueError, match="not both"):
            HwnasTuner(**arguments)
    with pytest.raises(InvalidValueError, match="minimize or maximize"):
        HwnasTuner({"gain": "max"})
    names: Any = ["gain"]
    with pytest.raises(InvalidValueError, match=r"minimize or maximize, but got \['gain'\]"):
        HwnasTuner(names)
    with pytest.raises(UnknownNameError, match="Did you mean"):
        HwnasTuner(OBJECTIVES, strategy="pareto-evolutoin")
    assert HwnasTuner(optimize_mode="maximize").objectives == {"default": "maximize"}


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (3, "`x` of `searchSpace` must have a `_type`"),
        ({"_type": "uniform"}, "`x` of `searchSpace` must have a `_type`"),
        ({"_value": [1, 2]}, "`x` of `searchSpace` must have a `_type`"),
        ({"_type": "uniform", "_value": [1]}, "the `_value` that belongs to it"),
        ({"_type": "choice", "_value": 7}, "the `_value` that belongs to it"),
        ({"_type": "loguniform", "_value": ["small", 1]}, "the `_value` that belongs to it"),
        ({"_type": "loguniform", "_value": [0, 1]}, "must"),
        ({"_type": "beta", "_value": [1, 2]}, "`_type of x` must be one of choice, lognormal"),
        ({"_type": "choise", "_value": [1]}, "but got 'choise'. Did you mean 'choice'?"),
        (
            {"_type": "choice", "_value": [{"_name": "a", "b": {"_type": "unifrom"}}]},
            "`_type of x/a/b` must be one of",
        ),
        ({"_type": "choice", "_value": []}, "the `_value` that belongs to it"),
        ({"_type": "randint", "_value": [3, 3]}, "`x` must have a value"),
        ({"_type": "uniform", "_value": [2, 1]}, "the lower first"),
        ({"_type": "quniform", "_value": [1, 2, 0]}, "`q` of x must be positive"),
        ({"_type": "normal", "_value": [0, -1]}, "`sigma` of x must be positive"),
    ],
)
def test_a_bad_parameter_is_named_in_one_line(parameter: Any, text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        JsonSpace({"good": {"_type": "choice", "_value": [1, 2]}, "x": parameter})
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("space", [{}, [], None])
def test_a_space_without_parameters_is_refused(space: Any) -> None:
    with pytest.raises(InvalidValueError, match="parameters by name"):
        JsonSpace(space)


def test_the_tuner_is_imported_without_torch() -> None:
    """NNI's manager gives its process ten seconds to answer, which a slow machine needs for NNI."""
    script = "import sys, hwnas_nni.tuner; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
