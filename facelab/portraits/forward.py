"""The synthesis network as it is drawn in training: the same maths as ``nets.stylegan2``, laid out for speed.

Convolutions run on channels-last maps in float32 or bfloat16; styles, demodulation, the picture and the parameters
themselves stay float32. Where a processor multiplies bfloat16 natively a step takes about half the time.
"""

from __future__ import annotations

import math
import time
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from facelab.nets import Network
from facelab.nets.stylegan2 import StyledConv, StyleGAN2, ToRGB

_LAST: Any = torch.channels_last  # torch's stubs do not take it as a keyword everywhere
_GAIN = math.sqrt(2.0)


def fastest_precision() -> torch.dtype:
    """bfloat16 where this processor convolves in it clearly faster than in float32, else float32; takes 0.1 s."""
    times = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(4, 64, 64, 64, dtype=dtype).to(memory_format=_LAST)
        weight = torch.ones(64, 64, 3, 3, dtype=dtype).to(memory_format=_LAST)
        with torch.no_grad():
            functional.conv2d(x, weight, padding=1)
            began = time.process_time()
            for _ in range(3):
                functional.conv2d(x, weight, padding=1)
            times[dtype] = time.process_time() - began
    return torch.bfloat16 if times[torch.bfloat16] < 0.8 * times[torch.float32] else torch.float32


def _along_rows(per_channel: Tensor, x: Tensor) -> Tensor:
    """Numbers per channel [N or 1, C] -> [N or 1, 1, W * C], to go with the rows [N, H, W * C] of a channels-last map x.

    Broadcast as [N, C, 1, 1] they would be read anew for every pixel, in runs of C numbers: too short for vectors.
    """
    return per_channel.to(x.dtype).repeat(1, x.shape[3])[:, None]


def _rows(x: Tensor) -> Tensor:
    """The rows of a channels-last map [N, C, H, W], as a view: [N, H, W * C]."""
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, height, width * channels)


def _map(rows: Tensor, channels: int) -> Tensor:
    """Rows [N, H, W * C] -> the map [N, C, H, W], channels last, as a view."""
    n, height, _ = rows.shape
    return rows.reshape(n, height, -1, channels).permute(0, 3, 1, 2)


def _convolve(layer: StyledConv, x: Tensor, w: Tensor, fir: Tensor) -> Tensor:
    styles = layer.affine(w)  # [N, I]
    # The gain of the activation moves in front of it: leaky ReLU is positively homogeneous.
    demodulation = _GAIN * (styles.square() @ layer.weight.square().sum([2, 3]).t() + 1e-8).rsqrt()  # [N, O]
    x = _map(_rows(x) * _along_rows(styles, x), x.shape[1])
    weight = layer.weight.to(x.dtype)
    if layer.up:
        x = functional.conv_transpose2d(x, weight.transpose(0, 1).contiguous(memory_format=_LAST), stride=2)
        kernel = fir.to(x.dtype)[None, None].expand(x.shape[1], 1, -1, -1).contiguous(memory_format=_LAST)
        x = functional.conv2d(x, kernel, padding=1, groups=x.shape[1])
    else:
        x = functional.conv2d(x, weight.contiguous(memory_format=_LAST), padding=1)
    bias = _along_rows(_GAIN * layer.bias[None], x)
    rows = _rows(x) * _along_rows(demodulation, x) + bias
    return _map(functional.leaky_relu(rows, 0.2), x.shape[1])


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    styles = layer.affine(w) * layer.weight_gain
    colours = styles[:, :, None] * layer.weight[:, :, 0, 0].t()  # [N, I, 3]
    flat = torch.bmm(x.permute(0, 2, 3, 1).reshape(n, height * width, channels), colours.to(x.dtype)).float()
    return flat.reshape(n, height, width, 3).permute(0, 3, 1, 2) + layer.bias[:, None, None]


def _double(picture: Tensor) -> Tensor:
    """Upsample by [1, 3, 3, 1] with zeros beyond the border: bilinear between pixel centres does just that."""
    padded = functional.pad(picture, (1, 1, 1, 1))
    return functional.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


def draw(network: Network, ws: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Codes per layer [N, num_ws, w_dim] -> pictures float32 [N, 3, H, W], with gradients.

    Args:
        network: a student as of ``training.student``: skip architecture, [1, 3, 3, 1], no noise, no clamp.
        dtype: of the feature maps.
    """
    net = cast(StyleGAN2, network)
    fir = 4 * net.get_buffer("fir")
    x = net.block(4).const[None].expand(len(ws), -1, -1, -1).to(dtype, memory_format=_LAST)
    picture: Tensor | None = None
    row = 0
    for size in net.block_resolutions:
        block = net.block(size)
        if size > 4:
            x = _convolve(block.conv0, x, ws[:, row], fir)
            row += 1
        x = _convolve(block.conv1, x, ws[:, row], fir)
        row += 1
        colours = _to_rgb(block.torgb, x, ws[:, row])
        picture = colours if picture is None else _double(picture) + colours
    assert picture is not None, "a network has at least one block"
    return picture
