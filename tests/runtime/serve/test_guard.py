"""Who is let in, what is too large or too slow, and what is logged of it."""

import io
import json
import logging
import socket

import pytest
from device_loops import Host
from served import WAIT, GatedEngine, Server

from ddpm_rt import DdpmRtError

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

TOKEN = "0123456789abcdef0123456789abcdef"
IMAGE = "/v1/models/toy/images/7/1.png?steps=2"


def access(**changes):
    from ddpm_rt.serve.app import Access

    return Access(**changes)


@pytest.fixture
def private():
    with Server({"toy": Host()}, access=access(token=TOKEN.encode())) as server:
        yield server


PROTECTED = [
    ("GET", "/v1/models"), ("GET", "/v1/models/toy"), ("GET", IMAGE), ("HEAD", IMAGE),
    ("POST", "/v1/models/toy/images"), ("GET", "/v2"), ("GET", "/v2/models/toy"), ("GET", "/v2/models/toy/ready"),
    ("POST", "/v2/models/toy/infer"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nothing"),
    ("GET", "//v1/models"), ("OPTIONS", "/v1/models"),
]  # fmt: skip


def test_without_the_token_there_is_no_answer(private):
    for method, path in PROTECTED:
        for sent in (None, "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", "Bearer \xe9"):
            found = private.ask(method, path, **({} if sent is None else {"Authorization": sent}))
            assert (found.status, found.headers["WWW-Authenticate"]) == (401, "Bearer"), (method, path, sent)


def test_with_the_token_there_is_and_shared_caches_do_not_keep_it(private):
    found = private.get(IMAGE, Authorization=f"bearer {TOKEN}")
    assert found.status == 200
    assert found.headers["Cache-Control"].startswith("private")
    assert private.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200


def test_probes_and_the_page_need_no_token(private):
    for path in ("/v2/health/live", "/v2/health/ready", "/", "/page.js", "/page.css"):
        assert private.get(path).status == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "must hold one token"), ("short", "at least 16"), ("a b" * 20, "without a space"), ("é" * 20, "ASCII")],
)
def test_a_file_without_a_token_is_refused(tmp_path, content, reason):
    from ddpm_rt.serve.guard import read_token

    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DdpmRtError, match=reason):
        read_token(path)
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN.encode()
    with pytest.raises(DdpmRtError, match="write a token into it"):
        read_token(tmp_path / "none")


def test_other_machines_are_let_in_only_when_that_was_asked_for():
    from ddpm_rt.serve.server import check_access

    check_access(access(host="127.0.0.1"), no_token=False)
    check_access(access(host="0.0.0.0", token=b"x"), no_token=False)
    check_access(access(host="0.0.0.0"), no_token=True)
    with pytest.raises(ValueError, match="--host 0.0.0.0 lets other machines ask for images"):
        check_access(access(host="0.0.0.0"), no_token=False)


def test_on_the_loopback_interface_only_its_names_are_answered():
    """A page may have a name of its own resolved to 127.0.0.1, and then read what it is not meant to."""
    with Server({"toy": Host()}, access=access(allowed_hosts=["Example.org"])) as server:
        for host, status in (
            ("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:9", 200), ("example.org", 200), ("LOCALHOST", 200),
            ("evil.example", 421), ("localhost.evil.example", 421), ("localhost@evil.example", 421), ("", 421),
        ):  # fmt: skip
            assert server.get("/v1/models", Host=host).status == status, host


def test_pages_of_other_sites_cannot_ask_unless_they_are_welcome():
    with Server({"toy": Host()}) as server:
        own = f"http://127.0.0.1:{server.port}"
        assert server.post("/v1/models/toy/images", {"steps": 2}, Origin=own).status == 200
        for origin in ("https://evil.example", "null", f"http://localhost:{server.port}"):
            refused = server.post("/v1/models/toy/images", {"steps": 2}, Origin=origin)
            assert refused.status == 403, origin
        assert server.get("/v1/models", Origin="https://evil.example").headers["Access-Control-Allow-Origin"] is None
    with Server({"toy": Host()}, access=access(origins=["https://friend.example"], token=TOKEN.encode())) as server:
        asked = {"Origin": "https://friend.example", "Access_Control_Request_Method": "POST",
                 "Access_Control_Request_Headers": "authorization,content-type"}  # fmt: skip
        preflight = server.ask("OPTIONS", "/v1/models/toy/images", **asked)
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://friend.example"
        sent = {"Origin": "https://friend.example", "Authorization": f"Bearer {TOKEN}"}
        found = server.post("/v1/models/toy/images", {"steps": 2}, **sent)
        assert (found.status, found.headers["Access-Control-Allow-Origin"]) == (200, "https://friend.example")


