from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from torch import Tensor, nn

from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.network import Network, Part
from taut.core.task import Arrays
from taut.fit.models import open_model
from taut.graph import Graph, Value


class Encoder(nn.Module):
    """What of a text model matters here."""

    def __init__(self, main_input_name: str) -> None:
        super().__init__()
        self.main_input_name = main_input_name
        self.config = SimpleNamespace(use_cache=True)
        self.embedding = nn.Embedding(5, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        del labels
        return {"last_hidden_state": self.embedding(input_ids) * attention_mask[..., None]}


@pytest.fixture
def example_inputs(monkeypatch: pytest.MonkeyPatch) -> list[Arrays]:
    """What modules would be exported with; exporting itself takes seconds."""
    seen: list[Arrays] = []

    def record(module: nn.Module, inputs: Arrays, *_names: object) -> Network:
        assert isinstance(module, nn.Module)
        seen.append(inputs)
        values = tuple(Value(name, str(array.dtype), array.shape) for name, array in inputs.items())
        return Network("recorded", {"main": Part(Graph("recorded", values, (), (), {}))})

    monkeypatch.setattr("taut.fit.models.network_from_module", record)
    return seen


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    package = ModuleType(name)
    vars(package).update(contents)
    monkeypatch.setitem(sys.modules, name, package)


def install_transformers(monkeypatch: pytest.MonkeyPatch, main_input_name: str = "input_ids") -> list[dict]:
    calls: list[dict] = []

    def from_pretrained(name: str, **options: object) -> Encoder:
        calls.append({"name": name, **options})
        if name == "missing":
            raise OSError("missing is not a local folder\nand more")
        return Encoder(main_input_name)

    install(monkeypatch, "transformers", AutoModel=SimpleNamespace(from_pretrained=from_pretrained))
    return calls


def test_text_model_takes_tokens_and_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install_transformers(monkeypatch)
    network = open_model("hf:some/model", {"input_ids": (2, 7)})
    shapes = {value.name: (value.dtype, value.shape) for value in network.graph.inputs}
    assert shapes == {"input_ids": ("int64", (2, 7)), "attention_mask": ("int64", (2, 7))}
    assert network.graph.outputs[0].name == "last_hidden_state"
    assert calls[0]["use_safetensors"] is True


def test_text_model_takes_128_tokens_by_default(
    monkeypatch: pytest.MonkeyPatch, example_inputs: list[Arrays]
) -> None:
    install_transformers(monkeypatch)
    open_model("hf:some/model", batch=3)
    assert {name: array.shape for name, array in example_inputs[0].items()} == {
        "input_ids": (3, 128),
        "attention_mask": (3, 128),
    }


def test_model_of_pictures_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install_transformers(monkeypatch, "pixel_values")
    with pytest.raises(BadInput, match="pixel_values"):
        open_model("hf:some/model")


def test_weights_that_cannot_be_had_are_the_environments_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    install_transformers(monkeypatch)
    with pytest.raises(EnvironmentFailed, match=r"missing is not a local folder\)"):
        open_model("hf:missing")


def test_timm_model_takes_its_default_size(
    monkeypatch: pytest.MonkeyPatch, example_inputs: list[Arrays]
) -> None:
    install(
        monkeypatch,
        "timm",
        is_model=lambda name: name == "tiny",
        create_model=lambda name, pretrained: nn.Flatten() if (name, pretrained) == ("tiny", True) else None,
        data=SimpleNamespace(resolve_model_data_config=lambda _module: {"input_size": (3, 4, 4)}),
    )
    open_model("timm:tiny", batch=2)
    assert {name: array.shape for name, array in example_inputs[0].items()} == {"image": (2, 3, 4, 4)}
    with pytest.raises(BadInput, match="not a model of timm"):
        open_model("timm:huge")


@pytest.mark.parametrize(("text", "extra"), [("timm:tiny", "timm"), ("hf:some/model", "hf")])
def test_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, text: str, extra: str
) -> None:
    for name in ("timm", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match=rf"pip install 'taut\[{extra}\]'"):
        open_model(text)
