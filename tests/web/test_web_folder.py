"""What `lfdm web` writes, fetches and serves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import threading
import urllib.error
import urllib.request

import pytest

from lfdm_diffusers.cli import main
from lfdm_diffusers.web.runtime import PAGE, packages, runtime_files, unpack
from lfdm_diffusers.web.serving import make_server

pytestmark = pytest.mark.fast


@pytest.fixture
def model(tmp_path):
    """A folder as `lfdm export` writes it, but for its networks."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "denoiser.onnx").write_bytes(b"network")
    (folder / "labels.bin").write_bytes(b"labels")
    about = {"graphs": {"denoiser": {"file": "denoiser.onnx"}}, "labels": {"file": "labels.bin"}}
    (folder / "runner.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def node_modules(tmp_path):
    """The pinned packages as npm unpacks them, with empty files."""
    folder = tmp_path / "node_modules"
    for name, about in packages().items():
        for file in about["files"]:
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(file.encode())
        (folder / name / "package.json").write_text(json.dumps({"version": about["version"]}))
    return folder


def test_the_folder_holds_all_by_its_hash(model, node_modules, tmp_path, capsys):
    output = tmp_path / "page"
    command = ["web", str(model), "--runtime", str(node_modules), "--output", str(output)]
    assert main(command) == 0 and "wrote" in capsys.readouterr().out
    files = json.loads((output / "files.js").read_text().split("const FILES = ")[1].rstrip(";\n"))
    for name, digest in files.items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == digest
    assert {"index.html", "page.json", "model/denoiser.onnx", "model/labels.bin", "runtime/gifenc.esm.js"} < set(files)
    assert "sdk: static" in (output / "README.md").read_text()
    for example in json.loads((output / "page.json").read_text())["examples"]:
        assert (output / example).is_file()
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err.replace("`overwrite`", "--overwrite")
    assert main([*command, "--overwrite"]) == 0


def test_what_the_page_names_is_there():
    """Imports, links and elements: a page has no build that would find a wrong name."""
    known = {path.name for path in PAGE.iterdir()} | {"files.js", "page.json"}
    html = (PAGE / "index.html").read_text()
    ids = set(re.findall(r'id="([\w-]+)"', html))
    for path in [*PAGE.glob("*.js"), PAGE / "index.html"]:
        named = re.findall(r'"\./([\w.-]+\.(?:js|css|svg|webmanifest|json))"', path.read_text())
        assert set(named) <= known, path.name
    assert set(re.findall(r'\$\("([\w-]+)"\)', (PAGE / "app.js").read_text())) <= ids


def test_a_served_page_is_isolated_and_may_load_nothing_else(tmp_path):
    (tmp_path / "a.wasm").write_bytes(b"1")
    with make_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = "http://{}:{}".format(*server.server_address[:2])
        with urllib.request.urlopen(f"{url}/a.wasm") as answer:
            headers = answer.headers
        assert headers["Content-Type"] == "application/wasm"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert (
            "default-src 'none'" in headers["Content-Security-Policy"]
            and "http" not in headers["Content-Security-Policy"]
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url)  # no list of the folder
        with pytest.raises(ValueError, match="`--port`"):
            make_server(tmp_path, server.server_address[1])
        server.shutdown()


def test_a_missing_or_other_package_is_named(node_modules, tmp_path, capsys):
    (node_modules / "gifenc" / "package.json").write_text('{"version": "0.1"}')
    with pytest.raises(ValueError, match=r"`--runtime` must hold gifenc 1\.0\.3, got 0\.1"):
        runtime_files(node_modules)
    with pytest.raises(ValueError, match=r"holds @huggingface/tokenizers 0\.2\.0 unpacked"):
        runtime_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert main(["web", str(tmp_path), "--runtime", str(tmp_path / "empty"), "--output", str(tmp_path / "o")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not (tmp_path / "o").exists()


def test_without_npm_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="npm is not installed"):
        runtime_files(cache=tmp_path)


def test_an_archive_with_another_hash_is_refused(tmp_path):
    archive = tmp_path / "a.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("x.js", "package.json"):
            member = tarfile.TarInfo(f"package/{name}")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    about = {"version": "1", "files": ["x.js"], "integrity": f"sha512-{digest}"}
    with pytest.raises(ValueError, match="another sha512 hash"):
        unpack(archive, "a", {**about, "integrity": "sha512-AAAA"}, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    unpack(archive, "a", about, tmp_path / "a")
    assert (tmp_path / "a" / "x.js").read_bytes() == b"1"


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"graphs": []},
        {"graphs": {"denoiser": "denoiser.onnx"}, "labels": None},
        {"graphs": {"denoiser": {"file": 5}}, "labels": None},
        {"graphs": {"denoiser": {"file": "../secret"}}, "labels": None},
        {"graphs": {"denoiser": {"file": "/etc/passwd"}}, "labels": None},
        {"graphs": {"denoiser": {"file": "denoiser.onnx"}}, "labels": {"file": "..\\secret"}},
        {"graphs": {"denoiser": {"file": "denoiser.onnx"}}, "labels": [1]},
    ],
)
def test_nothing_but_the_models_own_files_is_served(model, node_modules, tmp_path, capsys, about):
    (tmp_path / "secret").write_text("a key")
    (model / "runner.json").write_text(json.dumps(about))
    output = tmp_path / "page"
    assert main(["web", str(model), "--runtime", str(node_modules), "--output", str(output)]) == 2
    assert f"{model / 'runner.json'} must name a file beside it" in capsys.readouterr().err and not output.exists()