def raw(server, content, *, half_close=False):
    """What the server answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as client:
        try:
            client.sendall(content)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := client.recv(1 << 16):
                answer += chunk
        except ConnectionError:
            pass
        return answer


def test_a_body_that_is_too_large_is_refused_before_it_is_read():
    with Server({"toy": Host()}, body_bytes=1000) as server:
        head = b"POST /v1/models/toy/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert raw(server, head + b"Content-Length: 1000000000000\r\n\r\n").startswith(b"HTTP/1.1 413 ")
        chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
        assert raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk).startswith(b"HTTP/1.1 413 ")
        assert server.post("/v1/models/toy/images", {"steps": 2}).status == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # a TLS handshake
        b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n" * 100,
    ],
)
def test_what_is_not_http_is_refused_and_nothing_is_logged_of_it(content):
    with Server({"toy": Host()}, header_seconds=0.5) as server:
        assert raw(server, content, half_close=True)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 404", b"")
        assert server.get(IMAGE).status == 200


def test_slow_headers_and_slow_bodies_have_a_deadline():
    with Server({"toy": Host()}, header_seconds=0.2, body_seconds=0.2) as server:
        assert raw(server, b"GET / HTTP/1.1\r\nHost: loc") == b""
        head = b"POST /v1/models/toy/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert raw(server, head + b"Content-Length: 100\r\n\r\n{").startswith(b"HTTP/1.1 408 ")
        # the second request of a connection has the same deadline
        assert raw(server, b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2").count(b"HTTP/1.1") == 1


@pytest.mark.slow
def test_connections_that_wait_give_way_to_others_and_served_ones_do_not():
    engine = GatedEngine()
    with Server({"toy": engine}, connections=8, header_seconds=10) as server:
        served = server.connection()
        served.request("GET", IMAGE)
        engine.wait_for_call()
        waiting = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) for _ in range(40)]
        engine.open()
        for _ in range(3):
            assert server.get("/v2/health/live").status == 200
        assert served.getresponse().status == 200
        server.wait_until(lambda: len(server.server.server_state.connections) <= 8)
        for client in waiting:
            client.close()


def test_the_log_has_a_line_a_request_without_what_was_asked_for(caplog):
    from ddpm_rt.serve.logs import JsonLines

    with caplog.at_level(logging.INFO, logger="ddpm_rt.serve"), Server({"toy": Host()}) as server:
        server.get("/v1/models/toy/images/123456789/987654321.png?steps=2&eta=0.123")
        server.post("/v1/models/toy/images", {"seed": 123456789, "steps": "secret"})
        server.wait_until(lambda: len([r for r in caplog.records if r.getMessage() == "request"]) == 2)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("GET", "/v1/models/{model}/images/{seed}/{file}", 200),
        ("POST", "/v1/models/{model}/images", 422),
    ]
    text = json.dumps(lines)
    assert not [word for word in ("123456789", "987654321", "0.123", "secret") if word in text]


def test_an_error_that_nothing_expects_is_logged_with_its_place_and_not_shown(monkeypatch, caplog):
    def crash(*_):
        raise ZeroDivisionError("a detail")

    with Server({"toy": Host()}) as server:
        monkeypatch.setattr("ddpm_rt.serve.images_api.facts_of_model", crash)
        found = server.get("/v1/models")
    assert (found.status, server.error(found)) == (500, "the server failed; its log says why")
    (record,) = [record for record in caplog.records if record.getMessage() == "crash"]
    assert "a detail" in record.facts["traceback"]


def test_the_lines_of_the_log_are_json(monkeypatch):
    from ddpm_rt.serve import logs

    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in (logs.LOGGER, "uvicorn", "uvicorn.error")]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    try:
        logs.log_to(stream)
        logs.event("hello", count=3)
        logging.getLogger("uvicorn.error").warning("odd\nthing")
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["count"], first["level"]) == ("hello", 3, "info")
    assert (second["event"], second["logger"]) == ("odd thing", "uvicorn.error")
