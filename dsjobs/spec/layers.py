"""Where a job's values come from: the job itself, the environment's defaults, the file's."""

from __future__ import annotations

from typing import Any

from dsjobs.marks import MarkedMap, Position
from dsjobs.model import Environment, JobFields, Spec

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


def together(strong: JobFields, weak: JobFields) -> JobFields:
    """What a job says with its defaults, or the defaults of an environment with those of the file: each key as the stronger one
    has it. Inputs, whose names are merged, are the stronger one's own; see `inputs.py`."""
    # Written out, because it is done for each job in each environment.
    has_target = strong.notebook is not None or strong.cell is not None
    return JobFields(
        written=strong.written,
        name=strong.name,
        description=strong.description or weak.description,
        project=weak.project if strong.project is None else strong.project,
        notebook=strong.notebook if has_target else weak.notebook,
        cell=strong.cell if has_target else weak.cell,
        inputs=strong.inputs,
        outputs={**weak.outputs, **strong.outputs}
        if weak.outputs and strong.outputs
        else strong.outputs or weak.outputs,
        spec=weak.spec if strong.spec is None else strong.spec,
        spark_connector=weak.spark_connector if strong.spark_connector is None else strong.spark_connector,
        needs=strong.needs,
        matrix=weak.matrix if strong.matrix is None else strong.matrix,
        tags=weak.tags if strong.tags is None else strong.tags,
        run_if=weak.run_if if strong.run_if is None else strong.run_if,
        when=weak.when if strong.when is None else strong.when,
        retry=weak.retry if strong.retry is None else strong.retry,
        timeout=weak.timeout if strong.timeout is None else strong.timeout,
        pool=weak.pool if strong.pool is None else strong.pool,
        allow_failure=weak.allow_failure if strong.allow_failure is None else strong.allow_failure,
        cache=weak.cache if strong.cache is None else strong.cache,
    )


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
