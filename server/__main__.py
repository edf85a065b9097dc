"""`python -m server`: settings from flags and environment, then uvicorn."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from typing import Any, get_origin

# As in trainer: threads that spin while they wait take the core from others; read once, before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; returns the exit code."""
    from pydantic import SecretStr, ValidationError

    from server.settings import Settings

    given = vars(_parser().parse_args(argv))
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(str(part) for part in fault["loc"]).replace("_", "-")
            shown = "" if "token" in name or not name else f" = {fault['input']!r}"
            print(f"error: {name or 'settings'}{shown}: {fault['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 2
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        print(f"error: data-dir = {settings.data_dir} cannot be made ({reason}): choose another", file=sys.stderr)
        return 2
    made = not settings.is_local and settings.token is None
    if made:
        settings = settings.model_copy(update={"token": SecretStr(secrets.token_urlsafe(32))})
        print(f"token (made, as {settings.host} can be reached by others): {settings.token_text}", flush=True)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = "another program has it: stop that, or choose another with --port" if taken else "choose another"
        reason = error.strerror or str(error)
        print(f"error: cannot listen on {settings.host} port {settings.port} ({reason}): {hint}", file=sys.stderr)
        return 1
    with listener:
        return _serve(settings, listener, show_token=made)


def _parser() -> argparse.ArgumentParser:
    """A flag for every field of Settings."""
    from server.settings import Settings

    parser = argparse.ArgumentParser(
        prog="python -m server", argument_default=argparse.SUPPRESS,
        description="A live community of prosumers, streamed to a page. Every flag can be an environment variable: "
        "--port is SMARTGRID_PORT.",
    )  # fmt: skip
    for name, field in Settings.model_fields.items():
        text = field.description or ""
        options: dict[str, Any] = {}
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(field.annotation) is list:
            options |= {"nargs": "*", "metavar": "VALUE"}
        else:
            default = field.get_default(call_default_factory=True)
            text += f" (default: {default})" if default not in (None, "") else ""
            options["metavar"] = "VALUE"
        parser.add_argument(f"--{name.replace('_', '-')}", help=text.replace("%", "%%"), **options)
    return parser


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


def _serve(settings: Any, listener: socket.socket, show_token: bool) -> int:
    import uvicorn

    from server import logs
    from server.app import create_app
    from server.errors import ApiError
    from server.protocol import websocket_class
    from smartgrid_core.errors import UserError

    logs.configure(settings.log_level, settings.log_format)
    try:
        app = create_app(settings)
        app.state.context.engine.check_settings()
    except (UserError, ApiError) as error:
        field = f"--{error.field}: " if isinstance(error, ApiError) and error.field else ""
        print(f"error: {field}{error}", file=sys.stderr)
        return 2
    sys.setswitchinterval(0.0005)  # the event loop waits no longer for a simulation that computes in Python
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # frames are many small objects without cycles
    password = settings.ssl_keyfile_password
    config = uvicorn.Config(
        app, ws=websocket_class(), ws_per_message_deflate=False, ws_max_size=settings.max_message_bytes,
        ws_ping_interval=20.0, ws_ping_timeout=20.0, log_config=None, access_log=settings.log_level == "debug",
        server_header=False, proxy_headers=True, forwarded_allow_ips=settings.trusted_proxies,
        root_path=settings.root_path, timeout_graceful_shutdown=int(max(1, settings.shutdown_s)),
        h11_max_incomplete_event_size=64 << 10, ssl_certfile=settings.ssl_certfile, ssl_keyfile=settings.ssl_keyfile,
        ssl_keyfile_password=password.get_secret_value() if password else None,
    )  # fmt: skip
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        pair = f"{settings.ssl_certfile} and {settings.ssl_keyfile}"
        print(f"error: {pair} are no certificate and key that fit ({error.strerror or error})", file=sys.stderr)
        return 2
    scheme = "https" if settings.ssl_certfile else "http"
    host, port = listener.getsockname()[:2]
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    fragment = f"#token={settings.token_text}" if show_token else ""  # an operator's own stays out of logs
    print(f"smartgrid-marl: {scheme}://{shown}:{port}/web/{fragment}", flush=True)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
