"""Fewer layers: settings that name single layers (``VE_LAYERS=9,10``, ``LOOP_START=3``) move with their number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.sites import Site

_COUNT = re.compile(r"(?:^|_)last_n$|(?:freeze|frozen|unfreeze|unfrozen|shared|tail|top)_(?:blocks|layers)$")
"""Names of numbers of layers, where others are the index of one."""
_NUMBER = re.compile(r"\d+")
LayerMap = tuple[int, ...]
"""For each claimed layer its toy one, ascending; two may fall on one where no setting names them both."""


def fewer_layers(sites: Sequence[Site], layers: int, wanted: int) -> LayerMap:
    """The map to the smallest stack, at least ``wanted`` deep, in which all named layers keep their order.

    Its depth is the last entry plus one; that is ``layers`` itself where a setting that cannot be changed (a number in
    the source) names a layer beyond a small stack, or where layers are of several sorts.
    """
    same = tuple(range(layers))
    movable = [s for s in sites if s.how in ("env", "argv")]
    if any(s.how == "env" and role_of(s.words, s.value) == "layers" and _other(s, layers) for s in movable):
        return same
    set_elsewhere = {s.words for s in movable}
    for site in sites:
        fixed = site.how in ("const", "default") and site.words not in set_elsewhere
        if fixed and 2 <= max(_named(site), default=0) < layers:
            return same
    named = {n for s in movable if not _COUNT.search(s.words) for n in _named(s) if n < layers}
    for depth in range(wanted, layers, 2):
        if (found := _into(sorted(named), layers, depth)) is not None:
            return found
    return same


def moved_layers(site: Site, layers: LayerMap) -> str | None:
    """The text of a setting that names layers, for the smaller stack; None where it names none or stays the same."""
    old, new = len(layers), layers[-1] + 1
    text = "" if site.value is None else str(site.value)
    if old == new or site.how not in ("env", "argv", "const") or not _named(site):
        return None
    count = _COUNT.search(site.words) is not None

    def move(match: re.Match[str]) -> str:
        number = int(match.group())
        if number >= old:  # the layer after the last one, or a number of something else
            return str(number - old + new) if number <= 2 * old else match.group()
        if count:
            return str(max(1, round(number * new / old)) if number else 0)
        return str(layers[number])

    moved = _NUMBER.sub(move, text)
    return moved if moved != text else None


def _named(site: Site) -> list[int]:
    """The layers (or how many of them) that a setting names."""
    if role_of(site.words, site.value) != "layer_index" or site.value is None:
        return []
    text = str(site.value)
    return [int(n) for n in _NUMBER.findall(text)] if "-" not in text and "." not in text else []


def _other(site: Site, layers: int) -> bool:
    try:
        return float(site.value or 0) not in (0.0, float(layers))
    except ValueError:
        return False


def _into(named: Sequence[int], layers: int, depth: int) -> LayerMap | None:
    """A map of ``layers`` into ``depth`` that keeps ``named`` apart and near their place; None where there is none."""
    scale = (depth - 1) / (layers - 1)
    places: dict[int, int] = {}
    above = depth
    for layer in reversed(named):
        above = places[layer] = min(round(layer * scale), above - 1)
        if above < min(layer, 1) or abs(above - layer * scale) > 1:
            return None
    found, last = [], 0
    for layer in range(layers):
        later = [place for name, place in places.items() if name >= layer]
        last = places.get(layer, min(max(last, round(layer * scale)), *later, depth - 1))
        found.append(last)
    found[-1] = depth - 1
    return tuple(found)
