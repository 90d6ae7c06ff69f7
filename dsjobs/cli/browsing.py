"""Lets a browser into an open project: one page, served once on this machine, whose form posts the session token.

The token is in no address, so in no history, log or Referer; and in no file, which a sandboxed browser could not read anyway.
Page: Project.Open, projectUrl ("POST request to projectUrl with sessionToken body parameter").
"""

from __future__ import annotations

import html
import secrets
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

PATIENCE = 60.0
"""Seconds for a browser to start and ask for the page."""


def show(project_url: str, session_token: str, *, patience: float = PATIENCE) -> bool:
    """Open a browser that posts the token to `project_url`. False where none came for the page within `patience` seconds."""
    path = f"/{secrets.token_urlsafe(32)}"
    given = threading.Event()
    content, policy = _page(project_url, session_token)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if given.is_set() or not secrets.compare_digest(self.path.encode(), path.encode()):
                self.send_error(404)
                return
            given.set()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            if not webbrowser.open(f"http://127.0.0.1:{server.server_port}{path}"):
                return False
            return given.wait(patience)
        finally:
            server.shutdown()
            thread.join()


def _page(project_url: str, session_token: str) -> tuple[bytes, str]:
    """The page, and the policy that keeps it to this one form and this one script."""
    nonce = secrets.token_urlsafe(16)
    target = urlsplit(project_url)
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>dsjobs open</title></head>
<body><form method="post" action="{html.escape(project_url)}">
<input type="hidden" name="sessionToken" value="{html.escape(session_token)}">
<p>Opening {html.escape(target.netloc)} …</p><noscript><button>Open the project</button></noscript>
</form><script nonce="{nonce}">document.forms[0].submit()</script></body></html>
"""
    policy = f"default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    return text.encode(), policy
