"""What the parts of a notebook's analysis add to, cell by cell, until it is a contract."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dsjobs.notebook.contract import magic_names, shell
from dsjobs.notebook.contract.magics import Magic
from dsjobs.notebook.contract.value import Contract, Finding, Read

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"""['"]([A-Za-z_]\w*)['"]""")
_INSIDE = re.compile(r"(?:\$\{?|env[:.]|getenv\(['\"]|environ\[['\"])([A-Za-z_]\w*)")


@dataclass(slots=True)
class Gathered:
    """The contract in the making."""

    reads: dict[str, Read] = field(default_factory=dict)
    mentions: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)
    published: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    is_dynamic_reads: bool = False
    is_dynamic_sets: bool = False
    is_dynamic_assignments: bool = False
    is_dynamic_publishing: bool = False

    def cannot_tell(self) -> None:
        """Something runs of which nothing is known."""
        self.is_dynamic_reads = self.is_dynamic_sets = True
        self.is_dynamic_assignments = self.is_dynamic_publishing = True

    def program(self) -> None:
        """A program runs of which nothing is known. It inherits the environment, and may publish outputs as the notebook may."""
        self.is_dynamic_reads = self.is_dynamic_publishing = True

    def text(self, text: str) -> None:
        """A text in the code, which may be the name of a variable, or have some in it."""
        if len(text) <= 200 and _NAME.fullmatch(text):
            self.mentions.add(text)
        else:
            self.mentions.update(_INSIDE.findall(text))

    def command(self, text: str) -> None:
        """A command for a shell, which inherits the environment."""
        self.mentions |= shell.variables(text)
        self.mentions.update(_QUOTED.findall(text))
        if not shell.is_known(text):
            self.program()

    def magic(self, magic: Magic) -> None:
        """What IPython runs itself."""
        for text in (magic.text, magic.body):
            self.mentions.update(_QUOTED.findall(text))
            self.mentions |= shell.variables(text)
        if magic.kind == "shell":
            self.command(magic.text)
        elif magic.kind == "cell":
            self._cell_magic(magic)
        else:
            self._line_magic(magic)

    def contract(self) -> Contract:
        """What was gathered."""
        return Contract(
            reads=self.reads,
            mentions=frozenset(self.mentions),
            sets=frozenset(self.sets),
            assigned=frozenset(self.assigned),
            published=frozenset(self.published),
            modules=frozenset(self.modules),
            findings=tuple(self.findings),
            is_dynamic_reads=self.is_dynamic_reads,
            is_dynamic_sets=self.is_dynamic_sets,
            is_dynamic_assignments=self.is_dynamic_assignments,
            is_dynamic_publishing=self.is_dynamic_publishing,
        )

    def _cell_magic(self, magic: Magic) -> None:
        name = magic.name
        if name in magic_names.RUN_PYTHON:
            if name == "capture":
                self.assigned.update(re.findall(r"(?:^|\s)([A-Za-z_]\w*)", magic.text))
        elif name in magic_names.SHELL_CELLS:
            self._options(magic.text)
            is_shell = name != "script" or magic.text.split("/")[-1].startswith(("bash", "sh"))
            self.command(magic.body if is_shell else "unknown")
        elif name in magic_names.OTHER_PROGRAMS:
            self._options(magic.text)
            self.program()
        elif name in magic_names.SQL | magic_names.BIGQUERY:
            self._query(magic)
        elif name not in magic_names.NOT_CODE:
            self.cannot_tell()

    def _options(self, text: str) -> None:
        """Names that options such as `--out NAME` assign."""
        for names in re.findall(r"(?:--(?:out|err|proc|output)[ =]|-o )\s*([A-Za-z_][\w,]*)", text):
            self.assigned.update(names.split(","))

    def _query(self, magic: Magic) -> None:
        self.assigned.update(re.findall(r"\b([A-Za-z_]\w*)\s*=?\s*<<", magic.text + "\n" + magic.body))
        self.assigned.update(re.findall(r"--(?:save|destination_var)[ =](\w+)", magic.text))
        if magic.name in magic_names.BIGQUERY:
            self.assigned.update(re.findall(r"(?:^|\s)([A-Za-z_]\w*)", magic.text))

    def _line_magic(self, magic: Magic) -> None:
        name, text = magic.name, magic.text.strip()
        if name in ("env", "set_env"):
            self._environment(text)
        elif name == "aimport":
            self.modules.update(word.lstrip("-").partition(".")[0] for word in text.replace(",", " ").split())
        elif name in ("load_ext", "reload_ext"):
            self._extension(text)
        elif name == "pylab" or name.startswith("reset") or name == "xdel":
            self.is_dynamic_assignments = True
        elif name == "store":
            if text.startswith("-r"):
                self.assigned.update(text.split()[1:])
                self.is_dynamic_assignments |= not text.split()[1:]
        elif name in ("sx", "sc", "system"):
            self.assigned.update(re.findall(r"^(?:-\w+\s+)*([A-Za-z_]\w*)\s*=", text) if name == "sc" else ())
            self.command(text)
        elif name in magic_names.STATEMENTS:
            self.assigned.update(re.findall(r"^(?:-\w+\s+\S+\s+)*([A-Za-z_]\w*)\s*=(?!=)", text))
        elif name in magic_names.SQL | magic_names.BIGQUERY:
            self._query(magic)
        elif name == "dotenv":
            self.is_dynamic_sets = self.is_dynamic_reads = True
        elif name not in magic_names.HARMLESS:
            self.cannot_tell()

    def _environment(self, text: str) -> None:
        """`%env X`, `%env X=1`, `%set_env X 1`."""
        match = re.match(r"([A-Za-z_]\w*)(\s*=|\s+|$)", text)
        if match is None:
            self.is_dynamic_reads = True
        elif match[2]:
            self.sets.add(match[1])
        else:
            self.mentions.add(match[1])

    def _extension(self, text: str) -> None:
        if text == "dotenv":
            self.is_dynamic_sets = self.is_dynamic_reads = True
        elif text not in magic_names.EXTENSIONS:
            self.cannot_tell()
