"""Whether samples have the same columns, so that they can be merged: for the dry run, and for the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from truthward.study.columns import level_of
from truthward.study.variations import variation_of


def of_levels(columns: Iterable[str], levels: Sequence[str | None]) -> set[str]:
    """Columns and variations of some levels, without flags and other columns that every table has.

    >>> sorted(of_levels(["truth_m", "reco_m", "weight", "weight:scale:0", "pass_reco"], ["reco"]))
    ['reco_m', 'weight:scale:0']
    """
    return {c for c in columns if level_of(c) in levels or variation_of(c)}


def varied_in(columns: Iterable[str]) -> set[str]:
    """The systematics that columns vary."""
    return {v.systematic for c in columns if (v := variation_of(c))}


def difference(first: str, wanted: set[str], other: str, given: set[str], *, background: bool) -> str:
    """What keeps two samples from being merged, as a message; empty where nothing does.

    Args:
        first, other: names. wanted, given: their columns, see `of_levels`.
        background: whether the other is a background, which may lack all columns of a systematic: it is nominal there.

    >>> difference("low", {"reco_m", "weight:pdf:0"}, "ttbar", {"reco_m"}, background=True)
    ''
    >>> difference("low", {"reco_m", "reco_pt"}, "high", {"reco_m"}, background=False)
    'samples.high lacks the column reco_pt, which samples.low has; map it in both, or in neither'
    """
    if background:
        own = varied_in(given)
        wanted = {c for c in wanted if (v := variation_of(c)) is None or v.systematic in own}
    unequal = sorted(wanted ^ given, key=lambda c: (variation_of(c) is not None, c))
    if not unequal:
        return ""
    column = unequal[0]
    has, lacks = (first, other) if column in wanted else (other, first)
    varied = variation_of(column)
    way = f"; where it does not vary, map {varied.base} as it is" if varied else ""
    return f"samples.{lacks} lacks the column {column}, which samples.{has} has; map it in both, or in neither{way}"
