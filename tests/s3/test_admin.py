"""The admin API: who may, every route, bad input, objects."""
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest

from harness import sigv4
from harness.admin import Admin
from harness.case import S3Case
from harness.lean import Lean
from harness.raw import exchange, head_bytes
from harness.server import Server, binary


def fill(path):
    return re.sub(r"\{[a-z.]+\}", "x", path)


class AdminCase(S3Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin = Admin(cls.server)

    def assert_error(self, reply, status, code, words=""):
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(reply.json["error"]["code"], code)
        self.assertIn(words, reply.json["error"]["message"])
        self.assertEqual(set(reply.json), {"error", "request_id"})
        self.assertEqual(reply.json["request_id"], reply.headers["x-amz-request-id"])
        self.assertEqual(reply.headers["content-type"], "application/json")


class Authorisation(AdminCase):
    def test_each_route_of_the_table_refuses_who_does_not_sign(self):
        routes = self.admin.routes()
        self.assertGreater(len(routes), 4)
        for route in routes:
            with self.subTest(**route):
                reply = self.admin.request(route["method"], fill(route["path"]), sign=False)
                if route["access"] == "anyone":
                    self.assertEqual(reply.status, 200)
                else:
                    self.assert_error(reply, 403, "AccessDenied")

    def test_an_unknown_requester_learns_nothing_about_what_exists(self):
        for path in ("no-such", "objects/x/y", ""):
            for method in ("GET", "POST", "BREW"):
                reply = self.admin.request(method, path, sign=False)
                self.assert_error(reply, 403, "AccessDenied")

    def test_signatures_of_others_and_for_other_services_are_refused(self):
        server = self.server
        for signer, code in (
                (sigv4.Signer(server.access_key, server.secret_key),
                 "AuthorizationHeaderMalformed"),
                (sigv4.Signer(server.access_key, "wrong" * 8, service="goodfs"),
                 "SignatureDoesNotMatch"),
                (sigv4.Signer("somebody", server.secret_key, service="goodfs"),
                 "InvalidAccessKeyId")):
            with self.subTest(code=code):
                reply = Admin(server, signer).request("GET", "routes")
                self.assert_error(reply, 400 if "Malformed" in code else 403, code)
                self.assertNotIn(server.secret_key.encode(), reply.body)

    def test_a_signature_for_this_service_does_not_open_the_s3_endpoint(self):
        signer = sigv4.Signer(self.server.access_key, self.server.secret_key, service="goodfs")
        headers = signer.sign("GET", "/", "", [("Host", self.server.host)])
        reply = exchange(self.server, head_bytes("GET", "/", headers))
        self.assertEqual(reply.code, "AuthorizationHeaderMalformed")

    def test_old_and_presigned_requests_and_unsigned_bodies_are_refused(self):
        self.assert_error(self.admin.request("GET", "routes", date=sigv4.amz_date(skew_s=-1000)),
                          403, "RequestTimeTooSkewed")
        host = f"127.0.0.1:{self.server.admin_port}"
        query = self.admin.signer.presign("GET", "/_/admin/v1/routes", "", [("Host", host)])
        self.assert_error(self.admin.request("GET", "routes", query, sign=False), 403,
                          "AccessDenied", "Authorization")
        for payload in (sigv4.UNSIGNED, sigv4.UNSIGNED_TRAILER, sigv4.CHUNKS):
            self.assert_error(self.admin.request("GET", "routes", payload=payload), 403,
                              "AccessDenied", "body included")

    def test_a_change_is_made_once_however_often_its_request_is_sent(self):
        date = sigv4.amz_date()
        for method, path in (("POST", "fsck"), ("PUT", f"buckets/{self.bucket}/storage-class")):
            body = {"storage_class": "STANDARD"} if method == "PUT" else None
            first, again = (self.admin.request(method, path, body=body, date=date, nonce=False)
                            for _ in range(2))
            self.assertEqual(first.status, 200, first)
            self.assert_error(again, 403, "AccessDenied", "made already")
            self.assertEqual(self.admin.request(method, path, body=body, date=date).status, 200)
        for _ in range(2):
            self.assertEqual(self.admin.request("GET", "fsck", date=date).status, 200)

    def test_a_changed_query_or_body_does_not_pass(self):
        signed = self.admin.signer.sign(
            "GET", "/_/admin/v1/routes", "",
            [("Host", f"127.0.0.1:{self.server.admin_port}")])
        reply = self.admin.request("GET", "routes", "verify=1", sign=False,
                                   headers=[pair for pair in signed if pair[0] != "Host"])
        self.assert_error(reply, 403, "SignatureDoesNotMatch")


class BadInput(AdminCase):
    def test_paths_methods_and_parameters_that_are_not_there(self):
        self.assert_error(self.admin.request("GET", "no-such"), 404, "NotFound")
        self.assert_error(self.admin.request("GET", "/_/admin/v2/status"), 404, "NotFound")
        self.assert_error(self.admin.request("DELETE", "routes"), 405, "MethodNotAllowed")
        self.assert_error(self.admin.request("GET", "routes", "a=b"), 400, "InvalidArgument", '"a"')
        self.assert_error(self.admin.request("GET", "routes", body=b"{}"), 400, "InvalidArgument",
                          "no body")
        self.assert_error(self.admin.request("GET", "routes", body=b"x" * 100000), 413, "TooBig")

    def test_each_route_with_a_body_refuses_what_is_no_object_of_its_members(self):
        for route in self.admin.routes():
            if not route["members"]:
                continue
            path = fill(route["path"])
            for body in (b"[]", b"{", b'{"no_such_member":1}', b'{"a":1,"a":2}', b"1", b"\xff",
                         b'{"path":"' + b"x" * 20000 + b'"}', b"[" * 5000):
                with self.subTest(path=path, body=body[:20]):
                    reply = self.admin.request(route["method"], path, body=body)
                    self.assertIn(reply.status, (400, 413), reply)
                    self.assertIn(reply.json["error"]["code"], ("InvalidArgument", "TooBig"))

    def test_each_route_refuses_a_parameter_it_does_not_know(self):
        for route in self.admin.routes():
            if route["access"] == "root":
                with self.subTest(**route):
                    reply = self.admin.request(route["method"], fill(route["path"]), "nonsense=1")
                    self.assert_error(reply, 400, "InvalidArgument", "nonsense")


class Objects(AdminCase):
    def test_an_object_shows_where_its_chunks_are(self):
        body = os.urandom(300_000)
        etag = self.put("folder/ä %2F", body)["ETag"].strip('"')
        info = self.admin.get(f"objects/{self.bucket}/folder/" + sigv4.quote("ä %2F"), "verify=1")
        self.assertEqual((info["key"], info["size"], info["etag"], info["storage_class"]),
                         ("folder/ä %2F", len(body), etag, "STANDARD"))
        self.assertEqual(sum(chunk["length"] for chunk in info["chunks"]), len(body))
        for chunk in info["chunks"]:
            self.assertRegex(chunk["id"], "^[0-9a-f]{32}$")
            self.assertEqual([part["state"] for part in chunk["fragments"]], ["ok"])
        self.assertNotIn("next", info)

    def test_what_is_not_there_is_named(self):
        self.assert_error(self.admin.request("GET", f"objects/{self.bucket}/none"), 404, "NotFound",
                          "no object")
        self.assert_error(self.admin.request("GET", "objects/no-such-bucket/a"), 404, "NotFound",
                          "no bucket")
        self.assert_error(self.admin.request("GET", f"objects/{self.bucket}/%zz"), 400,
                          "InvalidURI")

    def test_many_chunks_come_in_pages(self):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key="parts")["UploadId"]
        parts = []
        for number in range(1, 4):
            done = self.s3.upload_part(Bucket=self.bucket, Key="parts", UploadId=upload,
                                       PartNumber=number, Body=bytes(5 << 20))
            parts.append({"PartNumber": number, "ETag": done["ETag"]})
        self.s3.complete_multipart_upload(Bucket=self.bucket, Key="parts", UploadId=upload,
                                          MultipartUpload={"Parts": parts})
        path, seen, after = f"objects/{self.bucket}/parts", [], 0
        while after is not None:
            info = self.admin.get(path, f"after={after}&limit=1")
            seen += info["chunks"]
            after = info.get("next")
        self.assertEqual([chunk["index"] for chunk in seen], list(range(info["chunk_count"])))
        self.assertEqual(sum(chunk["length"] for chunk in seen), 15 << 20)
        self.assertEqual((info["parts"], info["etag"][-2:]), (3, "-3"))
        for query in ("after=-1", "limit=0x1", "limit=1001", "verify=2", "verify=1&limit=17"):
            self.assert_error(self.admin.request("GET", path, query), 400, "InvalidArgument")


