from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas.cli import main

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
# The same network: the operation on edge 0>2 moves to node 1, relabelled.
EQUAL = "|none~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
MODEL = """
from torch import nn

def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )

def broken():
    raise RuntimeError("no such weights")

not_a_network = 7
"""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["score", *arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


def test_equal_networks_have_equal_scores(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--proxy", "naswot", "--proxy", "params", "--batch", "4", "--json"]
    assert run(*arguments, "--arch", CELL, "--arch", EQUAL) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["architecture"] == CELL
    assert second["architecture"] == EQUAL
    for name in ("key", "naswot", "params"):
        assert first[name] == second[name]


def test_a_user_network_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    model = ["--model", "my_model:net"]
    assert run(*model, "--input", "3,8,8", "--proxy", "params", "--batch", "4", "--json") == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["params"] == (3 * 9 + 1) * 8 + (8 + 1) * 5
    assert run(*model) == 2
    assert "--input" in capsys.readouterr().err
    assert run("--model", "my_model:not_a_network", "--input", "3,8,8") == 2
    assert "not_a_network" in capsys.readouterr().err
    assert run(*model, "--input", "3,8,8", "--arch", CELL) == 2
    capsys.readouterr()
    assert run("--model", "my_model:broken", "--input", "3,8,8") == 2
    message = capsys.readouterr().err
    assert "RuntimeError: no such weights" in message
    assert message.count("\n") == 1


def test_a_module_that_cannot_be_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_broken_model.py").write_text("def net(:\n")
    monkeypatch.chdir(tmp_path)
    assert run("--model", "my_broken_model:net", "--input", "3,8,8") == 2
    message = capsys.readouterr().err
    assert "SyntaxError" in message
    assert message.count("\n") == 1


def test_names_are_not_turned_into_emoji(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "smiley.py").write_text(MODEL.replace("def net", "def ok"))
    monkeypatch.chdir(tmp_path)
    arguments = ["--proxy", "progressivity", "--batch", "4"]
    assert run("--model", "smiley:ok", "--input", "3,8,8", *arguments) == 0
    printed = capsys.readouterr()
    assert "progressivity has no value for smiley:ok: " in printed.err
    assert "smiley:ok" in printed.out


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_written(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"scores{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    arguments = ["--proxy", "params", "--proxy", "layers", "--sample", "3", "--out", str(out)]
    assert run(*arguments) == 0
    table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    times = ["params_seconds", "layers_seconds", "seconds"]
    assert list(table.columns) == ["architecture", "key", "params", "layers", *times, "rows_left"]
    assert table["rows_left"].tolist() == [2, 1, 0]
    assert len(table) == 3
    np.testing.assert_allclose(table["params_seconds"] + table["layers_seconds"], table["seconds"])


def test_the_whole_space_is_every_network_once(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    # These scores are shipped for this batch and seed, so that nothing is computed.
    assert run("--whole-space", "--proxy", "layers", "--batch", "16", "--out", str(out)) == 0
    table = pd.read_csv(out)
    assert len(table) == table["key"].nunique() == 5_425


def test_real_images_give_other_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas.data.cifar10_sample import FILE

    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    (tmp_path / FILE).parent.mkdir()
    np.savez(tmp_path / FILE, images=pixels, labels=np.arange(20) % 10)
    (tmp_path / "my_net.py").write_text(MODEL.replace("(8, 5)", "(8, 10)"))
    monkeypatch.chdir(tmp_path)

    def scores(*arguments: str) -> tuple[float, float]:
        assert run(*arguments, "--proxy", "naswot", "--proxy", "params", "--batch", "8") == 0
        row = json.loads(capsys.readouterr().out)
        return row["naswot"], row["params"]

    for subject in (["--arch", CELL], ["--model", "my_net:net", "--input", "3,8,8"]):
        gaussian = scores(*subject, "--json")
        real = scores(*subject, "--json", "--images", "cifar10-sample", "--data", str(tmp_path))
        assert gaussian[0] != real[0]
        assert gaussian[1] == real[1]


def test_a_file_of_architectures_and_its_bad_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "archs.txt"
    file.write_text(f"# two cells\n{CELL}\n\n{EQUAL}\n")
    assert run("--archs", str(file), "--proxy", "layers", "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    file.write_text(f"{CELL}\n{CELL.replace('nor_conv_3x3', 'conv_3x3')}\n")
    assert run("--archs", str(file), "--proxy", "layers") == 2
    message = capsys.readouterr().err
    assert "line 2" in message
    assert "nor_conv_3x3" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--sample 10"),
        (["--arch", "nonsense"], "3 nodes"),
        (["--archs", "/does/not/exist"], "--archs"),
        (["--sample", "2", "--out", "scores.xlsx"], ".parquet"),
        (["--sample", "2", "--proxy", "naswott"], "Did you mean 'naswot'?"),
        (["--sample", "2", "--dataset", "mnist"], "cifar10"),
        (["--sample", "2", "--images", "cifar10"], "Did you mean 'cifar10-sample'?"),
        (["--sample", "2", "--images", "cifar10-sample"], "must be in the data folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


GREY_MODEL = """
from torch import nn

def net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7)
    )
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with grey 12x8 images of seven classes, sorted by class."""
    pixels = np.random.default_rng(0).integers(0, 256, (21, 1, 12, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=np.repeat(np.arange(7), 3))
    np.savez(tmp_path / "bare.npz", images=pixels)
    (tmp_path / "grey_model.py").write_text(GREY_MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_network_of_ones_own_sees_images_of_ones_own(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from hwnas.networks.importing import load_model
    from hwnas.proxies import make_proxies
    from hwnas.proxies.engine.scoring import score_network
    from hwnas.tasks.batch import Batch

    model = ["--model", "grey_model:net", "--batch", "9", "--proxy", "zico", "--proxy", "naswot"]
    torch.manual_seed(0)
    assert run(*model, "--images", "mine.npz", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    pixels = np.load(own / "mine.npz")["images"].astype(np.float64)
    # The first of each class, then the second ones.
    chosen = [0, 3, 6, 9, 12, 15, 18, 1, 4]
    inputs = (pixels[chosen] - pixels[chosen].mean()) / pixels[chosen].std()
    labels = torch.tensor([i // 3 for i in chosen])
    torch.manual_seed(0)
    expected = score_network(
        load_model("grey_model:net"),
        (1, 12, 8),
        make_proxies(["zico", "naswot"]),
        batch=Batch(torch.tensor(inputs, dtype=torch.float32), labels),
    )
    assert row["naswot"] == pytest.approx(expected["naswot"].value, rel=1e-6)
    # Its images need no labels, and their shape is theirs.
    assert run(*model, "--images", "bare.npz", "--input", "1,12,8") == 0
    assert run(*model, "--images", "bare.npz", "--input", "1,8,12") == 2
    assert "`batch.inputs` must have shape (B, 1, 8, 12)" in capsys.readouterr().err


def test_networks_of_a_space_are_built_for_images_of_ones_own(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--arch", CELL, "--batch", "7", "--proxy", "params", "--proxy", "naswot", "--json"]
    assert run(*wanted, "--images", "mine.npz") == 0
    row = json.loads(capsys.readouterr().out)
    from hwnas.spaces.nasbench201 import NasBench201
    from hwnas.tasks.task import image_task

    space = NasBench201()
    network = space.build(space.representative(space.parse(CELL)), image_task(7, (1, 12, 8)))
    assert row["params"] == sum(p.numel() for p in network.parameters())
    # Another file with the same images is the same; other images are not.
    np.savez(own / "copy.npz", **np.load(own / "mine.npz"))
    assert run(*wanted, "--images", "copy.npz") == 0
    assert json.loads(capsys.readouterr().out)["naswot"] == row["naswot"]
    np.savez(own / "mine.npz", images=np.load("mine.npz")["images"][::-1], labels=[0] * 20 + [6])
    assert run(*wanted, "--images", "mine.npz") == 0
    assert json.loads(capsys.readouterr().out)["naswot"] != row["naswot"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--images", "bare.npz"], "`bare.npz` must hold `labels`"),
        (["--images", "mine.npz", "--dataset", "cifar100"], "`--dataset` must not be given"),
        (["--images", "mine.npz", "--batch", "22"], "at least the 22 that are used at once"),
        (["--images", "none.npz"], "there is no none.npz"),
        (["--images", "grey_model.py"], "Your own are a FILE.npz, a folder of pictures"),
        (["--images", "gausian"], "Did you mean 'gaussian'"),
    ],
)
def test_bad_images_are_one_line(
    own: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert own.is_dir()
    assert run("--arch", CELL, "--proxy", "naswot", *arguments) == 2
    error = capsys.readouterr().err
    assert named in error
    assert "Traceback" not in error


def test_the_wanted_output_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two_heads.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.near, self.far = torch.nn.Linear(12, 3), torch.nn.Linear(12, 7)\n"
        "    def forward(self, x):\n"
        "        return {'near': self.near(x.flatten(1)), 'far': self.far(x.flatten(1))}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = ["--model", "two_heads:Net", "--input", "3,2,2", "--proxy", "synflow", "--json"]
    # Synflow sums over the weights that the output depends on, and each head has its own.
    found = []
    for head in ("near", "far"):
        assert run(*model, "--output", head) == 0
        found.append(json.loads(capsys.readouterr().out)["synflow"])
    assert found[0] != found[1]
    assert run(*model, "--output", "middle") == 2
    assert "middle" in capsys.readouterr().err


def test_a_vocabulary_makes_tokens_of_a_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.py").write_text(
        "from torch import nn\n\n"
        "def net():\n"
        "    return nn.Sequential(nn.Embedding(50, 4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = ["--model", "texts:net", "--input", "6", "--proxy", "naswot", "--batch", "4"]
    assert run(*model) == 2
    assert "give their vocabulary, as --classes 3,30000" in capsys.readouterr().err
    assert run(*model, "--classes", "3,50", "--json") == 0
    assert json.loads(capsys.readouterr().out)["naswot"]


def test_weights_of_a_model_are_drawn_of_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drawn_model_for_test.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["--model", "drawn_model_for_test:net", "--input", "3,8,8", "--proxy", "l2_norm"]
    found = []
    for seed in ("0", "0", "1"):
        assert run(*asked, "--batch", "4", "--json", "--seed", seed) == 0
        found.append(json.loads(capsys.readouterr().out)["l2_norm"])
    assert found[0] == found[1] != found[2]
