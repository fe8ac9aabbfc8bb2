"""A sheet to draw on that becomes an SVG file."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

INK = "#1f2430"
SOFT = "#8a90a0"
PALE = "#e4e7ee"
BLUE = "#3b6fb6"
GREEN = "#2f9e6e"
ORANGE = "#e08a2c"
RED = "#c4453c"


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


class Canvas:
    """Shapes in pixels from the upper left corner, on white so that dark pages show them too.

    Parameters
    ----------
    width, height : float
        Size of the sheet.
    title : str
        What it shows, for those who hear it.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} '
            f'{number(height)}" font-family="Helvetica, Arial, sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{number(width)}" height="{number(height)}" rx="6" fill="#fff"/>',
        ]

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str,
        *,
        stroke: str = "none",
        opacity: float = 1,
    ) -> None:
        """A rectangle by its upper left corner."""
        see_through = "" if opacity == 1 else f' fill-opacity="{opacity:.2f}"'
        self._parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" fill="{fill}" stroke="{stroke}"{see_through}/>'
        )

    def line(
        self,
        points: Iterable[tuple[float, float]],
        *,
        stroke: str = SOFT,
        width: float = 1,
        dashed: bool = False,
    ) -> None:
        """A line through points."""
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{stroke}" '
            f'stroke-width="{number(width)}"{dashes}/>'
        )

    def bars(
        self, tops: Iterable[tuple[float, float]], base: float, stroke: str, *, width: float = 1
    ) -> None:
        """Upright strokes from a base line to points, many at little cost."""
        path = "".join(f"M{number(x)} {number(base)}V{number(y)}" for x, y in tops)
        self._parts.append(f'<path d="{path}" stroke="{stroke}" stroke-width="{number(width)}"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        fill: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """A line of text by the start (or middle, or end) of its base line."""
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{fill}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
        )

    def svg(self) -> str:
        """The file."""
        return "\n".join([*self._parts, "</svg>", ""])
