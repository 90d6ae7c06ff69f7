"""Job files beside the notebooks that their jobs run: what `validate` and `plan` say, where, and how often."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from corpus import Case, Cell

from dsjobs.cli import loading, main
from dsjobs.cli.contracts import Contracts
from dsjobs.cli.drafting import demo_files
from dsjobs.diagnostics import Diagnostic
from dsjobs.notebook.contract.analysis import contract_of
from dsjobs.notebook.contract.value import CodeSource

READS = 'import os\na = os.environ["FIRST_INPUT"]\nb = os.environ.get("OTHER", "")\nresult = a'
LOCAL = "environments: {local: {backend: local, projects: {p: notebooks}}}\ndefaults: {project: p}\n"
BOTH = """\
environments:
  local: {backend: local, projects: {p: notebooks}}
  prod: {backend: datasphere, projects: {p: bt1abcdefghijklmnopq}}
default_environment: local
defaults: {project: p}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notebooks").mkdir()


def notebook(path: str, *cells: str, **metadata: object) -> None:
    content = json.loads(Case((), (), tuple(map(Cell, cells))).notebook)
    content["metadata"].update(metadata)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content), encoding="utf-8")


def said(text: str, env: str | None = None, *, is_here: bool = True) -> list[Diagnostic]:
    """What is said of the job file, in one environment or all."""
    Path("jobs.yaml").write_text("version: 1\n" + text, encoding="utf-8")
    spec = loading.load(Path("jobs.yaml")).spec
    assert spec is not None
    environments = [spec.environments[env]] if env else list(spec.environments.values())
    return loading.check_everywhere(spec, environments, Contracts(Path.cwd(), is_here=is_here))


def short(found: list[Diagnostic]) -> list[tuple[str, str, str]]:
    """Code, severity and line:column of each."""
    return [
        (one.code, one.severity, f"{one.position.line}:{one.position.column}" if one.position else "") for one in found
    ]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    return int(stop.value.code or 0)


def test_input_in_defaults_when_one_job_reads_it_then_nothing_is_said():
    notebook("notebooks/a.ipynb", READS)
    notebook("notebooks/b.ipynb", "x = 1")
    text = LOCAL.replace("project: p}", "project: p, inputs: {FIRST_INPUT: x}}")
    assert said(text + "jobs: [{name: a, notebook: a.ipynb}, {name: b, notebook: b.ipynb}]") == []


def test_input_in_defaults_when_no_job_reads_it_then_it_is_said_once_at_its_place():
    notebook("notebooks/a.ipynb", READS)
    notebook("notebooks/b.ipynb", "x = 1")
    text = LOCAL.replace("project: p}", "project: p, inputs: {FIRST_INPUT: x, NOBODY: x}}")
    found = said(text + "jobs: [{name: a, notebook: a.ipynb}, {name: b, notebook: b.ipynb}]")
    assert short(found) == [("DSJ406", "warning", "3:49")]


def test_input_in_defaults_when_a_notebook_cannot_be_told_then_nothing_is_said():
    notebook("notebooks/a.ipynb", "exec(code)")
    notebook("notebooks/b.ipynb", "x = 1")
    text = LOCAL.replace("project: p}", "project: p, inputs: {NOBODY: x}}")
    assert said(text + "jobs: [{name: a, notebook: a.ipynb}, {name: b, notebook: b.ipynb}]") == []
    assert said(text + "jobs: [{name: a, notebook: gone.ipynb}, {name: b, notebook: b.ipynb}]") == []


def test_input_of_an_anchor_when_one_job_reads_it_then_nothing_is_said():
    notebook("notebooks/a.ipynb", READS)
    notebook("notebooks/b.ipynb", "x = 1")
    jobs = "jobs:\n- {name: a, notebook: a.ipynb, inputs: &i {FIRST_INPUT: 1}}\n- {name: b, notebook: b.ipynb, inputs: *i}\n"
    assert said(LOCAL + jobs) == []


