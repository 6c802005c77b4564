#!/usr/bin/env python3
"""Writes auth_vectors.inc: requests signed by botocore, which shares no code with the gateway.

Run by hand when a case is added:  python3 gen_auth_vectors.py > auth_vectors.inc
"""
import datetime
from unittest import mock
from urllib.parse import urlsplit

import botocore
import botocore.auth
import botocore.awsrequest
import botocore.credentials

NOW = datetime.datetime(2026, 11, 21, 6, 58, 10)
CREDENTIALS = botocore.credentials.Credentials(
    "GFSEXAMPLEACCESSKEY1", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "127.0.0.1:9000"


def c_string(text):
    out = ""
    for byte in text.encode("utf-8", "surrogateescape"):
        if byte in b'"\\':
            out += "\\" + chr(byte)
        elif 0x20 <= byte < 0x7f and byte != 0x3f:
            out += chr(byte)
        else:
            out += f"\\{byte:03o}"
    return f'"{out}"'


def emit(name, method, url, headers):
    parts = urlsplit(url)
    lines = "".join(f"{k.lower()}:{v.strip()}\n" for k, v in headers)
    print(f"{{{c_string(name)}, {c_string(method)}, {c_string(parts.path)},")
    print(f" {c_string(parts.query)},")
    rows = lines.splitlines(keepends=True)
    print("\n".join(f" {c_string(row)}".replace("\n", "\\n") for row in rows) + "},")


def by_header(name, method, target, headers=None, body=b"", region="us-east-1"):
    url = f"http://{HOST}{target}"
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers or {},
                                             data=body)
    request.context["client_config"] = None
    botocore.auth.S3SigV4Auth(CREDENTIALS, "s3", region).add_auth(request)
    emit(name, method, url, [("host", HOST)] + list(request.headers.items()))


def presigned(name, method, target, headers=None, expires=3600, region="us-east-1"):
    url = f"http://{HOST}{target}"
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers or {})
    botocore.auth.S3SigV4QueryAuth(CREDENTIALS, "s3", region, expires=expires).add_auth(request)
    emit(name, method, request.url, [("host", HOST)] + list((headers or {}).items()))


def main():
    print(f"/* By gen_auth_vectors.py with botocore {botocore.__version__}: do not edit. */")
    by_header("list buckets", "GET", "/")
    by_header("get", "GET", "/bucket/key", {"x-amz-checksum-mode": "ENABLED"})
    by_header("put", "PUT", "/bucket/key", {
        "Content-Type": "text/plain", "x-amz-checksum-crc32": "NhCmhg==",
        "x-amz-sdk-checksum-algorithm": "CRC32", "Expect": "100-continue"}, b"hello")
    by_header("delete", "DELETE", "/bucket/key", {"If-Match": '"d41d8cd98f00b204e9800998ecf8427e"'})
    by_header("another region", "GET", "/bucket/key", region="eu-north-7")
    by_header("metadata with runs of spaces", "PUT", "/bucket/key", {
        "x-amz-meta-text": "a  b   c", "x-amz-meta-comma": "a,b, c", "x-amz-meta-empty": ""})
    for name, path in (
            ("a space", "/bucket/a%20b"), ("a plus", "/bucket/a%2Bb"),
            ("utf-8", "/bucket/%C3%A9t%C3%A9"),
            ("a tilde", "/bucket/~x"), ("an escaped percent", "/bucket/100%25"),
            ("an escaped escape", "/bucket/%2520"), ("two slashes", "/bucket//a//b"),
            ("a final slash", "/bucket/a/"), ("dot segments", "/bucket/./a/../b"),
            ("reserved characters",
             "/bucket/%21%40%23%24%5E%26%2A%28%29%3D%5B%5D%7B%7D%3A%3B%27%22%2C%3F"),
            ("emoji", "/bucket/%F0%9F%98%80")):
        by_header(f"a key with {name}", "GET", path)
        presigned(f"presigned, a key with {name}", "GET", path)
    for name, query in (
            ("a bare name", "acl"), ("an empty value", "prefix=&delimiter=%2F"),
            ("many", "list-type=2&encoding-type=url&prefix=a%20b%2Bc&max-keys=1000&delimiter=%2F"),
            ("utf-8", "prefix=%C3%A9%2F"), ("names to sort", "b=2&a=2&a=1&A=3&a-b=1"),
            ("an upload", "partNumber=10&uploadId=0123456789abcdef"),
            ("a value with equals", "marker=a%3Db%26c")):
        by_header(f"a query with {name}", "GET", f"/bucket?{query}")
    presigned("presigned get", "GET", "/bucket/key")
    presigned("presigned put with headers", "PUT", "/bucket/key", {
        "x-amz-meta-a": "b", "Content-Type": "text/plain"})
    presigned("presigned for a week", "GET", "/bucket/key", expires=604800)
    presigned("presigned with a query", "GET",
              "/bucket/key?response-content-type=text%2Fplain&versionId=null")
    presigned("presigned in another region", "HEAD", "/bucket/key", region="eu-north-7")


if __name__ == "__main__":
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: NOW):
        main()
