import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.meco import LeastEigenvalues, MeCo, _EigenvalueCollector
from hwnas.tasks.batch import Batch

SHAPE = (3, 8, 8)


def meco(model: nn.Module, batch: Batch | None = None) -> float:
    found = score_network(model, SHAPE, [MeCo()], batch=batch, batch_size=4, seed=3)["meco"]
    assert found.error is None
    return found.value


def least(maps: Tensor) -> float:
    return float(np.linalg.eigvalsh(np.corrcoef(maps.flatten(1).numpy()))[0])


def test_two_channels_by_hand() -> None:
    # Correlation r of two channels: eigenvalues 1 - |r| and 1 + |r|.
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.conv(x[:, :1] - x[:, 1:2])
            return maps.mean(dim=(2, 3))

    assert abs(meco(Pair())) < 1e-6
    x = torch.tensor([[[1.0, -1.0, 1.0, -1.0]], [[1.0, 1.0, 0.0, 0.0]], [[1.0, 0.0, 1.0, -2.0]]])
    model = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.eye(3)[..., None, None])
    found = score_network(model, (3, 1, 4), [MeCo()], batch=Batch(x[None]))["meco"]
    rows = [np.array(r, dtype=float).ravel() for r in x.tolist()]
    rows = [(r - r.mean()) / np.linalg.norm(r - r.mean()) for r in rows]
    expected = np.linalg.eigvalsh([[float(a @ b) for a in rows] for b in rows])[0]
    assert math.isclose(found.value, float(expected), abs_tol=1e-6)


def test_against_every_map_of_a_network(resnet: nn.Module) -> None:
    subject = Subject(resnet, SHAPE, batch_size=4, seed=3)
    setting = Setting("as_built", batch_size=1)
    network, x = subject.network(setting).double(), subject.input(setting)[0].double()
    get = network.get_submodule
    maps = []
    with torch.no_grad():
        maps += [x := get("conv")(x), x := get("bn")(x)]
        for block in get("layers").children():
            part = block.get_submodule
            maps += [
                x := x.relu(),
                y := part("conv1")(x),
                y := part("bn")(y),
                y := part("conv2")(y.relu()),
                shortcut := part("shortcut")(x),
                x := (y + 1).relu() + shortcut,
            ]
    assert math.isclose(meco(resnet), sum(least(m[0]) for m in maps), rel_tol=1e-4)


