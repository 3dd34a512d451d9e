import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from trainables.training.linear_probe import PENALTIES, LinearHead, solve_head


def blobs(images: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features around a centre per class, and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    centres = rng.normal(size=(classes, width))
    return (centres[labels] + rng.normal(size=(images, width))).astype(np.float32), labels


@pytest.mark.parametrize(("images", "width"), [(60, 200), (200, 20)])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_the_minimum_of_the_penalized_loss(
    images: int, width: int, classes: int
) -> None:
    """It is one of scikit-learn's solutions, however few the images."""
    features, labels = blobs(images, width, classes)
    head = solve_head(features, labels, classes, balanced=False, seed=0)
    scale = np.sqrt((features**2).sum(axis=1).mean())
    known = [
        LogisticRegression(C=1 / (penalty * images), max_iter=5000, tol=1e-8)
        .fit(features / scale, labels)
        .predict_proba(features / scale)
        for penalty in PENALTIES
    ]
    logits = head.logits(features)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert min(np.abs(probabilities - each).max() for each in known) < 0.01


def test_features_that_differ_little_are_solved_to_the_end() -> None:
    """As those of a backbone, they have a large common part, and differ mostly in few directions.

    scikit-learn's default tolerance ends there early; the probabilities are then 0.02 off.
    """
    features, labels = blobs(300, 60, 2)
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(300) < 0.15, 1 - labels, labels)
    features = features * np.logspace(0, -2, 60, dtype=np.float32) + 3
    head = solve_head(features, labels, 2, balanced=False, seed=0)
    scaled = features / np.sqrt((features**2).sum(axis=1).mean())
    known = [
        LogisticRegression(C=1 / (penalty * 300), max_iter=5000, tol=1e-9)
        .fit(scaled, labels)
        .decision_function(scaled)
        for penalty in PENALTIES
    ]
    found = np.diff(head.logits(features)).ravel()
    assert min(np.abs(expit(found) - expit(each)).max() for each in known) < 0.002


def test_a_noisy_problem_gets_a_stronger_penalty() -> None:
    features, labels = blobs(120, 40, 3)
    noise = np.random.default_rng(1).permutation(labels)
    clear = solve_head(features, labels, 3, balanced=False, seed=0)
    noisy = solve_head(features, noise, 3, balanced=False, seed=0)
    assert np.abs(noisy.weight).sum() < np.abs(clear.weight).sum() / 2


def test_a_balanced_head_finds_rare_classes_more_often() -> None:
    features, labels = blobs(400, 5, 2)
    rare = np.flatnonzero(labels == 1)[20:]
    features, labels = np.delete(features, rare, axis=0), np.delete(labels, rare)
    features = features / 3
    recalls = [
        (head.logits(features).argmax(axis=1) == 1)[labels == 1].mean()
        for balanced in (False, True)
        for head in [solve_head(features, labels, 2, balanced=balanced, seed=0)]
    ]
    assert recalls[1] >= recalls[0]


def test_a_class_with_one_image_is_no_obstacle() -> None:
    features, labels = blobs(30, 8, 2)
    head = solve_head(
        np.vstack([features, features[:1] + 9]), np.append(labels, 2), 3, balanced=False, seed=0
    )
    assert np.isfinite(head.weight).all()


def test_the_loss_is_the_mean_cross_entropy() -> None:
    features, labels = blobs(10, 4, 3)
    head = LinearHead(np.ones((3, 4)), np.array([0.0, 1.0, 2.0]))
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(head.logits(features)), torch.from_numpy(labels)
    )
    assert head.loss(features, labels) == pytest.approx(float(expected))


def test_copies_of_an_image_do_not_weaken_the_penalty() -> None:
    """With copies on both sides of a fold, a head that has learned them by heart looks good."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 40))
    labels, held = np.arange(45) % 3, np.arange(600) % 3
    features = (centres[labels] + 3 * rng.normal(size=(45, 40))).astype(np.float32)
    unseen = (centres[held] + 3 * rng.normal(size=(600, 40))).astype(np.float32)
    given = {"balanced": False, "seed": 0}
    thrice, units = np.repeat(np.arange(45), 3), [str(k) for k in range(45) for _ in range(3)]
    apart = solve_head(features[thrice], labels[thrice], 3, **given)  # type: ignore[arg-type]
    together = solve_head(features[thrice], labels[thrice], 3, units=units, **given)  # type: ignore[arg-type]
    assert together.loss(unseen, held) < apart.loss(unseen, held)


def test_units_that_fill_all_folds_but_one_are_drawn_apart() -> None:
    features, labels = np.eye(6, dtype=np.float32), np.arange(6) % 2
    head = solve_head(features, labels, 2, units=["a"] * 6, balanced=False, seed=0)
    assert np.isfinite(head.weight).all()
