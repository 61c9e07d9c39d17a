import copy
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError, UnknownNameError
from hwnas.proxies import make_proxies, make_proxy, proxy_names
from hwnas.proxies.engine import subject as subject_module
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Collector, Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.jacob_cov import InputGradient
from hwnas.proxies.naswot import NasWot, ReluKernel
from hwnas.proxies.zico import ZiCo
from hwnas.tasks.batch import Batch
from hwnas.typing import Direction, Proxy, Signal, Signals

SHAPE = (3, 8, 8)


def values(model: nn.Module, proxies: list[Proxy], **settings: Any) -> dict[str, float]:
    scores = score_network(model, SHAPE, proxies, batch_size=6, **settings)
    return {name: score.value for name, score in scores.items()}


def test_every_proxy_scores_a_users_network(resnet: nn.Module) -> None:
    scores = score_network(resnet, SHAPE, make_proxies(["all"]), batch_size=6)
    assert list(scores) == proxy_names()
    # The blocks add 1, which swallows what weights of 1e-7 give.
    assert "are equal" in str(scores.pop("epsilon").error)
    assert "surrogate" in str(scores.pop("te_nas_regions").error)
    assert "has sums" in str(scores.pop("nn_mass").error)
    assert {name: s.error for name, s in scores.items() if s.error} == {}
    assert all(math.isfinite(s.value) for s in scores.values())


def test_a_score_does_not_depend_on_what_else_is_computed(resnet: nn.Module) -> None:
    together = values(resnet, make_proxies(["all"]))
    assert values(resnet, make_proxies(["all"])[::-1]) == together
    alone: dict[str, float] = {}
    for name in proxy_names():
        alone |= values(resnet, [make_proxy(name)])
    assert alone == together


def test_every_pass_starts_with_the_same_weights_and_buffers(resnet: nn.Module) -> None:
    subject = Subject(resnet, SHAPE, batch_size=6)
    for setting in (Setting("kaiming"), Setting("as_built")):
        state = copy.deepcopy(subject.network(setting).state_dict())
        for _ in range(2):
            network = subject.network(setting)
            torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)
            network(subject.input(setting)[0])  # moves the running statistics
            assert not torch.equal(network.get_buffer("bn.running_mean"), state["bn.running_mean"])
            with torch.no_grad():
                network.get_parameter("conv.weight").zero_()


def test_scores_depend_on_the_seed_and_not_on_global_random_state(resnet: nn.Module) -> None:
    names = ["naswot", "jacob_cov", "zico", "synflow", "trainability", "vkdnw_entropy"]
    torch.manual_seed(1)
    first = values(resnet, make_proxies(names), seed=1)
    torch.manual_seed(2)
    assert values(resnet, make_proxies(names), seed=1) == first
    other = values(resnet, make_proxies(names), seed=2)
    assert all(other[name] != first[name] for name in names)


def test_dropout_is_seeded() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    proxies = make_proxies(["naswot", "zico"])
    assert values(model, proxies) == values(model, proxies)
    assert values(model, proxies[:1])["naswot"] == values(model, proxies)["naswot"]


def test_the_network_is_left_as_it_was(resnet: nn.Module) -> None:
    resnet.train()
    resnet.get_submodule("bn").eval()
    next(resnet.parameters()).requires_grad_(False)
    before = copy.deepcopy(resnet.state_dict())
    modes = [module.training for module in resnet.modules()]
    state = torch.get_rng_state()
    values(resnet, make_proxies(["all"]))
    after = resnet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in resnet.modules()] == modes
    assert [p.requires_grad for p in resnet.parameters()].count(False) == 1
    assert all(p.grad is None for p in resnet.parameters())
    assert all(p.is_contiguous() for p in resnet.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in resnet.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_the_users_images_are_left_as_they_were(resnet: nn.Module) -> None:
    images = torch.randn(6, *SHAPE)
    kept = images.clone()
    score_network(resnet, SHAPE, make_proxies(["all"]), batch=Batch(images))
    assert torch.equal(images, kept)
    assert not images.requires_grad


def test_threads_hold_during_the_call_only(resnet: nn.Module) -> None:
    seen: list[int] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.get_num_threads())
            return x.mean(dim=(2, 3))

    before = torch.get_num_threads()
    score_network(Watching(), SHAPE, make_proxies(["flops"]), threads=before + 1)
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before
    with pytest.raises(ProxyError):
        score_network(resnet, (5, 8, 8), make_proxies(["flops"]), threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(
    resnet: nn.Module, context: Callable[[], Any]
) -> None:
    proxies = make_proxies(["all"])
    expected = values(resnet, proxies)
    with context():
        assert values(resnet, proxies) == expected


def test_a_network_that_flattens_by_view(mlp: nn.Module) -> None:
    names = ["params", "flops", "layers", "synflow", "naswot", "jacob_cov", "zico", "vkdnw"]
    scores = score_network(mlp, (3, 4, 4), make_proxies(names), batch_size=6)
    assert {name: s.error for name, s in scores.items() if s.error} == {}


def test_a_transformer_has_the_proxies_that_are_defined_for_it() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 4, stride=4)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
            self.fc = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.layer(self.embed(x).flatten(2).transpose(1, 2))
            logits: Tensor = self.fc(tokens.mean(dim=1))
            return logits

    scores = score_network(Tokens(), SHAPE, make_proxies(["all"]), batch_size=4)
    assert "ReLU" in str(scores["naswot"].error)
    for name in ("params", "flops", "layers", "synflow", "jacob_cov", "zico", "vkdnw"):
        assert scores[name].error is None, name


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (lambda x: [][: len(x)], "must return a tensor, or some in .* but got list"),
        (lambda x: {"loss": float(x.sum())}, "must return a tensor, or some in .* but got dict"),
        (lambda x: x.flatten(2), r"must return \(B, K\) logits or .* but got \(2, 3, 64\)"),
    ],
)
def test_other_outputs_are_refused(output: Callable[[Tensor], Any], text: str) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return output(x)

    with pytest.raises(ProxyError, match=text):
        score_network(Odd(), SHAPE, make_proxies(["flops"]))


