"""Who may: tokens over TLS, origins, host names, limits; and how a server says goodbye."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from server.errors import as_api_error, scrub
from server.settings import Settings
from tests.server.serving import Serving, close_code, command, receive, serving, until

TOKEN = "a-token-of-enough-characters"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a token, over TLS, with small limits."""
    folder = tmp_path_factory.mktemp("guarded")
    authority, certificate, key = trustme.CA(), folder / "chain.pem", folder / "key.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(certificate, append=True)
    flags = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key), "--max-viewers", "3")
    flags += ("--auth-timeout-s", "0.5", "--failure-limit", "8/minute", "--command-limit", "40/minute")
    flags += ("--origins", "https://grid.example", "--log-format", "json", "--host", "0.0.0.0")
    with serving(folder, *flags, env={"SMARTGRID_TOKEN": TOKEN}) as server:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        server.base = server.base.replace("0.0.0.0", "localhost")
        server.context, server.verify = context, context
        server.headers = {"authorization": f"Bearer {TOKEN}"}
        yield server


def test_rest_needs_the_token_but_health_and_the_page_do_not(guarded: Serving) -> None:
    assert guarded.base.startswith("https://")
    assert guarded.get("/api/status")["state"] == "stopped"
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        guarded.headers, right = {}, guarded.headers
        response = guarded.http("GET", "/api/status", headers=wrong)
        page, health = guarded.http("GET", "/web/"), guarded.http("GET", "/healthz")
        guarded.headers = right
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.headers["www-authenticate"] == "Bearer"
        assert (page.status_code, health.status_code) == (404, 200)
    assert "max-age" in guarded.http("GET", "/healthz").headers["strict-transport-security"]
    schema = guarded.get("/api/openapi.json")
    assert schema["security"] == [{"token": []}]


def test_the_first_message_is_the_token(guarded: Serving) -> None:
    with guarded.connect() as viewer:
        viewer.send(json.dumps({"type": "auth", "token": TOKEN}))
        assert receive(viewer)["type"] == "hello"
        assert command(viewer, "ping")["type"] == "ack"
    with guarded.connect(additional_headers=guarded.headers) as viewer:
        assert receive(viewer)["type"] == "hello", "a program may send the header instead"


def test_without_the_token_nothing_is_said(guarded: Serving) -> None:
    for first in ('{"type": "auth", "token": "wrong"}', '{"type": "command", "id": 1, "command": "stop"}', None):
        with guarded.connect() as viewer:
            if first is not None:
                viewer.send(first)
            assert close_code(viewer) == 4401


