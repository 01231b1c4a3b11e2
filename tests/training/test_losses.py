"""Labels and losses against the reference implementation's numbers and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from numpy.testing import assert_allclose

from napari_ocean.network import OCEAN, OceanNet, OceanOutput
from napari_ocean.network.checkpoint import read_checkpoint
from napari_ocean.training.losses import box_loss, joint_loss, regular_loss, smoothed_iou
from napari_ocean.training.targets import (
    center_cell,
    regression_targets,
    regular_labels,
    round_labels,
)
from tests.network.golden import GOLDEN, RTOL, official_state, pixels


def test_losses_and_their_gradient_equal_the_reference(tmp_path) -> None:
    torch.save(official_state("offline_align"), tmp_path / "ocean.pth")
    net = OceanNet(OCEAN)
    net.load_state_dict(read_checkpoint(tmp_path / "ocean.pth").network)
    net.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    output = net(pixels(1, 127, batch=2), pixels(2, 255, batch=2))
    boxes = torch.tensor([[90.0, 100, 170, 150], [60, 110, 130, 190]])
    cells = torch.tensor([[12, 12], [8, 15]])
    losses = joint_loss(output, boxes, torch.tensor([True, True]), cells)
    got = [losses.regular.item(), losses.aware.item(), losses.box.item()]
    assert_allclose(got, GOLDEN["train_losses_cls_align_reg"], rtol=RTOL)
    (gradient,) = torch.autograd.grad(losses.aware, net.box_head.predict.weight)
    torch.set_num_threads(threads)
    want = GOLDEN["align_loss_grad_abs_sum_on_bbox_pred.weight"]
    # float32 gives 1.1930 and 1.1956 on one CPU with and without oneDNN; the losses agree to 1e-6
    assert_allclose(gradient.abs().sum().item(), want, rtol=5e-3)


def test_positive_region_is_a_diamond_of_thirteen_cells() -> None:
    labels = regular_labels(torch.tensor([[12, 10]]), 25)[0]
    assert labels.sum() == 13
    assert labels[10, 14] == labels[12, 12] == labels[11, 13] == 1
    assert labels[12, 14] == labels[10, 15] == 0


def test_the_papers_region_is_round_about_the_centre_itself() -> None:
    """16 px: two cells along an axis, and the diagonal neighbours of the city-block's diamond."""
    box = torch.tensor([[117.0, 117, 137, 137]])  # centre 127: the middle cell of 25
    labels = round_labels(box, 25)[0]
    assert labels[12, 14] == labels[14, 12] == labels[13, 13] == 1
    assert labels[13, 14] == labels[12, 15] == 0
    assert labels.sum() == 13
    moved = round_labels(box + 4, 25)[0]  # between cells, where no cell is nearest
    assert_allclose(moved.sum().item(), 12)
    assert moved[12, 12] == moved[13, 13] == moved[11, 13] == 1


def test_the_papers_losses_are_those_of_its_equations() -> None:
    torch.manual_seed(3)
    box = torch.tensor([[90.0, 100, 170, 150]])
    ltrb = torch.rand(1, 4, 25, 25, requires_grad=True)
    scaled = 60 * ltrb
    regular, aware = torch.randn(1, 1, 25, 25), torch.randn(1, 1, 25, 25)
    output = OceanOutput(scaled, regular, aware, torch.zeros(0))
    losses = joint_loss(output, box, torch.tensor([True]), objective="paper")
    ious, labels = torch.zeros(25, 25), torch.zeros(25, 25)
    for row in range(25):
        for column in range(25):
            x, y = (8 * (cell - 12) + 127 for cell in (column, row))
            labels[row, column] = math.hypot(x - 130, y - 125) <= 16
            if not (90 < x < 170 and 100 < y < 150):
                continue
            left, top, right, bottom = scaled[0, :, row, column].tolist()
            width = min(x + right, 170) - max(x - left, 90)
            height = min(y + bottom, 150) - max(y - top, 100)
            both = (left + right) * (top + bottom) + 80 * 50
            ious[row, column] = width * height / (both - width * height)
    assert_allclose(losses.box.item(), -ious[ious > 0].log().mean().item(), rtol=1e-5)
    cross = torch.nn.functional.binary_cross_entropy_with_logits
    each = cross(regular[0, 0], labels, reduction="none")
    halves = each[labels > 0].mean() + each[labels == 0].mean()
    assert_allclose(losses.regular.item(), 1.2 * halves.item() / 2, rtol=1e-5)
    assert_allclose(losses.aware.item(), cross(aware[0, 0], ious).item(), rtol=1e-5)
    losses.total.backward()
    assert torch.isfinite(ltrb.grad).all()


def test_distances_are_positive_just_inside() -> None:
    ltrb, inside = regression_targets(torch.tensor([[111.0, 119, 135, 128]]), 25)
    assert ltrb[0, :, 12, 12].tolist() == [16, 8, 8, 1]
    assert inside[0].nonzero().tolist() == [[12, 11], [12, 12]]  # on the edge is outside


@pytest.mark.parametrize(
    ("center", "cell"), [((127, 127), 12), ((130.9, 123.1), 12), ((132, 132), 13)]
)
def test_center_cell_is_the_nearest(center, cell: int) -> None:
    x, y = center
    assert center_cell(torch.tensor([[x - 5, y - 9, x + 5, y + 9]]), 25).tolist() == [[cell, cell]]


def test_perfect_boxes_cost_nothing_and_others_their_log_iou() -> None:
    target = torch.full((1, 4, 1, 1), 10.0)
    inside = torch.ones(1, 1, 1, dtype=torch.bool)
    assert box_loss(target, target, inside) == 0
    half = torch.full((1, 4, 1, 1), 5.0)
    assert_allclose(smoothed_iou(half, target).item(), 101 / 401, rtol=1e-6)
    assert_allclose(box_loss(half, target, inside).item(), math.log(401 / 101), rtol=1e-6)


def test_regular_loss_weighs_positives_and_negatives_alike() -> None:
    logits = torch.zeros(1, 5, 5)
    labels = regular_labels(torch.tensor([[0, 0]]), 5)
    assert_allclose(regular_loss(logits, labels).item(), math.log(2), rtol=1e-6)
    assert_allclose(regular_loss(logits, labels * 0).item(), math.log(2) / 2, rtol=1e-6)


def test_absent_targets_make_nothing_positive() -> None:
    torch.manual_seed(0)
    net = OceanNet(OCEAN)
    output = net.search(pixels(2, 255), net.template(pixels(1, 127)))
    losses = joint_loss(output, torch.tensor([[90.0, 100, 170, 150]]), torch.tensor([False]))
    assert losses.box == 0
    assert losses.aware > 0
    losses.total.backward()
    assert torch.isfinite(net.box_head.predict.weight.grad).all()
