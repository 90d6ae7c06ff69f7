"""What is installed is whole: from a wheel, from an editable install, and from a wheel that was made of the sdist.

Each is installed into a virtual environment of its own, by the pip and the packages of the one that runs the tests, so nothing
is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dsjobs import __version__, schemas

REPOSITORY = Path(__file__).parents[1]
CHECKOUT = (
    "dsjobs",
    "schemas",
    "examples",
    "jobs.example.yaml",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)


def call(arguments: Sequence[str | Path], cwd: Path) -> str:
    """What a command prints, without anything of this process's Python on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DSJOBS_", "PIP_"))}
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, capture_output=True, encoding="utf-8", timeout=120,
        env={**kept, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, Path]:
    """The sdist, a wheel of this checkout, and a wheel of the sdist."""
    folder = tmp_path_factory.mktemp("built")
    for kind in ("--sdist", "--wheel"):
        call([sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", folder / "dist", REPOSITORY], folder)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        # Python 3.11.4 has the filter, and 3.14 wants it.
        archive.extractall(folder / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (folder / "unpacked").iterdir()
    call([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder / "again", source], folder)
    return {"sdist": sdist, "wheel": wheel, "wheel of the sdist": next((folder / "again").glob("*.whl"))}


@dataclass(frozen=True)
class Installed:
    """A virtual environment with dsjobs in it. `home` is where its code should be."""

    bin: Path
    home: Path

    def dsjobs(self, *arguments: str, cwd: Path) -> str:
        return call([self.bin / "dsjobs", *arguments], cwd)


def install(folder: Path, *what: str | Path) -> Path:
    """A virtual environment with `what`, and behind it the packages of the one that runs the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # Its last letter, so that these come after what an editable install adds.
    (site / "zzz_packages.pth").write_text("\n".join(packages) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--quiet"]
    call([*pip, "install", "--no-deps", "--no-build-isolation", *what], folder)
    return site


@pytest.fixture(scope="session", params=["wheel", "editable", "wheel of the sdist"])
def installed(request, built, tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    if request.param != "editable":
        site = install(folder / "venv", built[request.param])
        return Installed(folder / "venv" / "bin", site / "dsjobs")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in CHECKOUT:
        source = REPOSITORY / name
        ignore = shutil.ignore_patterns("__pycache__", ".dsjobs", "output", ".ipynb_checkpoints")
        shutil.copytree(source, checkout / name, ignore=ignore) if source.is_dir() else shutil.copy(source, checkout)
    install(folder / "venv", "--editable", checkout)
    return Installed(folder / "venv" / "bin", checkout / "dsjobs")


def test_dsjobs_when_installed_then_is_that_code(installed, tmp_path):
    program = "import dsjobs; print(dsjobs.__file__)"
    assert Path(call([installed.bin / "python", "-c", program], tmp_path).strip()).parent == installed.home
    assert installed.dsjobs("--version", cwd=tmp_path) == f"dsjobs {__version__}\n"


@pytest.mark.parametrize("name", schemas.NAMES)
def test_schema_when_installed_then_is_the_published_one(installed, tmp_path, name):
    published = (REPOSITORY / "schemas" / f"{name}.v1.json").read_text(encoding="utf-8")
    assert installed.dsjobs("schema", name, cwd=tmp_path).rstrip("\n") == published.rstrip("\n")


def test_demo_when_installed_then_is_the_example(installed, tmp_path):
    written = json.loads(installed.dsjobs("init", "--demo", "demo", "-o", "json", cwd=tmp_path))
    assert "jobs.yaml" in written["files"]
    for path in (REPOSITORY / "examples" / "notebooks").glob("*.ipynb"):
        assert (tmp_path / "demo" / "notebooks" / path.name).read_bytes() == path.read_bytes()
    plan = json.loads(installed.dsjobs("plan", "-o", "json", "-C", "demo", cwd=tmp_path))
    assert [job["action"] for job in plan["jobs"]] == ["run"] * 6


def test_wheels_when_made_of_checkout_and_sdist_then_have_the_same_files(built):
    def files(wheel: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert files(built["wheel"]) == files(built["wheel of the sdist"])


def test_wheel_when_built_then_has_only_what_belongs_to_it(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"dsjobs", f"dsjobs-{__version__}.dist-info"}
    assert {f"dsjobs/_schemas/{name}.v1.json" for name in schemas.NAMES} <= set(names)
    explained = {path.name for path in (REPOSITORY / "dsjobs" / "explanations").glob("*.md")}
    assert {name.rpartition("/")[2] for name in names if name.endswith(".md")} == explained
    assert not [name for name in names if "__pycache__" in name or ".dsjobs" in name or "checkpoint" in name]


def test_sdist_when_built_then_the_tests_and_the_licence_are_in_it(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "jobs.example.yaml", "schemas/jobs.v1.json", "tests/test_packaging.py"} <= names
    assert not [name for name in names if "__pycache__" in name or "/.dsjobs/" in name]
