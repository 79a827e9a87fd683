"""The PP-OCRv4 text detector at 1x3x640x640, on photographs and pages with text.

Inputs are crops of scikit-learn's two photographs with words drawn on them, and drawn pages; one typeface in
many sizes and colours stands for the fonts of the world. Normalised as the detector was trained (channel
means 0.485, 0.456, 0.406, deviations 0.229, 0.224, 0.225). They are kept as bytes and made ready when taken:
256 samples as float32 would be 1.3 GB.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.base import FIDELITY, Subject
from models.packaged import Package, fetch
from taut.core.task import Arrays, ArraySplit, Sealed, Task

SIZE = 640
MODEL = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
PACKAGE = Package(
    "rapidocr-onnxruntime==1.4.4",
    {MODEL: "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"},
)
SPLITS = {"train": 128, "select": 64, "test": 64}
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)


def prepare(cache: Path) -> Subject:
    """Fetch the detector and fix the size of its input with onnxruntime's own tool, for Taut and peers."""
    file = cache / "ocr_det" / f"det_{SIZE}.onnx"
    if not file.exists():
        _fix_size(fetch(PACKAGE, cache / "ocr_det")[MODEL], file)
    return Subject("ocr_det", str(file), "models.ocr_det:task", FIDELITY, file)


def _fix_size(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.tools.onnx_model_utils import fix_output_shapes, make_input_shape_fixed

    model = onnx.load(source)
    make_input_shape_fixed(model.graph, "x", [1, 3, SIZE, SIZE])
    fix_output_shapes(model)
    onnx.save(model, target)


def task() -> Task:
    """Draw the inputs, the same every time, and return them in three splits without labels."""
    rng = np.random.default_rng(0)
    splits = {name: _split(count, rng) for name, count in SPLITS.items()}
    return Task("ocr_det", splits["train"], splits["select"], Sealed(splits["test"]), ())


def _split(count: int, rng: np.random.Generator) -> ArraySplit:
    images = np.stack([picture(rng) for _ in range(count)])
    return ArraySplit({"x": images}, transform=_normalised)


def _normalised(inputs: Arrays) -> Arrays:
    return {name: (images.astype(np.float32) / 255 - MEAN) / STD for name, images in inputs.items()}


def picture(rng: np.random.Generator) -> np.ndarray:
    """Draw one picture, uint8 (3, SIZE, SIZE): a photograph with signs on it, or a page."""
    is_page = rng.random() < 0.4
    image = _paper(rng) if is_page else _photograph(rng)
    _write_lines(image, rng, int(rng.integers(8, 24) if is_page else rng.integers(2, 10)))
    return np.asarray(image).transpose(2, 0, 1)


def _photograph(rng: np.random.Generator) -> Image.Image:
    """A random crop of a quarter to all of a photograph's height, scaled to the input's size."""
    photographs, _ = _sample_images()
    photograph = photographs[int(rng.integers(len(photographs)))]
    height, width, _ = photograph.shape
    side = int(rng.integers(height // 4, height + 1))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    crop = photograph[top : top + side, left : left + side]
    return Image.fromarray(crop).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


@cache
def _sample_images() -> tuple[list[np.ndarray], list[str]]:
    """scikit-learn's two photographs, and the words that describe them."""
    from sklearn.datasets import load_sample_images

    samples = load_sample_images()
    return list(samples.images), samples.DESCR.split()


def _paper(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIZE, SIZE), _color(rng, 180, 256))


def _write_lines(image: Image.Image, rng: np.random.Generator, count: int) -> None:
    """Draw lines of words from top to bottom, dark on light or light on dark."""
    draw = ImageDraw.Draw(image)
    is_dark = float(np.asarray(image.convert("L")).mean()) > 100
    for number in range(count):
        font = ImageFont.load_default(int(rng.integers(12, 56)))
        color = _color(rng, 0, 80) if is_dark else _color(rng, 180, 256)
        top = (number + 0.5 * rng.random()) * SIZE / count
        draw.text((int(rng.integers(0, SIZE // 2)), int(top)), _words(rng), fill=color, font=font)


def _words(rng: np.random.Generator) -> str:
    _, words = _sample_images()
    start = int(rng.integers(0, len(words) - 6))
    return " ".join(words[start : start + int(rng.integers(1, 6))])


def _color(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue
