"""Hostile texts and files for readers, and the requirement for their error messages."""

import json
import os
import socket

LONG_INTEGER = "1" + "0" * 400
DEEP = "[" * 100_000
# Texts that Python's JSON parser accepts, or that crash it, and a word of the reason why a reader refuses them.
JSON = {
    "deep list": (DEEP + "]" * 100_000, "nested"),
    "deep object": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested"),
    "400 digits": (f'{{"a": {LONG_INTEGER}}}', "digits"),
    "5000 digits": (f'{{"a": 1{"0" * 5000}}}', "digits"),
    "a fraction of 200 digits": (f'{{"a": 0.{"1" * 200}}}', "digits"),
    "50000 keys": ("{" + ",".join(f'"k{i}":0' for i in range(50_000)) + "}", "keys"),
    "a key twice": ('{"a": 1, "a": 2}', "duplicate key"),
    "lone surrogate": ('{"a": "\\ud800"}', "surrogate"),
    "lone surrogate in a key": ('{"\\uDC00": 1}', "surrogate"),
    "not UTF-8": (b'{"a": "\xff"}', "UTF-8"),
    "17 MiB": (" " * (17 << 20), "limit"),
    "escaped quotes without end": ('"' + '\\"' * 200_000, "JSON"),
    "empty": ("", "JSON"),
}
# Similar texts that are valid.
FINE = {
    "brackets in a string": json.dumps({"a": "[" * 10_000}),
    "digits in a string": json.dumps({"a": "1" * 10_000}),
    "colons in a string": json.dumps({"a": ":" * 100_000}),
    "a quote in a string": json.dumps({"a": '\\"[[[' * 100}),
    "a pair of surrogates": '{"a": "\\ud83d\\ude00"}',
    "an escaped backslash before u": '{"a": "\\\\ud800"}',
    "a float64 in full": json.dumps({"a": 5e-324, "b": 1.7976931348623157e308}),
}


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    place = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is at most some hundred bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(place)


SPECIAL = {
    "pipe": make_pipe,
    "socket": make_socket,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "file of the kernel": lambda path: path.symlink_to("/proc/self/maps"),
    "sparse file": lambda path: path.open("wb").truncate(3 << 30),
    "nothing": lambda path: None,
    "circle of links": lambda path: path.symlink_to(path),
}


def is_line(message, most=300):
    """Whether a message is one printable line."""
    return 0 < len(message) <= most and message.isprintable()
