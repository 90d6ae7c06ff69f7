"""What is known of shell commands: which variables they name, and whether they are programs that read no others."""

from __future__ import annotations

import re

_VARIABLE = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*)|\s-v\s+([A-Za-z_]\w*)")
_PARTS = re.compile(r"\n|;|&&|\|\||[|&]|\$\(|`|\(|\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=(?:'[^']*'|\"[^\"]*\"|\S*)\s*")
_KEYWORDS = frozenset("if then else elif do while until sudo time nohup exec ! {".split())
_RUNS_OTHERS = re.compile(
    r"\S*(?:conda|mamba|uvx?)\s+(?:.*\s)?run\b|uvx\b|xargs\b|\S*find\b.*\s-(?:exec|ok)|jupyter-nbconvert\b.*--execute"
)
_OURSELVES = re.compile(
    r"(?:\{sys\.executable\}|\S*python[\d.]*) -m (?:pip|ensurepip|venv|compileall|zipfile|json\.tool|nltk)\b"
)

KNOWN = frozenset(
    "pip pip3 conda mamba uv ls pwd cat head tail wc mkdir rm rmdir cp mv ln touch chmod echo printf wget curl unzip zip "
    "tar gzip gunzip git nvidia-smi free df du date whoami hostname uname which apt apt-get sort uniq grep egrep sed cut tr "
    "find nproc lscpu tree true false sleep cd set unset export test [ [[ fi done esac case for } file md5sum sha256sum "
    "stat diff less more tee xargs top ps kill basename dirname readlink realpath seq jupyter-nbconvert 7z bunzip2 xz "
    "source-highlight lsof id uptime hdfs".split()
)
"""Programs that read no variables but their own, and words of the shell."""


def variables(text: str) -> set[str]:
    """The variables that a command names."""
    return {name for names in _VARIABLE.findall(text) for name in names if name}


def is_known(text: str) -> bool:
    """Whether all programs of a command are known to read no other variables than those that it names."""
    text = re.sub(r"\\\n", " ", text)
    lines = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    return all(_is_known_part(part.strip()) for part in _PARTS.split(_without_quotes(lines)))


def _without_quotes(text: str) -> str:
    """`text` with empty strings in the place of quoted ones: what is in them is no command."""
    return re.sub(r"'[^']*'|\"(?:\\.|[^\"\\$`])*\"", "''", text)


def _is_known_part(part: str) -> bool:
    while True:
        assignment = _ASSIGNMENT.match(part)
        if assignment:
            part = part[assignment.end() :]
            continue
        word, _, rest = part.partition(" ")
        if word not in _KEYWORDS:
            break
        part = rest.lstrip()
    if _RUNS_OTHERS.match(part):
        return False
    if not part or _OURSELVES.match(part) or word.rpartition("/")[2] in KNOWN:
        return True
    return re.fullmatch(r"\d*[<>].*", part) is not None
