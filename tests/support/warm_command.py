"""The program `ddpm-rt` as a fork of a process that has imported PyTorch and the other libraries.

The pages of the documentation run hundreds of commands, and the imports are most of their time. A command has the
arguments, folder, environment and streams of its caller; only the imports are shared. The tests of `tests/cli` start
the real program.
"""

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

from campaign.children import preload, run_program
from repository import ROOT

LAUNCHER = """#!{python} -SsE
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode("utf-8", "surrogateescape")
socket.send_fds(server, [len(call).to_bytes(8, "little")], [0, 1, 2])
server.sendall(call)
sys.exit(int(server.makefile().read() or 70))
"""


class WarmCommand:
    """A folder with a program `ddpm-rt`, and the process that runs its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        address, program = folder / "socket", folder / "ddpm-rt"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(address))
        self.listener.listen()
        program.write_text(LAUNCHER.format(python=sys.executable, address=str(address)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, __file__, str(self.listener.fileno())]
        places = os.pathsep.join(filter(None, [str(ROOT / "scripts"), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": places}
        self.process = subprocess.Popen(command, pass_fds=[self.listener.fileno()], env=environment)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.close()


def warm_up() -> None:
    """Import what the verbs import, and export a layer, because the exporter imports most of its modules then."""
    import torch

    from ddpm_export.onnx_export import quiet

    preload()
    with quiet():
        torch.onnx.export(torch.nn.Conv2d(1, 1, 3).eval(), (torch.zeros(2, 1, 8, 8),), dynamo=True, verbose=False)


def serve(listener: socket.socket) -> None:
    """Run each call in a fork of a fork: the first one waits for the second, and sends its exit code."""
    while True:
        call, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            pid = os.fork()
            if pid == 0:
                run(call)
            call.sendall(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
            os._exit(0)
        call.close()
        with contextlib.suppress(ChildProcessError):  # when none is left
            while os.waitpid(-1, os.WNOHANG) != (0, 0):  # calls that have ended
                pass


def run(call: socket.socket) -> None:
    """Do what `python -m ddpm_rt` does, with the arguments and streams of the call. Does not return."""
    size, streams, _, _ = socket.recv_fds(call, 8, 3)
    arguments, folder, environment = json.loads(call.makefile("rb").read(int.from_bytes(size, "little")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    run_program(arguments)


if __name__ == "__main__":
    warm_up()
    serve(socket.socket(fileno=int(sys.argv[1])))
