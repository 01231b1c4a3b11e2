"""Views of a drawn target: its box in each, and the pixels that lie there."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ocean import boxes
from napari_ocean.network import TEMPLATE_PX
from napari_ocean.online.augment import VIEWS, ZOOMS, View, zoomed
from napari_ocean.tracking.crop import context_side
from napari_ocean.tracking.views import first_views

BOX = np.array([100.0, 80.0, 160.0, 120.0])
FRAME = np.zeros((240, 320, 3), np.uint8)
FRAME[80:120, 100:160] = 255


@pytest.mark.parametrize(
    "view", [*zoomed(ZOOMS, mirrored=True), *(view for view in VIEWS if view.upright)]
)
def test_the_box_holds_the_target_in_each_view_at_its_zoom(view: View) -> None:
    (picture,) = first_views(FRAME, BOX, [view], search_px=255, context=0.5, fill=(0, 0, 0), seed=3)
    scale = view.zoom * TEMPLATE_PX / context_side(boxes.size(BOX))
    size = boxes.size(picture.box_px)
    np.testing.assert_allclose(size, scale * boxes.size(BOX), rtol=0.01)
    lit = picture.crop[..., 0] / 255
    assert lit.sum() == pytest.approx(size.prod(), rel=0.05)
    rows, columns = np.mgrid[:255, :255]
    middle = (lit * columns).sum() / lit.sum(), (lit * rows).sum() / lit.sum()
    np.testing.assert_allclose(boxes.center(picture.box_px), middle, atol=0.6)
