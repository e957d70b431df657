"""Features in two dimensions."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.embedding import FEW_CLASSES, draw_points, place_names, project_pca, project_tsne


def test_project_tsne__keeps_clusters_apart() -> None:
    """Oracle: by construction. Two far clusters stay apart; perplexity is a third of the others in so few videos."""
    values = np.random.default_rng(0).normal(size=(20, 5)) + np.repeat([[0], [50]], 10, axis=0)
    points, perplexity = project_tsne(values, seed=0)
    assert perplexity == pytest.approx(19 / 3)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert distances[:10, :10].max() < distances[:10, 10:].min()


def test_project_pca__equals_singular_values() -> None:
    """Oracle: numpy's singular values; directions may be turned round."""
    values = np.random.default_rng(0).normal(size=(30, 6)) * np.arange(1, 7)
    points, shares = project_pca(values)
    _, singular, directions = np.linalg.svd(values - values.mean(0))
    assert shares == pytest.approx(singular[:2] ** 2 / (singular**2).sum())
    assert np.abs(points) == pytest.approx(np.abs((values - values.mean(0)) @ directions[:2].T))


def test_place_names__cover_nothing() -> None:
    """Oracle: counted by a loop over pairs. Names of 40 dots, some of them close together, fit into a figure."""
    generator = np.random.default_rng(0)
    dots = np.concatenate([generator.uniform(50, 750, (25, 2)), generator.normal(400, 40, (15, 2))])
    sizes = np.stack([generator.uniform(20, 90, 40), np.full(40, 11)], axis=1)
    corners = place_names(dots, sizes, np.array([0, 0, 800, 800]))

    def overlap(corner: np.ndarray, size: np.ndarray, other: np.ndarray, extent: np.ndarray) -> bool:
        return bool(((corner < other + extent) & (other < corner + size)).all())

    for one in range(40):
        assert (corners[one] >= 0).all()
        assert (corners[one] + sizes[one] <= 800).all()
        for other in range(40):
            assert not overlap(corners[one], sizes[one], dots[other] - 4, np.full(2, 8))
            assert one == other or not overlap(corners[one], sizes[one], corners[other], sizes[other])


def test_place_names__without_room_within_the_limits() -> None:
    """By hand: of two dots in one place, in a strip of one name's height, one name goes right, the other left."""
    dots, sizes = np.array([[100.0, 10], [100, 10]]), np.array([[60.0, 10], [60, 10]])
    assert place_names(dots, sizes, np.array([0, 0, 200, 20])) == pytest.approx(np.array([[107, 5], [33, 5]]))


@pytest.mark.parametrize("num_classes", [1, 2, FEW_CLASSES, FEW_CLASSES + 1])
def test_draw_points__every_class_has_a_colour(tmp_path: Path, num_classes: int) -> None:
    """Oracle: counted in the figure. Far apart, on a line, each class leaves its colour; unknown ones are grey."""
    labels = np.arange(num_classes) - 1  # the first is unknown
    points = np.stack([np.arange(num_classes), np.zeros(num_classes)], axis=1)
    draw_points(points, labels, {label: str(label) for label in labels.tolist()}, "title", ("", ""), tmp_path / "a")
    with Image.open(tmp_path / "a") as image:
        found = np.array(
            [colour for count, colour in image.convert("RGB").getcolors(image.width * image.height) or () if count > 20]
        )
    assert (np.ptp(found, axis=1) > 30).sum() >= num_classes - 1
