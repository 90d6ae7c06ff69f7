"""Project.Open with a real JupyterLab: over HTTP, and in a browser."""

from __future__ import annotations

import html
import shutil
import threading
import venv
from pathlib import Path

import page_tables
import pytest
import requests
from live_server import PATIENCE, TOKEN, Running, configuration, until, write_notebook

OPEN = "/datasphere/v2/projects/p1:open"
STATUSES = next(field for field in page_tables.read("open").response if field.path == "metadata.status").enum
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(configuration(tmp_path_factory.mktemp("open"), open_pause=0.2))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    write_notebook(running.folder / "hello.ipynb", "print('hello', 6 * 7)", kernelspec=kernel)
    yield running
    running.stop()


def open_project(server: Running, path: str = OPEN, **headers: str) -> tuple[dict, list[str]]:
    """The finished operation of an Open, and the statuses that it passed through."""
    operation = server.client.post(path, headers=headers).json()
    statuses = [operation["metadata"]["status"]]

    def look():
        seen = server.client.operation(operation["id"])
        if seen["metadata"]["status"] != statuses[-1]:
            statuses.append(seen["metadata"]["status"])
        return seen["done"] and seen

    return until(look), statuses


@pytest.fixture(scope="module")
def opened(server):
    """An open project: the operation, and the statuses on the way."""
    return open_project(server)


def lab(address: str, path: str) -> requests.Response:
    """A request to the JupyterLab at `address`, with its token."""
    root, _, query = address.partition("/lab?token=")
    return requests.get(f"{root}{path}", headers={"Authorization": f"token {query}"}, timeout=PATIENCE)


def lab_processes(server: Running) -> list[str]:
    """The command lines of the JupyterLabs of this server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"root_dir={server.folder}" in text and "jupyterlab" in text:
            found.append(text)
    return found


def test_open_when_it_is_looked_at_then_it_passes_through_the_statuses_of_the_page(opened):
    operation, statuses = opened
    assert operation["done"] and "error" not in operation, operation
    names = [
        f"OPEN_PROJECT_STATUS_{name}"
        for name in ("UNZIPPING_PROJECT", "ALLOCATING_VM", "ALLOCATING_RESOURCES", "STARTING_IDE")
    ]
    assert [status for status in statuses if not status.endswith("UNSPECIFIED")] == names
    assert set(statuses) <= set(STATUSES)


def test_project_url_when_it_is_fetched_with_the_token_then_it_leads_to_jupyterlab(server, opened):
    """GET with the query parameter, POST with the body parameter, as the page says; form and JSON."""
    response = opened[0]["response"]
    url, token = response["projectUrl"], response["sessionToken"]
    assert url.startswith(f"{server.address}/open/")
    for answer in (
        requests.get(url, params={"sessionToken": token}, timeout=PATIENCE, allow_redirects=False),
        requests.post(url, data={"sessionToken": token}, timeout=PATIENCE, allow_redirects=False),
        requests.post(url, json={"sessionToken": token}, timeout=PATIENCE, allow_redirects=False),
    ):
        assert answer.status_code == 303
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert token not in answer.headers["location"]
    for method in ("get", "post"):
        sent = {"params" if method == "get" else "data": {"sessionToken": token}}
        with requests.Session() as browser:
            page = browser.request(method, url, timeout=PATIENCE, **sent)
            assert page.status_code == 200
            assert "JupyterLab" in page.text
            assert browser.get(page.url.partition("/lab")[0] + "/api/kernels", timeout=PATIENCE).json() == []


def test_project_url_when_the_token_is_wrong_then_nobody_gets_in(server, opened):
    response = opened[0]["response"]
    url, token = response["projectUrl"], response["sessionToken"]
    for wrong in ("", token[:-1], token + "x", "é", "x" * 5000):
        assert requests.get(url, params={"sessionToken": wrong}, timeout=PATIENCE).status_code == 401
        assert requests.post(url, data={"sessionToken": wrong}, timeout=PATIENCE).status_code == 401
    assert requests.get(url, timeout=PATIENCE).status_code == 401
    assert requests.post(url, data=b"\xff", timeout=PATIENCE).status_code == 401
    assert requests.post(url, params={"sessionToken": token}, timeout=PATIENCE).status_code == 401, "not the body"
    assert (
        requests.get(f"{server.address}/open/other", params={"sessionToken": token}, timeout=PATIENCE).status_code
        == 401
    )
    assert requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE).status_code == 401


def test_lab_when_it_runs_then_it_serves_the_project_s_folder_and_shows_no_secret(server, opened):
    response = opened[0]["response"]
    entered = requests.get(
        response["projectUrl"],
        params={"sessionToken": response["sessionToken"]},
        timeout=PATIENCE,
        allow_redirects=False,
    )
    address = entered.headers["location"]
    assert [item["name"] for item in lab(address, "/api/contents").json()["content"]] == ["hello.ipynb"]
    assert requests.get(address.partition("/lab")[0] + "/api/contents", timeout=PATIENCE).status_code == 403
    arguments = lab_processes(server)
    assert len(arguments) == 1
    assert address.partition("token=")[2] not in arguments[0]
    inspected = server.client.inspect(opened[0]["id"])["operation"]["response"]
    assert inspected["sessionToken"] == "***"


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium with a profile of its own."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and its driver are not installed: apt-get install chromium chromium-driver")
    selenium = pytest.importorskip(
        "selenium.webdriver", reason="the browser is driven with selenium, which is not installed"
    )
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--window-size=1400,1000", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(flag)
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(executable_path=DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


def output_of_first_cell(browser) -> str:
    """What the first cell printed. Presses Shift+Enter in it, again where the page or its kernel was not ready for it."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver import ActionChains, Keys

    def shown() -> str:
        try:
            found = browser.find_elements("css selector", ".jp-OutputArea-output pre")
            return found[0].text.strip() if found else ""
        except WebDriverException:
            return ""

    try:
        browser.find_element("css selector", ".jp-Notebook .jp-CodeCell .cm-content").click()
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    except WebDriverException:
        return ""  # not there yet, or something lies over it while the page is built
    for _ in range(100):
        if text := shown():
            return text
        threading.Event().wait(0.1)
    return ""


