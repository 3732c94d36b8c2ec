"""Clients that leave, readers that are slow, queues that are full, and the end of the server."""

import json
import socket

import pytest
from served import WAIT, GatedEngine, Server

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PATH = "/v1/models/toy/images"


@pytest.fixture
def engine():
    return GatedEngine()


def send(server, body, accept="application/json"):
    """A request whose response is not read, as a socket."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)
    text = json.dumps(body)
    client.sendall(
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
        f"Content-Length: {len(text)}\r\n\r\n{text}".encode()
    )
    return client


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "application/zip"])
def test_a_client_that_leaves_frees_its_lanes_at_the_next_step(engine, accept):
    with Server({"toy": engine}) as server:
        client = send(server, {"count": 3, "steps": 500}, accept)
        engine.wait_for_call()
        client.close()
        server.wait_until(lambda: server.metric("ddpm_rt_cancellations_total", model="toy") == 1)
        assert server.scheduler.load() == (0, 0)
        engine.open()
        assert server.post(PATH, {"steps": 2}).status == 200
        assert len(engine.calls) == 3  # one for the client that left
        route = "/v1/models/{model}/images"
        server.wait_until(lambda: server.metric("ddpm_rt_request_seconds_count", route=route, status="499") == 1)


def test_a_client_that_leaves_while_its_image_is_drawn_frees_its_lane(engine):
    with Server({"toy": engine}) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)
        client.sendall(b"GET /v1/models/toy/images/1/2.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        engine.wait_for_call()
        client.close()
        server.wait_until(lambda: server.metric("ddpm_rt_cancellations_total", model="toy") == 1)
        assert server.scheduler.load() == (0, 0)


def test_a_full_queue_answers_429_and_says_when_to_try_again(engine):
    with Server({"toy": engine}, queue=16) as server:
        client = send(server, {"count": 15, "steps": 500})
        engine.wait_for_call()
        refused = server.post(PATH, {"count": 2, "steps": 3})
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert server.error(refused).startswith("the queue is full; try again in")
        server.wait_until(
            lambda: server.metric("ddpm_rt_refusals_total", status="429") == 1
        )  # counted after the answer
        client.close()
        server.wait_until(lambda: server.scheduler.load() == (0, 0))
        engine.open()
        assert server.post(PATH, {"count": 2, "steps": 3}).status == 200


def test_a_reader_that_reads_nothing_is_given_up_and_nobody_waits_for_it():
    engine = GatedEngine(is_open=True)
    with Server({"toy": engine}, send_seconds=0.2, samples=32) as server:
        server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the system would hold all of the events
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", server.port))
        body = json.dumps({"count": 32, "steps": 300, "previews": 64})
        client.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Accept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        server.wait_until(lambda: len(engine.calls) > 50)
        assert server.post(PATH, {"steps": 2}).status == 200
        server.wait_until(lambda: server.scheduler.load() == (0, 0))
        route = "/v1/models/{model}/images"
        server.wait_until(lambda: server.metric("ddpm_rt_request_seconds_count", route=route, status="499") == 1)
        client.close()


def test_the_server_lets_requests_finish_that_are_under_way_and_takes_no_others(engine):
    with Server({"toy": engine}) as server:
        kept = server.connection()
        kept.request("GET", "/v2/health/ready")
        kept.getresponse().read()
        client = send(server, {"count": 2, "steps": 3})
        engine.wait_for_call()
        server.service.is_draining = True
        for model in server.service.models.values():
            model.scheduler.stop_accepting()
        assert server.get("/v2/health/ready").status == 503
        assert server.get("/v2/health/live").status == 200
        refused = server.post(PATH, {"steps": 2})
        assert (refused.status, server.error(refused)) == (
            503, "the server is stopping; send the request to another one",
        )  # fmt: skip
        server.server.drain()
        engine.open()
        answer = b""
        while chunk := client.recv(1 << 16):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert len(json.loads(answer.split(b"\r\n\r\n", 1)[1])["images"]) == 2


@pytest.mark.slow
def test_the_server_ends_after_its_deadline_with_a_request_that_does_not(engine):
    with Server({"toy": engine}, drain_seconds=1) as server:
        client = send(server, {"count": 2, "steps": 900})
        engine.wait_for_call()
        server.server.drain()
        server._thread.join(WAIT)
        assert not server._thread.is_alive()
        assert server.scheduler.load() == (0, 0)
        client.close()
