"""Networks of tokens, signals and maps: each proxy has a value, or one sentence why not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies import make_proxies, make_proxy
from hwnas.proxies.engine.scoring import score_network
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch
from hwnas.tasks.task import Logits, Map, NextToken, Regression, Task, TensorSpec

WORDS = TensorSpec((6,), "tokens", 20)
PULSE = TensorSpec((2, 16), "signal")
IMAGE = TensorSpec((3, 8, 8))
FEATURES = TensorSpec((20,), "vector")


class Attention(nn.Module):
    """Embedding, one self-attention, ReLU."""

    def __init__(self, outputs: int, *, each: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.hidden = nn.Linear(8, 12)
        self.head = nn.Linear(12, outputs)
        self.each = each

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.hidden(x).relu()
        answer: Tensor = self.head(x if self.each else x.mean(dim=1))
        return answer


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 10, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.lstm(self.embed(tokens))[0][:, -1])
        return logits


def signal_network(outputs: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 8, 5, padding=2, bias=False), nn.BatchNorm1d(8), nn.ReLU(),
        nn.Conv1d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, outputs),
    )  # fmt: skip


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU(),
        nn.Linear(24, 5),
    )  # fmt: skip


def segmentation_network() -> nn.Module:
    """Give maps of half the image's side."""

    def block(c_in: int, c_out: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
        )

    return nn.Sequential(
        nn.Sequential(block(3, 8, 2), block(8, 8, 1), block(8, 8, 1)), nn.Conv2d(8, 5, 1)
    )


LOSS = {"zico", "grad_norm", "snip", "plain", "fisher", "gradsign"}
RECTIFIERS = {"naswot", "swap", "linear_regions"}
COUNTS = {"params", "flops", "layers", "l2_norm"}
GRADIENTS = {"jacob_cov", "epe_nas"}
BLOCKS = {"expressivity", "progressivity", "trainability", "meco", "zen"}
FISHER = {"vkdnw_entropy", "vkdnw", "fim_decile"}

CASES: dict[str, tuple[Callable[[], nn.Module], Any, set[str]]] = {
    "attention": (lambda: Attention(3), WORDS, LOSS | RECTIFIERS | COUNTS | FISHER | {"ntk_cond"}),
    "recurrent": (Recurrent, WORDS, LOSS | {"params", "layers", "l2_norm", "ntk_cond"} | FISHER),
    "language": (
        lambda: Attention(20, each=True),
        Task("text", WORDS, NextToken(20)),
        LOSS | RECTIFIERS | COUNTS | {"ntk_cond"},
    ),
    "signal": (
        signal_network,
        PULSE,
        LOSS | RECTIFIERS | COUNTS | GRADIENTS | FISHER
        | {"ntk_cond", "grasp", "synflow", "epsilon"},
    ),
    "rate": (
        lambda: signal_network(1),
        Task("rate", PULSE, Regression(1)),
        LOSS | RECTIFIERS | COUNTS | {"jacob_cov", "ntk_cond", "grasp", "synflow", "epsilon"},
    ),
    "vector": (
        perceptron,
        FEATURES,
        (LOSS - {"gradsign"}) | RECTIFIERS | COUNTS | GRADIENTS | FISHER
        | {"ntk_cond", "grasp", "synflow", "epsilon"},
    ),
    "segments": (
        segmentation_network,
        Task("segments", IMAGE, Map(5)),
        LOSS | RECTIFIERS | COUNTS | BLOCKS
        | {"jacob_cov", "ntk_cond", "grasp", "synflow", "epsilon", "nasgraph_density"},
    ),
}  # fmt: skip


def scored(name: str) -> dict[str, Result]:
    build, task, _ = CASES[name]
    torch.manual_seed(0)
    return score_network(build(), task, make_proxies(["all"]), batch_size=8, seed=1)


@pytest.mark.parametrize("name", CASES)
def test_every_proxy_has_a_value_or_one_sentence(name: str) -> None:
    scores = scored(name)
    for proxy, score in scores.items():
        if score.error is None:
            assert math.isfinite(score.value), proxy
            continue
        assert math.isnan(score.value)
        assert "\n" not in score.error, proxy
        assert score.error.endswith("."), (proxy, score.error)
        assert "The network raised" not in score.error, (proxy, score.error)
    missing = {proxy: s.error for proxy, s in scores.items() if s.error}
    assert not CASES[name][2] & missing.keys(), missing


@pytest.mark.parametrize("name", ["jacob_cov", "epe_nas", "synflow", "zen", "epsilon"])
def test_tokens_have_nothing_to_differentiate_or_change(name: str) -> None:
    found = score_network(Attention(3), WORDS, [make_proxy(name)])[name]
    assert "for inputs of real numbers, but the input is tokens (6)" in str(found.error)


@pytest.mark.parametrize("name", ["epe_nas", "vkdnw", "fim_decile"])
def test_a_map_has_no_class_of_its_image(name: str) -> None:
    found = score_network(segmentation_network(), IMAGE, [make_proxy(name)], batch_size=4)[name]
    assert "one class an input, (B, K) logits" in str(found.error)


@pytest.mark.parametrize("name", ["nasgraph_density", "nn_mass", "nn_degree"])
def test_graphs_of_channels_are_those_of_images(name: str) -> None:
    found = score_network(signal_network(), PULSE, [make_proxy(name)])[name]
    assert "for images, but the input is signal (2, 16)" in str(found.error)