@pytest.mark.parametrize("method", ["get", "post"])
def test_browser_when_it_follows_the_project_url_then_a_cell_runs_there(server, opened, browser, tmp_path, method):
    response = opened[0]["response"]
    if method == "get":
        browser.get(f"{response['projectUrl']}?sessionToken={response['sessionToken']}")
    else:
        form = tmp_path / "form.html"
        form.write_text(
            f'<form method="post" action="{html.escape(response["projectUrl"])}">'
            f'<input name="sessionToken" value="{html.escape(response["sessionToken"])}"></form>'
            "<script>document.forms[0].submit()</script>"
        )
        browser.get(form.as_uri())
    until(lambda: browser.find_elements("css selector", "#jp-main-dock-panel"))
    assert "token" not in browser.current_url.casefold()

    browser.get(browser.current_url.partition("/lab")[0] + "/lab/tree/hello.ipynb?reset")
    assert until(lambda: output_of_first_cell(browser)) == "hello 42"


@pytest.fixture(scope="module")
def reopened(server, opened):
    """The project opened once more, by the other of the two paths, with a key that came twice."""
    path, key = "/datasphere/v2/projects/p1/open", {"Idempotency-Key": "k"}
    first = server.client.post(path, headers=key).json()
    second, statuses = open_project(server, path, **key)
    assert second["id"] == first["id"]
    return second, statuses


def test_open_when_the_project_is_open_then_the_first_is_closed(server, opened, reopened):
    """After those that use the first JupyterLab: it is gone."""
    first, (second, statuses) = opened[0]["response"], reopened
    assert "error" not in second, second
    seen = [status for status in statuses if not status.endswith("UNSPECIFIED")]
    assert seen[0] == "OPEN_PROJECT_STATUS_CLOSING_IDE"
    old = requests.get(first["projectUrl"], params={"sessionToken": first["sessionToken"]}, timeout=PATIENCE)
    assert old.status_code == 401
    assert len(lab_processes(server)) == 1


def test_open_when_the_server_stops_then_jupyterlab_and_its_kernels_end(server, reopened):
    """The last one of this module's server."""
    response = reopened[0]["response"]
    form = {"sessionToken": response["sessionToken"]}
    entered = requests.post(response["projectUrl"], data=form, timeout=PATIENCE, allow_redirects=False)
    root, _, token = entered.headers["location"].partition("/lab?token=")
    headers = {"Authorization": f"token {token}"}
    started = requests.post(f"{root}/api/kernels", json={"name": "python3"}, headers=headers, timeout=PATIENCE)
    kernel = started.json()["id"]
    assert any(kernel in text for text in _arguments())
    server.stop()
    assert lab_processes(server) == []
    until(lambda: not any(kernel in text for text in _arguments()), 10)


