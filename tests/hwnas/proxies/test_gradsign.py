import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from hwnas.proxies.derivatives.loss_gradients import AS_BUILT
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.gradsign import GradSign
from hwnas.tasks.batch import Batch

SHAPE = (3, 8, 8)


def test_one_layer_by_hand() -> None:
    # With weights 0 the gradient of w_c is (1/2 - y_c) x: the signs follow x and the label.
    linear = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(linear.weight)
    model = nn.Sequential(nn.Flatten(), linear)
    proxies = [GradSign(), GradSign(mean=True)]
    for labels, total in (([0, 0, 0, 0], 4), ([0, 0, 1, 0], 8), ([1, 0, 0, 0], 0)):
        batch = Batch(
            torch.tensor([1.0, 3.0, -1.0, 0.5]).reshape(-1, 1, 1, 1), torch.tensor(labels)
        )
        found = score_network(model, (1, 1, 1), proxies, batch=batch)
        assert found["gradsign"].value == total, labels
        assert found["gradsign.mean"].value == total / 2


def test_against_instance_norm_and_vectorised_gradients(resnet: nn.Module) -> None:
    # A training-mode batch norm over one image is an instance norm.
    subject = Subject(resnet, SHAPE, batch_size=7, seed=4)
    images, labels = subject.input(AS_BUILT)
    network = subject.network(AS_BUILT).double()
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.InstanceNorm2d(child.num_features, affine=True).double())
            elif isinstance(child, nn.ReLU):
                child.inplace = False
    parameters = {name: p.detach() for name, p in network.named_parameters()}

    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, values, (image[None],))
        return F.cross_entropy(logits, label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, images.double(), labels)
    kept = [g for name, g in gradients.items() if g.ndim > 2 and name.endswith("weight")]
    expected = sum(float(g.sign().sum(dim=0).abs().sum()) for g in kept)
    proxies = [GradSign(), GradSign(mean=True)]
    found = score_network(resnet, SHAPE, proxies, batch_size=7, seed=4)
    # A gradient near 0 may have another sign in float32.
    assert math.isclose(found["gradsign"].value, expected, rel_tol=0.01)
    weights = sum(g[0].numel() for g in kept)
    assert found["gradsign.mean"].value == found["gradsign"].value / weights


def test_weights_without_gradient_agree_on_nothing(resnet: nn.Module) -> None:
    proxies = [GradSign(), GradSign(mean=True)]
    before = score_network(resnet, SHAPE, proxies, batch_size=3)
    resnet.spare = nn.Conv2d(3, 3, 1)
    after = score_network(resnet, SHAPE, proxies, batch_size=3)
    assert after["gradsign"].value == before["gradsign"].value
    assert after["gradsign.mean"].value < before["gradsign.mean"].value


def test_a_batch_norm_after_pooling_has_no_score() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4))
    found = score_network(model, SHAPE, [GradSign()], batch_size=3)["gradsign"]
    assert math.isnan(found.value)
    assert "Expected more than 1 value" in str(found.error)


def test_a_network_that_gives_nan_has_no_score() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(x.mean(dim=(2, 3))) * torch.nan
            return logits

    found = score_network(Broken(), SHAPE, [GradSign()], batch_size=3)["gradsign"]
    assert math.isnan(found.value)
