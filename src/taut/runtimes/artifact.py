"""Artifacts: a network saved with how it runs and what was proven of it, in a folder that loads anywhere.

    best/
      manifest.json    what it is (``taut.runtimes.manifest``)
      main.onnx        one file per stage: main.onnx, or main.0.onnx, main.1.onnx ...
      use.py           runs it, without taut where stock runtimes suffice

A folder appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import datetime
import glob
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from onnx import load_model

from taut.core.device import Device
from taut.core.errors import BadInput, EnvironmentFailed
from taut.core.move import NameMap
from taut.core.network import Network, Part, Stage
from taut.core.runner import Item, RunnerSpec
from taut.graph.ir import Graph
from taut.graph.onnx_external import has_external_data
from taut.graph.onnx_types import value_of
from taut.graph.split import split
from taut.runtimes import get_runtime
from taut.runtimes.base import NodeTime
from taut.runtimes.chain import LoadedNetwork
from taut.runtimes.manifest import Manifest, SavedStage, model_file, read_manifest, write_manifest
from taut.runtimes.use_script import use_script

_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class ArtifactRecord:
    """What is kept with a network besides itself."""

    threads: int
    device: Device
    plan: Sequence[Mapping[str, Any]] = ()
    """``Plan.to_json()`` of what was done to the original"""
    names: NameMap = field(default_factory=NameMap)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)


def save_artifact(network: Network, folder: Path, record: ArtifactRecord) -> Path:
    """Save a network and return the folder; what was saved is opened once, to record where its nodes run.

    Raises BadInput where the folder exists or a runtime refuses its stage, EnvironmentFailed where the disk
    does. A network that is unchanged since its file was read is saved as a copy of that file.
    """
    if folder.exists():
        raise BadInput(str(folder), "exists already", "choose a new folder or remove it")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}{_UNFINISHED}")
    try:
        try:
            _remove_leftovers(folder)
            unfinished.mkdir(parents=True)
            _write(network, unfinished, record)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFailed(f"writing {folder}", reason, "make room or choose another folder") from error
    return folder


def load_artifact(folder: Path, threads: int | None = None) -> LoadedNetwork:
    """Load an artifact; BadInput where it is damaged, EnvironmentFailed where it runs elsewhere than proven.

    On another device, with other versions or threads it loads all the same: ``is_proven_here`` is then false.
    """
    network = open_artifact_runner(str(folder), threads)
    network.check_placement()
    return network


def artifact_spec(folder: Path, threads: int | None = None) -> RunnerSpec:
    """Return the recipe by which a child process runs an artifact, by default with its own threads."""
    return RunnerSpec(
        "taut.runtimes.artifact:open_artifact_runner", {"folder": str(folder), "threads": threads}
    )


def open_artifact_runner(folder: str, threads: int | None = None) -> LoadedNetwork:
    """Build the Runner of an artifact; its placement is not checked, which would show in its memory."""
    return LoadedNetwork(read_manifest(Path(folder)), Path(folder), threads)


def profile_artifact(folder: Path, items: Sequence[Item], threads: int | None = None) -> list[NodeTime]:
    """Return the median time of every kernel of every stage over the items, in order."""
    return open_artifact_runner(str(folder), threads).profile(items)


def file_bytes(folder: Path) -> int:
    """Return the size of an artifact's model files, which is what the budget's ``file`` limits."""
    return read_manifest(folder).file_bytes


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while saving this folder left beside it."""
    for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.*{_UNFINISHED}"):
        process = leftover.name.removesuffix(_UNFINISHED).rpartition(".")[2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)


def _write(network: Network, folder: Path, record: ArtifactRecord) -> None:
    stages = _save_stages(network, folder)
    manifest = _manifest(network, stages, record)
    placed = LoadedNetwork(manifest, folder)
    try:
        placements = placed.stage_placements()
    finally:
        placed.close()
    stages = tuple(
        replace(saved, placement=placement) for saved, placement in zip(stages, placements, strict=True)
    )
    manifest = replace(manifest, stages=stages)
    (folder / "use.py").write_text(use_script(manifest), encoding="utf-8")
    write_manifest(manifest, folder)


def _save_stages(network: Network, folder: Path) -> tuple[SavedStage, ...]:
    part, stages = network.parts[network.entry], network.run.stages
    if len(network.parts) > 1 or part.kind != "net":
        raise BadInput(f"network {network.name!r}", "has parts besides one net", "save its parts one by one")
    if len(stages) == 1:
        return (_save_whole(part, stages[0], folder, network.entry),)
    graphs = split(part.graph, [stage.until for stage in stages[:-1]])
    return tuple(
        _save_stage(graph, stage, folder, f"{network.entry}.{number}")
        for number, (graph, stage) in enumerate(zip(graphs, stages, strict=True))
    )


def _save_whole(part: Part, stage: Stage, folder: Path, stem: str) -> SavedStage:
    saved = _save_stage(part.graph, stage, folder, stem)
    name = saved.files[0].path
    if part.source_file is None or name != f"{stem}.onnx" or not _is_same_model(part.source_file, part.graph):
        return saved
    shutil.copyfile(part.source_file, folder / name)
    return replace(saved, files=(model_file(folder, name),))


def _is_same_model(source: Path, graph: Graph) -> bool:
    """Whether the file stands for the graph alone: no data beside it, the same fixed sizes of inputs."""
    model = load_model(source, load_external_data=False)
    types = {info.name: value_of(info) for info in model.graph.input}
    return not has_external_data(model) and all(types.get(value.name) == value for value in graph.inputs)


def _save_stage(graph: Graph, stage: Stage, folder: Path, stem: str) -> SavedStage:
    names = get_runtime(stage.runtime).save(graph, stage, folder, stem)
    return SavedStage(
        stage,
        tuple(value.name for value in graph.inputs),
        tuple(value.name for value in graph.outputs),
        tuple(model_file(folder, name) for name in names),
        {},
    )


def _manifest(network: Network, stages: tuple[SavedStage, ...], record: ArtifactRecord) -> Manifest:
    graph = network.graph
    runtimes = {saved.stage.runtime: get_runtime(saved.stage.runtime).version() for saved in stages}
    return Manifest(
        name=network.name,
        entry=network.entry,
        stages=stages,
        threads=record.threads,
        inputs=graph.inputs,
        outputs=graph.outputs,
        device=record.device,
        feedback=network.feedback,
        plan=record.plan,
        names=record.names,
        evidence=record.evidence,
        quality=record.quality,
        versions={"taut": version("taut"), **runtimes},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
