#!/usr/bin/env python3
"""Writes chunk_vectors.inc: aws-chunked bodies signed with nothing but hmac and hashlib.

Run by hand when a case is added:  python3 gen_chunk_vectors.py > chunk_vectors.inc
"""
import base64
import hashlib
import hmac
import zlib

DATE, SCOPE = "20261121T065810Z", "20261121/us-east-1/s3/aws4_request"
KEY = hashlib.sha256(b"a signing key").digest()
SEED = hashlib.sha256(b"a seed signature").hexdigest()
EMPTY = hashlib.sha256(b"").hexdigest()


def sign(algorithm, previous, *hashes):
    text = "\n".join([algorithm, DATE, SCOPE, previous, *hashes])
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def payload(length):
    """The same bytes as the test's."""
    return bytes((i * 7 + i // 251) & 0xff for i in range(length))


def body(pieces, is_signed, trailer):
    """As pieces of (bytes, run of payload or None): the payload itself stays out of the file."""
    out, previous, at = [], SEED, 0
    data = payload(sum(pieces))
    for size in [*pieces, 0]:
        chunk = data[at:at + size]
        head = f"{size:x}"
        if is_signed:
            previous = sign("AWS4-HMAC-SHA256-PAYLOAD", previous, EMPTY,
                            hashlib.sha256(chunk).hexdigest())
            head += f";chunk-signature={previous}"
        out.append((head + "\r\n", size))
        at += size
    tail = ""
    if trailer:
        value = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        tail = f"x-amz-checksum-crc32:{value}\r\n"
        if is_signed:
            hashed = hashlib.sha256(f"x-amz-checksum-crc32:{value}\n".encode()).hexdigest()
            signature = sign("AWS4-HMAC-SHA256-TRAILER", previous, hashed)
            tail += f"x-amz-trailer-signature:{signature}\r\n"
    out.append((tail + "\r\n", 0))
    return out, sum(pieces), value if trailer else ""


def emit(name, form, pieces, is_signed, trailer):
    parts, total, value = body(pieces, is_signed, trailer)
    print(f'{{"{name}", {form}, {total}, "{value}", {{')
    for text, size in parts:
        text = text.replace("\r", "\\r").replace("\n", "\\n")
        print(f'  {{"{text}", {size}}},')
    print("}},")


def main():
    print("/* By gen_chunk_vectors.py: do not edit. */")
    for name, pieces in (("empty", []), ("one byte", [1]), ("three chunks", [65536, 1024, 7])):
        emit(f"{name}, signed", "AUTH_PAYLOAD_CHUNKS", pieces, True, False)
        emit(f"{name}, signed with trailer", "AUTH_PAYLOAD_CHUNKS_TRAILER", pieces, True, True)
        emit(f"{name}, unsigned with trailer", "AUTH_PAYLOAD_UNSIGNED_TRAILER", pieces, False, True)


if __name__ == "__main__":
    main()
