"""POST Object: browser forms under a signed policy."""
import secrets

from harness import raw
from harness.case import S3Case


class Forms(S3Case):
    def post(self, fields, body=b"file body", filename="up.txt", spoil=None, content_type=None,
             bucket=None):
        boundary = "----form" + secrets.token_hex(8)
        parts = []
        for name, value in fields:
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
                         f"{value}\r\n".encode())
        if body is not None:
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
                         f'filename="{filename}"\r\nContent-Type: text/plain\r\n\r\n'.encode() +
                         body + b"\r\n")
        data = b"".join(parts) + f"--{boundary}--\r\n".encode()
        if spoil:
            data = spoil(data, boundary)
        kind = content_type or f"multipart/form-data; boundary={boundary}"
        head = raw.head_bytes("POST", self.path(bucket=bucket), [
            ("Host", self.server.host), ("Content-Type", kind), ("Content-Length", str(len(data)))])
        return raw.exchange(self.server, head + data, "POST")

    def signed(self, key, conditions=None, extra=(), **options):
        if conditions is None:
            conditions = [{"bucket": self.bucket}, ["starts-with", "$key", ""]]
        fields = self.raw.signer.post_fields(conditions, **options)
        return [("key", key)] + list(extra) + list(fields.items())

    def test_a_signed_form_stores_the_file(self):
        reply = self.post(self.signed("form"))
        self.assert_reply(reply, 204)
        self.assertTrue(reply.headers["etag"])
        self.assertIn("form", reply.headers.get("location", ""))
        self.assertEqual(self.body("form"), b"file body")

    def test_filename_is_put_into_the_key(self):
        self.assert_reply(self.post(self.signed("dir/${filename}"), filename="a b.txt"), 204)
        self.assertEqual(self.body("dir/a b.txt"), b"file body")

    def test_bodies_of_all_sizes_and_with_boundaries_inside(self):
        for index, body in enumerate((b"", b"\r\n", b"--", b"\r\n--", b"\r\n------form",
                                      b"x" * 65536, bytes(range(256)) * 8192)):
            with self.subTest(index=index):
                self.assert_reply(self.post(self.signed(f"b{index}"), body), 204)
                self.assertEqual(self.body(f"b{index}"), body)

    def test_success_action_status_and_redirect(self):
        base = [{"bucket": self.bucket}, ["starts-with", "$key", ""]]
        conditions = base + [["starts-with", "$success_action_status", ""]]
        for status in ("200", "201", "204"):
            reply = self.post(self.signed("sas", conditions, [("success_action_status", status)]))
            self.assertEqual(reply.status, int(status), repr(reply))
        reply = self.post(self.signed("sas", conditions, [("success_action_status", "201")]))
        xml = reply.xml()
        self.assertEqual((xml.tag, xml.findtext("Bucket"), xml.findtext("Key")),
                         ("PostResponse", self.bucket, "sas"))
        conditions = base + [["starts-with", "$success_action_redirect", ""]]
        reply = self.post(self.signed("sas", conditions, [
            ("success_action_redirect", "http://127.0.0.1/ok")]))
        self.assertEqual(reply.status, 303)
        self.assertTrue(reply.headers["location"].startswith("http://127.0.0.1/ok?bucket="))

    def test_headers_and_metadata_of_the_form_are_stored(self):
        conditions = [{"bucket": self.bucket}, {"key": "meta"},
                      ["starts-with", "$Content-Type", "text/"], {"x-amz-meta-a": "1"}]
        self.assert_reply(self.post(self.signed("meta", conditions, [
            ("Content-Type", "text/css"), ("x-amz-meta-a", "1")])), 204)
        head = self.s3.head_object(Bucket=self.bucket, Key="meta")
        self.assertEqual((head["ContentType"], head["Metadata"]), ("text/css", {"a": "1"}))

    def test_violated_conditions_store_nothing(self):
        bucket = {"bucket": self.bucket}
        key = ["starts-with", "$key", ""]
        for conditions, extra in (
                ([bucket, {"key": "other"}], []), ([bucket, ["eq", "$key", "other"]], []),
                ([bucket, ["starts-with", "$key", "user/"]], []),
                ([{"bucket": "t-other"}, key], []), ([bucket], []), ([key], []),
                ([bucket, key, {"x-amz-meta-a": "1"}], []),
                ([bucket, key, {"x-amz-meta-a": "1"}], [("x-amz-meta-a", "2")]),
                ([bucket, key], [("x-amz-meta-a", "2")]),
                ([bucket, key], [("Content-Type", "text/html")]),
                ([bucket, key, ["starts-with", "$Content-Type", "image/"]],
                 [("Content-Type", "text/html")])):
            with self.subTest(conditions=conditions, extra=extra):
                reply = self.post(self.signed("violated", conditions, extra))
                self.assert_reply(reply, 403, "AccessDenied")
                self.assert_absent("violated")

    def test_fields_that_policies_need_not_name(self):
        self.assert_reply(self.post(self.signed("ignored", extra=[("x-ignore-this", "1")])), 204)

    def test_content_length_range(self):
        base = [{"bucket": self.bucket}, ["starts-with", "$key", ""]]
        for low, high, code in ((1, 9, None), (9, 9, None), (10, 100, "EntityTooSmall"),
                                (0, 8, "EntityTooLarge")):
            with self.subTest(low=low, high=high):
                reply = self.post(self.signed("len", base + [["content-length-range", low, high]]))
                if code:
                    self.assert_reply(reply, 400, code)
                    self.assert_absent("len")
                else:
                    self.assert_reply(reply, 204)
                    self.s3.delete_object(Bucket=self.bucket, Key="len")

    def test_signatures_and_credentials(self):
        good = dict(self.signed("sig"))
        spoiled = dict(good, **{"x-amz-signature": "0" * 64})
        self.assert_reply(self.post(list(spoiled.items())), 403, "SignatureDoesNotMatch")
        unknown = dict(good, **{"x-amz-credential":
                                good["x-amz-credential"].replace("AK", "ZZ", 1)})
        self.assert_reply(self.post(list(unknown.items())), 403, "InvalidAccessKeyId")
        for name in ("policy", "x-amz-signature", "x-amz-credential", "x-amz-date",
                     "x-amz-algorithm"):
            fields = [(n, v) for n, v in good.items() if n != name]
            with self.subTest(missing=name):
                reply = self.post(fields)
                self.assertIn(reply.status, (400, 403), repr(reply))
        self.assert_reply(self.post([("key", "sig")]), 403, "AccessDenied")
        self.assert_absent("sig")

    def test_expired_and_malformed_policies(self):
        self.assert_reply(self.post(self.signed("exp", expiration_s=-60)), 403, "AccessDenied")
        for policy in ("", "{", "[]", "null", '{"conditions":[]}',
                       '{"expiration":"never","conditions":[]}',
                       '{"expiration":"2099-01-01T00:00:00Z"}',
                       '{"expiration":"2099-01-01T00:00:00Z","conditions":[["eq"]]}',
                       '{"expiration":"2099-01-01T00:00:00Z","conditions":[["like","$key","x"]]}',
                       '{"expiration":"2099-01-01T00:00:00Z","conditions":"x"}',
                       "[" * 10000):
            with self.subTest(policy=policy[:60]):
                reply = self.post(self.signed("exp", policy=policy))
                self.assertIn((reply.status, reply.code), (
                    (400, "InvalidPolicyDocument"), (403, "AccessDenied"),
                    (400, "MalformedPOSTRequest"), (400, "InvalidArgument")), repr(reply))
        self.assert_absent("exp")

    def test_a_form_without_key_or_file(self):
        fields = [field for field in self.signed("x") if field[0] != "key"]
        self.assert_reply(self.post(fields), 400, "InvalidArgument")
        reply = self.post(self.signed("nofile"), body=None)
        self.assertEqual(reply.status, 400, repr(reply))
        self.assertIn(reply.code, ("InvalidArgument", "IncorrectNumberOfFilesInPostRequest"))
        self.assert_absent("nofile")

    def test_malformed_forms_store_nothing(self):
        def cut(data, boundary):
            return data[:-len(boundary) - 8]

        def rename(data, boundary):
            return data.replace(boundary.encode(), b"other")
        for spoil in (cut, rename, lambda data, boundary: b"",
                      lambda data, boundary: data.replace(b"\r\n\r\n", b"\r\n")):
            reply = self.post(self.signed("mal"), spoil=spoil)
            self.assertEqual(reply.status, 400, repr(reply))
            self.assertIn(reply.code, ("MalformedPOSTRequest", "IncompleteBody",
                                       "InvalidArgument"), repr(reply))
        for kind in ("multipart/form-data", "multipart/form-data; boundary=",
                     "multipart/form-data; boundary=" + "x" * 5000, "application/json"):
            reply = self.post(self.signed("mal"), content_type=kind)
            self.assertIn(reply.status, (400, 403, 405, 412), repr(reply))
        self.assert_absent("mal")

    def test_repeated_fields_and_too_many_are_refused(self):
        fields = self.signed("dup")
        reply = self.post(fields + [("key", "dup2")])
        self.assertIn(reply.status, (400, 403), repr(reply))
        reply = self.post([("x-ignore-%d" % n, "v" * 900) for n in range(100)] + fields)
        self.assertEqual(reply.status, 400, repr(reply))
        self.assertIn(reply.code, ("MaxPostPreDataLengthExceededError", "MalformedPOSTRequest",
                                   "InvalidArgument"))
        self.assert_absent("dup")
        self.assert_absent("dup2")

    def test_a_missing_bucket(self):
        reply = self.post(self.signed("k", [{"bucket": "t-none"}, ["starts-with", "$key", ""]]),
                          bucket="t-none")
        self.assert_reply(reply, 404, "NoSuchBucket")
