"""`dsjobs.publish`: hands a notebook's outputs to the run that started it. Standard library only; runs inside the notebook.

`import dsjobs` loads this module, so what it needs it imports when it is called.
"""

from __future__ import annotations

from typing import Any

VARIABLE = "DSJOBS_OUTPUTS_URL"
"""The environment variable with the address for the outputs. Whoever has the address can write there: it is never shown."""

_TRIES = 4
_TIMEOUT = 30.0

# What was published so far, by address: a second call adds to the first, and a kernel that outlives its run starts anew.
_published: dict[str, dict[str, Any]] = {}


def publish(**values: Any) -> None:
    """Publish `values` as the outputs of this job; call it in the notebook's last cell.

    Does nothing where no output store is set, so the same notebook runs everywhere: on this machine dsjobs reads variables of
    the same names. Values are JSON; NumPy scalars and arrays, pandas objects, dates and paths are converted. Calling it again
    adds to what was published, and replaces values of the same name.

    Raises ValueError for a value that is not JSON, BackendError where the store cannot be written to.
    """
    import os

    url = os.environ.get(VARIABLE, "")
    if not url:
        return
    together = {**_published.get(url, {}), **{name: _json(name, value) for name, value in values.items()}}
    _put(url, _encoded(together))
    _published.clear()
    _published[url] = together


def _json(name: str, value: Any) -> Any:
    from dsjobs.notebook.collect import UnfitError, converted
    from dsjobs.notebook.outputs import MAX_BYTES

    try:
        return converted(value, MAX_BYTES, 0)
    except UnfitError as unfit:
        place = f": {name}{unfit.place}" if unfit.place else ""
        raise ValueError(f"output '{name}'{place} {unfit}") from None


def _encoded(values: dict[str, Any]) -> bytes:
    import json

    from dsjobs.notebook.outputs import MAX_BYTES

    content = json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 2**20:.1f} MiB, more than the {MAX_BYTES // 2**20} MiB allowed"
        raise ValueError(f"the outputs take {size}: write the data to a file and publish its path")
    return content


def _put(url: str, content: bytes) -> None:
    from urllib.parse import urlsplit

    from dsjobs.errors import BackendError

    scheme = urlsplit(url).scheme
    if scheme == "file":
        _write(url, content)
    elif scheme in ("https", "http"):
        _send(url, content)
    else:
        raise BackendError(f"{VARIABLE} is not an https:, http: or file: address", retryable=False)


def _write(url: str, content: bytes) -> None:
    """Whoever looks sees the whole file or none."""
    import os
    import tempfile
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    from dsjobs.errors import BackendError

    path = url2pathname(urlsplit(url).path)
    draft = None
    try:
        number, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".publish-")
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except OSError as error:
        if draft is not None and os.path.exists(draft):
            os.unlink(draft)
        message = f"the outputs cannot be written to {os.path.dirname(path)}: {error.strerror}"
        hint = "the folder of the output store must be on a disk that this notebook can write to"
        raise BackendError(message, retryable=False, hint=hint) from None


def _send(url: str, content: bytes) -> None:
    """A PUT, a few times: writing the same object again does no harm. No message shows the address."""
    import http.client
    import time
    import urllib.error
    import urllib.request

    from dsjobs.errors import BackendError

    headers = {"Content-Type": "application/json"}
    for tried in range(1, _TRIES + 1):
        request = urllib.request.Request(url, data=content, method="PUT", headers=headers)  # noqa: S310 (https or http)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode("utf-8", "replace")
            problem, again = f"HTTP {error.code} {error.reason}", error.code >= 500 or error.code == 429
            hint = "its address has expired, or the store's key may not write there" if error.code == 403 else None
            problem += _code(said)
        except OSError as error:  # URLError, a time-out, a broken connection
            problem, again, hint = (
                str(getattr(error, "reason", None) or error),
                True,
                "can this machine reach the store?",
            )
        except http.client.HTTPException as error:  # its text may quote the address
            problem, again, hint = type(error).__name__, not isinstance(error, http.client.InvalidURL), None
        if not again or tried == _TRIES:
            raise BackendError(f"the outputs cannot be published: {problem}", retryable=again, hint=hint) from None
        time.sleep(0.5 * 2 ** (tried - 1))


def _code(body: str) -> str:
    """The error code in the answer of an S3 store."""
    import re

    found = re.search(r"<Code>(\w{1,60})</Code>", body)
    return f" ({found[1]})" if found else ""