def test_matrix_when_its_cells_have_a_mistake_then_it_is_said_once():
    notebook("notebooks/a.ipynb", READS)
    jobs = "jobs:\n- name: a\n  matrix: {x: [1, 2, 3]}\n  notebook: a.ipynb\n"
    jobs += "  inputs: {FRIST_INPUT: '{{ matrix.x }}'}\n  outputs: [resutl]\n"
    assert short(said(LOCAL + jobs)) == [("DSJ407", "error", "8:12"), ("DSJ408", "error", "9:13")]


def test_mistake_when_many_jobs_of_a_notebook_have_it_then_it_is_said_of_the_first():
    notebook("notebooks/a.ipynb", READS)
    found = said(LOCAL + "jobs:\n" + "".join(f"- {{name: j{i}, notebook: a.ipynb}}\n" for i in range(5)))
    assert short(found) == [("DSJ407", "error", "5:24")]
    assert found[0].message.startswith(
        "job 'j0' and 4 more: notebooks/a.ipynb needs a variable that no input sets: FIRST_INPUT"
    )


def test_variable_when_the_environment_has_it_then_a_local_kernel_inherits_it(monkeypatch):
    notebook("notebooks/a.ipynb", READS)
    monkeypatch.setenv("FIRST_INPUT", "x")
    assert said(BOTH + "jobs: [{name: a, notebook: a.ipynb}]", "local") == []
    assert [one.code for one in said(BOTH + "jobs: [{name: a, notebook: a.ipynb}]", "prod")] == ["DSJ407"]


def test_input_that_cannot_be_rendered_yet_when_it_is_there_then_the_variable_is_not_missing():
    notebook("notebooks/a.ipynb", READS)
    jobs = "variables: {x: {type: string}}\njobs: [{name: a, notebook: a.ipynb, inputs: {FIRST_INPUT: '{{ vars.x }}'}}]"
    assert said(LOCAL + jobs) == []


def test_secret_when_it_looks_like_one_then_only_the_machine_that_runs_it_misses_it():
    notebook("notebooks/a.ipynb", 'import os\nos.environ["DB_PASSWORD"]')
    jobs = "jobs: [{name: a, notebook: a.ipynb}]"
    assert said(BOTH + jobs, is_here=False) == []
    assert short(said(BOTH + jobs, "local")) == [("DSJ407", "error", "7:28")]


def test_datasphere_when_a_variable_may_be_a_secret_then_it_is_a_warning():
    notebook("notebooks/a.ipynb", READS)
    (found,) = said(BOTH + "jobs: [{name: a, notebook: a.ipynb}]", "prod")
    assert (found.code, found.severity) == ("DSJ407", "warning")
    assert "secret of the DataSphere project" in (found.hint or "")
    (found,) = said(BOTH + "jobs: [{name: a, notebook: a.ipynb, inputs: {FRIST_INPUT: x}}]", "prod")
    assert (found.code, found.severity, found.hint) == ("DSJ407", "error", "did you mean 'FIRST_INPUT'?")


def test_datasphere_when_no_environment_has_the_folder_then_the_job_files_own_is_looked_into():
    notebook("notebooks/a.ipynb", READS)
    prod = "environments: {prod: {backend: datasphere, projects: {p: bt1abcdefghijklmnopq}}}\ndefaults: {project: p}\n"
    assert said(prod + "jobs: [{name: a, notebook: a.ipynb}]") == []
    assert len(said(prod + "jobs: [{name: a, notebook: notebooks/a.ipynb}]")) == 1
    path = "/home/jupyter/datasphere/project/notebooks/a.ipynb"
    assert len(said(prod + f"jobs: [{{name: a, notebook: {path}}}]")) == 1


def test_datasphere_when_two_folders_have_the_notebook_then_nothing_is_said():
    notebook("notebooks/a.ipynb", READS)
    notebook("others/a.ipynb", READS)
    text = BOTH.replace("  prod:", "  other: {backend: local, projects: {p: others}}\n  prod:")
    assert said(text + "jobs: [{name: a, notebook: a.ipynb}]", "prod") == []


@pytest.mark.parametrize(
    ("store", "code"),
    [
        ("", ["DSJ404"]),
        (", settings: {output_store: 's3://b/p'}", ["DSJ408"]),
    ],
)
def test_datasphere_when_it_returns_outputs_then_they_must_be_published(store, code):
    notebook("notebooks/a.ipynb", "result = 1")
    text = BOTH.replace("{p: bt1abcdefghijklmnopq}", "{p: bt1abcdefghijklmnopq}" + store)
    assert [one.code for one in said(text + "jobs: [{name: a, notebook: a.ipynb, outputs: [result]}]")] == code


