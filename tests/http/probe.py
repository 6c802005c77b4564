#!/usr/bin/env python3
"""Sends hostile HTTP framing to a server and checks that each is refused and nothing behind it runs.

usage: probe.py HOST PORT

Every probe carries a second request behind the first. A probe passes when exactly one reply comes,
its status is 400, 413, 414, 431, 501 or 505, and the connection is closed after it."""
import re
import socket
import sys

HOST = b"Host: a\r\n"
BEHIND = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
TE = b"Transfer-Encoding: chunked\r\n"

PROBES = {
    "CL and TE": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n" + TE + b"\r\n0\r\n\r\n",
    "CL twice": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    "CL twice, other way": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "CL same twice": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "TE xchunked": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE identity": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "TE twice": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n" + TE + b"\r\n0\r\n\r\n",
    "TE with a space behind": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
    "TE on HTTP/1.0": b"POST /a HTTP/1.0\r\n" + HOST + TE + b"\r\n0\r\n\r\n",
    "space before colon": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\nhello",
    "fold of a name": b"POST /a HTTP/1.1\r\n" + HOST + b"X-Amz-Ac: abc\r\n l\r\n\r\n",
    "fold into TE": b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Enc: chunked\r\n oding\r\n\r\n0\r\n\r\n",
    "fold into CL": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Len: 5\r\n gth\r\n\r\nhello",
    "first header begins with space": b"GET /a HTTP/1.1\r\n X: 1\r\n" + HOST + b"\r\n",
    "bare LF": b"GET /a HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET /a HTTP/1.1\r\nHost: a\n\r\n",
    "bare CR": b"GET /a HTTP/1.1\r\n" + HOST + b"A: b\rc\r\n\r\n",
    "no Host": b"GET /a HTTP/1.1\r\n\r\n",
    "two Host": b"GET /a HTTP/1.1\r\n" + HOST + b"Host: b\r\n\r\n",
    "NUL in a value": b"GET /a HTTP/1.1\r\n" + HOST + b"X-Amz-Date: 2020\x00zz\r\n\r\n",
    "NUL in the target": b"GET /a\x00/b HTTP/1.1\r\n" + HOST + b"\r\n",
    "control byte in a name": b"GET /a HTTP/1.1\r\n" + HOST + b"X\x01y: 1\r\n\r\n",
    "absolute-form": b"GET http://evil/a HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "CL +5": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello",
    "CL 5, 5": b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\nhello",
    "two Authorization": b"GET /a HTTP/1.1\r\n" + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "201 headers": b"GET /a HTTP/1.1\r\n" + HOST + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n",
    "33 KiB header": b"GET /a HTTP/1.1\r\n" + HOST + b"x: " + b"y" * 33 * 1024 + b"\r\n\r\n",
    "1 MiB header": b"GET /a HTTP/1.1\r\n" + HOST + b"x: " + b"y" * 1024 * 1024 + b"\r\n\r\n",
}
REFUSALS = {400, 413, 414, 431, 501, 505}


def exchange(host, port, data):
    """All bytes that came, and whether the connection ended within a second."""
    got = b""
    with socket.create_connection((host, port)) as sock:
        sock.settimeout(1)
        try:
            sock.sendall(data)
        except OSError:
            pass
        try:
            while True:
                block = sock.recv(65536)
                if not block:
                    return got, True
                got += block
        except socket.timeout:
            return got, False
        except OSError:
            return got, True


def judge(got, ended):
    statuses = [int(s) for s in re.findall(rb"HTTP/1\.[01] (\d{3})", got)]
    # The library repeats its own status line when Content-Length is malformed.
    if not statuses or any(s not in REFUSALS for s in statuses):
        return "answered %s" % statuses
    return None if ended else "connection left open"


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    failed = 0
    for name, data in PROBES.items():
        complaint = judge(*exchange(host, port, data + BEHIND))
        failed += complaint is not None
        print("%-4s %s%s" % ("ok" if complaint is None else "FAIL", name,
                             "" if complaint is None else ": " + complaint))
    print("%d passed, %d failed" % (len(PROBES) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
