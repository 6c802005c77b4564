"""The tests' own signer against botocore's, and its checksums against their check values."""
import base64
import unittest

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import sigv4

DATE = "20261121T101112Z"


class SignerAgreesWithBotocore(unittest.TestCase):
    def setUp(self):
        self.signer = sigv4.Signer("AKIDEXAMPLE", "secret/+=")
        self.credentials = botocore.credentials.Credentials("AKIDEXAMPLE", "secret/+=")

    def botocore_signature(self, method, path, query, headers, payload):
        """botocore takes its date from the clock, so its parts are called one by one."""
        request = botocore.awsrequest.AWSRequest(
            method=method, url=f"http://h.example:9000{path}" + (f"?{query}" if query else ""),
            headers=dict(headers))
        request.headers["x-amz-content-sha256"] = payload
        request.headers["X-Amz-Date"] = DATE
        request.context.update(timestamp=DATE, payload_signing_enabled=True)
        auth = botocore.auth.S3SigV4Auth(self.credentials, "s3", "us-east-1")
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return auth.signature(text, request)

    def test_header_signatures_are_equal(self):
        cases = [
            ("GET", "/", "", []),
            ("GET", "/bucket/a%20b/%C3%A9~", "", [("x-amz-meta-a", "two  words")]),
            ("PUT", "/bucket/k", "partNumber=1&uploadId=a%2Bb", [("Content-MD5", "abc=")]),
            ("GET", "/bucket", "list-type=2&prefix=&delimiter=%2F", []),
            ("POST", "/bucket", "uploads=", [("Content-Type", "text/plain; charset=utf-8")]),
        ]
        for method, path, query, headers in cases:
            with self.subTest(path=path, query=query):
                ours = self.signer.sign(method, path, query, [("Host", "h.example:9000")] + headers,
                                        sigv4.EMPTY_SHA256, date=DATE)
                theirs = self.botocore_signature(method, path, query, headers, sigv4.EMPTY_SHA256)
                self.assertEqual(dict(ours)["Authorization"].rpartition("=")[2], theirs)

    def test_the_chunks_of_the_documentations_example_are_signed_alike(self):
        signer = sigv4.Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        signer.sign("PUT", "/examplebucket/chunkObject.txt", "", [
            ("Host", "s3.amazonaws.com"), ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("Content-Encoding", "aws-chunked"), ("x-amz-decoded-content-length", "66560"),
            ("Content-Length", "66824")], sigv4.CHUNKS, date="20130524T000000Z")
        self.assertEqual(signer.seed,
                         "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
        body = signer.chunked_body([b"a" * 65536, b"a" * 1024])
        self.assertEqual(len(body), 66824)
        for signature in (b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                          b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                          b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"):
            self.assertIn(signature, body)


class ChecksumsHaveTheirCheckValues(unittest.TestCase):
    def test_check_values(self):
        for algorithm, value in (("CRC32", "cbf43926"), ("CRC32C", "e3069283"),
                                 ("CRC64NVME", "ae8b14860a799888"),
                                 ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441")):
            self.assertEqual(sigv4.checksum_bytes(algorithm, b"123456789").hex(), value)
        self.assertEqual(base64.b64decode(sigv4.checksum("CRC32", b"hello")).hex(), "3610a686")
