"""One frame of an explorer: the picture that a figure renders to, and its words."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Drawing:
    """One rendered figure.

    Args:
        picture: opaque, in RGB.
        width: displayed width in CSS pixels.
        alt: alternative text.
        readout: the text under the picture.
    """

    picture: Image.Image
    width: int
    alt: str
    readout: str

    def encoded(self, format: str, **options: object) -> bytes:
        """The picture as the bytes of a file."""
        buffer = io.BytesIO()
        self.picture.save(buffer, format, **options)
        return buffer.getvalue()


def address(picture: bytes, format: str) -> str:
    """An address that holds an encoded picture, so that nothing has to be fetched."""
    return f"data:image/{format};base64,{base64.b64encode(picture).decode()}"


def rendered(
    draw: Callable[..., object], values: dict[str, Any], dpi: float | None
) -> tuple[Image.Image, int, str]:
    """Call ``draw``; return its picture on opaque white, its displayed width and its text."""
    from matplotlib import pyplot, rc_context
    from PIL import Image

    before = set(pyplot.get_fignums())
    buffer = io.BytesIO()
    try:
        with pyplot.ioff():
            figure, text = _figure_and_text(draw(**values))
        dpi = dpi or figure.dpi
        # A tight box would give each frame a size of its own.
        with rc_context(
            {"savefig.bbox": None, "savefig.facecolor": "auto", "savefig.transparent": False}
        ):
            figure.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
        pyplot.close(figure)
    finally:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)
    picture = Image.open(buffer).convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return opaque.convert("RGB"), round(picture.width * figure.dpi / dpi), text


def _figure_and_text(drawn: Any) -> tuple[Any, str]:
    """What ``draw`` returned, with an empty text where it returned none."""
    figure, text = drawn if isinstance(drawn, tuple) and len(drawn) == 2 else (drawn, "")
    if not hasattr(figure, "savefig") or not isinstance(text, str):
        raise TypeError(
            f"draw returned {drawn!r}: it must return a matplotlib Figure, or (figure, text)"
        )
    return figure, text
