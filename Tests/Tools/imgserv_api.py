"""The HTTP API of `imgserv serve` over its local socket, as root has it."""

import http.client
import json
import socket


class LocalConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path):
        super().__init__("imgserv", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(path, method, address, body=None):
    """Status and answer of a request to the socket at `path`; JSON is read, other answers are text."""
    connection = LocalConnection(path)
    text = None if body is None else json.dumps(body)
    try:
        connection.request(method, address, text, {"Content-Type": "application/json"} if text else {})
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    return response.status, json.loads(answer) if answer.strip().startswith((b"{", b"[")) else answer.decode()
