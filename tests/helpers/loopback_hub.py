"""A model Hub on loopback, in memory: what `huggingface_hub` needs to create, upload, list and download repositories.

Reading is public; writing needs `WRITE_TOKEN` (`READ_TOKEN` is refused with 403, anything else with 401). Every commit is
kept, so a revision may be "main" or the hash of any commit. By hand: `python tests/loopback_hub.py 8900`, and then
`HF_ENDPOINT=http://127.0.0.1:8900 HF_HUB_DISABLE_XET=1 HF_TOKEN=hf_loopback_write` for the client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

WRITE_TOKEN = "hf_loopback_write"
READ_TOKEN = "hf_loopback_read"
USER = "me"
LFS_SUFFIXES = (".safetensors", ".bin")
DATASETS = "datasets/"  # before the names of repositories that are data sets


class Repository:
    """Commits of one repository: each is a whole set of files, `{path: content}`."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.head = ""
        self.commit({})

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the last commit."""
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes]) -> str:
        """Make `files` the last commit; returns its hash."""
        digest = hashlib.sha1(self.head.encode())
        for path in sorted(files):
            digest.update(path.encode() + b"\0" + files[path])
        self.head = digest.hexdigest()
        self.commits[self.head] = files
        return self.head

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch name or hash names, or None."""
        return self.head if revision == "main" else revision if revision in self.commits else None


