import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives import element_jacobian
from hwnas.proxies.derivatives.element_jacobian import ElementJacobian
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.tasks.batch import Batch

AS_BUILT = Setting("as_built", "eval")
SHAPE = (4, 7, 6)


class Convolutions(nn.Module):
    """Every option of a convolution, and batch norms with statistics of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2)
        self.bn = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=False)
        self.conv3 = nn.Conv2d(6, 3, (2, 3), padding="same")
        self.conv4 = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
        self.fc = nn.Linear(3, 5)
        nn.init.normal_(self.bn.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(self.bn.running_var, 0.5, 2.0)  # type: ignore[arg-type]
        nn.init.normal_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv1(x)), inplace=True)
        x = F.relu(self.conv3(F.relu(self.conv2(x)) + x))
        logits: Tensor = self.fc(self.conv4(x).mean(dim=(2, 3)))
        return logits


class Shared(nn.Module):
    """One layer twice, and one whose weight is used outside of it as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.relu(self.conv(x))).mean(dim=(2, 3))
        return F.linear(F.relu(self.fc(x)), self.fc.weight) + x @ self.fc.weight


class Attention(nn.Module):
    """Parameters of kinds that have no shortcut, sequence before batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.position = nn.Parameter(torch.randn(42, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.flatten(2).permute(2, 0, 1)) + self.position
        attended, _ = self.attention(tokens, tokens, tokens)
        logits: Tensor = self.fc(self.norm(attended + tokens).mean(dim=0))
        return logits


class Aside(nn.Module):
    """A convolution of a constant: its gradient is on no path from the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc((self.conv(torch.ones_like(x)) + x).mean(dim=(2, 3)))
        return logits


def reference(subject: Subject, size: int, elements: int, contrasts: bool) -> Tensor:
    """(B, K - 1, P) by reverse-mode differentiation of whole tensors, in float64."""
    network = subject.network(AS_BUILT).double()
    images, _ = subject.input(AS_BUILT)
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    rows = []
    for image in images.double():

        def logits(values: dict[str, Tensor], image: Tensor = image) -> Tensor:
            output: Tensor = functional_call(network, values, (image[None],))[0]
            return output[:-1] - output[-1] if contrasts else output[:-1]

        by_tensor = jacrev(logits)(parameters)
        columns = []
        for name, parameter in parameters.items():
            step = (parameter.numel() - 1) / max(elements - 1, 1)
            places = sorted({int(e * step + 1e-4) for e in range(elements)})
            columns += [by_tensor[name].flatten(1)[:, place] for place in places]
        rows.append(torch.stack(columns[:size], dim=1))
    return torch.stack(rows)


@pytest.mark.parametrize("make", [Convolutions, Shared, Attention, Aside])
@pytest.mark.parametrize("contrasts", [True, False])
@pytest.mark.parametrize(("size", "elements"), [(128, 1), (128, 3), (5, 2)])
def test_against_whole_gradients_in_float64(
    make: Callable[[], nn.Module], contrasts: bool, size: int, elements: int
) -> None:
    torch.manual_seed(1)
    subject = Subject(make(), SHAPE, batch_size=3, seed=1)
    answer = ElementJacobian(AS_BUILT, size, elements, contrasts).measure(subject)
    expected = reference(subject, size, elements, contrasts)
    scale = float(expected.abs().max())
    torch.testing.assert_close(answer.rows, expected, rtol=1e-4, atol=1e-6 * scale)


def test_sequence_first_with_as_many_tokens_as_images() -> None:
    torch.manual_seed(1)
    subject = Subject(Attention(), SHAPE, batch_size=42, seed=1)
    answer = ElementJacobian(AS_BUILT).measure(subject)
    torch.testing.assert_close(answer.rows, reference(subject, 128, 1, True), rtol=1e-4, atol=1e-6)


def test_convolutions_need_no_pass_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(element_jacobian.ElementJacobian, "_by_image", refuse)
    subject = Subject(Convolutions(), SHAPE, batch_size=3, seed=1)
    assert ElementJacobian(AS_BUILT).measure(subject).rows.abs().sum() > 0


def test_batch_statistics_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    subject = Subject(nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten()), SHAPE)
    with pytest.raises(ProxyError, match="running statistics"):
        ElementJacobian().measure(subject)


def test_one_class_is_refused() -> None:
    subject = Subject(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 1)), SHAPE)
    with pytest.raises(ProxyError, match="at least 2 classes"):
        ElementJacobian().measure(subject)


def test_functions_that_do_not_depend_on_an_element() -> None:
    class Apart(nn.Module):
        """The middle one of three differences ignores the second layer."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.first(x.flatten(1)), self.second(x.flatten(1))
            return torch.stack([b[:, 0], a[:, 0], b[:, 0] + a[:, 0], a[:, 1]], dim=1)

    subject = Subject(Apart(), (1, 2, 2), batch_size=3)
    rows = ElementJacobian().measure(subject).rows
    network = subject.network(Setting(mode="eval"))
    weights = list(network.parameters())
    images = subject.input(Setting(mode="eval"))[0]
    for n, image in enumerate(images[:, None]):
        for weight in weights:
            weight.requires_grad_()
        logits = network(image)[0]
        for k in range(3):
            gradients = torch.autograd.grad(
                logits[k] - logits[3], weights, retain_graph=True, materialize_grads=True
            )
            expected = torch.stack([g.flatten()[0] for g in gradients])
            torch.testing.assert_close(rows[n, k].float(), expected)


def test_requests_share_the_images_that_they_have_in_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts: list[int] = []
    whole = ElementJacobian._of_images

    def count(self: ElementJacobian, subject: Subject, images: Tensor, start: int) -> Any:
        parts.append(len(images))
        return whole(self, subject, images, start)

    monkeypatch.setattr(ElementJacobian, "_of_images", count)
    torch.manual_seed(1)
    subject = Subject(Convolutions(), SHAPE, batch=Batch(torch.randn(20, *SHAPE)), seed=1)
    found = {
        size: ElementJacobian(Setting("as_built", "eval", size)).measure(subject)
        for size in (4, 20, 16)
    }
    assert parts == [4, 12, 4]
    for size in (4, 16):
        assert torch.equal(found[size].rows, found[20].rows[:size])
    torch.testing.assert_close(
        found[20].rows, reference(subject, 128, 1, True), rtol=1e-4, atol=1e-6
    )
