"""Push and pull through the hub's own client, against a server on this machine that answers as a hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from mmagent.bundle import Bundle
from mmagent.travel import diff_bundles

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories in memory: their files by name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """As much of the hub's protocol as pushing and pulling a bundle of small files takes."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *told: object) -> None:
        """Say nothing."""

    def answer(self, data: bytes | dict[str, Any] | list[Any], code: int = 200, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(code)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), "X-Repo-Commit": SHA}
        for name, value in {**sent, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def asked(self) -> tuple[list[str], dict[str, bytes] | None]:
        """The words of the path, and the files of the repository in it."""
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        at = 2 if words[0] == "api" else 0
        return words, self.server.repos.get("/".join(words[at : at + 2]))

    def do_GET(self) -> None:
        words, files = self.asked()
        if files is None:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif "resolve" in words:
            data = files.get("/".join(words[words.index("resolve") + 2 :]))
            if data is None:
                self.answer(b"", 404, X_Error_Code="EntryNotFound")
            else:
                self.answer(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"')
        elif "tree" in words:
            told = [{"type": "file", "path": n, "size": len(d), "oid": SHA} for n, d in files.items()]
            self.answer(told)
        else:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            self.answer({"id": "/".join(words[2:4]), "sha": SHA, "siblings": siblings})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        words, files = self.asked()
        if words[-2:] == ["repos", "create"]:
            told = json.loads(body)
            name = "/".join(filter(None, (told.get("organization") or "me", told["name"])))
            self.server.repos.setdefault(name, {".gitattributes": b""})
            self.server.private[name] = bool(told.get("private") or told.get("visibility") == "private")
            self.answer({"url": f"{self.server.url}/{name}", "name": name})
        elif "preupload" in words:
            paths = [file["path"] for file in json.loads(body)["files"]]
            files_told = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]
            self.answer({"files": files_told})
        elif "commit" in words and files is not None:
            for line in body.splitlines():
                told = json.loads(line)
                if told["key"] == "file":
                    files[told["value"]["path"]] = base64.b64decode(told["value"]["content"])
                elif told["key"] == "deletedFile":
                    del files[told["value"]["path"]]
            url = f"{self.server.url}/{'/'.join(words[2:4])}/commit/{SHA}"
            self.answer({"commitUrl": url, "commitOid": SHA, "success": True})
        else:
            self.answer({"warnings": [], "errors": []})


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub that runs while the test does."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def kitchen(tmp_path: Path) -> Bundle:
    manifest = {"name": "kitchen", "version": "1", "core": {"path": "core"}, "senses": {}}
    return Bundle.write(
        tmp_path / "kitchen", manifest, {"core/config.json": "{}", "core/w.bin": bytes(999)}, card="# K\n"
    )


def run(hub: Hub, place: Path, *words: str) -> tuple[int, str]:
    """The command in a process of its own, with this hub; its exit code and what it said."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    env = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(place / "hf"), "HF_TOKEN": "hf_of_nobody"}
    env |= {"XDG_CACHE_HOME": str(place / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
    call = [sys.executable, "-m", "mmagent_cli", "bundles", *words]
    done = subprocess.run(call, cwd=place, env=env, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stderr


def test_push_and_pull_give_the_same_bundle(hub: Hub, kitchen: Bundle, tmp_path: Path) -> None:
    told = run(hub, tmp_path, "push", "./kitchen", "--to", "me/kitchen", "--private")
    assert told == (0, f"mmagent: kitchen is at {hub.url}/me/kitchen\n")
    assert hub.private == {"me/kitchen": True}
    stored = hub.repos["me/kitchen"]
    assert stored.keys() == {".gitattributes", "bundle.json", "README.md", *kitchen.files}

    code, said = run(hub, tmp_path, "pull", "me/kitchen", "--out", "mine")
    assert (code, said) == (0, "mmagent: kitchen is in mine. Ask it: mmagent ask QUESTION --bundle mine\n")
    assert diff_bundles(kitchen, Bundle.open(tmp_path / "mine")) == []
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"bundle.json", "README.md", "core"}

    stored["core/w.bin"] = bytes(998) + b"x"
    code, said = run(hub, tmp_path, "pull", "me/kitchen", "--out", "damaged")
    assert code == 2
    assert "core/w.bin has sha256" in said
    assert not (tmp_path / "damaged").exists()


def test_what_a_repository_holds_is_not_lost_by_accident(hub: Hub, kitchen: Bundle, tmp_path: Path) -> None:
    hub.repos |= {"me/model": {"model.bin": b"x"}, "me/old": {"bundle.json": b"{}", "core/old.bin": b"x"}}
    code, said = run(hub, tmp_path, "push", "./kitchen", "--to", "me/model", "--replace")
    assert (code, "holds files but no bundle.json" in said) == (2, True)
    assert hub.repos["me/model"] == {"model.bin": b"x"}
    code, said = run(hub, tmp_path, "push", "./kitchen", "--to", "me/old")
    assert (code, "holds a bundle already" in said) == (2, True)
    assert run(hub, tmp_path, "push", "./kitchen", "--to", "me/old", "--replace")[0] == 0
    assert hub.repos["me/old"].keys() == {"bundle.json", "README.md", *kitchen.files}


def test_what_cannot_be_pulled_is_told_in_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.repos["me/model"] = {"model.bin": b"x"}
    for address, words in (("me/none", "Check the name"), ("me/model", "holds no bundle.json")):
        code, said = run(hub, tmp_path, "pull", address)
        assert (code, said.count("\n")) == (2, 1), said
        assert words in said
    hub.shutdown()
    hub.server_close()
    code, said = run(hub, tmp_path, "pull", "me/kitchen")
    assert (code, said) == (
        2,
        "mmagent: the hub cannot be reached for me/kitchen. Go online, or name a directory: ./me/kitchen.\n",
    )
