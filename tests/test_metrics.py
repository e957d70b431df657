import warnings

import numpy as np
import pytest
import scipy.special
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from sklearn.neighbors import NearestNeighbors

import vtdl_cli.metrics
from vtdl_cli.intervals import class_mean_interval, share_interval
from vtdl_cli.metrics import (
    accuracies,
    accuracy_intervals,
    class_metrics,
    cluster,
    confusion,
    knn_accuracy,
    largest,
    leading_variance,
    nearest,
    rank_me,
    softmax,
    true_class_ranks,
    unit,
    vote,
)


def random_scores(num_videos: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are correct about half the time, with labels; the last class never occurs."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(num_classes - 1, size=num_videos)
    scores = generator.normal(size=(num_videos, num_classes))
    scores[np.arange(num_videos), labels] += 1.2
    return scores, labels


@pytest.mark.parametrize(("num_videos", "num_classes"), [(300, 9), (7, 6), (1, 7)])
def test_accuracies__equal_scikit_learn(num_videos: int, num_classes: int) -> None:
    """Oracle: scikit-learn, in percent; its balanced accuracy averages over the classes that occur in the labels."""
    scores, labels = random_scores(num_videos, num_classes)
    predicted = scores.argmax(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        balanced = balanced_accuracy_score(labels, predicted)
    assert accuracies(scores, labels) == pytest.approx(
        {
            "top1": 100 * accuracy_score(labels, predicted),
            "top5": 100 * top_k_accuracy_score(labels, scores, k=5, labels=range(num_classes)),
            "mean_class": 100 * balanced,
            "macro_f1": 100 * f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0),
        }
    )


def test_accuracies__by_hand() -> None:
    """Oracle: by hand: classes 0 (2 of 3 correct, of 3 predicted) and 2 (0 of 1) occur."""
    scores = np.array([[3, 1, 2], [3, 1, 2], [1, 3, 2], [3, 2, 1]])
    assert accuracies(scores, np.array([0, 0, 0, 2])) == pytest.approx(
        {"top1": 50.0, "mean_class": 100 * (2 / 3 + 0) / 2, "macro_f1": 100 * (2 / 3 + 0) / 2}
    )


def test_accuracies__top5_needs_six_classes() -> None:
    """Oracle: by hand: of five classes everything is in the top 5, of six the last one is not."""
    labels = np.zeros(3, np.int64)
    assert "top5" not in accuracies(np.tile(np.arange(5.0), (3, 1)), labels)
    assert accuracies(np.tile(np.arange(6.0), (3, 1)), labels)["top5"] == 0


def test_accuracies__ties_favour_the_lower_class() -> None:
    """Oracle: Python's sort of (-score, class) pairs; of 40 scores, all 0 or 1, about half are the highest."""
    generator = np.random.default_rng(0)
    scores, labels = generator.integers(2, size=(300, 40)).astype(np.float32), generator.integers(12, size=300)
    first = [[c for _, c in sorted((-score, c) for c, score in enumerate(row))[:5]] for row in scores.tolist()]
    result = accuracies(scores, labels)
    assert result["top1"] == pytest.approx(
        np.mean([ranks[0] == y for ranks, y in zip(first, labels, strict=True)]) * 100
    )
    assert result["top5"] == pytest.approx(np.mean([y in ranks for ranks, y in zip(first, labels, strict=True)]) * 100)


def test_softmax__against_scipy() -> None:
    logits = 50 * np.random.default_rng(0).normal(size=(2, 3, 7))
    assert softmax(logits) == pytest.approx(scipy.special.softmax(logits, axis=2), abs=1e-12)
    assert softmax(np.empty((0, 2, 0), np.float32)).shape == (0, 2, 0)


def test_accuracy_intervals__one_for_each_accuracy() -> None:
    """Oracle: the intervals of `vtdl_cli.intervals`, which has tests of its own."""
    scores, labels = random_scores(150, 9)
    place, groups = true_class_ranks(scores, labels), [str(row // 5) for row in range(150)]
    assert accuracy_intervals(scores, labels) == {
        "top1": share_interval(place < 1),
        "top5": share_interval(place < 5),
        "mean_class": class_mean_interval(place < 1, labels),
    }
    assert accuracy_intervals(scores, labels, groups)["top5"] == share_interval(place < 5, groups)
    assert accuracy_intervals(scores[:, :5], labels % 5).keys() == {"top1", "mean_class"}


def test_class_metrics__equal_scikit_learn() -> None:
    """Oracle: scikit-learn for the classes that have videos and are predicted."""
    scores, labels = random_scores(300, 6)
    predicted = scores.argmax(1)
    ours = class_metrics(confusion(predicted, labels, 6))
    precision, recall, f1, videos = precision_recall_fscore_support(labels, predicted, labels=range(5))
    assert ours.videos[:5].tolist() == videos.tolist()
    assert ours.correct.sum() == (predicted == labels).sum()
    for name, theirs in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert getattr(ours, name)[:5] == pytest.approx(100 * theirs), name


def test_class_metrics__that_are_not_defined() -> None:
    """Oracle: by hand: class 0 was never predicted, class 1 has 1 of 2 correct and 3 predicted, class 2 has no video,
    class 3 neither.
    """
    counts = np.array([[0, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    ours, nan = class_metrics(counts), np.nan
    assert ours.predicted.tolist() == [0, 3, 2, 0]
    np.testing.assert_allclose(ours.recall, [0, 50, nan, nan])
    np.testing.assert_allclose(ours.precision, [nan, 100 / 3, 0, nan])
    np.testing.assert_allclose(ours.f1, [0, 100 * 2 / 5, nan, nan])


def test_confusion__equals_scikit_learn() -> None:
    """Oracle: scikit-learn; rows are the true classes, and a class that no video has or is predicted as keeps its row."""
    scores, labels = random_scores(200, 6)
    predicted = scores.argmax(1)
    counts = confusion(predicted, labels, 8)
    assert np.array_equal(counts, confusion_matrix(labels, predicted, labels=range(8)))
    assert not np.array_equal(counts, counts.T)


def slow_knn(features: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Video by video; of the classes with most votes the one that comes first among the neighbours."""
    correct = 0
    for i in range(len(labels)):
        cosines = {
            j: features[i] @ features[j] / (np.linalg.norm(features[i]) * np.linalg.norm(features[j]))
            for j in range(len(labels))
            if j != i
        }
        votes = [int(labels[j]) for j in sorted(cosines, key=lambda j: -cosines[j])[:k]]
        correct += max(votes, key=votes.count) == labels[i]  # max takes the first of equals
    return 100 * correct / len(labels)


@pytest.mark.parametrize("k", [1, 2, 5, 20, 200])
@pytest.mark.parametrize("rows", [1024, 13])
def test_knn_accuracy__equals_the_slow_loop(k: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: `slow_knn`, whole and in blocks of rows that do not divide the videos; lengths must not matter."""
    monkeypatch.setattr(vtdl_cli.metrics, "KNN_ROWS", rows)
    generator = np.random.default_rng(k)
    labels = generator.integers(4, size=60)
    features = generator.normal(size=(60, 5)) + 1.5 * np.eye(5)[labels]
    features *= generator.uniform(0.1, 10, size=(60, 1))
    assert knn_accuracy(features, labels, k) == pytest.approx(slow_knn(features, labels, k))


def test_knn_accuracy__the_nearest_breaks_a_tie() -> None:
    """Oracle: by hand: five videos on a circle, all others vote. The first two, of class 1, see classes 1 0 0 1 in the
    order of their angles, a tie that the nearest breaks correctly; the last sees 0 0 1 1, and the others a majority of
    the wrong class: 2 of 5 are correct."""
    angles = np.radians([0, 1, 2.5, 4.5, 7])
    features = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert knn_accuracy(features, np.array([1, 1, 0, 0, 1]), k=4) == pytest.approx(40)


def test_knn_accuracy__no_video_votes_for_itself_and_zero_vectors_are_harmless() -> None:
    """Oracle: by hand: of two videos each has the other, of another class, as the only neighbour."""
    assert knn_accuracy(np.array([[1.0, 0.0], [0.9, 0.1]]), np.array([0, 1])) == 0
    assert knn_accuracy(np.zeros((3, 2)), np.array([1, 1, 1])) == 100


@pytest.mark.parametrize("k", [1, 3, 40])
def test_nearest__equals_scikit_learn(k: int) -> None:
    """Oracle: scikit-learn's neighbours by cosine distance; other videos ask than those that answer."""
    generator = np.random.default_rng(k)
    gallery, queries = generator.normal(size=(40, 6)), generator.normal(size=(25, 6))
    expected = NearestNeighbors(n_neighbors=k, metric="cosine").fit(gallery).kneighbors(queries)[1]
    assert np.array_equal(nearest(queries, gallery, k=k), expected)


@pytest.mark.parametrize("k", [1, 4, 29, 30])
@pytest.mark.parametrize("levels", [1, 3, 12, 10_000])
def test_largest__equals_a_stable_full_sort(k: int, levels: int) -> None:
    """Oracle: NumPy's stable sort; from all values equal, through ties at and above the k-th, to hardly any tie."""
    values = np.random.default_rng(levels).integers(levels, size=(50, 30)).astype(np.float32)
    values[np.arange(30), np.arange(30)] = -np.inf  # as a video that is no neighbour of its own
    assert np.array_equal(largest(values, k), np.argsort(-values, axis=1, kind="stable")[:, :k])


def test_nearest__a_long_gallery_is_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: all rows in one block; a block holds at most KNN_VALUES similarities, or one row."""
    generator = np.random.default_rng(0)
    queries, gallery = generator.integers(-2, 3, (21, 4)), generator.integers(-2, 3, (90, 4))  # many equal directions
    whole, shapes = nearest(queries, gallery, k=5), list[tuple[int, ...]]()

    def watch(values: np.ndarray, k: int) -> np.ndarray:
        shapes.append(values.shape)
        return largest(values, k)

    monkeypatch.setattr(vtdl_cli.metrics, "largest", watch)
    for num_values, num_rows in ((400, 4), (50, 1)):
        monkeypatch.setattr(vtdl_cli.metrics, "KNN_VALUES", num_values)
        assert np.array_equal(nearest(queries, gallery, k=5), whole)
        assert max(shapes) == (num_rows, 90)
        shapes.clear()


def test_vote__by_hand() -> None:
    """Oracle: by hand: a majority, a tie that the nearest settles, one voter's second thoughts."""
    assert vote(np.array([[2, 1, 1], [2, 1, 0], [0, 3, 0]])).tolist() == [1, 2, 0]


def test_cluster__finds_directions_whatever_the_length() -> None:
    """Oracle: by hand: three directions, lengths from 1 to 100."""
    generator = np.random.default_rng(0)
    directions, truth = np.eye(4)[:3], np.repeat([0, 1, 2], 20)
    features = directions[truth] * generator.uniform(1, 100, (60, 1)) + generator.normal(0, 0.05, (60, 4))
    found = cluster(features, 3, seed=0)
    assert [len(set(found[truth == number].tolist())) for number in range(3)] == [1, 1, 1]
    assert set(found.tolist()) == {0, 1, 2}


def test_unit__length_is_1_or_stays_0() -> None:
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0, 0]]


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_rank_me__equals_the_papers_equations(shape: tuple[int, int]) -> None:
    """Oracle: equations 1 and 2 of arXiv 2210.02885, one singular value after the other."""
    features = np.random.default_rng(0).normal(1, 2, shape)
    singular = np.sqrt(np.linalg.eigvalsh(features @ features.T).clip(0))[-6:]
    entropy = 0.0
    for value in singular:
        share = value / sum(singular) + 1e-7
        entropy -= share * np.log(share)
    assert rank_me(features) == pytest.approx(np.exp(entropy), rel=1e-6)


def test_rank_me__by_hand() -> None:
    """Oracle: by hand: equal directions count whole, collapsed ones not; 3 : 1 is exp(H), H = ln 4 - 0.75 ln 3."""
    assert rank_me(5 * np.eye(8)[:, :4]) == pytest.approx(4, rel=1e-4)
    assert rank_me(np.outer(np.arange(1, 9), np.ones(4))) == pytest.approx(1, rel=1e-4)
    assert rank_me(np.diag([3.0, 1.0])) == pytest.approx(4 / 3**0.75, rel=1e-4)
    assert rank_me(np.zeros((3, 2))) == pytest.approx(1, rel=1e-4)


def test_leading_variance__equals_the_covariance_matrix() -> None:
    """Oracle: NumPy's covariance: its largest eigenvalues over its trace; the mean, far from 0, does not count."""
    scales = np.linspace(1, 3, 30)
    features = np.random.default_rng(0).normal(50, scales, (200, 30)).astype(np.float32)
    variances = np.linalg.eigvalsh(np.cov(features.astype(np.float64).T))
    assert leading_variance(features) == pytest.approx(100 * variances[-10:].sum() / variances.sum(), rel=1e-9)
    assert leading_variance(features[:, :10]) == pytest.approx(100)
    assert leading_variance(np.ones((4, 3))) == 100