STORE = """\
environments: {prod: {backend: datasphere, projects: {p: bt1abcdefghijklmnopq}, settings: {output_store: 's3://b/p'}}}
defaults: {project: p}
"""


@pytest.mark.parametrize(
    "code",
    [
        "!python train.py",
        "!papermill train.ipynb out.ipynb",
        "%%bash\npython train.py",
        "%%python\nimport dsjobs",
        "#!:bash\npython train.py",
        "import os\nos.system('python train.py')",
        "import subprocess, sys\nsubprocess.run([sys.executable, 'train.py'], check=True)",
        "import asyncio\nawait asyncio.create_subprocess_exec('python', 'train.py')",
        "get_ipython().system('python train.py')",
        "import importlib\nimportlib.import_module('dsjobs').publish(auc=1)",
        "import importlib\nimportlib.import_module('dsjobs.publish').publish(auc=1)",
        "__import__('dsjobs').publish(auc=1)",
        "import dsjobs\ngetattr(dsjobs, 'publish')(auc=1)",
        "import dsjobs.publish\ndsjobs.publish.publish(auc=1)",
        "import dsjobs\nhand_over = dsjobs\nhand_over.publish(auc=1)",
        "import sys\nsys.modules['dsjobs'].publish(auc=1)",
        "def finish():\n    dsjobs.publish(auc=1)\nimport dsjobs\nfinish()",
    ],
)
def test_output_when_something_unseen_may_publish_it_then_nothing_is_said(code):
    notebook("notebooks/a.ipynb", code)
    assert said(STORE + "jobs: [{name: a, notebook: notebooks/a.ipynb, outputs: [auc]}]") == []


@pytest.mark.parametrize(
    "code",
    [
        "!pip install catboost",
        "%%bash\nls -la",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'catboost'])",
        "import importlib\nimportlib.import_module('numpy')",
        "import dsjobs\ndsjobs.publish(acu=1)",
        "import dsjobs\nprint(dsjobs.__version__)",
    ],
)
def test_output_when_nothing_can_publish_it_then_that_is_an_error(code):
    notebook("notebooks/a.ipynb", code)
    found = said(STORE + "jobs: [{name: a, notebook: notebooks/a.ipynb, outputs: [auc]}]")
    assert [(one.code, one.severity) for one in found] == [("DSJ408", "error")]


@pytest.mark.parametrize(
    "setting",
    [
        "with mock.patch.dict(os.environ, {'A': '1'}):\n    os.environ['A']",
        "with mock.patch.dict('os.environ', {'A': '1'}):\n    os.environ['A']",
        "with mock.patch.dict(os.environ, A='1'):\n    os.environ['A']",
        "with mock.patch.dict(os.environ, values=known):\n    os.environ['A']",
        "with patch.dict(os.environ, {'A': '1'}, clear=True):\n    os.environ['A']",
        "@patch.dict(os.environ, {'A': '1'})\ndef f():\n    return os.environ['A']\nf()",
        "patch.dict(os.environ, {'A': '1'}).start()\nos.environ['A']",
        "os.environ.__setitem__('A', '1')\nos.environ['A']",
    ],
)
def test_variable_when_the_notebook_sets_it_for_a_while_then_nothing_is_said(setting):
    notebook("notebooks/a.ipynb", f"import os\nfrom unittest import mock\nfrom unittest.mock import patch\n{setting}")
    assert said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]") == []


def test_variable_when_the_notebook_sets_another_one_for_a_while_then_it_is_missing():
    notebook(
        "notebooks/a.ipynb",
        "import os\nfrom unittest import mock\n"
        + ("with mock.patch.dict(os.environ, {'B': '1'}):\n    os.environ['A']"),
    )
    assert [one.code for one in said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]")] == ["DSJ407"]


