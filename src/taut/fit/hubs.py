"""Models from hubs: ``timm:NAME`` and ``hf:NAME``, where those packages are installed.

Weights are taken as safetensors only, and a model's own code is not run.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.task import Arrays

SEQUENCE = 128
"""Tokens of a text model's input where ``--shape`` gives none"""


_EXTRAS = {"timm": "timm", "transformers": "hf"}


def timm_model(name: str) -> tuple[Any, Arrays]:
    """Return a pretrained timm model and an input of its default size. Raises BadInput, EnvironmentFailed."""
    given = f"timm:{name}"
    timm = _package("timm", given)
    if not timm.is_model(name):
        raise BadInput(given, "is not a model of timm", "timm.list_models(pretrained=True) has the names")
    module = _fetched(given, timm.create_model, name, pretrained=True)
    size = timm.data.resolve_model_data_config(module)["input_size"]
    return module, {"image": np.zeros((1, *size), np.float32)}


def hf_model(name: str, shape: tuple[int, ...]) -> tuple[Any, Arrays]:
    """Return a transformers model and inputs (batch, tokens). Raises BadInput, EnvironmentFailed."""
    given = f"hf:{name}"
    transformers = _package("transformers", given)
    # Plain attention: the fused one is exported with guards around every softmax, twice as many nodes.
    options = {"use_safetensors": True, "attn_implementation": "eager"}
    module = _fetched(given, transformers.AutoModel.from_pretrained, name, **options)
    if module.main_input_name != "input_ids":
        rule = f"takes {module.main_input_name!r}; only models of text are opened by name"
        raise BadInput(given, rule, "give package.module:function, which returns (module, example inputs)")
    module.config.use_cache = False  # keys and values of earlier tokens are no part of one pass
    ones = np.ones(shape, np.int64)  # a token that every vocabulary has, all of them attended to
    return module, {"input_ids": ones, "attention_mask": ones}


def _package(name: str, given: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        rule = f"needs the package {error.name!r}, which is not installed"
        raise BadInput(given, rule, f"pip install 'taut[{_EXTRAS[name]}]'") from error
    except (ImportError, RuntimeError) as error:
        # torchvision made for another torch fails with RuntimeError, and with it all that import it
        raise BadInput(
            given, f"{name} cannot be imported here ({error})", f"repair {name}'s installation"
        ) from error


def _fetched(given: str, load: Any, *arguments: Any, **options: Any) -> Any:
    """Call what may download weights."""
    try:
        return load(*arguments, **options)
    except (OSError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        way_out = "check the name and the connection, or give an .onnx file"
        raise EnvironmentFailed(given, f"its weights cannot be had ({lines[0]})", way_out) from error
