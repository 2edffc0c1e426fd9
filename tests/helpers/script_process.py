"""Training scripts in processes of their own, each a copy of one that has imported everything: to start Python and import torch again
takes ten times as long as what is tested."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from loopback_python import LoopbackPython

START = """
import os, socket, sys, traceback
from training_scripts import load_script

script = load_script(name)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
result = []
for rank in range(processes):
    child = os.fork()
    if not child:
        code = 1
        try:
            said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1), os.dup2(said, 2)
            if processes > 1:  # what torchrun tells its processes
                ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                os.environ.update({name: str(value) for name, value in ranks.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            script.run(argv)
            code = 0
        except SystemExit as stop:
            print(stop.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    result.append(child)
"""
WAIT = """
import os
result = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


class ScriptProcess(LoopbackPython):
    """The process whose copies run training/NAME.py, on one thread of the CPU; what they say is appended to `log`."""

    def __init__(self, url: str, home: Path):
        super().__init__(url, home, ACCELERATE_USE_CPU="true")

    def done(self, name: str, argv: list[str], log: Path, processes: int = 1) -> list[int]:
        """The exit codes of a run, of several processes together as torchrun starts them."""
        children = self.run(START, name=name, argv=argv, log=str(log), processes=processes)
        return self.run(WAIT, children=children)

    def killed_when(self, there: Callable[[], object], name: str, argv: list[str], log: Path) -> int:
        """The exit code of a run that gets SIGKILL as soon as `there()`."""
        children = self.run(START, name=name, argv=argv, log=str(log), processes=1)
        until, seen = time.monotonic() + 300, False
        while not seen and time.monotonic() < until:
            time.sleep(0.005)
            seen = bool(there())
        os.kill(children[0], signal.SIGKILL)
        assert seen, log.read_text()
        return self.run(WAIT, children=children)[0]
