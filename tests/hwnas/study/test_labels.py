from __future__ import annotations

import bz2
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.files.pinned import pinned_file
from hwnas.measure.limits import Limits
from hwnas.pareto.expected import EXPECTED, LOW, expectations_from
from hwnas.spaces.facets import Facets, Truth
from hwnas.spaces.mobilenetv2 import MobileNetV2
from hwnas.spaces.nasbench101 import NasBench101
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.natsbench_size import NatsBenchSize
from hwnas.study import labels
from hwnas.study.configuration import EvaluationSetup, named_task, reference_sample
from hwnas.study.hosts import Folder
from hwnas.study.labels import Elsewhere, pinned_transfer, published_classes, read_labels
from hwnas.study.search import Search
from hwnas.study.settings import SearchSettings
from hwnas.tables.accuracy_file import AccuracyFile
from hwnas.tasks.catalogue import get_task
from tests.hwnas.data import test_nasbench101, test_natsbench_size

SPACE = NasBench201()
CELLS = reference_sample(SPACE, 12, 0)


def written(folder: Path, name: str = "labels.csv") -> Path:
    path = folder / name
    rows = [f"{cell},{60 + i}" for i, cell in enumerate(CELLS)]
    path.write_text("arch,accuracy\n" + "\n".join([*rows, ""]), encoding="utf-8")
    return path


def change(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace("61", "99"), encoding="utf-8")


def test_labels_are_found_again_as_long_as_they_are_the_same(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = pinned_file(str(path), "labels")
    assert read_labels(text, SPACE) == {str(c): 60.0 + i for i, c in enumerate(CELLS)}
    change(path)
    with pytest.raises(InvalidValueError, match="has changed: search in another folder"):
        read_labels(text, SPACE)


def test_labels_may_be_another_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{cell},90,{40 + i}" for i, cell in enumerate(CELLS)]
    path = tmp_path / "maps.csv"
    path.write_text("\n".join(["architecture,accuracy,miou", *rows, ""]))
    monkeypatch.chdir(tmp_path)
    text = SearchSettings(labels="maps.csv:miou").pinned(SPACE).labels
    monkeypatch.chdir("/")
    assert read_labels(text, SPACE) == {str(c): 40.0 + i for i, c in enumerate(CELLS)}
    assert AccuracyFile.read(Path(f"{path}:miou"), SPACE, losses=True).quantity("") == "miou"
    path.write_text(path.read_text().replace("41", "99"))
    with pytest.raises(InvalidValueError, match="has changed: search in another folder"):
        read_labels(text, SPACE)


def test_what_is_transferred_is_found_again_as_long_as_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "it's, here: a folder").mkdir()
    path = written(folder)
    monkeypatch.chdir(folder)
    settings = SearchSettings(transfer=("nasbench201:truth=labels.csv,labels=5", "nasbench201"))
    pinned = settings.pinned(SPACE)
    assert pinned.transfer[1] == "nasbench201"
    assert pinned.pinned(SPACE) == pinned
    monkeypatch.chdir(tmp_path)
    found = Elsewhere.read(pinned.transfer[0])
    assert found.accuracies == {str(c): 60.0 + i for i, c in enumerate(CELLS)}
    assert found.labels == 5
    change(path)
    with pytest.raises(InvalidValueError, match="`truth` must be what the study began with"):
        Elsewhere.read(pinned.transfer[0])
    monkeypatch.chdir(folder)
    assert settings.pinned(SPACE).transfer[0] != pinned.transfer[0]
    with pytest.raises(InvalidValueError, match="`truth` must be what the study began with"):
        pinned.pinned(SPACE)


def test_the_place_of_a_file_does_not_say_which_networks_are_learned_from(tmp_path: Path) -> None:
    setup = EvaluationSetup(SPACE, get_task("cifar10"))
    chosen = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = f"nasbench201:truth={written(tmp_path / name)},labels=5"
        for form in (text, pinned_transfer(text)):
            sample = Elsewhere.read(form).labelled(setup, ["params"]).sample
            chosen.append([str(arch) for arch in sample.archs])
    assert chosen == [chosen[0]] * 4


def test_networks_elsewhere_have_their_shipped_scores(tmp_path: Path) -> None:
    found = Elsewhere.read(f"nasbench201:truth={written(tmp_path)},labels=5")
    setup = EvaluationSetup(SPACE, get_task("cifar10"))
    known = found.labelled(setup, ["meco", "params", "mine"])
    assert set(known.sample.columns) == {"meco", "params"}
    assert len(known.accuracies) == 5
    assert known.sample.agreement is not None
    assert known.sample.agreement["params"] == pytest.approx(1)
    again = found.labelled(setup, ["params"])
    assert [str(a) for a in again.sample.archs] == [str(a) for a in known.sample.archs]


