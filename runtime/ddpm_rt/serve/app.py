"""The application: which path leads where, and what a request passes on its way."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from .guard import App, Guard, Receive, Scope, Send, hosts_for
from .images_api import ImagesApi
from .inference_protocol import InferenceProtocol
from .openapi import openapi_document
from .page import FILES, page_endpoints
from .reporting import Reporting
from .service import Service


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask: the address that the server is bound to, a token, and the hosts and origins that are let in."""

    host: str = "127.0.0.1"
    token: bytes | None = None
    allowed_hosts: Sequence[str] = ()
    origins: Sequence[str] = field(default=())  # of pages of other sites that may ask (CORS)


def make_app(service: Service, access: Access) -> App:
    """The ASGI application of a server."""
    routes = routes_of(service, access)
    app: App = Router(routes, default=_nothing)
    app = Guard(
        app,
        limits=service.limits,
        token=access.token,
        hosts=hosts_for(access.host, access.allowed_hosts),
        origins=access.origins,
        public=list(FILES),
    )
    if access.origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Inference-Header-Content-Length"],
            expose_headers=["ETag", "Content-Location", "Retry-After", "Inference-Header-Content-Length"],
        )
    patterns = {route.endpoint: route.path for route in routes}
    return Reporting(app, service.metrics, patterns, is_shared=bool(access.origins))


def routes_of(service: Service, access: Access) -> list[Route]:
    """Every path of the server. `openapi.py` describes them."""
    images = ImagesApi(service, is_private=access.token is not None)
    protocol = InferenceProtocol(service)

    async def metrics(request: HttpRequest) -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": service.metrics.content_type})

    async def document(request: HttpRequest) -> Response:
        return JSONResponse(openapi_document())

    of_model = "/v2/models/{model}"
    versioned = f"{of_model}/versions/{{version}}"
    return [
        *(Route(path, endpoint) for path, endpoint in page_endpoints().items()),
        Route("/openapi.json", document),
        Route("/metrics", metrics),
        Route("/v1/models", images.models),
        Route("/v1/models/{model}", images.model),
        Route("/v1/models/{model}/images", images.images, methods=["POST"]),
        Route("/v1/models/{model}/images/{seed}/{file}", images.image),
        Route("/v2", protocol.server),
        Route("/v2/health/live", protocol.live),
        Route("/v2/health/ready", protocol.ready),
        *(Route(path, protocol.model) for path in (of_model, versioned)),
        *(Route(f"{path}/ready", protocol.model_ready) for path in (of_model, versioned)),
        *(Route(f"{path}/infer", protocol.infer, methods=["POST"]) for path in (of_model, versioned)),
    ]


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404)