def test_containers_and_identities_add_nothing() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    plain = meco(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    wrapped = nn.Sequential(
        nn.Identity(),
        nn.Sequential(nn.Sequential(conv), nn.Identity()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    assert meco(wrapped) == plain > 0


class _Absolute(nn.BatchNorm2d):
    """Does more than a batch norm."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).abs()


def _hooked() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    norm.register_forward_hook(lambda _module, _args, output: output.abs())
    return norm


def _scaled(*scales: float) -> nn.Module:
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(scales))
    return norm


def _shifted(scale: float, shift: float) -> nn.Module:
    norm = _scaled(*[scale] * 4)
    nn.init.constant_(norm.get_parameter("bias"), shift)
    return norm


def _watched(*layers: nn.Module) -> tuple[nn.Module, Tensor, _EigenvalueCollector]:
    """Run a network of these layers under the collector's eyes."""
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    subject = Subject(model, SHAPE, batch_size=1)
    setting = Setting("as_built", batch_size=1)
    network, images = subject.network(setting), subject.input(setting)[0]
    collector = LeastEigenvalues(setting).collector(subject)
    assert isinstance(collector, _EigenvalueCollector)
    with torch.no_grad(), collector.watch(network, images):
        network(images)
    return network, images, collector


def _buffered() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    weight = norm.weight.detach()
    del norm.weight
    norm.register_buffer("weight", weight)
    return norm


@pytest.mark.parametrize(
    ("norm", "reduced"),
    [
        (nn.BatchNorm2d(4), 1),
        (nn.BatchNorm2d(4, affine=False), 1),
        (_scaled(1.0, -2.0, 0.5, 3.0), 1),
        (_scaled(1.0, 0.0, 1.0, 1.0), 2),
        (_scaled(1.0, math.inf, 1.0, 1.0), 2),
        (_buffered(), 1),
        (_shifted(0.5, 2.0), 1),
        (_shifted(1e-8, 0.5), 2),
        (_shifted(1e-3, 1e6), 2),
        (_Absolute(4), 2),
        (_hooked(), 2),
    ],
)
def test_a_batch_norm_has_the_eigenvalue_of_its_input(norm: nn.Module, reduced: int) -> None:
    torch.manual_seed(0)
    network, images, collector = _watched(nn.Conv2d(3, 4, 3), norm)
    (_, first), *other = [*network.named_children()]
    maps = first(images)
    after = other[0][1](maps)[0].detach()
    found = collector.finish(images)
    assert len(collector.small.keys() - collector.known.keys()) == reduced
    assert found[0] == pytest.approx(least(maps[0].detach()), rel=1e-5)
    if reduced == 1:
        assert found[1] == pytest.approx(least(after), rel=1e-5)


@pytest.fixture(params=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let maps be kept until the end, or reduced at once."""
    if request.param == "large":
        monkeypatch.setattr("hwnas.proxies.meco._SMALL", 1)
    return str(request.param)


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("gain", "shift"), [(1.0, 0.0), (1.0, 1e5), (1e-7, 0.0), (1e-9, 1.0), (1e-30, 0.0), (1e25, 0.0)]
)
@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 0.0), (1e-3, 0.5), (1e-8, 0.5), (1e-9, 0.5), (1e-3, 1e6)]
)
def test_a_norm_of_a_nearly_constant_map_is_looked_at(
    gain: float, shift: float, scale: float, offset: float
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        conv.weight.mul_(gain)
        conv.bias = nn.Parameter(conv.get_parameter("bias") * gain + shift)
    layers = conv, _shifted(scale, offset)
    plain = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    looked = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    type_of = type("Norm", (nn.BatchNorm2d,), {})  # none that is known
    looked[1] = type_of(4)
    looked[1].load_state_dict(layers[1].state_dict())
    assert meco(plain) == pytest.approx(meco(looked), rel=3e-6)


class _Clipped(nn.Module):
    """Writes into a map through ``.data``."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        clipped = x.data.clamp(min=0)
        if self.in_place:
            x.data.copy_(clipped)
        else:
            x.data = clipped
        maps: Tensor = self.norm(x)
        return maps.mean(dim=(2, 3))


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("in_place", [True, False])
def test_an_input_changed_through_its_data_is_another_one(in_place: bool) -> None:
    network, images = _Clipped(in_place), torch.randn(1, *SHAPE)
    subject = Subject(network, SHAPE, batch_size=1)
    collector = LeastEigenvalues(Setting("as_built", batch_size=1)).collector(subject)
    with torch.no_grad(), collector.watch(network, images):
        network(images)
    with torch.no_grad():
        maps = network.conv(images)[0]
    expected = [least(maps), least(maps.clamp(min=0))]
    assert collector.finish(images) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("channels", "kernel", "looks"), [(4, 1, 0), (3, 1, 1), (4, 2, 1)])
def test_more_channels_than_numbers_read_add_nothing(
    channels: int, kernel: int, looks: int
) -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, channels, kernel), nn.BatchNorm2d(channels)
    _, images, collector = _watched(*layers)
    with torch.no_grad():
        expected = [least(layers[0](images)[0])] * 2
    assert collector.finish(images)[:2] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert len(collector.small.keys() - collector.known.keys()) == looks


def test_only_the_first_image_counts() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(3, *SHAPE)
    assert meco(model, Batch(images)) == meco(model, Batch(images[:1]))
    assert meco(model, Batch(images)) != meco(model, Batch(images[1:]))


def test_maps_without_spread_add_zero() -> None:
    dead = nn.Conv2d(3, 4, 3)
    nn.init.zeros_(dead.weight[0])
    assert meco(nn.Sequential(dead, nn.AdaptiveAvgPool2d(1), nn.Flatten())) == 0
    wide = nn.Conv2d(3, 36, 3)
    assert meco(nn.Sequential(wide, nn.AdaptiveAvgPool2d(1), nn.Flatten())) == 0


def test_a_network_without_maps_has_no_score() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    found = score_network(model, SHAPE, [MeCo()])["meco"]
    assert math.isnan(found.value)
    assert "must have a module" in str(found.error)