NEEDED, TAKEN, FREE = [("DSJ407", "error")], [("DSJ407", "warning")], []
GIVEN = "x = os.getenv('A')\n"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (GIVEN + "print(x)\ny = x + 'a'", NEEDED),
        (GIVEN + "logger.info('x: %s', x)\ny = int(x)", NEEDED),
        (GIVEN + "print(f'x: {x}', str(x))\ny = x.strip()", NEEDED),
        (GIVEN + "x\ny = x / 'part'", NEEDED),
        (GIVEN + "y = x\nprint(y)\nz = y['key']", NEEDED),
        (GIVEN + "for part in x: pass", NEEDED),
        (GIVEN + "if x.startswith('s3'): y = 1", NEEDED),
        (GIVEN + "path = 'a'\npath += x", NEEDED),
        (GIVEN + "with open('f') as f:\n    y = f.read() + x", NEEDED),
        ("path = 'a'\npath += os.getenv('A')", NEEDED),
        (GIVEN + "print(x)", TAKEN),
        (GIVEN, TAKEN),
        (GIVEN + "y = f'{x}/table'", TAKEN),
        (GIVEN + "y = '%s/table' % x", TAKEN),
        (GIVEN + "y = '{}/table'.format(x)", TAKEN),
        ("y = str(os.getenv('A'))", TAKEN),
        ("y = f\"s3://{os.getenv('A')}/table\"", TAKEN),
        (GIVEN + "if y: z = x + 'a'", FREE),
        ("print(os.getenv('A'))", FREE),
        ("os.getenv('A')", FREE),
        ("print(f\"is {os.getenv('A')}\", 'is %s' % os.getenv('A'), str(os.getenv('A')))", FREE),
        (GIVEN + "print(x)\nif x: y = x + 'a'", FREE),
        (GIVEN + "y = x\nif y is None: y = 'a'", FREE),
        (GIVEN + "y = x\nif y == 'prod': z = 1", FREE),
        (GIVEN + "config = {}\nconfig['x'] = x", FREE),
        (GIVEN + "y = z = x\nprint(z or 'none')", FREE),
        (GIVEN + "try: y = x + 'a'\nexcept TypeError: y = 'a'", FREE),
        (GIVEN + "try:\n    with open(x) as f: y = f\nexcept TypeError: pass", FREE),
        (GIVEN + "import contextlib\nwith contextlib.suppress(TypeError): y = int(x)", FREE),
        (GIVEN + "!echo {x or 'none'}", FREE),
        (GIVEN + "isinstance(x, str) or exit()\ny = x + 'a'", FREE),
        ("def take(value): return value or 'a'\ntake(os.getenv('A'))", FREE),
        ("y = str(os.getenv('A'))\nif y == 'None': y = 'a'", FREE),
        ("os.environ['A'] if os.getenv('A') else None", FREE),
    ],
)
def test_variable_when_it_has_no_default_then_what_is_done_with_it_decides(code, found):
    notebook("notebooks/a.ipynb", "import os", code)
    said_of = said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]")
    assert [(one.code, one.severity) for one in said_of] == found


@pytest.mark.parametrize(
    "code",
    [
        "def ask():\n    return input('region? ')\nregion = ask()",
        "def ask(): return input()\ndef outer():\n    answer = ask()\n    return answer\nouter()",
        "class Form:\n    def __init__(self):\n        self.name = input()\nform = Form()",
        "ask = lambda text: input(text)\nask('?')",
        "from getpass import getpass\ndef log_in():\n    return getpass()\nlog_in()",
        "for i in range(3):\n    print(input())",
        "for name in ['a', 'b']:\n    values = input(name)",
        "N = 2\nfor i, name in enumerate(range(N)): input(name)",
        "names = ('a', 'b')\nfor name in names: input(name)",
        "rows = [input() for _ in range(3)]",
        "while True:\n    if input() == 'q': break",
        "if __name__ == '__main__':\n    n, m = map(int, input().split())",
        "input(os.getenv('PROMPT', ''))",
    ],
)
def test_question_when_it_surely_is_asked_then_it_is_found_once(code):
    notebook("notebooks/a.ipynb", "import os\n" + code)
    found = said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]")
    assert [(one.code, one.severity) for one in found] == [("DSJ409", "error")]


