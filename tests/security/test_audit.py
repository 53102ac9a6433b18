"""The check of pinned versions says what is vulnerable, and where it cannot know, that."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BAD = ("lightning", "2.6.2")


class Server(BaseHTTPRequestHandler):
    """Answers as osv.dev does, that one version of one package is vulnerable."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        known = [(query["package"]["name"], query["version"]) == BAD for query in asked]
        body = json.dumps({"results": [{"vulns": [{"id": "PYSEC-1"}]} if bad else {} for bad in known]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body if self.path == "/v1/querybatch" else b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def audit(address, *arguments):
    environment = {**os.environ, "INVRIM_OSV": address, "no_proxy": "*"}
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_vulnerable_pin_is_named(tmp_path, server):
    (tmp_path / "c.txt").write_text("# pins\nlightning==2.6.2\ntorch==2.13.0  # fast\n")
    done = audit(server, tmp_path / "c.txt")
    assert done.returncode == 1
    assert "lightning 2.6.2 is known to be vulnerable: https://osv.dev/vulnerability/PYSEC-1" in done.stdout
    assert "2 pinned packages, 1 known vulnerabilities, 0 accepted" in done.stdout


def test_our_own_pins_are_all_asked_for(server):
    done = audit(server)
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(pins)} pinned packages, 0 known vulnerabilities, 0 accepted\n"


def test_without_a_connection_it_says_that_nothing_is_known():
    done = audit("http://127.0.0.1:9")
    assert done.returncode == 0
    assert done.stdout.startswith("notice: constraints.txt was not checked for known vulnerabilities: no answer from")
    assert done.stdout.count("\n") == 1
