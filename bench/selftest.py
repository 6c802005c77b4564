"""Does the bench notice when something is wrong? A scripted server gives the load generator wrong
statuses, short, long and damaged bodies, dies and stalls; each must be an error in its result.

usage: selftest.py LOAD RAW_LOG      (paths of the two programs)
"""
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

LOAD, RAW_LOG = "", ""
SECRET = "secret/of+the-self-test"


def payload(size):
    """The bytes that load sends and expects: xorshift64, eight bytes a step."""
    state, out = 0x9E3779B97F4A7C15, bytearray()
    mask = (1 << 64) - 1
    while len(out) < size:
        state ^= state << 13 & mask
        state ^= state >> 7
        state ^= state << 17 & mask
        out += state.to_bytes(8, "little")
    return bytes(out[:size])


def answer(body=b"", status=200, headers=(), length=None):
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


class Scripted:
    """A server that answers each request by a function of its serial number: bytes to send, and
    after them "close", "stall" or None to go on. Requests are kept."""

    def __init__(self, script, reads_bodies=True):
        self.reads_bodies = reads_bodies
        self.script, self.requests, self.sockets = script, [], []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        stream = connection.makefile("rb")
        while True:
            request = self._read(stream)
            if request is None:
                return
            with self.lock:
                self.requests.append(request)
                serial = len(self.requests) - 1
            data, then = self.script(serial)
            try:
                connection.sendall(data)
            except OSError:
                return
            if then == "close":
                connection.shutdown(socket.SHUT_RDWR)
                return
            if then == "stall":
                return

    def _read(self, stream):
        try:
            line = stream.readline().decode()
            headers = {}
            while line and (field := stream.readline().decode().strip()):
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0))) if self.reads_bodies else b""
        except (OSError, ValueError):
            return None
        return (line.strip(), headers, body) if line else None

    def close(self):
        self.listener.close()
        for one in self.sockets:
            one.close()


def run_load(port, *args, signed=False):
    """(exit status, result) of one run."""
    env = dict(os.environ, GOODFS_ROOT_ACCESS_KEY="AKSELFTEST", GOODFS_ROOT_SECRET_KEY=SECRET)
    command = [LOAD, "--endpoint", f"127.0.0.1:{port}", "--timeout-ms", "300", *args]
    ran = subprocess.run(command + ([] if signed else ["--anonymous"]), env=env, timeout=60,
                         capture_output=True, text=True, check=False)
    return ran.returncode, json.loads(ran.stdout)


class LoadCase(unittest.TestCase):
    def run_script(self, script, *args, **kwargs):
        server = Scripted(script)
        self.addCleanup(server.close)
        status, result = run_load(server.port, *args, **kwargs)
        return server, status, result

    def expect_error(self, kind, script, *args):
        """Request 2 of 5 goes wrong; the other four count."""
        def mixed(serial):
            return script if serial == 2 else (answer(payload(64)), None)
        _, status, result = self.run_script(mixed, "--size", "64", "--count", "5", *args)
        self.assertEqual(status, 1)
        self.assertEqual(result["errors"][kind], 1, result)
        self.assertEqual(result["errors"]["total"], 1, result)
        self.assertEqual(result["ops"], 4, result)
        self.assertTrue(result["first_error"].startswith(kind), result)


