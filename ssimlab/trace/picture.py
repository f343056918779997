"""Where in an image the numbers are not finite: a small picture, and the same in words."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import NamedTuple

import torch
import torch.nn.functional as F

_LARGEST = 128  # pixels along the longer side of a stored picture
_DISPLAYED = 192  # CSS pixels along it
_STRUCK = (213, 94, 0)  # vermilion, told from every gray by color-blind eyes too
_FRAME = (86, 180, 233)  # sky blue


class Picture(NamedTuple):
    """One slice of a tensor, struck pixels in vermilion over the finite values in gray.

    Args:
        png: the encoded picture.
        width, height: displayed size in CSS pixels.
        alt: what it shows, in words.
    """

    png: bytes
    width: int
    height: int
    alt: str

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def picture_of(tensor: torch.Tensor, bad: torch.Tensor, index: tuple[int, ...]) -> Picture | None:
    """The slice over the last two dimensions that contains ``index``; None for fewer than two.

    Args:
        tensor: (…, H, W).
        bad: boolean tensor of the same shape, true where a number is not finite.
        index: one place where it is.
    """
    if tensor.ndim < 2 or min(tensor.shape[-2:]) < 2:
        return None
    leading = index[:-2]
    values, struck = tensor[leading].cpu(), bad[leading].cpu()
    values = values.abs() if values.is_complex() else values.double()
    alt = _words(struck, tuple(tensor.shape), leading)
    height, width = struck.shape
    block = -(-max(height, width) // _LARGEST)
    gray = _gray(values, struck)[::block, ::block].byte()
    # A single struck pixel has to survive the reduction.
    small = F.max_pool2d(struck[None].float(), block, ceil_mode=True)[0].bool()
    rgb = gray[..., None].expand(-1, -1, 3).clone()
    _frame(rgb, small)
    rgb[small] = torch.tensor(_STRUCK, dtype=torch.uint8)
    scale = _DISPLAYED / max(rgb.shape[:2])
    if scale > 1 and max(rgb.shape[:2]) > 24:
        scale = round(scale) or 1  # whole pixels stay square
    shown = [max(4, round(side * scale)) for side in rgb.shape[:2]]
    return Picture(_png(rgb), shown[1], shown[0], alt)


def _gray(values: torch.Tensor, struck: torch.Tensor) -> torch.Tensor:
    """Finite values from dark to light gray."""
    finite = values[~struck]
    if finite.numel() == 0:
        return torch.full_like(values, 128)
    low, high = finite.min(), finite.max()
    # A flat slice has no range to divide by; it is drawn in the middle gray.
    level = (values - low) / (high - low) if high > low else torch.full_like(values, 0.5)
    return torch.where(struck, 0.5, level) * 200 + 28


def _frame(rgb: torch.Tensor, small: torch.Tensor) -> None:
    """Draw a frame around struck pixels that are too few to be noticed by themselves."""
    rows, columns = small.any(1).nonzero().flatten(), small.any(0).nonzero().flatten()
    top, left = max(0, int(rows[0]) - 3), max(0, int(columns[0]) - 3)
    bottom, right = int(rows[-1]) + 4, int(columns[-1]) + 4  # slices stop at the border
    if max(bottom - top, right - left) * 3 > min(small.shape):
        return
    inside = torch.zeros_like(small)
    inside[top:bottom, left:right] = True
    inside[top + 1 : bottom - 1, left + 1 : right - 1] = False
    rgb[inside] = torch.tensor(_FRAME, dtype=torch.uint8)


def _words(struck: torch.Tensor, shape: tuple[int, ...], leading: tuple[int, ...]) -> str:
    rows = struck.any(1).nonzero().flatten().tolist()
    columns = struck.any(0).nonzero().flatten().tolist()
    what = f"Slice {list(leading)} of the tensor" if leading else "The tensor"
    return (
        f"{what} of shape {' × '.join(map(str, shape))}: {int(struck.sum())} of "
        f"{struck.numel()} numbers are not finite, in {_span('row', rows)} and "
        f"{_span('column', columns)}"
    )


def _span(name: str, places: list[int]) -> str:
    first, last = places[0], places[-1]
    return f"{name} {first}" if first == last else f"{name}s {first} to {last}"


def _png(rgb: torch.Tensor) -> bytes:
    """Encode (H, W, 3) bytes; a picture this small needs no imaging library."""
    height, width, _ = rgb.shape
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in rgb)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