class Audit(unittest.TestCase):
    """The audit, with an age of a second."""

    def setUp(self):
        self.server = Server(args=["--orphan-age-seconds", "1"])
        self.addCleanup(self.server.close)
        self.server.start()
        self.lean = Lean(self.server)
        self.addCleanup(self.lean.close)
        self.assertEqual(self.lean.request("PUT", "/kept").status, 200)
        for index in range(200):
            self.put(f"k{index}")

    def put(self, key):
        self.assertEqual(self.lean.request("PUT", f"/kept/{key}", body=key.encode()).status, 200)

    def search(self):
        admin = Admin(self.server)
        until = time.monotonic() + 60
        begun = admin.get("fsck")["fsck"].get("started")
        admin.request("POST", "fsck")
        while time.monotonic() < until:
            found = admin.get("fsck")["fsck"]
            if not found["is_running"] and found.get("started") != begun:
                return found
            time.sleep(0.02)
        raise AssertionError("no search came to its end")

    def test_searches_come_by_themselves_and_touch_nothing_that_is_in_use(self):
        found = self.search()
        self.assertEqual((found["state"], found["lost"], found["orphans"]), ("done", 0, 0))
        begun = found["started"]
        until = time.monotonic() + 30
        while Admin(self.server).get("fsck")["fsck"]["started"] == begun:
            self.assertLess(time.monotonic(), until, "no search began by itself")
            time.sleep(0.05)
        for index in range(200):
            self.assertEqual(self.lean.request("GET", f"/kept/k{index}").body, b"k%d" % index)

    def test_searches_can_be_asked_for_at_any_time(self):
        admin = Admin(self.server)
        replies = [admin.request("POST", "fsck") for _ in range(20)]
        self.assertEqual({reply.status for reply in replies}, {200})
        self.assertEqual(replies[0].headers["content-type"], "application/json")


class Listening(unittest.TestCase):
    def run_server(self, *args):
        """The lines a server prints until it is stopped right away."""
        with tempfile.TemporaryDirectory() as folder:
            with subprocess.Popen([binary(), "server", folder, "--listen", "127.0.0.1:0", *args],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True) as process:
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if "root keys" in line:
                        process.terminate()
                return "".join(lines)

    def test_the_default_address_is_given_up_when_it_is_taken(self):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                other.bind(("127.0.0.1", 9001))
                other.listen()
            except OSError:
                pass  # taken by somebody else: as good
            text = self.run_server()
        self.assertIn("listening on", text)
        self.assertIn("no admin address", text)
        self.assertNotIn("admin on", text)

    def test_an_address_that_was_asked_for_is_not_given_up(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run([binary(), "server", folder, "--listen", "127.0.0.1:0",
                                       "--admin-listen", taken], capture_output=True, text=True,
                                      check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(taken, done.stderr)

    def test_none_is_no_admin_address(self):
        self.assertNotIn("admin", self.run_server("--admin-listen", "none"))
