"""Content-MD5, payload digests, the five checksums by header and trailer, aws-chunked bodies."""
import base64
import hashlib
import os

from harness import raw, sigv4
from harness.case import S3Case

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
FORMS = ((sigv4.CHUNKS_TRAILER, False), (sigv4.UNSIGNED_TRAILER, False),
         (sigv4.CHUNKS_TRAILER, True), (sigv4.UNSIGNED_TRAILER, True))


def header(algorithm):
    return f"x-amz-checksum-{algorithm.lower()}"


class ByHeader(S3Case):
    DATA = b"The quick brown fox" * 50

    def put_with(self, key, headers, data=None, **options):
        return self.raw.request("PUT", self.path(key), headers=headers,
                                body=self.DATA if data is None else data, **options)

    def shown(self, key, mode=True, method="HEAD"):
        headers = {"x-amz-checksum-mode": "ENABLED"} if mode else {}
        reply = self.raw.request(method, self.path(key), headers=headers)
        return {name: value for name, value in reply.headers.items()
                if name.startswith("x-amz-checksum-")}

    def test_right_checksums_are_stored_and_shown_only_when_asked(self):
        for algorithm in ALGORITHMS:
            for data in (b"", self.DATA):
                key, value = f"{algorithm}{len(data)}", sigv4.checksum(algorithm, data)
                with self.subTest(algorithm=algorithm, size=len(data)):
                    reply = self.put_with(key, {header(algorithm): value}, data)
                    self.assert_reply(reply, 200)
                    self.assertEqual(reply.headers.get(header(algorithm)), value)
                    for method in ("GET", "HEAD"):
                        shown = self.shown(key, method=method)
                        self.assertEqual(shown.get(header(algorithm)), value)
                        self.assertEqual(shown.get("x-amz-checksum-type"), "FULL_OBJECT")
                    self.assertEqual(self.shown(key, mode=False), {})

    def test_wrong_checksums_store_nothing(self):
        for algorithm in ALGORITHMS:
            with self.subTest(algorithm=algorithm):
                reply = self.put_with("wrong", {header(algorithm): sigv4.checksum(algorithm, b"?")})
                self.assert_reply(reply, 400, "BadDigest")
                self.assert_absent("wrong")

    def test_a_refused_put_leaves_the_old_object(self):
        self.put("kept", b"old")
        self.put_with("kept", {header("CRC32"): sigv4.checksum("CRC32", b"?")})
        self.put_with("kept", {"Content-MD5": sigv4.content_md5(b"?")})
        self.assertEqual(self.body("kept"), b"old")

    def test_values_that_are_no_checksums_are_invalid(self):
        for algorithm in ALGORITHMS:
            for value in ("", "x", "AAAA", "not base64!", base64.b64encode(b"x" * 40).decode()):
                with self.subTest(algorithm=algorithm, value=value):
                    reply = self.put_with("invalid", {header(algorithm): value})
                    self.assert_reply(reply, 400, "InvalidRequest")
        self.assert_absent("invalid")

    def test_two_checksums_are_invalid(self):
        reply = self.put_with("two", {
            header("CRC32"): sigv4.checksum("CRC32", self.DATA),
            header("SHA1"): sigv4.checksum("SHA1", self.DATA)})
        self.assert_reply(reply, 400, "InvalidRequest")
        self.assert_absent("two")

    def test_without_a_checksum_crc64nvme_is_computed(self):
        self.assert_reply(self.put_with("none", {}), 200)
        self.assertEqual(self.shown("none").get(header("CRC64NVME")),
                         sigv4.checksum("CRC64NVME", self.DATA))

    def test_ranged_reads_show_no_whole_object_checksum_that_a_client_would_check(self):
        self.assert_reply(self.put_with("range", {
            header("CRC32"): sigv4.checksum("CRC32", self.DATA)}), 200)
        reply = self.raw.request("GET", self.path("range"), headers={
            "x-amz-checksum-mode": "ENABLED", "Range": "bytes=0-9"})
        self.assertNotIn(header("CRC32"), reply.headers)

    def test_unknown_checksum_headers_do_not_fail_a_put(self):
        reply = self.put_with("unknown", {"x-amz-checksum-sha9": "AAAA",
                                          "x-amz-sdk-something": "x"})
        self.assert_reply(reply, 200)

    def test_a_checksum_in_a_presigned_query_is_ignored(self):
        # aws-sdk-js presigns PUTs with the checksum of an empty body; AWS lets them pass
        reply = self.raw.presigned("PUT", self.path("presigned"), [
            ("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-sdk-checksum-algorithm", "CRC32")],
            body=self.DATA)
        self.assert_reply(reply, 200)
        self.assertEqual(self.body("presigned"), self.DATA)

    def test_content_md5(self):
        self.assert_reply(self.put_with("md5", {"Content-MD5": sigv4.content_md5(self.DATA)}), 200)
        for value, code in ((sigv4.content_md5(b"?"), "BadDigest"), ("", "InvalidDigest"),
                            ("AAAA", "InvalidDigest"), ("not base64", "InvalidDigest"),
                            (hashlib.md5(self.DATA).hexdigest(), "InvalidDigest")):
            with self.subTest(value=value):
                self.assert_reply(self.put_with("badmd5", {"Content-MD5": value}), 400, code)
        self.assert_absent("badmd5")

    def test_payload_digest(self):
        for payload, code in ((hashlib.sha256(b"?").hexdigest(), "XAmzContentSHA256Mismatch"),
                              ("x", "InvalidArgument"), ("STREAMING-SOMETHING", "InvalidArgument")):
            with self.subTest(payload=payload):
                self.assert_reply(self.put_with("sha", {}, payload=payload), 400, code)
        self.assert_absent("sha")
        self.assert_reply(self.put_with("sha", {}, payload=sigv4.UNSIGNED), 200)

    def test_a_large_body_with_each_checksum(self):
        data = os.urandom((6 << 20) + 3)
        for algorithm in ("CRC32", "SHA1", "SHA256"):
            value = sigv4.checksum(algorithm, data)
            reply = self.put_with("large", {header(algorithm): value}, data)
            self.assert_reply(reply, 200)
            self.assertEqual(self.shown("large")[header(algorithm)], value)
            reply = self.put_with("bad", {header(algorithm): value}, data[:-1] + b"?")
            self.assert_reply(reply, 400, "BadDigest")
        self.assert_absent("bad")


