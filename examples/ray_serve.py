"""Serve images with Ray Serve: each replica runs the steps of all its requests in common network calls.

serve run ray_serve:app    # then: curl 'http://127.0.0.1:8000/?seed=7&sample=40' --output digit.png
"""

import asyncio

from ray import serve
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ddpm_rt import Request, open_denoiser
from ddpm_rt.device.lanes import rows_of
from ddpm_rt.images.write import encode_png, to_pixels
from ddpm_rt.serve.chain import Chain
from ddpm_rt.serve.host_lanes import HostLanes
from ddpm_rt.serve.job import Job
from ddpm_rt.serve.scheduler import Scheduler


@serve.deployment(max_ongoing_requests=256)
class Images:
    def __init__(self) -> None:
        self.engine = open_denoiser()
        self.scheduler = Scheduler(HostLanes(self.engine), batch=16, queue=256)
        bound = Request(steps=10).bind(self.engine.card)
        self.rows = rows_of(bound.table, bound.sampler.clip)

    async def __call__(self, request: HttpRequest) -> Response:
        seed, sample = (int(request.query_params.get(name, 0)) for name in ("seed", "sample"))
        job = Job([Chain(self.rows, seed, sample, label=sample % 10)])
        self.scheduler.submit(job)
        (image,) = await asyncio.wrap_future(job.result)
        return Response(encode_png(to_pixels(image[None])[0], {}), media_type="image/png")


app = Images.bind()
