"""Python processes whose Hub is the loopback one: `huggingface_hub` reads its settings once, when it is imported.

A process serves many snippets, so that importing torch and diffusers is paid for once. It does not import
`lfdm_diffusers` unless a snippet does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

HELPERS = Path(__file__).parent


class RemoteError(Exception):
    """What a snippet raised: the exception's class name and message."""

    def __init__(self, kind: str, message: str, trace: str):
        super().__init__(f"{kind}: {message}\n{trace}")
        self.kind = kind
        self.message = message


class LoopbackPython:
    """A process with its own cache.

    Args:
        url: of the Hub.
        home: its HF_HOME.
        environment: further variables.
    """

    def __init__(self, url: str, home: Path, **environment: str):
        self.home = home
        settings = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(HELPERS.parents[1]), str(HELPERS)]),
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env={**inherited, **settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, token: str | None = None, **variables):
        """Run `code` with `variables` (JSON values) as its globals and return what it assigns to `result`.

        Raises:
            RemoteError: what the code raised.
        """
        request = {"code": code, "token": token, "variables": variables}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RemoteError(*answer["error"])
        return answer["result"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def serve() -> None:
    """Answer requests line by line; whatever snippets print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.pop("HF_TOKEN", None)
        if request["token"]:
            os.environ["HF_TOKEN"] = request["token"]
        names = {"__name__": "snippet", "result": None, **request["variables"]}
        try:
            exec(request["code"], names)
            answer = {"result": names["result"]}
        except Exception as error:
            answer = {"error": [type(error).__name__, str(error), traceback.format_exc()]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
