"""Profile a network of your own on this host: counts, ONNX export, latency.

Run it as ``python examples/02_profile_torch_model.py``; it takes a few seconds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import cast

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    from torch import Tensor, nn

    from hwnas.costs.counters import count
    from hwnas.measure.measuring import measure
    from hwnas.onnx_export.export import export_onnx
    from hwnas.runtimes import make_runtime
    from hwnas.runtimes.agreement import verify_onnx
    from hwnas.runtimes.base import OnnxModel

IN_SHAPE = (3, 64, 64)


class DepthwiseBlock(nn.Module):
    """A 3x3 convolution a channel, then one across channels, with a skip."""

    def __init__(self, channels: int) -> None:
        """Make the layers."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to the same shape."""
        return x + cast(Tensor, self.layers(x))


def make_network(channels: int) -> nn.Module:
    """Make a small classifier of ten classes."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2, padding=1),
        *(DepthwiseBlock(channels) for _ in range(4)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 10),
    )


def main() -> None:
    """Compare two widths of the network."""
    print(f"{'channels':>8} {'params':>8} {'MACs':>12} {'memory, MB':>10} {'latency, ms':>22}")
    with tempfile.TemporaryDirectory() as folder:
        for channels in (16, 64):
            network, path = make_network(channels), Path(folder) / f"net{channels}.onnx"
            counts = count(network, IN_SHAPE)
            export_onnx(network, IN_SHAPE, path)
            verify_onnx(path, network, IN_SHAPE)
            with progress.running("measuring"):
                latency = measure(
                    OnnxModel(path), make_runtime("onnxruntime"), meter="wall", max_seconds=2.0
                )
            interval = f"[{latency.ci_low:.3f}, {latency.ci_high:.3f}]"
            print(
                f"{channels:>8} {counts.params:>8,} {counts.macs:>12,} "
                f"{counts.peak_memory / 1e6:>10.2f} {latency.value:>6.3f} {interval}"
            )
    print(f"Measured on {latency.fingerprint}; the interval is that of the median, 95 %.")


if __name__ == "__main__":
    main()
