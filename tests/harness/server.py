"""Runs `goodfs server` for a test: starts, restarts, stops, kills (its own process only)."""
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_LIMIT_S = 120
STOP_LIMIT_S = 120


def binary():
    if os.environ.get("GOODFS_BIN"):
        return os.environ["GOODFS_BIN"]
    for build in ("build-asan", "build"):
        path = os.path.join(TOP, build, "goodfs", "goodfs")
        if os.access(path, os.X_OK):
            return path
    raise RuntimeError("no goodfs program: set GOODFS_BIN or build one")


class ServerDied(Exception):
    pass


class Server:
    """One `goodfs server` with its data directories. Owned by one thread, read by any."""

    def __init__(self, folder=None, tls=False, args=(), env=None, disks=()):
        """disks: directories of a pool; they are the caller's, who may change the list."""
        self.home = tempfile.mkdtemp(prefix="goodfs-s3.")
        self.data = folder or os.path.join(self.home, "data")
        self.disks = disks or [self.data]
        if not disks:
            os.makedirs(self.data, exist_ok=True)
        self.access_key = "AK" + secrets.token_hex(8).upper()
        self.secret_key = secrets.token_urlsafe(30)
        self.tls, self.args, self.env = tls, list(args), dict(env or {})
        self.port = self.admin_port = 0
        self.process = None
        self.logs = []
        if tls:
            self.make_certificate()

    # ---- life cycle ----
    def start(self):
        assert self.process is None
        log = os.path.join(self.home, f"server.{len(self.logs)}.log")
        self.logs.append(log)
        command = [binary(), "server", *self.disks, "--listen", f"127.0.0.1:{self.port}",
                   "--admin-listen", "127.0.0.1:0"]
        if self.tls:
            command += ["--tls-cert", self.cert, "--tls-key", self.key]
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("GOODFS_")}  # the suites' knobs are no settings
        env.update(self.env)
        if self.access_key is not None:  # else the server makes them
            env.update(GOODFS_ROOT_ACCESS_KEY=self.access_key,
                       GOODFS_ROOT_SECRET_KEY=self.secret_key)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command + self.args, stdout=out, stderr=out, env=env,
                                            stdin=subprocess.DEVNULL)
        self._await_ready(log)
        return self

    def _await_ready(self, log):
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until:
            text = self._read(log)
            listening = re.search(r"^goodfs: listening on https?://127\.0\.0\.1:(\d+)$", text, re.M)
            admin = re.search(r"^goodfs: admin on https?://127\.0\.0\.1:(\d+)$", text, re.M)
            if listening and admin:
                self.port, self.admin_port = int(listening[1]), int(admin[1])
                return
            if self.process.poll() is not None:
                status, self.process = self.process.returncode, None
                raise ServerDied(f"goodfs ended with {status} at start:\n{text[-3000:]}")
            time.sleep(0.01)
        self.kill()
        raise ServerDied(f"goodfs not ready in {START_LIMIT_S} s:\n{self._read(log)[-3000:]}")

    def stop(self, before_end=None):
        """SIGTERM; anything but a clean exit is an error. before_end: what to do meanwhile."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        if before_end is not None:
            before_end()
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerDied(f"goodfs did not stop in {STOP_LIMIT_S} s") from None
        self.process = None
        if status != 0:
            raise ServerDied(f"goodfs ended with {status}:\n{self.log()[-3000:]}")

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        """Stops and removes the temporary folder. KEEP=1 in the environment keeps it."""
        try:
            self.stop()
        finally:
            self.kill()
            if os.environ.get("KEEP"):
                print("kept", self.home, file=sys.stderr)
            else:
                shutil.rmtree(self.home, ignore_errors=True)

    def check_alive(self):
        if self.process is None or self.process.poll() is not None:
            status = None if self.process is None else self.process.returncode
            raise ServerDied(f"goodfs is gone (status {status}):\n{self.log()[-3000:]}")

    # ---- what can be seen of it ----
    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def endpoint(self):
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def connect(self, timeout=60):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            context = ssl.create_default_context(cafile=self.cert)
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
        return sock

    def log(self):
        return "".join(self._read(log) for log in self.logs)

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def disk_bytes(self):
        total = 0
        for top in self.disks:
            for folder, _, names in os.walk(top):
                for name in names:
                    try:
                        total += os.stat(os.path.join(folder, name)).st_blocks * 512
                    except FileNotFoundError:
                        pass
        return total

    def other_ports(self, host):
        """Ports of the addresses that args added."""
        return [int(port) for port in re.findall(
            rf"^goodfs: listening on https?://{re.escape(host)}:(\d+)$", self.log(), re.M)]

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def make_certificate(self):
        """A new one in the files of the last."""
        self.cert = os.path.join(self.home, "cert.pem")
        self.key = os.path.join(self.home, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key,
             "-out", self.cert],
            check=True, capture_output=True)
