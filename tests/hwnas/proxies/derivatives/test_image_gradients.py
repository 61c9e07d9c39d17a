from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.image_gradients import gradients_by_image, image_gradients


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="sum")


def head(channels: int) -> list[nn.Module]:
    return [nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(F.relu(self.conv(x))).mean(dim=(2, 3)))
        return logits


NETWORKS: dict[str, list[nn.Module]] = {
    "strides, dilation": [nn.Conv2d(3, 4, 3, 2, 2, 2), nn.Conv2d(4, 6, (1, 2), (1, 2))],
    "groups": [nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6)],
    "same padding": [nn.Conv2d(3, 6, 4, padding="same"), nn.BatchNorm2d(6)],
    "batch norms of few channels": [nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 6, 3)],
    "functions without a shortcut": [nn.ConvTranspose2d(3, 4, 2), nn.Conv2d(4, 6, 3)],
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", [*NETWORKS, "shared weights", "mixed images"])
def test_they_are_those_of_single_images(
    name: str, layout: torch.memory_format, train: bool
) -> None:
    torch.manual_seed(0)
    if name == "shared weights":
        network: nn.Module = Shared()
    elif name == "mixed images":
        network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Dropout(0.5), *head(6))
    else:
        network = nn.Sequential(*NETWORKS[name], *head(6))
    network.double().requires_grad_(False).train(train)
    images = torch.randn(5, 3, 9, 9, dtype=torch.float64).contiguous(memory_format=layout)
    labels = torch.tensor([0, 1, 2, 0, 1])
    weights = [p for n, p in network.named_parameters() if n.endswith("weight")]
    if train:  # there is no shortcut to the weights of batch norms
        weights = [w for w in weights if w.ndim > 1]
    found: dict[int, Tensor] = {}
    left = image_gradients(network, images, labels, weights, loss, found.__setitem__)
    if name == "mixed images" and train:
        assert left == [0, 1]
        return
    assert left == ([0] if name in ("shared weights", "functions without a shortcut") else [])
    expected = list(gradients_by_image(network, images, labels, weights, loss))
    for number, gradients in found.items():
        reference = torch.stack([of_image[number] for of_image in expected])
        # Their order is free, but equal for all images.
        ours, theirs = gradients.flatten(1), reference.flatten(1)
        torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T)
        torch.testing.assert_close(ours.sum(dim=0).sort()[0], theirs.sum(dim=0).sort()[0])
    assert found.keys() == set(range(len(weights))) - set(left)


def test_a_batch_norm_over_one_position_leaves_all_weights() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    weights = [network.get_parameter("1.weight")]
    assert image_gradients(
        network, torch.randn(2, 3, 1, 1), torch.tensor([0, 1]), weights, loss, lambda *_: None
    ) == [0]


def test_losses_must_be_finite() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 4)).requires_grad_(False)
    weights, images = [network.get_parameter("1.weight")], torch.randn(2, 3, 1, 1)
    arguments = network, images, torch.tensor([0, 1]), weights, lambda *_: images.sum() * torch.nan
    with pytest.raises(ProxyError, match="not finite"):
        image_gradients(*arguments, lambda *_: None)
    with pytest.raises(ProxyError, match="not finite"):
        next(gradients_by_image(*arguments))