def test_the_shape_of_an_image_is_the_task_to_tell_its_classes(resnet: nn.Module) -> None:
    proxies = make_proxies(["zico", "naswot", "epe_nas"])
    tasks: list[Any] = [(3, 8, 8), IMAGE, Task("any", IMAGE, Logits(4))]
    values = [
        {n: s.value for n, s in score_network(resnet, task, proxies, batch_size=6).items()}
        for task in tasks
    ]
    assert values[0] == values[1] == values[2]


def test_a_map_of_one_position_has_the_gradients_of_its_classes() -> None:
    class Classes(nn.Module):
        def __init__(self, *, mapped: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.mapped = nn.Conv2d(3, 5, 8), mapped

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.conv(x)
            return answer if self.mapped else answer.flatten(1)

    names = ["grad_norm", "snip", "fisher", "gradsign", "ntk_cond", "jacob_cov", "synflow"]
    labels = torch.tensor([0, 1, 4, 2])
    images = torch.randn(4, 3, 8, 8)
    first, second = (
        score_network(
            Classes(mapped=bool(shape)),
            IMAGE,
            make_proxies(names),
            batch=Batch(images, labels.view(-1, *shape)),
        )
        for shape in ((), (1, 1))
    )
    for name in names:
        assert second[name].value == pytest.approx(first[name].value, rel=1e-5), name


def flat_image_network() -> nn.Module:
    """`signal_network` for signals that are images of one row."""
    return nn.Sequential(
        nn.Conv2d(2, 8, (1, 5), padding=(0, 2), bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def test_a_signal_is_an_image_of_one_row() -> None:
    signal, flat = signal_network(), flat_image_network()
    for ours, theirs in zip(signal.parameters(), flat.parameters(), strict=True):
        theirs.data.copy_(ours.data.view_as(theirs))
    # Those that leave the weights as they are: others are drawn in the order of memory.
    built = [f"{name}:init=as_built" for name in ("naswot", "jacob_cov", "epe_nas", "synflow")]
    proxies = make_proxies([*sorted(LOSS | COUNTS), "grasp", "epsilon", *built])
    first = score_network(signal, PULSE, proxies, batch_size=8, seed=1)
    second = score_network(flat, (2, 1, 16), proxies, batch_size=8, seed=1)
    for name, score in first.items():
        assert score.value == pytest.approx(second[name].value, rel=1e-3), name


def test_the_next_tokens_of_a_users_text_are_its_labels() -> None:
    tokens = torch.randint(20, (4, 6), generator=torch.Generator().manual_seed(0))
    task = Task("text", WORDS, NextToken(20))

    class LastIgnored(Attention):
        """The last token is not seen by the loss of others and its own is constant."""

        def forward(self, tokens: Tensor) -> Tensor:
            answer = super().forward(tokens)
            return torch.cat([answer[:, :-1], torch.zeros_like(answer[:, -1:])], dim=1)

    torch.manual_seed(0)
    network = LastIgnored(20, each=True)
    (made_up,) = score_network(network, task, make_proxies(["snip"]), batch=Batch(tokens)).values()
    following = torch.cat([tokens[:, 1:], torch.zeros(4, 1, dtype=torch.int64)], dim=1)
    (given,) = score_network(
        network, task, make_proxies(["snip"]), batch=Batch(tokens, following)
    ).values()
    assert made_up.value == given.value > 0


def test_an_answer_of_another_kind_than_the_task_is_refused() -> None:
    with pytest.raises(ProxyError, match=r"`model` must return Map\(classes=3\), but got \(2, 3\)"):
        score_network(signal_network(), Task("a", PULSE, Map(3)), make_proxies(["flops"]))


def test_a_users_batch_must_be_of_the_task() -> None:
    with pytest.raises(InvalidValueError, match=r"`batch.inputs` must be in 0\.\.19"):
        score_network(Recurrent(), WORDS, [], batch=Batch(torch.full((2, 6), 20)))


def test_a_vector_is_a_signal_that_is_flattened() -> None:
    def scores(network: nn.Module, task: TensorSpec) -> dict[str, Result]:
        return score_network(network, task, make_proxies(["all"]), batch_size=8, seed=1)

    torch.manual_seed(0)
    network = perceptron()
    vector = scores(network, FEATURES)
    signal = scores(nn.Sequential(nn.Flatten(), network), TensorSpec((1, 20), "signal"))
    for name, found in vector.items():
        assert found.value == signal[name].value or math.isnan(signal[name].value), name


def test_tokens_need_a_vocabulary() -> None:
    with pytest.raises(ProxyError, match=r"vectors of shape \(B, 6\).*It takes tokens: give"):
        score_network(Attention(3), TensorSpec.of((6,)), make_proxies(["naswot"]), batch_size=4)


def test_a_coarse_map_scores_as_one_that_the_network_interpolates_itself() -> None:
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)
    )
    fine = nn.Sequential(trunk, nn.Upsample(scale_factor=2, mode="bilinear"))
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (8, 8, 12), generator=generator)
    labels[:, ::3] = -100
    batch = Batch(torch.randn(8, 3, 8, 12, generator=generator), labels)
    proxies = make_proxies(["snip", "grad_norm", "grasp", "gradsign", "zico"])
    task = Task("mine", TensorSpec((3, 8, 12)), Map(4))
    scores = [score_network(n, task, proxies, batch=batch) for n in (trunk, fine)]
    for coarse, interpolated in zip(*(found.values() for found in scores), strict=True):
        assert coarse.error is None
        assert coarse.value == pytest.approx(interpolated.value, rel=1e-5)
