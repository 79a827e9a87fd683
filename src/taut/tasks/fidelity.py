"""Quality without labels: how like the original's the outputs of one sample are.

Of a sample, the lowest cosine over its outputs (flattened, float64); an integer output counts with the
share of its elements that agree exactly. A mean over samples hides rare failures, so the 1st percentile
stands beside it.
"""

from __future__ import annotations

import numpy as np

from taut.core.task import Arrays

# float32 has 24 significant bits of 6.02 dB each: beyond that two outputs are the same.
HIGHEST_SQNR_DB = 144.5


def cosine_of(outputs: Arrays, reference: Arrays) -> float:
    """Return the lowest cosine over the outputs of one sample, -1..1; 0 where an output is not finite."""
    return min((_cosine(outputs[name], wanted) for name, wanted in reference.items()), default=1.0)


def sqnr_of(outputs: Arrays, reference: Arrays) -> float:
    """Return the lowest ratio of signal to error over the float outputs of one sample, in dB."""
    floats = {name: wanted for name, wanted in reference.items() if _is_float(wanted)}
    return min((_sqnr_db(outputs[name], wanted) for name, wanted in floats.items()), default=HIGHEST_SQNR_DB)


def labels_of(outputs: Arrays) -> np.ndarray | None:
    """Return the labels of one sample: the first output's largest logit (1, classes), or its integers.

    None where the first output is neither, so that there is no label to agree on.
    """
    first = next(iter(outputs.values()))
    if not _is_float(first):
        return first
    return first.argmax(axis=1) if first.ndim == 2 and first.shape[1] > 1 else None


def agreement_of(outputs: Arrays, reference: Arrays) -> float | None:
    """Return the share of a sample's labels that agree, in points; None where there are no labels."""
    wanted, found = labels_of(reference), labels_of(outputs)
    if wanted is None:
        return None
    return 0.0 if found is None else 100.0 * _agreement(found, wanted)


def _cosine(output: np.ndarray, wanted: np.ndarray) -> float:
    if output.shape != wanted.shape:
        return 0.0
    if not _is_float(wanted):
        return _agreement(output, wanted)
    left, right = _comparable(output, wanted)
    if np.array_equal(left, right):
        return 1.0
    if not np.isfinite(left).all() or not np.isfinite(right).all():
        return 0.0
    # Scaled first, or squares of large values overflow; an output of zeros keeps the scale 1.
    left, right = left / (np.abs(left).max(initial=0) or 1), right / (np.abs(right).max(initial=0) or 1)
    norms = np.linalg.norm(left) * np.linalg.norm(right)
    return float(np.clip(left @ right / norms, -1, 1)) if norms > 0 else 0.0


def _sqnr_db(output: np.ndarray, wanted: np.ndarray) -> float:
    if output.shape != wanted.shape:
        return 0.0
    left, right = _comparable(output, wanted)
    error, signal = np.square(left - right).sum(), np.square(right).sum()
    if error == 0:
        return HIGHEST_SQNR_DB
    if not np.isfinite(error) or signal == 0:
        return 0.0
    return float(min(10 * np.log10(signal / error), HIGHEST_SQNR_DB))


def _comparable(output: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flatten to float64, without elements that are the same infinity in both (masked scores)."""
    left, right = output.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    is_same_infinity = np.isinf(right) & (left == right)
    return left[~is_same_infinity], right[~is_same_infinity]


def _agreement(output: np.ndarray, wanted: np.ndarray) -> float:
    return float((output == wanted).mean()) if output.shape == wanted.shape and wanted.size else 1.0


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind not in "iubUSO"
