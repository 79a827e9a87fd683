"""``taut:NAME``: a network with its weights, shipped or trained once and kept in the store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from taut.core.move import Progress, no_progress
from taut.core.task import Task
from taut.graph.ir import Value
from taut.measure.lock import wait_while_timing
from taut.nets import NETS
from taut.nets.base import NetSpec
from taut.nets.shipped import load_weights, read_weights, shipped_file
from taut.tasks.data import cache_folder
from taut.tasks.open import open_task
from taut.train.loop import Hooks
from taut.train.store import Order, get_or_train


def load_net(name: str, progress: Progress = no_progress) -> tuple[nn.Module, NetSpec]:
    """Return the trained network, in evaluation mode, and its spec; trains it where it was never made here.

    Raises BadInput for an unknown name, or where a net must be trained and its data is not here.
    """
    spec: NetSpec = NETS.load(name)
    if spec.weights is None:
        state = trained(spec, store_folder(), progress).state_dict()
    else:
        state = read_weights(shipped_file(spec.weights))
    with torch.random.fork_rng(devices=[]):
        return load_weights(spec.build(), state), spec


def trained(spec: NetSpec, folder: Path, progress: Progress = no_progress) -> nn.Module:
    """Return the network as its recipe makes it, from the store in ``folder`` or by training it."""

    def build() -> nn.Module:
        # The layout that the loop feeds images in; with it a step takes half the time.
        return convert_conv2d_weight_memory_format(spec.build(), torch.channels_last)

    order = Order(identity(spec), build, task_of(spec), spec.recipe, spec.seed)
    return get_or_train(order, folder, Hooks(progress=progress, pause=wait_while_timing))


def identity(spec: NetSpec) -> str:
    """Return what the store knows the untrained network by: a spec that changed is another network."""
    with torch.random.fork_rng(devices=[]):
        layers = repr(spec.build())
    return f"{spec.name} {hashlib.sha256(layers.encode()).hexdigest()}"


def task_of(spec: NetSpec) -> Task:
    """Open the task that the network was made for."""
    return open_task(spec.task, [Value("image", "float32", spec.input_shape)], {})


def store_folder() -> Path:
    """Return the folder of trained nets in the user's cache."""
    return cache_folder() / "nets"