class Chunked(S3Case):
    PIECES = [b"a" * 65536, b"b" * 8192, b"c"]
    WHOLE = b"".join(PIECES)

    def test_signed_chunks(self):
        for transfer in (False, True):
            reply = self.raw.chunked_put(self.path("s"), self.PIECES, transfer=transfer)
            self.assert_reply(reply, 200)
            self.assertEqual(self.body("s"), self.WHOLE)

    def test_an_empty_body_in_each_form(self):
        for payload, transfer in FORMS + ((sigv4.CHUNKS, False), (sigv4.CHUNKS, True)):
            trailer = None if payload == sigv4.CHUNKS else (
                header("CRC32"), sigv4.checksum("CRC32", b""))
            with self.subTest(payload=payload, transfer=transfer):
                reply = self.raw.chunked_put(self.path("e"), [], payload=payload, trailer=trailer,
                                             transfer=transfer)
                self.assert_reply(reply, 200)
                self.assertEqual(self.body("e"), b"")

    def test_trailers_of_every_algorithm_in_every_form(self):
        for payload, transfer in FORMS:
            for algorithm in ALGORITHMS:
                value = sigv4.checksum(algorithm, self.WHOLE)
                key = f"{algorithm}{transfer}{payload[:12]}"
                with self.subTest(payload=payload, transfer=transfer, algorithm=algorithm):
                    reply = self.raw.chunked_put(
                        self.path(key), self.PIECES, payload=payload, transfer=transfer,
                        trailer=(header(algorithm), value))
                    self.assert_reply(reply, 200)
                    got = self.raw.request("GET", self.path(key), headers={
                        "x-amz-checksum-mode": "ENABLED"})
                    self.assertEqual(got.body, self.WHOLE)
                    self.assertEqual(got.headers.get(header(algorithm)), value)

    def test_wrong_trailers_store_nothing(self):
        for payload, transfer in FORMS:
            for algorithm in ALGORITHMS:
                with self.subTest(payload=payload, transfer=transfer, algorithm=algorithm):
                    reply = self.raw.chunked_put(
                        self.path("w"), self.PIECES, payload=payload, transfer=transfer,
                        trailer=(header(algorithm), sigv4.checksum(algorithm, b"?")))
                    self.assert_reply(reply, 400, "BadDigest")
                    self.assert_absent("w")

    def test_the_coding_is_not_stored_and_other_codings_are(self):
        reply = self.raw.chunked_put(self.path("coding"), self.PIECES)
        self.assert_reply(reply, 200)
        head = self.raw.request("HEAD", self.path("coding"))
        self.assertNotIn("aws-chunked", head.headers.get("content-encoding", ""))
        self.assertEqual(head.headers["content-length"], str(len(self.WHOLE)))
        head, _ = self.raw.build("PUT", self.path("gz"), headers=[
            ("Content-Encoding", "gzip,aws-chunked"),
            ("x-amz-decoded-content-length", "2")], payload=sigv4.CHUNKS, length=False)
        body = self.raw.signer.chunked_body([b"hi"])
        reply = raw.exchange(self.server, head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body) +
                             body, "PUT")
        self.assert_reply(reply, 200)
        head = self.raw.request("HEAD", self.path("gz"))
        self.assertEqual(head.headers.get("content-encoding"), "gzip")

    def test_a_large_signed_body(self):
        pieces = [os.urandom(65536) for _ in range(120)]
        reply = self.raw.chunked_put(self.path("large"), pieces)
        self.assert_reply(reply, 200)
        self.assertEqual(self.body("large"), b"".join(pieces))