class Twice(nn.Module):
    """Gives the logits of two networks."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Any:
        return {"left": self.first(x), "right": [self.second(x)]}


@pytest.mark.filterwarnings("ignore")
def test_the_wanted_output_is_scored(resnet: nn.Module) -> None:
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    proxies = [make_proxy("jacob_cov", init="as_built")]
    for output, network in (("left", resnet), ("right.0", flat)):
        expected = values(network, proxies)["jacob_cov.as_built"]
        found = values(Twice(resnet, flat), proxies, output=output)["jacob_cov.as_built"]
        assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ProxyError, match=r"one of left, right\.0, but got 'middle'"):
        values(Twice(resnet, flat), proxies, output="middle")


def test_a_network_of_one_batch_size_is_scored_with_it(resnet: nn.Module) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = resnet

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x.reshape(6, *SHAPE))
            return logits

    proxies = make_proxies(["jacob_cov", "naswot", "zico", "flops"])
    assert values(Fixed(), proxies) == pytest.approx(values(resnet, proxies), rel=1e-5)
    with pytest.raises(ProxyError, match="must accept images"):
        score_network(Fixed(), SHAPE, proxies, batch_size=5)


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_modules_are_scored_as_sized_ones() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    sized = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    proxies = make_proxies(["params", "flops", "layers", "jacob_cov", "naswot"])  # draw weights
    assert values(lazy, proxies) == values(sized, proxies)


def test_a_shape_that_the_network_rejects(resnet: nn.Module) -> None:
    with pytest.raises(ProxyError, match=r"must accept images of shape \(B, 5, 8, 8\)"):
        score_network(resnet, (5, 8, 8), make_proxies(["flops"]))


def test_a_network_that_gives_nan_has_no_scores() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x) * torch.nan).mean(dim=(2, 3))

    proxies = make_proxies(["synflow", "naswot", "jacob_cov", "zico", "expressivity", "vkdnw"])
    scores = score_network(Broken(), SHAPE, proxies, batch_size=4)
    assert {name for name, s in scores.items() if not (math.isnan(s.value) and s.error)} == set()


def test_a_pass_that_fails_is_the_failure_of_its_proxies_only() -> None:
    class OnlyEvaluates(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise ValueError("no training today")
            logits: Tensor = self.fc(x.mean(dim=(2, 3)))
            return logits

    scores = score_network(OnlyEvaluates(), SHAPE, make_proxies(["naswot", "zico", "synflow"]))
    assert scores["synflow"].error is None
    for name in ("naswot", "zico"):
        assert math.isnan(scores[name].value)
        assert "no training today" in str(scores[name].error)


def test_seconds_add_up_to_the_call(resnet: nn.Module) -> None:
    proxies = make_proxies(["all"])
    score_network(resnet, SHAPE, proxies, batch_size=6)
    start = time.perf_counter()
    scores = score_network(resnet, SHAPE, proxies, batch_size=6)
    wall = time.perf_counter() - start
    total = sum(score.seconds for score in scores.values())
    assert all(score.seconds > 0 for score in scores.values())
    assert 0.5 * wall < total <= wall


def test_a_count_needs_no_run() -> None:
    class NeverRun(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, images: Tensor) -> Tensor:
            raise AssertionError(images)

    scores = score_network(NeverRun(), SHAPE, make_proxies(["params", "layers"]))
    assert {name: score.value for name, score in scores.items()} == {"params": 8, "layers": 1}


def test_two_proxies_of_one_name_are_refused(resnet: nn.Module) -> None:
    with pytest.raises(InvalidValueError, match="different names"):
        score_network(resnet, SHAPE, [NasWot(), NasWot()])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch_size": 0}, "`batch_size`"),
        ({"threads": 0}, "`threads`"),
        ({"batch": Batch(torch.zeros(2, 3, 4, 4))}, "`batch.inputs`"),
        ({"batch": Batch(torch.randn(2, 3, 8, 8), torch.tensor([0, 4]))}, "`batch.labels`"),
    ],
)
def test_bad_settings_are_refused(resnet: nn.Module, settings: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        score_network(resnet, SHAPE, [ZiCo()], **settings)


@pytest.mark.parametrize("shape", [(0, 3, 8), (3, 0, 8)])
def test_a_bad_shape_is_refused(resnet: nn.Module, shape: Any) -> None:
    with pytest.raises(InvalidValueError, match="`shape` of image must"):
        score_network(resnet, shape, [ZiCo()])


def test_equal_requests_share_a_pass(resnet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, bool]] = []
    forward = type(resnet).forward

    def counted(self: nn.Module, x: Tensor) -> Any:
        runs.append((len(x), self.training))
        return forward(self, x)

    monkeypatch.setattr(type(resnet), "forward", counted)
    names = ["naswot", "jacob_cov", "expressivity", "progressivity", "trainability"]
    score_network(resnet, SHAPE, make_proxies(names), batch_size=6)
    assert runs == [(2, False), (6, True)]


def test_requests_are_values() -> None:
    assert ReluKernel() == ReluKernel()
    assert NasWot().needs == frozenset({ReluKernel()})
    assert NasWot("as_built").needs != NasWot().needs


@pytest.mark.parametrize("name", proxy_names())
def test_proxies_state_themselves(name: str) -> None:
    proxy = make_proxy(name)
    assert isinstance(proxy, Proxy)
    assert proxy.name == name
    assert proxy.direction == ("minimize" if "ntk" in name else "maximize")
    assert type(proxy).version >= 1  # type: ignore[attr-defined]
    assert proxy == make_proxy(name)
    assert repr(proxy) == repr(make_proxy(name))


def test_settings_reach_the_proxy_and_stand_in_its_repr() -> None:
    proxy = make_proxy("vkdnw_entropy", published=True)
    assert proxy.name == "vkdnw_entropy.published"
    assert "published=True" in repr(proxy)


def test_misspelt_names_and_settings() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'naswot'"):
        make_proxy("naswott")
    with pytest.raises(InvalidValueError, match="`settings` of proxy 'zico'"):
        make_proxy("zico", batch=3)


def test_all_stands_for_every_proxy_once() -> None:
    assert make_proxies(["zico", "all"])[0].name == "zico"
    assert len(make_proxies(["zico", "all"])) == len(proxy_names())


def test_strided_pointwise_convolutions_of_few_channels_keep_the_contiguous_layout() -> None:
    seen: list[bool] = []

    class Watching(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x)

    def score(channels: int, stride: int) -> None:
        model = nn.Sequential(nn.Conv2d(3, channels, 3), Watching(channels, 8, 1, stride))
        model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
        score_network(model, SHAPE, make_proxies(["snip"]), batch_size=6)

    score(8, 2)
    assert not any(seen)
    seen.clear()
    score(16, 2)
    score(8, 1)
    assert all(seen)


class Overwriting(nn.Module):
    """A network that changes its own weight when it has run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.conv(x))).mean(dim=(2, 3))
        self.conv.weight.data.mul_(0.5)
        return maps


