"""The page: the files of `web/` and the libraries it uses, from its node_modules, each by name."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.context import Part, Shared
from server.errors import ApiError
from server.vendor import VENDOR

SERVED = {".html", ".js", ".mjs", ".css", ".svg", ".png", ".ico", ".webp", ".woff2", ".json", ".webmanifest", ".txt"}
MISSING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>smartgrid-marl</title>
<h1>The server runs, its page is not here</h1>
<p>The folder <code>web/</code> has no <code>index.html</code>: start the server from a checkout of the repository, or
say where the page is with <code>--web-dir</code>. The API works: <a href="/api/status">status</a>,
<a href="/api/openapi.json">OpenAPI</a>.</p></html>"""

for kind, suffix in (("text/javascript", ".js"), ("text/javascript", ".mjs"), ("font/woff2", ".woff2")):
    mimetypes.add_type(kind, suffix)  # whatever the machine's own table says

router = APIRouter(include_in_schema=False)


@router.get("/web")
async def slash(shared: Shared) -> Response:
    """Relative addresses of the page need the slash."""
    return RedirectResponse(f"{shared.settings.root_path}/web/", 307)


@router.get("/vendor/{name}")
async def vendor(shared: Shared, name: str) -> Response:
    """A library of the page."""
    path = None if name not in VENDOR else shared.settings.web_dir / "node_modules" / VENDOR[name]
    if path is None or not path.is_file():
        why = "is none of the page's libraries" if path is None else "is not installed: run npm ci in web/"
        raise ApiError(404, "not_found", f"{name[:80]} {why}", "name")
    return FileResponse(path)


class Pages(StaticFiles):
    """Files of the page, and no other of the folder: no libraries' sources, no hidden files."""

    def __init__(self, folder: Path):
        super().__init__(directory=folder, html=True, check_dir=False)

    async def check_config(self) -> None:
        """A folder that is not there is no failure: `get_response` says so."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        parts = Path(path).parts
        hidden = any(part.startswith(".") or part == "node_modules" for part in parts if part != ".")
        if hidden or (parts and Path(path).suffix not in SERVED and Path(path).suffix != ""):
            raise ApiError(404, "not_found", "there is no such file")
        if path == "." and not (Path(str(self.directory)) / "index.html").is_file():
            return HTMLResponse(MISSING, 404)
        return await super().get_response(path, scope)


PART = Part(router)
