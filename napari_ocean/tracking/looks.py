"""What the Siamese branch compares with: the drawn look of a target, and later ones."""

from __future__ import annotations

from torch import Tensor

from napari_ocean.network import TemplateState, blend


class Looks:
    """A template that follows the target's looks and never forgets the drawn one.

    Parameters
    ----------
    drawn : TemplateState
        Of the box that the target is followed from.
    share : float
        Weight of all later looks together, in [0, 1).
    rate : float
        How much of them each new one replaces, in [0, 1).
    """

    def __init__(self, drawn: TemplateState, *, share: float, rate: float) -> None:
        self._drawn, self._share, self._rate = drawn, share, rate
        self._later: TemplateState | None = None
        self.template = drawn
        """What to compare with now."""

    def set_sides(self, sides: Tensor) -> None:
        """Take in how far the target reaches (:attr:`TemplateState.sides`)."""
        self._drawn = self._drawn._replace(sides=sides)
        self.template = self.template._replace(sides=sides)

    def add(self, look: TemplateState) -> None:
        """Take in another look."""
        later = look if self._later is None else blend(self._later, look, self._rate)
        self._later = later
        # boxes are measured against the drawn look alone: later ones have sizes that were guessed
        mixed = blend(self._drawn, later, self._share)
        self.template = self._drawn._replace(regular=mixed.regular)