def test_pages_of_other_origins_may_not_connect(guarded: Serving) -> None:
    for origin in ("https://evil.example", "null", "https://localhost:1", "http://[", "http://localhost:x"):
        with pytest.raises(InvalidStatus) as refused:
            guarded.connect(additional_headers=guarded.headers, origin=origin)
        assert refused.value.response.status_code == 403
        response = guarded.http("POST", "/api/simulation/stop", headers={"origin": origin})
        assert (response.status_code, response.json()["error"]["field"]) == (403, "origin")
    for origin in ("https://grid.example", guarded.base):
        with guarded.connect(additional_headers=guarded.headers, origin=origin) as viewer:
            assert receive(viewer)["type"] == "hello"
    preflight = {"origin": "https://grid.example", "access-control-request-method": "POST"}
    assert guarded.http("OPTIONS", "/api/status", headers=preflight).headers["access-control-allow-origin"]
    refused = guarded.http("GET", "/api/status", headers={"origin": "https://grid.example", "authorization": ""})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://grid.example")
    strange = guarded.http("GET", "/api/status", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in strange.headers


def test_no_more_viewers_than_allowed(guarded: Serving) -> None:
    sockets = [guarded.connect(additional_headers=guarded.headers) for _ in range(3)]
    for viewer in sockets:
        assert receive(viewer)["type"] == "hello"
    with guarded.connect(additional_headers=guarded.headers) as late:
        assert close_code(late) == 1013
    for viewer in sockets:
        viewer.close()


def test_commands_are_limited(guarded: Serving) -> None:
    with guarded.connect(additional_headers=guarded.headers) as viewer:
        answers = [command(viewer, "ping") for _ in range(41)]
    assert [a["type"] for a in answers] == ["ack"] * 40 + ["error"]
    assert answers[-1]["error"]["code"] == "too_many_requests"


def test_zz_guessing_is_stopped(guarded: Serving) -> None:
    right, guarded.headers = guarded.headers, {"authorization": "Bearer guess"}
    codes = [guarded.http("GET", "/api/status").status_code for _ in range(10)]
    guarded.headers = right
    assert codes[-1] == 429
    assert guarded.http("GET", "/api/status").status_code == 429, "the right token would tell that it is"
    for line in guarded.log.read_text().splitlines():
        assert {"time", "level", "logger", "message"} <= set(json.loads(line))
        assert TOKEN not in line


def test_names_that_are_not_ours_are_refused(server: Serving) -> None:
    response = server.http("GET", "/api/status", headers={"host": "evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_host")
    with socket.create_connection(("127.0.0.1", server.port)) as raw, pytest.raises(InvalidStatus):
        connect(f"ws://evil.example:{server.port}/ws/grid", sock=raw, proxy=None)
    assert server.http("GET", "/api/status", headers={"host": "[::1]:8000"}).status_code == 200


def test_pages_elsewhere_cannot_post_to_a_local_server(server: Serving) -> None:
    for headers in ({"origin": "http://evil.example"}, {"origin": "http://["}, {"sec-fetch-site": "cross-site"}):
        assert server.http("POST", "/api/simulation/stop", headers=headers).status_code == 403
    assert server.http("POST", "/api/simulation/stop", headers={"origin": server.base}).status_code == 200


def test_viewers_are_told_that_the_server_stops(folder: Path) -> None:
    with serving(folder, "--rest-limit", "3/minute", "--handshake-limit", "2/minute") as server:
        with server.connect() as one, server.connect("/ws/training") as other:
            until(one, "status")
            assert close_code(other) == 4404
            with pytest.raises(InvalidStatus) as refused:
                server.connect()
            assert refused.value.response.status_code == 429
            codes = [server.http("GET", "/api/status").status_code for _ in range(4)]
            assert codes == [200, 200, 200, 429]
            server.process.send_signal(signal.SIGTERM)
            assert close_code(one) == 1001
        assert server.end() in (0, -signal.SIGTERM)


def test_another_bind_makes_a_token_and_an_empty_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 characters"):
        Settings(token="")  # type: ignore[arg-type]
    assert [Settings(host=h).is_local for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "::")] == [
        True, True, True, False, False, False
    ]  # fmt: skip


def test_messages_keep_folders_to_themselves() -> None:
    assert scrub("no file /home/me/data/load.csv, row 3") == "no file load.csv, row 3"
    assert scrub("6/8 kW at https://a.example/b/c") == "6/8 kW at https://a.example/b/c"


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(errno.EROFS, 503, "no_access"), (errno.ENOSPC, 507, "no_room"), (errno.EIO, 500, "internal")],
)
def test_a_folder_that_takes_no_files_is_told(number: int, status: int, code: str) -> None:
    told = as_api_error(OSError(number, os.strerror(number), "/srv/somewhere/data"))
    assert (told.status, told.code) == (status, code)
    assert "somewhere" not in told.message


def test_every_operation_wants_the_token(tmp_path: Path) -> None:
    """All that the OpenAPI lists but /healthz, without a token and with a wrong one."""
    with serving(tmp_path, "--failure-limit", "", env={"SMARTGRID_TOKEN": TOKEN}) as server:
        paths = server.get("/api/openapi.json", headers={"authorization": f"Bearer {TOKEN}"})["paths"]
        wrong = {"authorization": "Bearer " + "x" * len(TOKEN)}
        for path, item in paths.items():
            for method in item:
                for headers in ({}, wrong):
                    answer = server.http(method.upper(), path.replace("{", "").replace("}", ""), headers=headers)
                    assert answer.status_code == (200 if path == "/healthz" else 401), f"{method} {path}"
        assert len(paths) > 30
