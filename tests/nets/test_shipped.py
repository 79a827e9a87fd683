"""Files of weights: fp16, packed without loss where they would be too large."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from taut.nets import shipped  # noqa: E402
from taut.nets.shipped import load_weights, read_weights, write_weights  # noqa: E402


class Net(torch.nn.Module):
    """A layer of a given width, with a counter that is not shipped."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 33)
        self.bn = torch.nn.BatchNorm1d(33)


@pytest.mark.parametrize("limit", [1, 10**6])
def test_weights_come_back_as_their_nearest_fp16_whatever_the_packing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(shipped, "MAX_BYTES", limit)
    torch.manual_seed(0)
    module = Net(101)
    file = write_weights(module, tmp_path, "net")
    assert file.name == ("net.safetensors.planes" if limit == 1 else "net.safetensors")
    state = read_weights(file)
    assert set(state) == {name for name in module.state_dict() if "num_batches" not in name}
    for name, value in state.items():
        assert torch.equal(value, module.state_dict()[name].half().float())


def test_planes_are_smaller_than_the_plain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = Net(1000)
    plain = write_weights(module, tmp_path, "plain").stat().st_size
    monkeypatch.setattr(shipped, "MAX_BYTES", 1)
    assert write_weights(module, tmp_path, "packed").stat().st_size < 0.9 * plain


def test_layout_of_images_last_is_written_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 5, 3)
    plain = write_weights(conv, tmp_path, "plain").read_bytes()
    last = write_weights(conv.to(memory_format=torch.channels_last), tmp_path, "last").read_bytes()
    assert plain == last


def test_weights_of_another_net_are_refused() -> None:
    state = Net(10).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(Net(11), state)
    del state["linear.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        load_weights(Net(10), state)