@pytest.mark.parametrize("kept", [0, 2**22])
def test_every_pass_starts_from_the_weights_that_were_drawn(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject_module, "_KEPT", kept)
    model = Overwriting()
    model.norm.running_mean = torch.full((4,), 3.0)
    subject = Subject(model, SHAPE, batch_size=4)
    states = []
    for _ in range(3):
        network = subject.network(Setting())
        states.append({name: t.clone() for name, t in network.state_dict().items()})
        network(subject.input(Setting())[0])
    for state in states[1:]:
        assert all(torch.equal(state[name], tensor) for name, tensor in states[0].items())


def test_the_graph_goes_with_the_last_backward_pass(resnet: nn.Module) -> None:
    kept: list[bool] = []

    class Watched(InputGradient):
        def collector(self, subject: Subject) -> Collector[Tensor]:
            collector = super().collector(subject)
            finish = collector.finish

            def noted(logits: Tensor) -> Tensor:
                kept.append(collector.keeps_graph)
                return finish(logits)

            collector.finish = noted  # type: ignore[method-assign]
            return collector

    @dataclass(frozen=True)
    class Asking:
        name: str
        needed: InputGradient
        direction: ClassVar[Direction] = "maximize"

        @property
        def needs(self) -> frozenset[Signal[object]]:
            return frozenset({self.needed})

        def score(self, signals: Signals) -> float:
            return float(signals[self.needed].sum())

    first, second = Asking("first", Watched()), Asking("second", InputGradient())
    scores = score_network(resnet, SHAPE, [first, second], batch_size=4)
    assert kept == [True]
    assert scores["first"].value == scores["second"].value
    score_network(resnet, SHAPE, [first, *make_proxies(["expressivity"])], batch_size=4)
    assert kept == [True, False]


def test_passes_import_no_compiler() -> None:
    program = """
import sys
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
cell = "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
names = ["zen", "naswot", "swap", "meco", "jacob_cov", "epsilon", "vkdnw", "flops"]
score_network(NasBench201().build(parse_cell(cell)), (3, 32, 32), make_proxies(names), batch_size=4)
print([m for m in ("torch._dynamo", "sympy") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
