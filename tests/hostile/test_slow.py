"""Clients that are slow, vanish or send what nobody wants: bounded in number, time and memory."""
import os
import socket
import struct
import time
import unittest

from harness import raw, sigv4
from harness.case import boto_client
from harness.server import Server

CLIENTS = int(os.environ.get("GOODFS_SLOW_CLIENTS", "300"))
GONE_LIMIT_S = 60
SLACK_KIB = 160 * 1024 if "asan" in os.environ.get("GOODFS_BIN", "asan") else 48 * 1024


class Slow(unittest.TestCase):
    limit_s = 290

    @classmethod
    def setUpClass(cls):
        # by default 20 and 60 seconds; the limit on slow bodies is an average over 30
        cls.server = Server(args=["--header-timeout-seconds", "4", "--idle-timeout-seconds",
                                  "8"]).start()
        cls.addClassCleanup(cls.server.close)
        cls.s3 = boto_client(cls.server)
        cls.raw = raw.Raw(cls.server)
        cls.s3.create_bucket(Bucket="slow")
        cls.s3.put_object(Bucket="slow", Key="k", Body=b"x" * (4 << 20))

    def tearDown(self):
        self.server.check_alive()
        keys = [item["Key"] for item in self.s3.list_objects_v2(Bucket="slow")["Contents"]]
        self.assertEqual(keys, ["k"])

    def assert_good_clients_are_served(self):
        start = time.monotonic()
        for _ in range(20):
            self.assertEqual(self.raw.request("HEAD", "/slow/k").status, 200)
        self.assertLess(time.monotonic() - start, 10)

    def assert_back_to(self, fds):
        until = time.monotonic() + GONE_LIMIT_S
        while self.server.fd_count() > fds + 5:
            self.assertLess(time.monotonic(), until,
                            f"{self.server.fd_count()} open, {fds} before")
            time.sleep(0.5)

    def test_unfinished_heads_stalled_bodies_and_idle_connections_are_let_go(self):
        fds, rss = self.server.fd_count(), self.server.rss_kib()
        put, _ = self.raw.build("PUT", "/slow/stalled", length=1 << 20, payload=sigv4.UNSIGNED)
        get, _ = self.raw.build("GET", "/slow/k")
        socks = []
        for index in range(CLIENTS):
            sock = self.server.connect()
            sock.sendall((b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", put + b"x" * 1000, b"",
                          get)[index % 4])
            socks.append(sock)
        self.assert_good_clients_are_served()
        self.assertLess(self.server.rss_kib() - rss, SLACK_KIB)
        # a byte now and then must not keep an unfinished head alive
        until = time.monotonic() + GONE_LIMIT_S
        dripping = [sock for index, sock in enumerate(socks) if index % 4 == 0]
        while dripping and time.monotonic() < until:
            time.sleep(1)
            for sock in list(dripping):
                try:
                    sock.sendall(b"x")
                except OSError:
                    dripping.remove(sock)
        self.assertEqual(dripping, [], "heads that drip stay open")
        self.assert_back_to(fds)
        for sock in socks:
            sock.close()

    def test_clients_that_vanish_mid_body_and_mid_answer_leave_nothing(self):
        fds, rss = self.server.fd_count(), self.server.rss_kib()
        put, _ = self.raw.build("PUT", "/slow/vanished", length=8 << 20, payload=sigv4.UNSIGNED)
        get, _ = self.raw.build("GET", "/slow/k")
        for index in range(CLIENTS):
            sock = self.server.connect()
            if index % 2:  # close with a reset
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(get if index % 3 == 0 else put + b"x" * 300000)
            if index % 5 == 0:
                sock.shutdown(socket.SHUT_WR)
            sock.close()
        self.assert_good_clients_are_served()
        self.assert_back_to(fds)
        self.assertLess(self.server.rss_kib() - rss, SLACK_KIB)

    def test_large_bodies_with_wrong_signatures_cost_no_memory(self):
        stranger = raw.Raw(self.server, sigv4.Signer(self.server.access_key, "wrong"))
        rss = self.server.rss_kib()
        for attempt in range(4):
            if attempt % 2:
                query = stranger.signer.presign("PUT", "/slow/big", "", [("Host",
                                                                          self.server.host)])
                head = raw.head_bytes("PUT", f"/slow/big?{query}", [
                    ("Host", self.server.host), ("Content-Length", str(1 << 30))])
            else:
                head, _ = stranger.build("PUT", "/slow/big", length=1 << 30,
                                         payload=sigv4.UNSIGNED)
            with self.server.connect(30) as sock:
                sent = self.pour(sock, head, 1 << 30)
            self.assertLess(sent, 64 << 20, "a refused body was read to its end")
        self.assertLess(self.server.rss_kib() - rss, SLACK_KIB)

    @staticmethod
    def pour(sock, head, size):
        """Sends until the server stops taking it; answers how much it took."""
        block, sent = b"x" * (1 << 20), 0
        sock.settimeout(10)
        try:
            sock.sendall(head)
            while sent < size:
                sock.sendall(block)
                sent += len(block)
        except OSError:
            pass
        return sent

    def test_many_large_uploads_at_once_stay_within_memory(self):
        rss = self.server.rss_kib()
        head, _ = self.raw.build("PUT", "/slow/many", length=64 << 20, payload=sigv4.UNSIGNED)
        socks = [self.server.connect() for _ in range(64)]
        for sock in socks:
            sock.settimeout(5)
            try:
                sock.sendall(head + b"x" * (3 << 20))
            except OSError:
                pass
        self.assertLess(self.server.rss_kib() - rss, SLACK_KIB + 64 * 4 * 1024)
        self.assert_good_clients_are_served()
        for sock in socks:
            sock.close()

    def test_stalled_uploads_do_not_stop_another_one(self):
        head, _ = self.raw.build("PUT", "/slow/stalled", length=8 << 20, payload=sigv4.UNSIGNED)
        socks = [self.server.connect() for _ in range(100)]
        for sock in socks:
            sock.sendall(head + b"x" * 1000)
        self.assert_good_clients_are_served()
        start = time.monotonic()
        self.s3.put_object(Bucket="slow", Key="k", Body=b"y" * (4 << 20))
        self.assertLess(time.monotonic() - start, 5)
        for sock in socks:
            sock.close()

    def test_readers_that_do_not_read_do_not_stop_others(self):
        get, _ = self.raw.build("GET", "/slow/k")
        rss = self.server.rss_kib()
        socks = [self.server.connect() for _ in range(100)]
        for sock in socks:
            sock.sendall(get)
        self.assert_good_clients_are_served()
        self.assertLess(self.server.rss_kib() - rss, SLACK_KIB)
        for sock in socks:
            sock.close()
