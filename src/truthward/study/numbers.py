"""How a measured number is written, so that its significant digits are seen."""

from __future__ import annotations

from math import floor, log10


def measured(value: float, spread: float | None = None, most: int = 4) -> str:
    """A value with two digits of its spread, and fewer beyond `most` decimals; of a small one times a power of ten.

    >>> measured(2.5, 0.384), measured(0.50312, 0.00214, most=3), measured(-3e-5, 1.2e-4), measured(1.2345)
    ('2.50 ± 0.38', '0.503 ± 0.002', '(-0.3 ± 1.2)e-04', '1.23')
    """
    # Two results without random numbers differ by rounding alone.
    if not spread or spread < 1e-9:
        return f"{value:z.3g}"
    power = floor(log10(max(abs(value), spread)))
    if power < -3:
        return f"({measured(value / 10**power, spread / 10**power)})e{power:03}"
    first = -floor(log10(spread))
    digits = max(0, first, min(first + 1, most))
    return f"{value:z.{digits}f} ± {spread:.{digits}f}"
