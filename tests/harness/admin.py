"""The admin API over HTTP, signed for the service "goodfs"."""
import hashlib
import http.client
import json
import secrets

from harness import raw, sigv4


class Admin:
    """One server's admin address. Every keyword of request() is a mistake waiting to be made."""

    def __init__(self, server, signer=None):
        self.server = server
        self.signer = signer or sigv4.Signer(server.access_key, server.secret_key,
                                             service="goodfs")

    def request(self, method, path, query="", body=None, sign=True, payload=None, headers=(),
                nonce=True, **mistakes):
        """A raw.Reply with .json (None when the body is none). path: below /_/admin/v1/ unless it
        begins with a slash. body: bytes, or anything that becomes JSON."""
        if not path.startswith("/"):
            path = "/_/admin/v1/" + path
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        host = f"127.0.0.1:{self.server.admin_port}"
        send = [("Host", host)] + list(headers)
        if sign:
            if method != "GET" and nonce:
                send.append(("x-goodfs-nonce", secrets.token_hex(8)))
            payload = payload or hashlib.sha256(body or b"").hexdigest()
            send = self.signer.sign(method, path, query, send, payload, **mistakes)
        connection = http.client.HTTPConnection(host, timeout=120)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, dict(send))
            response = connection.getresponse()
            reply = raw.Reply(response.status, response.getheaders(), response.read(), False)
        finally:
            connection.close()
        reply.json = None
        if reply.headers.get("content-type") == "application/json" and reply.body:
            reply.json = json.loads(reply.body)
        return reply

    def get(self, path, query=""):
        """The JSON of an answer that must be 200."""
        reply = self.request("GET", path, query)
        if reply.status != 200:
            raise AssertionError(f"GET {path}: {reply}")
        return reply.json

    def routes(self):
        return self.get("routes")["routes"]
