from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.networks.importing import load_model, parse_in_shape, parse_sizes

SOURCE = """
import torch

def build():
    return torch.nn.Linear(2, 3)

def needs_size(size):
    return torch.nn.Linear(size, size)

def number():
    return 7

def ends():
    raise SystemExit(3)

instance = torch.nn.ReLU()
constant = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "users_models_for_test.py").write_text(SOURCE)
    (tmp_path / "users_broken_for_test.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "users_models_for_test", raising=False)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_function_of_the_current_folder_is_called() -> None:
    model = load_model("users_models_for_test:build")
    assert isinstance(model, nn.Linear)
    assert model.out_features == 3
    assert isinstance(load_model("torch.nn:ReLU"), nn.ReLU)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("build", "must be MODULE:CALLABLE"),
        (":build", "must be MODULE:CALLABLE"),
        ("users_models_for_test:", "must be MODULE:CALLABLE"),
        ("users_model:build", "no module 'users_model'"),
        ("users_broken_for_test:build", "no module 'no_such_module_at_all'"),
        ("users_models_for_test:biuld", "has no 'biuld'"),
        ("users_models_for_test:constant", "but it is a int"),
        ("users_models_for_test:instance", "but it is a ReLU"),
        ("users_models_for_test:needs_size", "callable without arguments.* by --arch"),
        ("users_models_for_test:number", "but gave a int"),
    ],
)
def test_each_mistake_is_named(spec: str, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        load_model(spec)


def test_image_shape_is_read() -> None:
    assert parse_in_shape("3,32,64") == (3, 32, 64)
    assert parse_in_shape(" 1, 8,8 ") == (1, 8, 8)


@pytest.mark.parametrize(
    "text", ["", "3", "3,32", "3,32,32,1", "3x32x32", "3,-1,4", "3,0,4", "a,b,c", "1.0,2,3"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="`input` must be"):
        parse_in_shape(text)


@pytest.mark.usefixtures("folder")
def test_what_may_be_meant_is_suggested() -> None:
    with pytest.raises(InvalidValueError, match=r"has no 'bild'. Did you mean 'build'\?"):
        load_model("users_models_for_test:bild")


def test_a_script_that_ends_the_process_is_told(folder: Path) -> None:
    (folder / "own_script.py").write_text("import sys\nsys.exit(4)\n")
    with pytest.raises(InvalidValueError, match="'own_script' raised SystemExit: 4"):
        load_model("own_script:build")
    with pytest.raises(InvalidValueError, match="but raised SystemExit: 3"):
        load_model("users_models_for_test:ends")


@pytest.mark.parametrize(
    ("text", "option"), [("3,99999999999999999999,48", "input"), ("x", "shape")]
)
def test_sizes_that_are_none_say_which_are(text: str, option: str) -> None:
    assert parse_sizes("3, 48", option) == (3, 48)
    with pytest.raises(InvalidValueError, match=f"`{option}` must be .* e.g. 3,32,32, but got"):
        parse_sizes(text, option)
