"""What is known of magics by their names: IPython's own, and those of the packages that notebooks load most.

Page: https://ipython.readthedocs.io/en/stable/interactive/magics.html.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RUN_PYTHON = _words(
    "time timeit capture prun memit mprun lprun snakeviz scalene pyinstrument debug heat lineprofile wandb"
)
"""Cell magics whose body is Python that runs."""

SCRATCH = _words("timeit")
"""Of these, those that run it where its names are lost."""

SHELL_CELLS = _words("bash sh system sx ! script")
"""Cell magics whose body is for a shell; `script` names which."""

OTHER_PROGRAMS = _words("perl ruby python python2 python3 pypy R julia node php")
"""Cell magics whose body another program runs, with the same environment."""

NOT_CODE = _words("html HTML svg SVG markdown latex javascript js css mermaid writefile file")
"""Cell magics whose body runs nowhere, or in the browser."""

SQL = _words("sql jinjasql")
BIGQUERY = _words("bigquery bqsql")

HARMLESS = _words(
    "alias alias_magic autoawait autocall automagic autoreload bookmark cat cd code_wrap colors conda config cp debug "
    "connect_info dhist dirs doctest_mode ed edit gui hist history html javascript js killbgscripts ldir less lf lk ll load "
    "loadpy logoff logon logstart logstate logstop ls lsmagic lx magic mamba man markdown matplotlib micromamba mkdir more mv "
    "notebook page pastebin pdb pdef pdoc pfile pinfo pinfo2 pip popd pprint precision profile psearch psource pushd pwd pycat "
    "qtconsole quickref rehashx rm rmdir save subshell tb tensorboard unalias unload_ext uv watermark who who_ls whos "
    "writefile xmode clear"
)
"""Line magics that read no variable of the notebook's, and assign none."""

STATEMENTS = _words("timeit prun lprun memit mprun snakeviz pyinstrument")
"""Line magics that run the Python that follows their options; `%time` is read as that Python itself."""

EXTENSIONS = _words(
    "autoreload sql google.cloud.bigquery bigquery_magics line_profiler memory_profiler tensorboard watermark cudf.pandas "
    "nb_black lab_black jupyter_black rich snakeviz pyinstrument ipython_sql rpy2.ipython cython heat nb_mypy cuml.accel "
    "pycodestyle_magic jupyternotify storemagic"
)
"""Extensions that read no variable of the notebook's by loading."""

AUTOMAGIC = (
    HARMLESS
    | STATEMENTS
    | _words(
        "aimport bash capture dotenv env load_ext reload_ext lprun macro prun pylab recall rerun reset reset_selective run sc "
        "script set_env sh sql "
        "store sx system time timeit xdel"
    )
)
"""Line magics that IPython knows without their `%`, where they are all of a cell."""
