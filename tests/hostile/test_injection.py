"""Bytes that try to become headers, log lines, SQL, paths or markup."""
import os
import socket

from harness import raw, sigv4
from hostile_case import HostileCase


class Headers(HostileCase):
    def test_response_overrides_cannot_inject_headers(self):
        for name in ("content-type", "cache-control", "content-disposition", "content-encoding",
                     "content-language", "expires"):
            for value in ("a%0d%0aX-Evil:%201", "a%0aX-Evil:%201", "a%0dX-Evil:%201", "a%00b"):
                with self.subTest(name=name, value=value):
                    reply = self.raw.request("GET", self.path("victim"), f"response-{name}={value}")
                    self.assertEqual(reply.status, 400, repr(reply))
                    self.assertNotIn("x-evil", reply.headers)

    def test_names_that_come_back_in_answers_are_escaped(self):
        for key in ("<b>&\"'", "a\r\nX-Evil: 1", "\x1b[31m", "]]>", "\u2028"):
            reply = self.raw.request("GET", self.path(key))
            self.assert_reply(reply, 404, "NoSuchKey")
            self.assertNotIn("x-evil", reply.headers)
            self.assertNotIn(b"<b>", reply.body)
            reply.xml()
        reply = self.raw.request("GET", self.path(), [("prefix", "<b>&\x01"), ("delimiter", "]]>")])
        self.assertIn(reply.status, (200, 400))
        reply.xml()

    def test_pages_of_other_origins_are_told_nothing(self):
        reply = self.raw.request("GET", self.path("victim"), headers={
            "Origin": "https://evil.example"})
        self.assertNotIn("access-control-allow-origin", reply.headers)
        self.assertNotIn("access-control-allow-credentials", reply.headers)

    def test_preflight_without_a_configuration_is_refused(self):
        reply = self.raw.request("OPTIONS", self.path("victim"), sign=False, headers={
            "Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"})
        self.assertIn(reply.status, (400, 403), repr(reply))
        self.assertNotIn("access-control-allow-origin", reply.headers)


class Logs(HostileCase):
    def test_a_request_is_one_line_of_the_log_without_control_bytes_or_secrets(self):
        self.raw.request("GET", self.path("key-mark\r\nlevel=error msg=forged\x1b[31m"), headers={
            "User-Agent": "agent-mark level=error \"x\\"})
        self.stranger.request("GET", self.path("key-mark"))
        log = self.server.log()
        self.assertNotIn("\x1b", log)
        self.assertFalse([line for line in log.splitlines() if line.startswith("level=error")])
        self.assertFalse([line for line in log.splitlines() if line.startswith("msg=forged")])
        self.assertNotIn(self.server.secret_key, log)
        self.assertNotIn("AWS4-HMAC-SHA256 Credential", log)


class Paths(HostileCase):
    def test_no_path_leaves_the_store(self):
        outside = os.path.join(self.server.home, "outside")
        before = sorted(os.listdir(self.server.home))
        for suffix in ("/../outside", "/..%2foutside", "/%2e%2e/outside", "/%2e%2e%2foutside",
                       "/..%5coutside", "/../../../../../../tmp/goodfs-outside",
                       "/./../outside", "//../outside"):
            with self.subTest(suffix=suffix):
                reply = self.raw.request("PUT", self.path() + suffix, body=b"x")
                self.assertIn(reply.status, (200, 400, 403), repr(reply))
                if reply.status == 200:
                    self.assertEqual(self.raw.request("DELETE", self.path() + suffix).status, 204)
        for name in ("..", ".", "%2e%2e", "..%2f..", "%2e"):
            reply = self.raw.request("PUT", f"/{name}")
            self.assertIn(reply.status, (400, 403, 405), repr(reply))
        self.assertFalse(os.path.exists(outside))
        self.assertFalse(os.path.exists("/tmp/goodfs-outside"))
        self.assertEqual(sorted(os.listdir(self.server.home)), before)

    def test_copy_sources_are_read_like_paths(self):
        for source in (f"{self.bucket}/../victim", f"../{self.bucket}/victim",
                       f"{self.bucket}/%2e%2e/{self.bucket}/victim", f"/{self.bucket}//victim",
                       f"//{self.bucket}/victim", f"{self.bucket}/victim%00", "%00",
                       f"{self.bucket}/victim%3fversionId=x", f"{self.bucket}/victim?acl",
                       f"{self.bucket}/" + "x" * 1025, "x" * 5000):
            with self.subTest(source=source[:60]):
                reply = self.raw.request("PUT", self.path("k"), headers={
                    "x-amz-copy-source": source})
                self.assertIn(reply.status, (400, 404), repr(reply)[:400])

    def test_quotes_and_wildcards_are_bytes(self):
        for key in ("'; DROP TABLE objects; --", "%", "_", "\\", "a' OR '1'='1", "*", "?", "[a]"):
            reply = self.raw.request("GET", self.path() + "/" + sigv4.quote(key))
            self.assert_reply(reply, 404, "NoSuchKey")
            listing = self.raw.request("GET", self.path(), [("prefix", key)])
            self.assertEqual(listing.xml().findall("Contents"), [])
            self.assertEqual(self.raw.request("DELETE", self.path() + "/" + sigv4.quote(key))
                             .status, 204)


class Admin(HostileCase):
    def ask(self, port_name, path, method="GET"):
        data = raw.head_bytes(method, path, [("Host", "x"), ("Content-Length", "0")])
        with socket.create_connection(("127.0.0.1", getattr(self.server, port_name)), 10) as sock:
            sock.sendall(data)
            return raw.read_reply(sock)

    def test_metrics_are_not_on_the_public_address_and_hold_no_secret(self):
        for path in ("/metrics", "/_/metrics", "/_/admin", "/_/config", "/_/env", "/debug/pprof/"):
            reply = self.ask("port", path)
            self.assertIn(reply.status, (400, 403, 404, 405, 501), repr(reply))
        reply = self.ask("admin_port", "/metrics")
        self.assertEqual(reply.status, 200)
        self.assertNotIn(self.server.secret_key.encode(), reply.body)
        self.assertNotIn(self.bucket.encode(), reply.body)

    def test_the_admin_address_changes_nothing_and_shows_no_configuration(self):
        for method in ("POST", "PUT", "DELETE"):
            self.assertIn(self.ask("admin_port", "/metrics", method).status, (400, 403, 404, 405,
                                                                              501))
        for path in ("/env", "/config", "/root-credentials", "/../root-credentials", "/"):
            reply = self.ask("admin_port", path)
            self.assertNotIn(self.server.secret_key.encode(), reply.body)
