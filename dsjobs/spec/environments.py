"""What is wrong with the jobs in one environment whatever the variables are."""

from __future__ import annotations

from collections.abc import Iterator

from dsjobs.diagnostics import Diagnostic
from dsjobs.model import Environment, JobFields, Spec
from dsjobs.spec.cells import check_cells
from dsjobs.spec.layers import Layers, first, is_lost, layers_of, target
from dsjobs.spec.templates import Reference, understood


def check_environment(spec: Spec, environment: Environment) -> list[Diagnostic]:
    """What is wrong with the jobs in `environment` whatever the variables are: targets and projects that are missing."""
    problems: list[Diagnostic] = []
    for fields in spec.jobs:
        layers = layers_of(spec, environment, fields)
        problems += _target_problems(layers)
        needs_project = environment.backend == "datasphere" and not is_lost(layers, "project")
        if needs_project and first(layers, "project") is None:
            problems.append(_no_project(fields, environment))
    if environment.backend == "datasphere" and "output_store" not in environment.settings:
        problems += _outputs_without_store(spec, environment)
    problems += check_cells(spec, environment)
    return problems


def _outputs_without_store(spec: Spec, environment: Environment) -> Iterator[Diagnostic]:
    """Project.Execute answers with a status and no values (page: Response): what depends on a value needs a store."""
    used = next(
        (use for fields in (*spec.jobs, environment.defaults, spec.defaults) for use in _uses_of_outputs(fields)), None
    )
    if used is not None:
        message = f"environment '{environment.name}' has no output store, but {used}: DataSphere returns a status only"
        hint = "add `settings: {output_store: s3://bucket/prefix}` to the environment"
        yield Diagnostic("DSJ404", message, environment.written.value_position("backend"), hint)


def _uses_of_outputs(fields: JobFields) -> Iterator[str]:
    owner = f"job '{fields.name}'" if fields.name else "`defaults`"
    for name, value in [*fields.inputs.items(), ("when", fields.when)]:
        references = (reference for template in understood(value) for reference in template.references)
        if any(map(_uses_outputs, references)):
            what = "`when`" if value is fields.when else f"the input '{name}'"
            yield f"{what} of {owner} needs another job's output"
    for name, contract in fields.outputs.items():
        if contract:
            yield f"{owner} has a contract on its output '{name}'"


def _uses_outputs(reference: Reference) -> bool:
    root, *rest = reference.path
    if reference.each is not None:
        return reference.each[:1] == ("outputs",)
    below = [part for part in rest[1:] if not part.isdecimal()]
    return root == "needs" and below[:1] not in (["status"], ["matrix"])


def _target_problems(layers: Layers) -> Iterator[Diagnostic]:
    fields = layers[0]
    if target(layers) == (None, None) and not is_lost(layers, "notebook", "cell"):
        message = f"job '{fields.name}' has neither 'notebook' nor 'cell'"
        position = fields.written.value_position("name")
        yield Diagnostic("DSJ107", message, position, "add `notebook: NAME.ipynb`")
    for layer in layers:
        if layer.cell is not None:
            message = "'cell' is deprecated in the API"
            place = layer.written.key_position("cell")
            yield Diagnostic("DSJ403", message, place, "put the code into a notebook of its own", "warning")


def _no_project(fields: JobFields, environment: Environment) -> Diagnostic:
    message = f"job '{fields.name}' has no project, which environment '{environment.name}' needs"
    hint = "add `project:` to the job or to `defaults`"
    return Diagnostic("DSJ103", message, fields.written.value_position("name"), hint)
