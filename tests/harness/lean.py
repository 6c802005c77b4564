"""A small fast S3 client over one kept-open connection, for load and audits."""
import http.client

from harness import raw, sigv4


class Gone(Exception):
    """The connection broke: the request may or may not have been carried out."""


class Lean:
    """Owned by one thread."""

    def __init__(self, server, timeout=60):
        self.server, self.timeout = server, timeout
        self.signer = sigv4.Signer(server.access_key, server.secret_key)
        self.connection = None

    def request(self, method, path, query="", headers=(), body=b""):
        """A Reply, or Gone. Paths are raw."""
        if not isinstance(query, str):
            query = sigv4.query_string(query)
        host = self.server.host
        signed = self.signer.sign(method, path, query, [("Host", host)] + list(headers),
                                  sigv4.UNSIGNED)
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(host, timeout=self.timeout)
            self.connection.request(method, f"{path}?{query}" if query else path, body,
                                    dict(signed))
            response = self.connection.getresponse()
            return raw.Reply(response.status, response.getheaders(), response.read(), False)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Gone(str(error)) from error

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def list_all(self, bucket):
        """key -> (etag, size)"""
        found, token = {}, None
        while True:
            query = [("list-type", 2)] + ([("continuation-token", token)] if token else [])
            reply = self.request("GET", f"/{bucket}", query)
            if reply.status != 200:
                raise AssertionError(f"listing refused: {reply}")
            xml = reply.xml()
            for node in xml.findall("Contents"):
                found[node.findtext("Key")] = (node.findtext("ETag"), int(node.findtext("Size")))
            token = xml.findtext("NextContinuationToken")
            if not token:
                return found