@pytest.mark.parametrize(
    "code",
    [
        "def ask(): return input()",
        "def ask(): return input()\nif x: ask()",
        "def ask(): return input()\ntry: ask()\nexcept Exception: pass",
        "def ask(): return input()\nask = print\nask()",
        "def ask():\n    if x: return 1\n    return input()\nask()",
        "def ask():\n    yield input()\nask()",
        "class Form:\n    def ask(self): return input()\nForm()",
        "for i in range(0): input()",
        "for i in range(len(x)): input()",
        "for i in rows: input()",
        "for i in range(3):\n    if i: break\n    input()",
        "rows = (input() for _ in range(3))",
        "def input(text): return 'a'\ninput('?')",
        "model.input()",
    ],
)
def test_question_when_it_may_not_be_asked_then_nothing_is_said(code):
    notebook("notebooks/a.ipynb", code)
    assert said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]") == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "ir", "language": "R"}},
        {"kernelspec": {"name": "ir"}},
        {"kernelspec": {"name": "pysparkkernel", "language": "python"}},
        {"kernelspec": {}, "language_info": {"name": "julia"}},
    ],
)
def test_notebook_when_it_is_not_plain_python_then_nothing_is_said(metadata):
    notebook("notebooks/a.ipynb", "x <- 1 )", **metadata)
    assert said(LOCAL + "jobs: [{name: a, notebook: a.ipynb, inputs: {A: 1}, outputs: [b]}]") == []


def test_notebook_when_a_newer_python_wrote_it_then_its_syntax_is_not_judged():
    for code in ("def f[T](x: T): ...", "type X = int", "x = t'{y}'", "try:\n    pass\nexcept A, B:\n    pass"):
        assert contract_of([CodeSource(1, code)]).findings == ()
    assert [one.code for one in contract_of([CodeSource(1, "def f(x:\n  pass")]).findings] == ["DSJ405"]
    assert contract_of([CodeSource(1, "def f(x:\n  pass")], (99, 0)).findings == ()
    assert contract_of([CodeSource(1, "print 'x'")], (2, 7)).findings == ()


def test_validate_when_a_cell_is_broken_then_json_has_notebook_cell_and_line(capsys):
    notebook("notebooks/a.ipynb", "x = 1", "\nx = = 2")
    Path("jobs.yaml").write_text("version: 1\n" + LOCAL + "jobs: [{name: a, notebook: a.ipynb}]", encoding="utf-8")
    assert run("validate", "-o", "json") == 3
    (found,) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert {key: found[key] for key in ("code", "file", "cell", "line", "column")} == {
        "code": "DSJ405", "file": "notebooks/a.ipynb", "cell": 2, "line": 2, "column": 5,
    }  # fmt: skip


def test_plan_when_a_notebook_is_wrong_then_it_is_refused_and_a_job_that_does_not_run_is_not_looked_at(capsys):
    notebook("notebooks/a.ipynb", READS)
    notebook("notebooks/b.ipynb", "result = 1")
    jobs = "jobs:\n- {name: a, notebook: a.ipynb}\n- {name: b, notebook: b.ipynb, inputs: {UNREAD: 1}}\n"
    Path("jobs.yaml").write_text("version: 1\n" + LOCAL + jobs, encoding="utf-8")
    assert run("plan") == 3
    assert "[DSJ407]" in capsys.readouterr().err
    assert run("plan", "--select", "b") == 0
    printed = capsys.readouterr()
    assert "job 'b': no cell of notebooks/b.ipynb reads input 'UNREAD'" in printed.err
    assert "DSJ407" not in printed.err


def test_comparison_when_two_thousand_jobs_share_a_notebook_then_it_takes_a_moment():
    notebook("notebooks/a.ipynb", READS)
    inputs = "{FIRST_INPUT: 1, OTHER: 2}"
    job = (
        "- {{name: j{}, notebook: a.ipynb, inputs: "
        + inputs.replace("{", "{{").replace("}", "}}")
        + ", outputs: [result]}}\n"
    )
    Path("jobs.yaml").write_text(
        "version: 1\n" + LOCAL + "jobs:\n" + "".join(map(job.format, range(2000))), encoding="utf-8"
    )
    spec = loading.load(Path("jobs.yaml")).spec
    assert spec is not None
    start = time.process_time()
    whole = loading.check_everywhere(spec, list(spec.environments.values()))
    middle = time.process_time()
    both = loading.check_everywhere(spec, list(spec.environments.values()), Contracts(Path.cwd(), is_here=True))
    end = time.process_time()
    assert whole == both == []
    assert end - middle < 2 * (middle - start) + 0.2


