"""The page at `/`: three files of this package, which load nothing from anywhere else."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_endpoints() -> dict[str, Callable[[HttpRequest], Awaitable[Response]]]:
    """The endpoint of each path."""
    return {path: _endpoint(*file) for path, file in FILES.items()}


def _endpoint(name: str, kind: str) -> Callable[[HttpRequest], Awaitable[Response]]:
    content = (FOLDER / name).read_bytes()
    headers = {
        "Content-Security-Policy": POLICY,
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",
    }

    async def page(request: HttpRequest) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    return page
