"""Raw HTTP over a socket: what goes out is exactly what the test wrote."""
import http.client
import io
import re
import xml.etree.ElementTree as ElementTree

from harness import sigv4


class Reply:
    """Plain data."""

    def __init__(self, status, headers, body, will_close):
        self.status, self.header_list, self.body, self.will_close = (status, headers, body,
                                                                    will_close)
        self.headers = {name.lower(): value for name, value in headers}

    @property
    def code(self):
        """S3 error code of the body, else ''."""
        found = re.search(rb"<Error>.*?<Code>([^<]*)</Code>", self.body, re.S)
        return found[1].decode() if found else ""

    def xml(self):
        """The body without name spaces."""
        root = ElementTree.fromstring(self.body)
        for node in root.iter():
            node.tag = node.tag.rpartition("}")[2]
        return root

    def __repr__(self):
        return f"<{self.status} {self.code} {self.headers} {self.body[:600]!r}>"


def read_reply(sock, method="GET"):
    """Reads one reply; None when the server closed without one."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionError):
        return None
    return Reply(response.status, response.getheaders(), body, response.will_close)


def parse_reply(data, method="GET"):
    """Reply from bytes already read; None when they hold none."""
    class Source:
        def makefile(self, *_args, **_kwargs):
            return io.BytesIO(data)
    return read_reply(Source(), method) if data else None


def head_bytes(method, target, headers, version="HTTP/1.1"):
    lines = [f"{method} {target} {version}"] + [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def exchange(server, data, method="GET", timeout=60):
    """Sends bytes on a new connection and reads one reply (None: closed without one)."""
    with server.connect(timeout) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_reply(sock, method)


def read_all(sock, limit=1 << 20):
    """Everything until the server closes or falls silent for the socket's time-out."""
    out = b""
    try:
        while len(out) < limit:
            piece = sock.recv(65536)
            if not piece:
                break
            out += piece
    except (TimeoutError, ConnectionError):
        pass
    return out


class Raw:
    """Signed requests to one server with one signer."""

    def __init__(self, server, signer=None):
        self.server = server
        self.signer = signer or sigv4.Signer(server.access_key, server.secret_key)

    def build(self, method, path, query="", headers=(), body=b"", payload=None, sign=True,
              length=True, host=None, **mistakes):
        """Bytes of a request's head, and its body. query: raw text or pairs. headers: pairs or
        dict. payload: x-amz-content-sha256 (default: the body's digest)."""
        if not isinstance(query, str):
            query = sigv4.query_string(query)
        headers = list(headers.items() if isinstance(headers, dict) else headers)
        headers.insert(0, ("Host", host or self.server.host))
        if length is True and (body or method in ("PUT", "POST")):
            length = len(body)
        if length is not True and length is not False:
            headers.append(("Content-Length", str(length)))
        if payload is None:
            payload = sigv4.hashlib.sha256(body).hexdigest()
        if sign:
            headers = self.signer.sign(method, path, query, headers, payload, **mistakes)
        target = f"{path}?{query}" if query else path
        return head_bytes(method, target, headers), body

    def request(self, method, path, query="", headers=(), body=b"", **options):
        head, body = self.build(method, path, query, headers, body, **options)
        return exchange(self.server, head + body, method)

    def presigned(self, method, path, query="", headers=(), body=b"", presign_method=None,
                  **mistakes):
        if not isinstance(query, str):
            query = sigv4.query_string(query)
        headers = [("Host", self.server.host)] + list(headers)
        signed = self.signer.presign(presign_method or method, path, query, headers, **mistakes)
        if body or method in ("PUT", "POST"):
            headers.append(("Content-Length", str(len(body))))
        data = head_bytes(method, f"{path}?{signed}", headers) + body
        return exchange(self.server, data, method)

    def chunked_put(self, path, pieces, payload=sigv4.CHUNKS, decoded=None, trailer=None,
                    headers=(), body=None, transfer=False, **spoil):
        """PUT with an aws-chunked body. body: raw bytes sent instead of the right ones (or a
        function of the right ones). transfer: Transfer-Encoding: chunked, no Content-Length."""
        size = sum(len(piece) for piece in pieces) if decoded is None else decoded
        headers = list(headers) + [("Content-Encoding", "aws-chunked"),
                                   ("x-amz-decoded-content-length", str(size))]
        if trailer:
            headers.append(("x-amz-trailer", trailer[0]))
        if transfer:
            headers.append(("Transfer-Encoding", "chunked"))
        head, _ = self.build("PUT", path, headers=headers, payload=payload, length=False)
        if payload == sigv4.UNSIGNED_TRAILER:
            right = sigv4.unsigned_chunked_body(pieces, trailer, **spoil)
        else:
            right = self.signer.chunked_body(pieces, trailer, **spoil)
        data = body(right) if callable(body) else right if body is None else body
        if transfer:
            data = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 5000]), data[i:i + 5000])
                            for i in range(0, len(data), 5000)) + b"0\r\n\r\n"
            return exchange(self.server, head + data, "PUT")
        # Content-Length is left unsigned: its value is known only after the body is made.
        head = head[:-2] + f"Content-Length: {len(data)}\r\n\r\n".encode()
        return exchange(self.server, head + data, "PUT")
