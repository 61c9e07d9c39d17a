"""The networks of AutoFormer (Chen et al., ICCV 2021): pre-norm vision transformers.

Attention sees how far apart two patches are, vertically and horizontally, by learned vectors that
keys and values are shifted by (Shaw et al., Self-Attention with Relative Position Representations,
2018; as in the published code, one pair of tables a layer and use).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.spaces.autoformer import PATCH, AutoFormerArch, Layer, patches_of
from hwnas.typing import InShape

HEAD_CHANNELS = 64
FARTHEST = 14
"""Patches that are farther apart than this are as if they were this far."""


class RelativePositions(nn.Module):
    """A vector for each pair of tokens: of their vertical and of their horizontal distance."""

    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        # One more than the distances from -14 to 14: number 0 is of the class token.
        size = 2 * FARTHEST + 2
        self.vertical = nn.Parameter(torch.empty(size, HEAD_CHANNELS))
        self.horizontal = nn.Parameter(torch.empty(size, HEAD_CHANNELS))
        for table in (self.vertical, self.horizontal):
            nn.init.trunc_normal_(table, std=0.02)
        patch = torch.arange(height * width, device="cpu")
        for name, place in (("rows", patch // width), ("columns", patch % width)):
            apart = (place[None, :] - place[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST + 1
            self.register_buffer(name, F.pad(apart, (1, 0, 1, 0)), persistent=False)  # (N, N)

    def forward(self) -> Tensor:
        """Give `(N, N, 64)` vectors of (query, key)."""
        return self.vertical[self.rows] + self.horizontal[self.columns]


class Attention(nn.Module):
    """Multi-head attention with relative positions."""

    def __init__(self, width: int, heads: int, height: int, columns: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * HEAD_CHANNELS)
        self.proj = nn.Linear(heads * HEAD_CHANNELS, width)
        self.key_positions = RelativePositions(height, columns)
        self.value_positions = RelativePositions(height, columns)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, width)` to the same shape."""
        b, n, _ = x.shape
        h, d = self.heads, HEAD_CHANNELS
        q, k, v = self.qkv(x).reshape(b, n, 3, h, d).permute(2, 0, 3, 1, 4)  # (B, h, N, d) each
        # score_ij = q_i (k_j + r_ij) / sqrt(d)
        by_query = q.permute(2, 0, 1, 3).reshape(n, b * h, d)
        shifted = by_query @ self.key_positions().transpose(1, 2)  # (N, Bh, N)
        scores = q @ k.transpose(2, 3) + shifted.transpose(0, 1).reshape(b, h, n, n)
        weights = (scores * d**-0.5).softmax(dim=-1)  # (B, h, N, N)
        # out_i = sum_j weight_ij (v_j + s_ij)
        by_query = weights.permute(2, 0, 1, 3).reshape(n, b * h, n)
        moved = (by_query @ self.value_positions()).transpose(0, 1).reshape(b, h, n, d)
        out = (weights @ v + moved).transpose(1, 2).reshape(b, n, h * d)
        return cast(Tensor, self.proj(out))


class EncoderLayer(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, layer: Layer, height: int, columns: int) -> None:
        super().__init__()
        inside = int(width * layer.ratio)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, layer.heads, height, columns)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Linear(inside, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, width)` to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return cast(Tensor, x + self.mlp(self.mlp_norm(x)))


class AutoFormerNetwork(nn.Module):
    """Patches and a class token with learned positions, the layers, and a linear classifier."""

    def __init__(self, arch: AutoFormerArch, num_classes: int, in_shape: InShape) -> None:
        super().__init__()
        height, columns = patches_of(in_shape)
        self.patches = nn.Conv2d(in_shape[0], arch.width, PATCH, stride=PATCH)
        self.class_token = nn.Parameter(torch.empty(1, 1, arch.width))
        self.positions = nn.Parameter(torch.empty(1, height * columns + 1, arch.width))
        self.layers = nn.Sequential(
            *(EncoderLayer(arch.width, layer, height, columns) for layer in arch.layers)
        )
        self.norm = nn.LayerNorm(arch.width)
        self.classifier = nn.Linear(arch.width, num_classes)
        for parameter in (self.class_token, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map `(B, C, H, W)` images to `(B, K)` logits."""
        patches = self.patches(images).flatten(2).transpose(1, 2)  # (B, N - 1, width)
        token = self.class_token.expand(images.shape[0], -1, -1)
        tokens = torch.cat([token, patches], dim=1) + self.positions
        return cast(Tensor, self.classifier(self.norm(self.layers(tokens))[:, 0]))