def _arguments() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def test_open_when_jupyterlab_is_not_installed_then_the_operation_says_what_to_install(serve, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    server = serve(lab_python=str(tmp_path / "bare" / "bin" / "python"))
    operation, _ = open_project(server)
    assert operation["error"]["code"] == 9
    assert "pip install 'dsjobs[lab]'" in operation["error"]["message"]


def stand_in(path: Path, does: str) -> str:
    """An interpreter that claims to have JupyterLab, and does something else when it is to start it."""
    path.write_text(f'#!/bin/sh\ncase "$1" in -c) exit 0;; esac\n{does}\n')
    path.chmod(0o755)
    return str(path)


LISTENS = "echo '{}' > \"$JUPYTER_RUNTIME_DIR/jpserver-$$.json\"; exec sleep 600"


def test_open_when_jupyterlab_ends_at_once_then_the_operation_says_where_its_log_is(serve, tmp_path):
    server = serve(lab_python=stand_in(tmp_path / "python", "echo no such thing >&2; exit 1"))
    operation, _ = open_project(server)
    assert operation["error"]["code"] == 14
    log = Path(operation["error"]["message"].rpartition(" ")[2])
    assert "no such thing" in log.read_text()


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({"host": "0.0.0.0"}, None),  # whoever it is that asks
        ({"allowed_hosts": frozenset({"jobs.example"})}, "jobs.example"),  # as behind a proxy
    ],
)
def test_open_when_its_tokens_would_cross_a_network_then_it_is_refused_and_says_why(serve, tmp_path, options, host):
    server = serve(lab_python=stand_in(tmp_path / "python", LISTENS), **options)

    answer = server.client.post(OPEN, headers={"Host": host} if host else {})

    assert (answer.status_code, answer.json()["code"]) == (400, 9)
    assert "SSH tunnel" in answer.json()["message"]
    assert server.client.get("/_dsjobs/operations").json()["operations"] == []


def test_project_url_when_it_is_asked_for_by_another_name_then_it_leads_nowhere(serve, tmp_path):
    allowed = frozenset({"jobs.example"})
    server = serve(lab_python=stand_in(tmp_path / "python", LISTENS), allowed_hosts=allowed)
    response = open_project(server, Host="LocalHost")[0]["response"]
    assert response["projectUrl"].startswith("http://LocalHost/open/")
    url = server.address + response["projectUrl"].removeprefix("http://LocalHost")
    entered = [
        requests.post(
            url,
            data={"sessionToken": response["sessionToken"]},
            headers={"Host": host},
            timeout=PATIENCE,
            allow_redirects=False,
        )
        for host in ("jobs.example", "LocalHost", "[::1]:5")
    ]
    assert [answer.status_code for answer in entered] == [400, 303, 303]
    assert "location" not in entered[0].headers
    assert entered[2].headers["location"].startswith("http://[::1]:")


def test_open_when_it_is_cancelled_then_it_ends_with_code_1_and_nothing_runs(serve, tmp_path):
    server = serve(lab_python=stand_in(tmp_path / "python", f"echo $$ > '{tmp_path}/pid'; exec sleep 600"))
    operation = server.client.post(OPEN).json()
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    server.client.post(f"/operations/{operation['id']}:cancel")
    assert server.client.wait(operation["id"])["error"]["code"] == 1
    pid = (tmp_path / "pid").read_text().strip()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_open_when_something_else_lies_beside_the_labs_then_only_the_closed_labs_are_removed(serve, tmp_path):
    server = serve(lab_python=stand_in(tmp_path / "python", LISTENS))
    labs = tmp_path / "state" / "labs"
    for name in ("mine", "a" * 20):
        (labs / name / "inner").mkdir(parents=True)
    operation, _ = open_project(server)
    assert sorted(path.name for path in labs.iterdir()) == sorted(["mine", operation["id"]])
    assert (labs / "mine" / "inner").is_dir()


def test_session_when_its_time_is_over_then_nobody_gets_in(serve, tmp_path):
    server = serve(session_seconds=0.0, lab_python=stand_in(tmp_path / "python", LISTENS))
    response = open_project(server)[0]["response"]
    late = requests.get(response["projectUrl"], params={"sessionToken": response["sessionToken"]}, timeout=PATIENCE)
    assert (late.status_code, late.json()["code"]) == (401, 16)


def test_session_when_jupyterlab_has_ended_then_nobody_gets_in(serve, tmp_path):
    brief = "echo '{}' > \"$JUPYTER_RUNTIME_DIR/jpserver-$$.json\"; exec sleep 0.5"
    server = serve(lab_python=stand_in(tmp_path / "python", brief))
    response = open_project(server)[0]["response"]
    form = {"sessionToken": response["sessionToken"]}
    ask = lambda: requests.post(response["projectUrl"], data=form, timeout=PATIENCE, allow_redirects=False)  # noqa: E731
    until(lambda: ask().status_code == 401)


def test_open_when_the_server_was_killed_meanwhile_then_the_operation_ends_with_code_14(command):
    server = command()
    operation = server.client.post(OPEN).json()
    server.end(9)
    again = command()
    assert again.client.operation(operation["id"])["error"]["code"] == 14
