"""Accuracy, and the augmentation of small images."""

from __future__ import annotations

import numpy as np
import pytest

from taut.tasks.classification import ACCURACY, classification_loss, shift_and_flip


def test_accuracy_is_100_where_the_largest_logit_is_the_label() -> None:
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert ACCURACY.per_sample({"y": logits, "other": logits * 0}, np.array([1, 1, 1])).tolist() == [
        100,
        0,
        100,
    ]


def test_loss_is_cross_entropy_of_the_first_output() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    expected = -np.log([np.exp(2) / (np.exp(1) + np.exp(2)), 0.5]).mean()
    found = classification_loss([logits, logits * 9], torch.tensor([1, 0]))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_augmented_image_is_a_shifted_perhaps_mirrored_copy() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((64, 2, 8, 8)).astype(np.float32) + 1
    changed = shift_and_flip({"image": images}, np.random.default_rng(1), pixels=2)["image"]
    assert changed.shape == images.shape and changed.dtype == np.float32
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    mirrored = 0
    for index in range(64):
        crops = [padded[index, :, top : top + 8, left : left + 8] for top in range(5) for left in range(5)]
        straight = any(np.array_equal(changed[index], crop) for crop in crops)
        flipped = any(np.array_equal(changed[index], crop[:, :, ::-1]) for crop in crops)
        assert straight or flipped
        mirrored += flipped
    assert 16 < mirrored < 48


def test_augmentation_depends_on_its_generator_alone() -> None:
    images = {"image": np.random.default_rng(0).random((4, 1, 8, 8))}
    first, second = (shift_and_flip(images, np.random.default_rng(7))["image"] for _ in range(2))
    assert np.array_equal(first, second)