class Load(LoadCase):
    def test_right_answers_are_no_errors(self):
        _, status, result = self.run_script(lambda _: (answer(payload(64)), None), "--size", "64",
                                            "--count", "50", "--connections", "4", "--check")
        self.assertEqual((status, result["errors"]["total"], result["ops"]), (0, 0, 50))
        self.assertLess(0, result["p50_us"])
        self.assertLessEqual(result["p50_us"], result["p99_us"])
        self.assertLessEqual(result["p99_us"], result["max_us"])
        self.assertAlmostEqual(result["ops_s"] * result["seconds"], 50, delta=1)

    def test_wrong_status(self):
        self.expect_error("status", (answer(payload(64), 500), None))

    def test_redirect_is_no_success(self):
        self.expect_error("status", (answer(payload(64), 307), None))

    def test_body_cut_short(self):
        self.expect_error("length", (answer(payload(60), length=64), "close"))

    def test_declared_length_is_wrong(self):
        self.expect_error("length", (answer(payload(63)), None))

    def test_more_bytes_than_declared(self):
        self.expect_error("protocol", (answer(payload(64)) + b"x", None))

    def test_damaged_body(self):
        self.expect_error("content", (answer(payload(63) + b"\0"), None), "--check")

    def test_no_answer_before_the_end(self):
        self.expect_error("closed", (b"", "close"))

    def test_head_without_end(self):
        self.expect_error("closed", (b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n", "close"))

    def test_not_http(self):
        self.expect_error("protocol", (b"SSH-2.0-OpenSSH_9.2 and more\r\n\r\n", None))

    def test_no_length(self):
        self.expect_error("protocol", (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", None))

    def test_stalled_answer(self):
        self.expect_error("timeout", (answer(payload(10), length=64), "stall"))

    def test_no_server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        status, result = run_load(port, "--count", "5", "--connections", "3")
        self.assertEqual((status, result["ops"], result["errors"]["connect"]), (1, 0, 3))

    def test_server_that_dies(self):
        server = None

        def dies(serial):
            if serial == 9:
                server.listener.shutdown(socket.SHUT_RDWR)
                server.close()
            return answer(payload(64)), "close" if serial >= 9 else None
        server = Scripted(dies)
        status, result = run_load(server.port, "--size", "64", "--duration-ms", "2000",
                                  "--warmup-ms", "0")
        self.assertEqual(status, 1)
        self.assertLess(result["ops"], 11)
        self.assertLess(0, result["errors"]["total"])

    def test_closing_after_each_answer_is_allowed(self):
        script = (answer(payload(64), headers=["Connection: close"]), "close")
        _, status, result = self.run_script(lambda _: script, "--size", "64", "--count", "5")
        self.assertEqual((status, result["ops"], result["reconnects"]), (0, 5, 5))

    def test_head_needs_the_right_length(self):
        _, status, result = self.run_script(lambda _: (answer(length=64), None), "--op", "head",
                                            "--size", "64", "--count", "3")
        self.assertEqual((status, result["ops"]), (0, 3))
        _, status, result = self.run_script(lambda _: (answer(length=65), None), "--op", "head",
                                            "--size", "64", "--count", "3")
        self.assertEqual((status, result["errors"]["length"]), (1, 3))

    def test_listing_needs_all_its_entries(self):
        for entries, wanted in ((10, 0), (9, 1)):
            body = b"<X>" + b"<Contents></Contents>" * entries + b"</X>"
            _, status, result = self.run_script(lambda _, b=body: (answer(b), None), "--op", "list",
                                                "--max-keys", "10", "--count", "1")
            self.assertEqual((status, result["errors"]["content"]), (wanted, wanted))

    def test_put_sends_the_payload_and_counts_its_bytes(self):
        server, status, result = self.run_script(lambda _: (answer(), None), "--op", "put",
                                                 "--size", "1000000", "--count", "4", "--keys", "4")
        self.assertEqual((status, result["ops"]), (0, 4))
        self.assertEqual({request[0] for request in server.requests},
                         {f"PUT /bench/{i:09} HTTP/1.1" for i in range(4)})
        self.assertTrue(all(request[2] == payload(1000000) for request in server.requests))

    def test_early_refusal_of_a_put_is_an_error_and_no_hang(self):
        server = Scripted(lambda _: (answer(b"no", 403), "close"), reads_bodies=False)
        self.addCleanup(server.close)
        status, result = run_load(server.port, "--op", "put", "--size", "50000000", "--count", "3")
        self.assertEqual((status, result["errors"]["total"]), (1, 3), result)

    def test_a_count_is_kept_over_threads(self):
        server, status, result = self.run_script(
            lambda _: (answer(payload(64)), None), "--size", "64", "--count", "40",
            "--connections", "4", "--threads", "2")
        self.assertEqual((status, result["ops"], len(server.requests)), (0, 40, 40))


class Signatures(LoadCase):
    @staticmethod
    def signature(line, headers):
        """An independent computation of Signature Version 4."""
        method, target, _ = line.split()
        path, _, query = target.partition("?")
        date, hashed = headers["x-amz-date"], headers["x-amz-content-sha256"]
        canonical = "\n".join([
            method, path, "&".join(sorted(query.split("&"))), f"host:{headers['host']}",
            f"x-amz-content-sha256:{hashed}", f"x-amz-date:{date}", "",
            "host;x-amz-content-sha256;x-amz-date", hashed])
        scope = f"{date[:8]}/us-east-1/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = ("AWS4" + SECRET).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def check_signed(self, wanted_hash, *args, body=b""):
        server, _, result = self.run_script(lambda _: (answer(body), None), "--count", "3",
                                            "--keys", "3", *args, signed=True)
        self.assertEqual(result["ops"], 3, result)
        for line, headers, _ in server.requests:
            self.assertEqual(headers["x-amz-content-sha256"], wanted_hash)
            signature = headers["authorization"].rpartition("Signature=")[2]
            self.assertEqual(signature, self.signature(line, headers))
        self.assertEqual(len({request[1]["authorization"] for request in server.requests}), 3)

    def test_each_request_has_its_own_valid_signature(self):
        empty = hashlib.sha256(b"").hexdigest()
        for how in ("before", "each"):
            self.check_signed(empty, "--size", "64", "--sign", how, body=payload(64))
            listing = b"<Contents>" * 7
            self.check_signed(empty, "--op", "list", "--max-keys", "7", "--sign", how, body=listing)
            put = ("--op", "put", "--size", "64", "--sign", how)
            self.check_signed(hashlib.sha256(payload(64)).hexdigest(), *put)
            self.check_signed("UNSIGNED-PAYLOAD", *put, "--payload", "unsigned")


class RawLog(unittest.TestCase):
    def run_raw(self, *args):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(RAW_LOG)) as folder:
            ran = subprocess.run([RAW_LOG, "--dir", folder, "--duration-ms", "50", *args],
                                 capture_output=True, text=True, check=True, timeout=60)
            self.assertEqual(os.listdir(folder), [])
        return json.loads(ran.stdout)

    def test_group_commit(self):
        result = self.run_raw("--writers", "4")
        self.assertAlmostEqual(result["records_s"], 4 * result["flushes_s"], delta=1)
        self.assertAlmostEqual(result["us_per_flush"] * result["flushes_s"], 1e6, delta=1e4)

    def test_large_objects(self):
        result = self.run_raw("--large", "--writers", "1")
        self.assertLess(0, result["objects"])


if __name__ == "__main__":
    LOAD, RAW_LOG = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=sys.argv[:1], verbosity=1)
