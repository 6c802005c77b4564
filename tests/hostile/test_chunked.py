"""aws-chunked bodies that are wrong in one place: nothing of them is stored."""
import socket

from harness import raw, sigv4
from hostile_case import HostileCase

PIECES = [b"a" * 65536, b"b" * 8192, b"c" * 10]
WHOLE = b"".join(PIECES)
CRC = ("x-amz-checksum-crc32", sigv4.checksum("CRC32", WHOLE))
BAD_SIZES = (b"-1", b"8000000000000000", b"ffffffffffffffff", b"10000000000000000",
             b"fffffffffffffffff", b"0x5", b"5 ", b" 5", b"g", b"", b"+5", b"5" * 5000)


class Signed(HostileCase):
    def test_a_wrong_chunk_signature_anywhere(self):
        for bad in range(len(PIECES) + 1):
            for trailer, payload in ((None, sigv4.CHUNKS), (CRC, sigv4.CHUNKS_TRAILER)):
                with self.subTest(bad=bad, payload=payload):
                    reply = self.raw.chunked_put(self.path("k"), PIECES, payload=payload,
                                                 trailer=trailer, bad_chunk=bad)
                    self.assert_one_of(reply, (403, "SignatureDoesNotMatch"))

    def test_a_wrong_trailer_signature(self):
        reply = self.raw.chunked_put(self.path("k"), PIECES, payload=sigv4.CHUNKS_TRAILER,
                                     trailer=CRC, bad_trailer=True)
        self.assert_one_of(reply, (403, "SignatureDoesNotMatch"))

    def test_chunks_in_another_order(self):
        def swap(body):
            first = body.index(b"\r\n", 65536) + 2
            second = body.index(b"\r\n", first + 200) + 2
            return body[first:second] + body[:first] + body[second:]
        reply = self.raw.chunked_put(self.path("k"), PIECES, body=swap)
        self.assert_one_of(reply, (403, "SignatureDoesNotMatch"))

    def test_a_missing_final_chunk(self):
        reply = self.raw.chunked_put(self.path("k"), PIECES, end=False)
        self.assert_one_of(reply, (400, "IncompleteBody"), (400, "InvalidRequest"))

    def test_a_declared_trailer_that_does_not_come(self):
        reply = self.raw.chunked_put(
            self.path("k"), PIECES, payload=sigv4.CHUNKS_TRAILER, trailer=CRC,
            body=lambda body: body[:body.index(b"x-amz-checksum")] + b"\r\n")
        self.assertIn(reply.status, (400, 403), repr(reply))

    def test_chunk_heads_that_are_none(self):
        for size in BAD_SIZES:
            with self.subTest(size=size[:20]):
                reply = self.raw.chunked_put(
                    self.path("k"), [b"hello"],
                    body=lambda body, size=size: body.replace(b"5;", size + b";", 1))
                self.assertIn(reply.status, (400, 403), repr(reply))
        for old, new in ((b";chunk-signature=", b";"), (b";chunk-signature=", b""),
                         (b";chunk-signature=", b";other=" + b"x" * 100000 + b";"),
                         (b"\r\n", b"\n"), (b"hello\r\n", b"hello")):
            with self.subTest(new=new[:20]):
                reply = self.raw.chunked_put(
                    self.path("k"), [b"hello"],
                    body=lambda body, old=old, new=new: body.replace(old, new, 1))
                self.assertIn(reply.status, (400, 403), repr(reply))

    def test_a_plain_body_that_is_called_chunked(self):
        for body in (b"hello", b"", b"\r\n" * 1000, bytes(range(256)) * 100):
            reply = self.raw.chunked_put(self.path("k"), [b"hello"], body=body)
            self.assertIn(reply.status, (400, 403), repr(reply))


class Unsigned(HostileCase):
    def put(self, **options):
        return self.raw.chunked_put(self.path("k"), PIECES, payload=sigv4.UNSIGNED_TRAILER,
                                    trailer=CRC, **options)

    def test_chunk_heads_that_are_none(self):
        for size in BAD_SIZES:
            for transfer in (False, True):
                with self.subTest(size=size[:20], transfer=transfer):
                    reply = self.put(transfer=transfer, body=lambda body, size=size:
                                     body.replace(b"10000\r\n", size + b"\r\n", 1))
                    self.assertEqual(reply.status, 400, repr(reply))

    def test_missing_end_and_missing_or_other_trailer(self):
        for change in (lambda b: b[:b.index(b"\r\n0\r\n") + 2],
                       lambda b: b.replace(b"x-amz-checksum-crc32:" + CRC[1].encode() + b"\r\n",
                                           b""),
                       lambda b: b.replace(b"checksum-crc32:", b"checksum-crc32c:"),
                       lambda b: b.replace(b"x-amz-checksum-crc32:", b"x" * 100000 + b":"),
                       lambda b: b.replace(CRC[1].encode(), b""),
                       lambda b: b.replace(CRC[1].encode(), b"!!!!"),
                       lambda b: b[:-2], lambda b: b + b"more"):
            reply = self.put(body=change)
            self.assertEqual(reply.status, 400, repr(reply))

    def test_another_decoded_length(self):
        for decoded in (0, len(WHOLE) - 1, len(WHOLE) + 1, 1 << 40):
            with self.subTest(decoded=decoded):
                reply = self.put(decoded=decoded)
                self.assertEqual(reply.status, 400, repr(reply))
                self.assertIn(reply.code, ("IncompleteBody", "InvalidRequest", "EntityTooLarge",
                                           "InvalidArgument"))

    def test_decoded_lengths_that_are_none(self):
        for value in ("", "x", "-1", "1.5", "99999999999999999999999", "5 5"):
            with self.subTest(value=value):
                reply = self.put(decoded=value)
                self.assertIn(reply.status, (400, 411), repr(reply))

    def test_without_a_decoded_length(self):
        head, _ = self.raw.build("PUT", self.path("k"), payload=sigv4.UNSIGNED_TRAILER, headers={
            "Content-Encoding": "aws-chunked", "x-amz-trailer": CRC[0]}, length=False)
        body = sigv4.unsigned_chunked_body(PIECES, CRC)
        reply = raw.exchange(self.server, head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body) +
                             body, "PUT")
        self.assertIn((reply.status, reply.code), ((411, "MissingContentLength"),
                                                   (400, "InvalidRequest")), repr(reply))


class Lengths(HostileCase):
    def test_a_body_shorter_than_declared_stores_nothing(self):
        for size in (10, 100000, 8 << 20):
            head, _ = self.raw.build("PUT", self.path("k"), length=size, payload=sigv4.UNSIGNED)
            with self.server.connect(20) as sock:
                sock.sendall(head + b"x" * (size - 1))
                sock.shutdown(socket.SHUT_WR)
                reply = raw.read_reply(sock)
            if reply is not None:
                self.assert_reply(reply, 400, "IncompleteBody")

    def test_bytes_after_the_declared_body_are_not_stored(self):
        head, _ = self.raw.build("PUT", self.path("victim"), length=4, payload=sigv4.UNSIGNED)
        with self.server.connect(3) as sock:
            sock.sendall(head + b"four and more\r\n\r\n")
            text = raw.read_all(sock)
        self.assertTrue(text.startswith(b"HTTP/1.1 200"), text[:200])
        self.assertEqual(self.body("victim"), b"four")
        self.put("victim", b"victim's bytes")
