"""One trial: build a network from NNI's parameters and report score and size, without training."""

from __future__ import annotations

from typing import Any

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while NNI is imported
    import nni
    from torch import nn

    from hwnas.proxies import make_proxies
    from hwnas.proxies.engine.scoring import score_network
    from hwnas_nni import report_metrics


def block(c_in: int, c_out: int, kind: dict[str, Any]) -> nn.Module:
    """Make a convolution with batch norm and ReLU, plain or depthwise separable."""
    if kind["_name"] == "plain":
        convolution: nn.Module = nn.Conv2d(c_in, c_out, 3, padding=1)
    else:
        k = kind["kernel"]
        convolution = nn.Sequential(
            nn.Conv2d(c_in, c_in, k, padding=k // 2, groups=c_in), nn.Conv2d(c_in, c_out, 1)
        )
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.ReLU())


def network(parameters: dict[str, Any]) -> nn.Module:
    """Make a small network for ten classes."""
    width, kind = parameters["width"], parameters["block"]
    blocks = [block(3 if i == 0 else width, width, kind) for i in range(parameters["depth"])]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


if __name__ == "__main__":
    # Outside of an experiment NNI gives nothing: `python trial.py` tries one network.
    alone = {"width": 16, "depth": 2, "block": {"_name": "plain"}}
    model = network(nni.get_next_parameter() or alone)
    with progress.running("scoring"):
        scores = score_network(model, (3, 32, 32), make_proxies(["naswot", "params"]), batch_size=8)
    print(report_metrics({name: score.value for name, score in scores.items()}))
