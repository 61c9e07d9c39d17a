"""The networks of PiT (Heo et al., ICCV 2021): transformers with poolings between three stages."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hwnas.spaces.pit import Pit, PitArch
from hwnas.typing import InShape

_EPSILON = 1e-6


class Attention(nn.Module):
    """Multi-head attention: softmax(q kᵀ / √d) v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, width)` to the same shape."""
        b, n, width = x.shape
        d = width // self.heads
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * d**-0.5).softmax(dim=-1)  # (B, h, N, N)
        return cast(Tensor, self.proj((weights @ v).transpose(1, 2).reshape(b, n, width)))


class EncoderLayer(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=_EPSILON)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.Sequential(
            nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, width)` to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return cast(Tensor, x + self.mlp(self.mlp_norm(x)))


class Pooling(nn.Module):
    """Halves the map of patches by a depthwise convolution that doubles the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 2 * width, 3, 2, 1, groups=width)
        self.fc = nn.Linear(width, 2 * width)

    def forward(self, token: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Map the `(B, 1, C)` class token and `(B, C, h, w)` patches to 2C channels."""
        return self.fc(token), self.conv(patches)


class PitNetwork(nn.Module):
    """Overlapping patches with learned positions, three stages, and a linear classifier."""

    def __init__(self, arch: PitArch, space: Pit, num_classes: int, in_shape: InShape) -> None:
        super().__init__()
        rows, columns = space.patches_of(in_shape)
        first = arch.widths[0]
        self.patches = nn.Conv2d(in_shape[0], first, space.patch, space.stride)
        self.class_token = nn.Parameter(torch.empty(1, 1, first))
        self.positions = nn.Parameter(torch.empty(1, first, rows, columns))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(EncoderLayer(width, arch.heads * 2**i, s.ratio) for _ in range(s.depth))
            )
            for i, (s, width) in enumerate(zip(arch.stages, arch.widths, strict=True))
        )
        self.pools = nn.ModuleList(Pooling(width) for width in arch.widths[:-1])
        self.norm = nn.LayerNorm(arch.widths[-1], eps=_EPSILON)
        self.classifier = nn.Linear(arch.widths[-1], num_classes)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        patches = self.patches(images) + self.positions
        token = self.class_token.expand(images.shape[0], -1, -1)
        for number, stage in enumerate(self.stages):
            if number:
                token, patches = self.pools[number - 1](token, patches)
            b, c, rows, columns = patches.shape
            tokens = torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1)  # (B, 1+hw, C)
            tokens = stage(tokens)
            token = tokens[:, :1]
            patches = tokens[:, 1:].transpose(1, 2).reshape(b, c, rows, columns)
        return cast(Tensor, self.classifier(self.norm(token)[:, 0]))