class LoopbackHub:
    """The server and what it holds.

    Attributes:
        repositories: by id, such as "me/tiny"; of data sets "datasets/me/clips".
        requests: "METHOD /path" of every request so far.
        cut_uploads: how many uploads of large files to break off halfway from now on.
        cut_downloads: how many downloads of large files to break off halfway from now on.
    """

    def __init__(self, port: int = 0) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.cut_uploads = 0
        self.cut_downloads = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def files(self, repo_id: str) -> dict[str, bytes]:
        """The files of the last commit of `repo_id`."""
        return self.repositories[repo_id].files

    def add(self, repo_id: str, files: dict[str, bytes]) -> None:
        """Commit `files` on top of those that `repo_id` has; makes it if need be."""
        with self.lock:
            repository = self.repositories.setdefault(repo_id, Repository())
            repository.commit({**repository.files, **files})


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    def handle_request(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.command == "PUT" and self.hub.cut_uploads > 0:
            self.hub.cut_uploads -= 1
            self.rfile.read(int(self.headers["Content-Length"]) // 2)
            return self.hang_up()
        body = self.read_body()
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, path):
                return method(self, body, *match.groups())
        self.refuse(404, f"no such page: {path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    # Plumbing.

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def reply(self, content: bytes | dict | list, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, message: str, code: str | None = None) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.reply({"error": message}, status, headers)

    def hang_up(self) -> None:
        """Close the connection without another word."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def may_write(self) -> bool:
        """Whether the token allows writing; answers the request if it does not."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token == WRITE_TOKEN:
            return True
        if token == READ_TOKEN:
            self.refuse(403, "This token may read but not write.")
        else:
            self.refuse(401, "Invalid username or password.")
        return False

    def find(self, repo_id: str, revision: str = "main") -> tuple[Repository | None, str | None]:
        """Repository and commit; answers the request if there is no such one."""
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            self.refuse(404, f"Repository not found: {repo_id}", "RepoNotFound")
            return None, None
        commit = repository.resolve(revision)
        if commit is None:
            self.refuse(404, f"Revision not found: {revision}", "RevisionNotFound")
        return repository, commit

    # Pages, in the order in which a push and then a load ask for them.

    def create(self, body: bytes) -> None:
        if not self.may_write():
            return
        request = json.loads(body)
        repo_id = f"{request.get('organization') or USER}/{request['name']}"
        with self.hub.lock:
            new = repo_id not in self.hub.repositories
            self.hub.repositories.setdefault(repo_id, Repository())
        self.reply({"url": f"{self.hub.url}/{repo_id}", "name": repo_id, "id": "0"}, 200 if new else 409)

    def whoami(self, body: bytes) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in (READ_TOKEN, WRITE_TOKEN):
            return self.refuse(401, "Invalid username or password.")
        role = "write" if token == WRITE_TOKEN else "read"
        self.reply({"name": USER, "type": "user", "orgs": [], "auth": {"accessToken": {"role": role}}})

    def validate_yaml(self, body: bytes) -> None:
        self.reply({"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo_id: str, revision: str) -> None:
        if not self.may_write() or self.find(repo_id, revision)[1] is None:
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.reply({"files": files})

    def large_file_batch(self, body: bytes, repo_id: str) -> None:
        if not self.may_write():
            return
        objects = []
        for entry in json.loads(body)["objects"]:
            actions = {"upload": {"href": f"{self.hub.url}/large-files/{entry['oid']}", "header": {}}}
            objects.append({"oid": entry["oid"], "size": entry["size"], "authenticated": True, "actions": actions})
        self.reply({"transfer": "basic", "objects": objects})

    def upload_large_file(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self.refuse(400, f"{oid} is not the SHA-256 of what came.")
        self.hub.large_files[oid] = body
        self.reply({})

    def commit(self, body: bytes, repo_id: str, revision: str) -> None:
        if not self.may_write():
            return
        repository, _ = self.find(repo_id, revision)
        if repository is None:
            return
        with self.hub.lock:
            files = dict(repository.files)
            for line in body.splitlines():
                operation = json.loads(line)
                key, value = operation["key"], operation["value"]
                if key == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif key == "lfsFile":
                    if value["oid"] not in self.hub.large_files:
                        return self.refuse(400, f"{value['path']} was never uploaded.")
                    files[value["path"]] = self.hub.large_files[value["oid"]]
                elif key == "deletedFile":
                    files.pop(value["path"], None)
            commit = repository.commit(files)
        self.reply({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{commit}"})

    def dataset_info(self, body: bytes, repo_id: str, revision: str | None) -> None:
        self.model_info(body, DATASETS + repo_id, revision)

    def dataset_tree(self, body: bytes, repo_id: str, revision: str, folder: str | None) -> None:
        self.tree(body, DATASETS + repo_id, revision, folder)

    def dataset_paths(self, body: bytes, repo_id: str, revision: str) -> None:
        repository, commit = self.find(DATASETS + repo_id, revision)
        if commit is None:
            return
        wanted = json.loads(body)["paths"]
        files = repository.commits[commit]
        about = [
            {"type": "file", "path": p, "size": len(files[p]), "oid": etag(p, files[p])} for p in wanted if p in files
        ]
        folders = [p for p in wanted if any(file.startswith(p + "/") for file in files)]
        self.reply(about + [{"type": "directory", "path": p, "oid": "0"} for p in folders])

    def dataset_resolve(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        self.resolve(body, DATASETS + repo_id, revision, path)

    def model_info(self, body: bytes, repo_id: str, revision: str | None) -> None:
        repository, commit = self.find(repo_id, revision or "main")
        if commit is None:
            return
        siblings = [{"rfilename": path} for path in sorted(repository.commits[commit])]
        info = {"_id": "0", "id": repo_id, "sha": commit, "private": False, "gated": False, "disabled": False}
        self.reply({**info, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})

    def tree(self, body: bytes, repo_id: str, revision: str, folder: str | None = None) -> None:
        repository, commit = self.find(repo_id, revision)
        if commit is None:
            return
        entries = []
        for path, content in sorted(repository.commits[commit].items()):
            if folder and not path.startswith(folder + "/"):
                continue
            entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            if path.endswith(LFS_SUFFIXES):
                entry["lfs"] = {"oid": etag(path, content), "size": len(content), "pointerSize": 134}
            entries.append(entry)
        if folder and not entries:
            return self.refuse(404, f"Entry not found: {folder}", "EntryNotFound")
        self.reply(entries)

    def resolve(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        repository, commit = self.find(repo_id, revision)
        if commit is None:
            return
        content = repository.commits[commit].get(path)
        if content is None:
            return self.refuse(404, f"Entry not found: {path}", "EntryNotFound")
        headers = {"ETag": f'"{etag(path, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        first, last = 0, len(content) - 1
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        status = 206 if wanted else 200
        if self.command == "GET" and path.endswith(LFS_SUFFIXES) and self.hub.cut_downloads > 0:
            self.hub.cut_downloads -= 1
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(part))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(part[: len(part) // 2])
            return self.hang_up()
        self.reply(part, status, headers)


def etag(path: str, content: bytes) -> str:
    """What names a file's content: SHA-256 for large files, a git hash for the others."""
    if path.endswith(LFS_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


REPO = r"([^/]+/[^/]+)"
ROUTES: list[tuple[str, Callable]] = [
    (r"/api/repos/create", _Handler.create),
    (r"/api/whoami-v2", _Handler.whoami),
    (r"/api/validate-yaml", _Handler.validate_yaml),
    (rf"/api/models/{REPO}/preupload/([^/]+)", _Handler.preupload),
    (rf"/{REPO}\.git/info/lfs/objects/batch", _Handler.large_file_batch),
    (r"/large-files/([0-9a-f]+)", _Handler.upload_large_file),
    (rf"/api/models/{REPO}/commit/([^/]+)", _Handler.commit),
    (rf"/api/models/{REPO}(?:/revision/([^/]+))?", _Handler.model_info),
    (rf"/api/models/{REPO}/tree/([^/]+)", _Handler.tree),
    (rf"/api/datasets/{REPO}(?:/revision/([^/]+))?", _Handler.dataset_info),
    (rf"/api/datasets/{REPO}/tree/([^/]+)(?:/(.+))?", _Handler.dataset_tree),
    (rf"/api/datasets/{REPO}/paths-info/([^/]+)", _Handler.dataset_paths),
    (rf"/datasets/{REPO}/resolve/([^/]+)/(.+)", _Handler.dataset_resolve),
    (rf"/{REPO}/resolve/([^/]+)/(.+)", _Handler.resolve),
]


if __name__ == "__main__":
    hub = LoopbackHub(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"Serving at {hub.url}; stop it with Ctrl+C.")
    threading.Event().wait()