def test_networks_of_other_settings_are_scored_now(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = Elsewhere.read(f"nasbench201:channels=4,cells=1,truth={path}")
    setup = EvaluationSetup(SPACE, get_task("cifar10"), batch_size=2)
    known = found.labelled(setup, ["params", "not a proxy"])
    shipped = Elsewhere.read(f"nasbench201:truth={path}").labelled(setup, ["params"])
    assert set(known.sample.columns) == {"params"}
    assert known.sample.columns["params"].max() < shipped.sample.columns["params"].max()


@pytest.mark.parametrize("settings", ["", ":channels=4,cells=1"])
def test_networks_elsewhere_do_not_see_the_users_own_images(tmp_path: Path, settings: str) -> None:
    pixels = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", images=pixels, labels=np.arange(6) % 3)
    mine = str(tmp_path / "mine.npz")
    separator = "," if settings else ":"
    found = Elsewhere.read(f"nasbench201{settings}{separator}truth={written(tmp_path)},labels=3")
    gaussian = EvaluationSetup(SPACE, get_task("cifar10"), batch_size=2)
    own = EvaluationSetup(SPACE, named_task("cifar10", mine), batch_size=2, images=mine)
    seen, usual = (found.labelled(setup, ["naswot"]).sample for setup in (own, gaussian))
    assert np.isfinite(seen.columns["naswot"]).all()
    assert seen.columns["naswot"].tolist() == usual.columns["naswot"].tolist()
    assert seen.agreement == usual.agreement


def test_networks_elsewhere_are_scored_within_the_limit_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Limits | None] = []

    def scores(source: Any, archs: Any, *, limits: Any, **_: Any) -> Any:
        del source, archs
        seen.append(limits)
        return {}

    monkeypatch.setattr(labels, "scores_of", scores)
    monkeypatch.setattr(labels, "seed_agreement", lambda *_, limits, **__: seen.append(limits))
    found = Elsewhere.read(f"nasbench201:channels=4,cells=1,truth={written(tmp_path)}")
    setup = EvaluationSetup(SPACE, get_task("cifar10"), batch_size=2, limit_seconds=77)
    found.labelled(setup, ["params"])
    assert [None if limit is None else limit.seconds for limit in seen] == [77, 77]


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("nasbench202", UnknownNameError, "nasbench201"),
        ("nasbench201:labels=1", InvalidValueError, "must be a number from 2 on"),
        ("mobilenetv2", InvalidValueError, "facet Truth"),
    ],
)
def test_what_is_not_there_is_told(text: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Elsewhere.read(text)


def test_no_published_accuracies_are_no_error(tmp_path: Path) -> None:
    assert published_classes(SPACE, "1x96x96:7", tmp_path) is None
    assert published_classes(MobileNetV2(), "cifar10", tmp_path) is None


class Known(NasBench201):
    """Cells with twelve accuracies of their own."""

    facets: ClassVar[Facets] = {
        Truth: lambda _: AccuracyFile({str(c): 60.0 + i for i, c in enumerate(CELLS)}, ("mine",))
    }


def test_of_many_accuracies_only_the_members_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Known()
    whole = published_classes(space, "cifar10", members=[str(CELLS[3])])
    assert whole is not None
    assert whole[0].counts.sum() == 12
    monkeypatch.setattr(labels, "MOST_PUBLISHED", 11)
    some = published_classes(space, "cifar10", members=[str(CELLS[3]), "not a cell"])
    assert some is not None
    assert (some[0].means.tolist(), some[1]) == ([63.0], "mine")
    assert list(some[0].rows) == [space.canonical_key(CELLS[3])]
    assert published_classes(space, "cifar10") is None


def test_what_takes_long_to_read_is_left_alone(tmp_path: Path) -> None:
    test_nasbench101.written(tmp_path, b"no record of the benchmark")
    assert published_classes(NasBench101(), "cifar10", tmp_path, ["x"]) is None


@dataclass
class Stages:
    """Remembers what a search did."""

    seen: list[str] = field(default_factory=list)

    def stage(self, what: str) -> None:
        self.seen.append(what)

    def trials(self, finished: int, total: int, facts: Sequence[str]) -> None:
        del finished, total, facts


def test_a_damaged_file_of_a_member_does_not_end_the_search(tmp_path: Path) -> None:
    space, stages = NatsBenchSize(), Stages()
    numbers = {str(arch): number for number, arch in enumerate(space)}
    settings = SearchSettings(
        "natsbench-size", "cifar100", ("params",), ("count:macs",), trials=4, batch=2
    )

    def run() -> Search:
        return Search(settings, Folder(tmp_path / "out"), tmp_path, space=space, watch=stages)

    members = run().run().members
    first = test_natsbench_size.written(tmp_path, 0, "8:8:8:8:8", 40)
    first.write_bytes(b"damaged")  # no member, which nobody asks for
    paths = [
        test_natsbench_size.written(tmp_path, numbers[m.arch], m.arch, 41 + i)
        for i, m in enumerate(members)
    ]
    assert first not in paths
    front = run().run()
    assert [m.attributes[EXPECTED] for m in front.members] == [62 + i for i in range(len(members))]
    assert not any(LOW in m.attributes for m in front.members)
    assert "brackets" not in expectations_from(front)[0]
    assert "looking published accuracies up" in stages.seen
    paths[0].write_bytes(bz2.compress(b"damaged"))
    with pytest.warns(UserWarning, match="Published accuracies are not stated: "):
        front = run().run()
    assert len(front) == len(members)
    assert not any(EXPECTED in m.attributes for m in front.members)
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_equal_cells_are_trainings_of_one_network() -> None:
    found = published_classes(SPACE, "cifar10")
    assert found is not None
    known, split = found
    assert split == "validation"
    assert known.counts.sum() == 15625
    # Dong and Yang: the accuracy of one training varies by a few tenths among the best.
    assert 0.1 < known.noise[-1] < 0.5
    assert np.all(np.diff(known.means) >= 0)
