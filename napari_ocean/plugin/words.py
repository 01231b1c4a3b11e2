"""How the window's sentences count and name frames."""

from __future__ import annotations


def counted(number: int, word: str, more: str = "s") -> str:
    """A number and its word: ``1 box``, ``2 boxes``; `more` is what the plural adds."""
    return f"{number} {word}{'' if number == 1 else more}"


def on_frames(span: range) -> str:
    """Where something is: `` on frame 3``, `` on frames 3 to 9``; empty for nowhere."""
    if not span:
        return ""
    return f" on frame {span[0]}" if len(span) == 1 else f" on frames {span[0]} to {span[-1]}"
