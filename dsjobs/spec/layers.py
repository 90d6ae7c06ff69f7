"""Where a job's values come from: the job itself, the environment's defaults, the file's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Contract, Environment, JobFields, Spec

Layers = tuple[JobFields, ...]


def layers_of(spec: Spec, environment: Environment, fields: JobFields) -> Layers:
    """Where a job's values come from, strongest first."""
    return (fields, environment.defaults, spec.defaults)


def first(layers: Layers, key: str) -> Any:
    """The value of `key` in the strongest layer that has one."""
    for layer in layers:  # a generator costs three times as much, ten times for each job
        value = getattr(layer, key)
        if value is not None:
            return value
    return None


def together(layers: Layers) -> JobFields:
    """What a job says with its defaults: each key as the strongest layer has it. Inputs, whose names are merged, are the job's
    own; see `inputs.py`."""
    job = layers[0]
    notebook, cell = target(layers)
    return JobFields(
        written=job.written,
        name=job.name,
        description=next((layer.description for layer in layers if layer.description), ""),
        project=first(layers, "project"),
        notebook=notebook,
        cell=cell,
        inputs=job.inputs,
        outputs=_outputs(layers),
        spec=first(layers, "spec"),
        spark_connector=first(layers, "spark_connector"),
        needs=job.needs,
        matrix=first(layers, "matrix"),
        tags=first(layers, "tags"),
        run_if=first(layers, "run_if"),
        when=first(layers, "when"),
        retry=first(layers, "retry"),
        timeout=first(layers, "timeout"),
        pool=first(layers, "pool"),
        allow_failure=first(layers, "allow_failure"),
        cache=first(layers, "cache"),
    )


def _outputs(layers: Layers) -> Mapping[str, Contract]:
    declared = [layer.outputs for layer in reversed(layers) if layer.outputs]
    if len(declared) < 2:
        return declared[0] if declared else {}
    return {name: contract for outputs in declared for name, contract in outputs.items()}


def target(layers: Layers) -> tuple[str | None, str | None]:
    """Notebook and cell, from the strongest layer that has either."""
    for layer in layers:
        if layer.notebook is not None or layer.cell is not None:
            return layer.notebook, layer.cell
    return None, None


def is_lost(layers: Layers, *keys: str) -> bool:
    """Whether the file says one of `keys` in a way that was not understood, which has been reported."""
    return any(not layer.written.lost.isdisjoint(keys) for layer in layers)


def layer_with(layers: Layers, key: str) -> JobFields:
    """The strongest layer that says `key`; the job itself where none does."""
    return next((layer for layer in layers if key in layer.written), layers[0])


def position_of(layers: Layers, key: str) -> Position:
    """Where the value of `key` was written."""
    return layer_with(layers, key).written.value_position(key)


def input_position(layer: JobFields, name: str) -> Position:
    inputs = layer.written.get("inputs")
    return inputs.value_position(name) if isinstance(inputs, MarkedMap) else layer.written.position()
