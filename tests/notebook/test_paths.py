"""Where a notebook may lie: inside the project's folder, as a file, and nowhere else."""

from __future__ import annotations

import os
import socket

import pytest

from dsjobs.notebook.errors import NotebookError
from dsjobs.notebook.paths import notebook_path, notebooks_in, project_folder


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "train.ipynb").touch()
    (folder / "models" / "Deep learning.ipynb").touch()
    (tmp_path / "secret.ipynb").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.ipynb").touch()
    return folder


def refusal(project, written):
    with pytest.raises(NotebookError) as caught:
        notebook_path(project, written)
    return caught.value


@pytest.mark.parametrize("prefix", ["", "./", "/home/jupyter/datasphere/project/", "models/./"])
def test_path_when_it_is_inside_the_project_then_it_is_found(project, prefix):
    name = "Deep learning.ipynb" if "models" in prefix else "train.ipynb"
    folder = project / "models" if "models" in prefix else project

    assert notebook_path(project, prefix + name) == folder / name


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("../secret.ipynb", "notebook '../secret.ipynb' has '..' in its path"),
        ("models/../train.ipynb", "notebook 'models/../train.ipynb' has '..' in its path"),
        (
            "/home/jupyter/datasphere/project/../secret.ipynb",
            "notebook '/home/jupyter/datasphere/project/../secret.ipynb' has '..' in its path",
        ),
        ("/etc/passwd", "notebook '/etc/passwd' is an absolute path"),
        ("/home/jupyter/datasphere/project//etc/x.ipynb", "is an absolute path"),
        ("/home/jupyter/datasphere/projects/x.ipynb", "is an absolute path"),
        ("models\\train.ipynb", "notebook 'models\\train.ipynb' has a backslash in its path"),
        ("train.ipynb\0.txt", "notebook 'train.ipynb\\x00.txt' has a control character in its path"),
        ("train\n.ipynb", "notebook 'train\\n.ipynb' has a control character in its path"),
        ("train\ud800.ipynb", "notebook 'train\\ud800.ipynb' has a control character in its path"),
        ("train.py", "'train.py' is not a notebook: its name does not end in .ipynb"),
        ("", "'' is not a notebook: its name does not end in .ipynb"),
        ("models", "'models' is not a notebook: its name does not end in .ipynb"),
        ("gone.ipynb", "notebook 'gone.ipynb' does not exist in the project's folder"),
        ("train.ipynb/x.ipynb", "notebook 'train.ipynb/x.ipynb' cannot be reached: Not a directory"),
        ("x" * 300 + ".ipynb", "cannot be reached: File name too long"),
    ],
)
def test_path_when_it_is_not_a_notebook_of_the_project_then_it_is_refused(project, written, message):
    assert message in str(refusal(project, written))


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("trian.ipynb", "did you mean 'train.ipynb'?"),
        ("Deep learning.ipynb", "did you mean 'models/Deep learning.ipynb'?"),
        ("models\\train.ipynb", "write 'models/train.ipynb'"),
        ("train.py", "did you mean 'train.ipynb'?"),
        ("../secret.ipynb", "a notebook lies inside the project's folder; write its path from there"),
    ],
)
def test_path_when_it_is_refused_then_there_is_a_remedy(project, written, hint):
    assert refusal(project, written).hint == hint


def test_path_when_links_leave_the_project_then_they_are_refused(project):
    (project / "file.ipynb").symlink_to("../secret.ipynb")
    (project / "folder").symlink_to("../outside")
    (project / "chain.ipynb").symlink_to("file.ipynb")

    for written in ("file.ipynb", "folder/secret.ipynb", "chain.ipynb"):
        assert str(refusal(project, written)) == f"notebook '{written}' is a link that leaves the project's folder"


def test_path_when_links_stay_in_the_project_then_they_work_and_keep_their_own_folder(project):
    (project / "models" / "link.ipynb").symlink_to("../train.ipynb")
    (project.parent / "alias").symlink_to("project")

    assert notebook_path(project, "models/link.ipynb") == project / "models" / "link.ipynb"
    assert notebook_path(project.parent / "alias", "train.ipynb") == project / "train.ipynb"


def test_path_when_a_link_leads_nowhere_or_in_a_circle_then_it_is_refused(project):
    (project / "dead.ipynb").symlink_to("gone.ipynb")
    (project / "circle.ipynb").symlink_to("circle.ipynb")

    assert str(refusal(project, "dead.ipynb")) == "notebook 'dead.ipynb' is a link that points nowhere"
    assert "cannot be reached: Too many levels of symbolic links" in str(refusal(project, "circle.ipynb"))


def test_path_when_it_is_not_a_regular_file_then_it_says_what_it_is(project):
    os.mkfifo(project / "pipe.ipynb")
    (project / "folder.ipynb").mkdir()
    (project / "null.ipynb").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(project, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/socket.ipynb")
        os.close(folder)

    assert str(refusal(project, "pipe.ipynb")) == "notebook 'pipe.ipynb' is a named pipe, not a file"
    assert str(refusal(project, "folder.ipynb")) == "notebook 'folder.ipynb' is a folder, not a file"
    assert str(refusal(project, "socket.ipynb")) == "notebook 'socket.ipynb' is a socket, not a file"
    assert "is a link that leaves" in str(refusal(project, "null.ipynb"))


def test_notebooks_when_there_are_hidden_and_linked_folders_then_they_are_left_out(project):
    (project / ".ipynb_checkpoints").mkdir()
    (project / ".ipynb_checkpoints" / "train.ipynb").touch()
    (project / "linked").symlink_to("../outside")
    (project / "notes.txt").touch()

    assert list(notebooks_in(project)) == ["train.ipynb", "models/Deep learning.ipynb"]


def test_project_when_it_is_relative_or_absolute_then_it_is_found(project):
    assert project_folder(project.parent, "project") == project
    assert project_folder(project.parent, str(project)) == project


@pytest.mark.parametrize(
    ("written", "what"), [("gone", "does not exist"), ("secret.ipynb", "is not a folder"), ("a\0b", "does not exist")]
)
def test_project_when_it_is_no_folder_then_it_is_refused(project, written, what):
    with pytest.raises(NotebookError, match=what) as caught:
        project_folder(project.parent, written)

    assert caught.value.code == "DSJ401"
