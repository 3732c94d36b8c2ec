"""Run the steps of the Dockerfile in docs/howto/serve.md without Docker, and draw a picture through the server.

    sudo python scripts/container_steps.py

Needs Linux and root. The files of this machine and a new environment of this Python replace the base image. The steps
see these files through an overlay in memory, so that every change is lost at the end. All steps after FROM run as they
are written. Then the files become read-only, the network is a loopback of its own, and the entry point runs as the
image's user until SIGTERM.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from page_blocks import ROOT, blocks

TOKEN = "of-the-steps-of-a-container"
PYTHON = "/opt/python"  # the environment that stands for the base image
INSIDE = "DDPM_RT_CONTAINER_STEPS"  # set in the process that has mounts of its own
ASK = f"""
import time, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen("http://127.0.0.1:8000/v2/health/ready")
        break
    except OSError:
        time.sleep(0.1)
asked = urllib.request.Request("http://127.0.0.1:8000/v1/models/mnist/images/7/0.png?steps=5")
asked.add_header("Authorization", "Bearer {TOKEN}")
assert urllib.request.urlopen(asked).read().startswith(b"\\x89PNG")
"""


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile in order, with their arguments."""
    (block,) = [block for block in blocks(ROOT / "docs" / "howto" / "serve.md") if block.language == "dockerfile"]
    lines = re.sub(r"\\\n", " ", block.text).splitlines()
    return [(word, rest) for word, rest in (line.split(" ", 1) for line in lines if line.strip())]


class Image:
    """The files of the image, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.user = root, "root"

    def command(self, *command: str) -> list[str]:
        """A command of the image's user."""
        user = (
            () if self.user == "root" else ("setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups")
        )
        path = f"PATH={PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["chroot", str(self.root), "env", path, *user, *command]

    def run(self, *command: str) -> None:
        subprocess.run(self.command(*command), check=True)


def built(root: Path) -> tuple[Image, dict[str, str]]:
    """The image after every step that builds it, and the instructions that are for the container."""
    image, later = Image(root), {}
    for word, rest in instructions():
        if word == "FROM":
            image.run(sys.executable, "-m", "venv", PYTHON)
        elif word == "RUN":
            image.run("sh", "-ec", rest)
        elif word == "COPY":
            _, folder = rest.split()
            image.run("mkdir", "-p", folder)
            checkout = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
            subprocess.run(image.command("tar", "--extract", "--directory", folder), input=checkout, check=True)
        elif word == "USER":
            image.user = rest
        else:
            later[word] = rest
        print(f"{word} {rest}", flush=True)
    return image, later


def overlay() -> Path:
    """The files of this machine, whose changes stay in memory."""
    top = Path("/run/ddpm-rt-image")
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(top)], check=True)
    for name in ("upper", "work", "root"):
        (top / name).mkdir()
    options = f"lowerdir=/,upperdir={top}/upper,workdir={top}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(top / "root")], check=True)
    for folder in Path(sys.base_prefix).parents:  # the user of the image must reach this Python
        inside = top / "root" / folder.relative_to("/")
        inside.chmod(inside.stat().st_mode | 0o755)
    for name in ("dev", "proc"):
        subprocess.run(["mount", "--rbind", f"/{name}", str(top / "root" / name)], check=True)
    return top / "root"


def main() -> None:
    """Exits with 1 if a step fails."""
    if INSIDE not in os.environ:  # again, with mounts that end with the process
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    root = overlay()
    image, later = built(root)
    assert image.user != "root"
    secret = root / "run" / "secrets" / "token"
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{TOKEN}\n")
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    health = shlex.join(json.loads(later["HEALTHCHECK"].removeprefix("CMD ")))
    signal = later["STOPSIGNAL"].removeprefix("SIG")
    asks = f"{PYTHON}/bin/python -c {shlex.quote(ASK)} && {health}; code=$?; kill -s {signal} $server"
    line = f"{shlex.join(json.loads(later['ENTRYPOINT']))} & server=$!; {asks}; wait $server && exit $code"
    subprocess.run([*alone, *image.command("sh", "-c", line)], check=True)
    print(f"the server ran as {image.user} on read-only files, was healthy, drew a picture and stopped at SIGTERM")


if __name__ == "__main__":
    main()
