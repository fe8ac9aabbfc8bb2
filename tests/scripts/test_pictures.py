"""A picture of the documents is compared with what its script makes."""

from __future__ import annotations

import pytest
from canvas import Canvas, number
from make import same


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.25, "0.2"), (-0.04, "0"), (-3.06, "-3.1"), (100.0, "100")]
)
def test_coordinates_are_tenths_of_a_pixel(value: float, text: str) -> None:
    assert number(value) == text


def test_pictures_are_the_same_up_to_the_last_digit() -> None:
    def picture(x: float, text: str) -> str:
        sheet = Canvas(10, 10, "a & b")
        sheet.text(x, 1, text)
        return sheet.svg()

    assert same(picture(1.0, "best: 3"), picture(1.1, "best: 3"))
    assert not same(picture(1.0, "best: 3"), picture(1.3, "best: 3"))
    assert not same(picture(1.0, "best: 3"), picture(1.0, "best: 4"))
    assert not same(picture(1.0, "best: 3"), picture(1.0, "worst: 3"))
    assert not same(picture(1.0, "best: 3"), picture(1.0, "best: 3, 4"))
    assert "<title>a &amp; b</title>" in picture(1.0, "")
