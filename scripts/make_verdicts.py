"""Write tests/golden/verdicts.json: changes of cards and steps files, and whether Python reads each result.

    python scripts/make_verdicts.py

Every value of each golden file below is replaced in turn by each of `values`, then removed. Of a list only the first
entry is changed. A verdict is a string of 1 (read) and 0 (refused), in the order of `values`, with the removal last.
The readers of other languages must agree with each verdict. Left out is what other readers refuse and Python does not:
values that are equal to the right one in Python, such as true or 1.0 for 1, and a spread that the network does not
have, which Python finds out when it runs the table.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ddpm_rt import DdpmRtError, ModelCard
from ddpm_rt.artifacts.steps_file import parse_steps

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
CARDS = (
    "card",
    "format2/edm.card",
    "format2/flow.card",
    "format2/self-conditioned-guided.card",
    "format2/latents.card",
)
STEPS = ("format2/edm", "format2/fractional", "format2/self-conditioned-guided", "format2/volume")
VALUES: list[Any] = [
    None, False, 0, -1, 2, 3, 65_536, 65_537, 1 << 27, 1 << 100, 0.5, -0.5, 1e-7, 1e7, 1e39, "", "x", "t", "before",
    "y", "float32", "int64", "condition", "prev_x0", "betas", "sigma", "log_sigma", "flow", "1-t", "edm", "eps",
    "velocity", "karras", "trailing", "learned", "fixed_large", "pixels", "latents", "a/b", "n" * 1001, [], [1], [0],
    [2, 3], [1, 3, 5], [1, -1], [-1, 1], [1, 1, 1, 1, 1], [65_536, 65_536], [0.5], [0.5, 1], [1, 0.5], {}, {"x": 1},
]  # fmt: skip
REMOVED = object()  # instead of a value
LEFT_OUT = "/log_sigma_from_spread/0"
ADDED = "unknown"  # a key
FREE = ("versions", "parity")  # objects that may have any keys


def places(value: Any, pointer: str = "") -> Iterator[str]:
    """The JSON pointers of all values below the top, of lists only the first entry."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield f"{pointer}/{key}"
            yield from places(entry, f"{pointer}/{key}")
    elif isinstance(value, list) and value:
        yield f"{pointer}/0"
        yield from places(value[0], f"{pointer}/0")


def changed(content: Any, pointer: str, value: Any) -> str:
    """The JSON text of `content` with another value at `pointer`."""
    copy = json.loads(json.dumps(content))
    *way, last = pointer.split("/")[1:]
    parent = copy
    for key in way:
        parent = parent[int(key) if isinstance(parent, list) else key]
    key = int(last) if isinstance(parent, list) else last
    if value is REMOVED:
        del parent[key]
    else:
        parent[key] = value
    return json.dumps(copy)


def verdicts(content: Any, read: Callable[[str], object]) -> dict[str, str]:
    """The verdict for each pointer."""
    found = {}
    for pointer in places(content):
        if pointer == LEFT_OUT:
            continue
        texts = (changed(content, pointer, value) for value in [*VALUES, REMOVED])
        found[pointer] = "".join("1" if reads(read, text) else "0" for text in texts)
    for place in objects(content):
        assert not reads(read, changed(content, f"{place}/{ADDED}", 1)) or place.split("/")[-1] in FREE
    return found


def objects(content: Any) -> list[str]:
    """The pointers of all objects, the whole included."""
    below = [place for place in places(content) if isinstance(at(content, place), dict)]
    return ["", *below]


def at(content: Any, pointer: str) -> Any:
    for key in pointer.split("/")[1:]:
        content = content[int(key) if isinstance(content, list) else key]
    return content


def reads(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except DdpmRtError:
        return False
    return True


def card_verdicts(name: str) -> dict[str, str]:
    return verdicts(json.loads((GOLDEN / f"{name}.json").read_text()), ModelCard.from_json)


def steps_verdicts(name: str) -> dict[str, str]:
    card = ModelCard.from_json((GOLDEN / f"{name}.card.json").read_text())
    content = json.loads((GOLDEN / f"{name}.steps.json").read_text())
    return verdicts(content, lambda text: parse_steps(text, card, "steps"))


def all_verdicts() -> dict[str, Any]:
    return {
        "values": VALUES,
        "cards": {name: card_verdicts(name) for name in CARDS},
        "steps": {name: steps_verdicts(name) for name in STEPS},
    }


if __name__ == "__main__":
    text = json.dumps(all_verdicts()).replace('", "/', '",\n"/')
    (GOLDEN / "verdicts.json").write_text(text + "\n")
