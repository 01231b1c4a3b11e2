"""How the window's sentences count."""

from __future__ import annotations


def counted(number: int, word: str, more: str = "s") -> str:
    """A number and its word: ``1 box``, ``2 boxes``; `more` is what the plural adds."""
    return f"{number} {word}{'' if number == 1 else more}"