@pytest.mark.parametrize(
    "code",
    ["x = " + "+".join("a" * 3000), "(" * 300, "a" + ".b" * 5000, "[" * 60 + "]" * 60, "\ud800", "x\0y", "f'{" * 200],
)
def test_contract_when_code_is_odd_then_nothing_is_raised(code):
    contract_of([CodeSource(1, code), CodeSource(2, "y = 1")])


def test_input_in_defaults_when_it_is_misspelt_then_the_jobs_that_need_it_say_nothing_more():
    notebook("notebooks/a.ipynb", READS)
    text = LOCAL.replace("project: p}", "project: p, inputs: {FRIST_INPUT: x}}")
    found = said(text + "jobs: [{name: a, notebook: a.ipynb}, {name: b, notebook: a.ipynb}]")
    assert short(found) == [("DSJ407", "error", "3:33")]


def test_input_that_looks_misspelt_when_another_job_reads_it_then_the_variable_is_missing():
    notebook("notebooks/a.ipynb", READS)
    notebook("notebooks/b.ipynb", 'import os\nos.environ["FIRST_INPUTS"]')
    text = LOCAL.replace("project: p}", "project: p, inputs: {FIRST_INPUTS: x}}")
    found = said(text + "jobs:\n- {name: a, notebook: a.ipynb}\n- {name: b, notebook: b.ipynb}")
    assert short(found) == [("DSJ407", "error", "5:23")]


def test_module_beside_when_it_sets_a_variable_then_that_is_not_missing():
    notebook("notebooks/a.ipynb", "import settings_of_ours\n" + READS)
    Path("notebooks/settings_of_ours.py").write_text('import os\nos.environ["FIRST_INPUT"] = "x"\n', encoding="utf-8")
    assert said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]") == []
    Path("notebooks/settings_of_ours.py").write_text("import os\nimport os.path\n", encoding="utf-8")
    assert [one.code for one in said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}]")] == ["DSJ407"]


def test_hint_when_a_notebook_reads_nothing_then_names_the_input():
    notebook("notebooks/a.ipynb", "total = 1")
    (found,) = said(LOCAL + "jobs: [{name: a, notebook: a.ipynb, inputs: {REGION: eu}}]")
    assert (found.code, found.hint) == ("DSJ406", 'take it out, or read it in the notebook: os.environ["REGION"]')


def test_kernel_when_it_has_a_kernelspec_of_its_own_then_that_may_set_variables():
    notebook("notebooks/a.ipynb", READS, kernelspec={"name": "conda-env", "language": "python"})
    assert [one.code for one in said(LOCAL + "jobs: [{name: a, notebook: a.ipynb, inputs: {A: 1}}]")] == ["DSJ406"]


def test_validate_when_a_notebook_is_none_then_it_says_so_once(capsys):
    Path("notebooks/a.ipynb").write_text("<html>", encoding="utf-8")
    found = said(LOCAL + "jobs: [{name: a, notebook: a.ipynb}, {name: b, notebook: a.ipynb}]", is_here=False)
    assert [(one.code, one.severity) for one in found] == [("DSJ402", "error")]


def test_demo_when_it_is_written_then_nothing_is_said_and_a_misspelt_input_is_found():
    for name, content in demo_files().items():
        path = Path("demo", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    text = Path("demo/jobs.yaml").read_text(encoding="utf-8")
    for variable in ("", "REGION", "FEATURES"):
        wrong = text.replace(f"      {variable}:", f"      {variable}X:") if variable else text
        Path("demo/jobs.yaml").write_text(wrong, encoding="utf-8")
        spec = loading.load(Path("demo/jobs.yaml")).spec
        assert spec is not None
        found = loading.check_everywhere(
            spec, list(spec.environments.values()), Contracts(Path("demo").absolute(), is_here=True)
        )
        assert {one.hint for one in found} == ({f"did you mean '{variable}'?"} if variable else set())
