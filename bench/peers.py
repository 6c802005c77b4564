"""The servers that are measured: goodfs itself and nginx, each a process of its own on loopback."""
import datetime
import hashlib
import hmac
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import time

READY_LIMIT_S = 120
STOP_LIMIT_S = 60


class PeerDied(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_tree(pid):
    """The process and its children."""
    pids = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            pids += [int(child) for child in children.read().split()]
    except FileNotFoundError:
        pass
    return pids


def cpu_seconds(pid):
    """User and system time of a process and its children so far."""
    ticks = 0
    for one in process_tree(pid):
        with open(f"/proc/{one}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """{"rss": ..., "pss": ..., "anon": ...} of a process and its children together."""
    sums = {"rss": 0, "pss": 0, "anon": 0}
    for one in process_tree(pid):
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii", errors="replace") as rollup:
            text = rollup.read()
        for field, name in (("Rss", "rss"), ("Pss", "pss"), ("Anonymous", "anon")):
            sums[name] += int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])
    return sums


def spread_folders(home):
    """Has ext4 place each folder in home in a block group of its own, as below the root of a file
    system. Other file systems have no such flag, and no need of it."""
    subprocess.run(["chattr", "+T", home], capture_output=True, check=False)


class Peer:
    """A server process: started, measured and ended by its own process id."""

    def __init__(self, name, home):
        self.name, self.home = name, home
        self.port = free_port()
        self.process = None
        self.log_path = os.path.join(home, name + ".log")

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.port}"

    def check_alive(self):
        if self.process is None or self.process.poll() is not None:
            status = None if self.process is None else self.process.returncode
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                raise PeerDied(f"{self.name} is gone (status {status}):\n{log.read()[-3000:]}")

    def spawn(self, command, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env)

    def await_answer(self, port, path):
        """Until the path answers 200; returns the seconds since the call."""
        began = time.monotonic()
        while time.monotonic() - began < READY_LIMIT_S:
            self.check_alive()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return time.monotonic() - began
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.002)
        raise PeerDied(f"{self.name} does not answer {path} in {READY_LIMIT_S} s")

    def end(self, how=signal.SIGTERM):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def memory_kib(self):
        return memory_kib(self.process.pid)

    def load_args(self):
        """What the load generator must be told to talk to this server."""
        return []

    def load_env(self):
        return dict(os.environ)

    def flushes(self):
        """Flushes to stable storage so far, where the server counts them."""
        return None

    def before_write(self):
        """Called before each run that makes new objects."""


class Goodfs(Peer):
    """`goodfs server` on a directory. Signed requests only."""

    def __init__(self, binary, home, args=(), name="goodfs"):
        super().__init__(name, home)
        self.binary, self.args = binary, list(args)
        self.data = os.path.join(home, name)
        os.makedirs(self.data)
        self.admin_port = free_port()
        self.keys = {"GOODFS_ROOT_ACCESS_KEY": "AK" + secrets.token_hex(8).upper(),
                     "GOODFS_ROOT_SECRET_KEY": secrets.token_urlsafe(30)}

    def directories(self):
        return [self.data]

    def start(self):
        """Returns the seconds from the start of the process until it is ready."""
        self.spawn([self.binary, "server", *self.directories(), "--listen", self.endpoint,
                    "--admin-listen", f"127.0.0.1:{self.admin_port}", *self.args],
                   {**os.environ, **self.keys})
        return self.await_answer(self.port, "/_/health/ready")

    def metrics(self):
        """Sums of the Prometheus samples by metric name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        sums = {}
        for line in text.splitlines():
            match = re.match(r"(\w+)(?:\{[^}]*\})? (\S+)$", line)
            if match:
                sums[match[1]] = sums.get(match[1], 0.0) + float(match[2])
        return sums

    def load_env(self):
        return {**os.environ, **self.keys}

    def flushes(self):
        return self.metrics()["goodfs_flushes_total"]

    def create_bucket(self, name):
        status, body = self.signed("PUT", "/" + name)
        if status != 200:
            raise PeerDied(f"creating bucket {name}: {status} {body[:300]!r}")

    def signed(self, method, path):
        """One request without body and query, by Signature Version 4."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = (f"{method}\n{path}\n\nhost:{self.endpoint}\nx-amz-content-sha256:{empty}\n"
                     f"x-amz-date:{now}\n\n{names}\n{empty}")
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        key = ("AWS4" + self.keys["GOODFS_ROOT_SECRET_KEY"]).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        access = self.keys["GOODFS_ROOT_ACCESS_KEY"]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers={
                "Host": self.endpoint, "x-amz-date": now, "x-amz-content-sha256": empty,
                "Authorization": f"AWS4-HMAC-SHA256 Credential={access}/{scope}, "
                                 f"SignedHeaders={names}, Signature={signature}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


NGINX_CONF = """
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 65536;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log warn;
events {{ worker_connections 8192; use epoll; multi_accept off; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    open_file_cache max=200000 inactive=600s;
    open_file_cache_valid 600s;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    client_body_temp_path {home}/nginx-body;
    proxy_temp_path {home}/nginx-proxy;
    fastcgi_temp_path {home}/nginx-fastcgi;
    uwsgi_temp_path {home}/nginx-uwsgi;
    scgi_temp_path {home}/nginx-scgi;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        root {root};
        location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
    }}
}}
"""


class Nginx(Peer):
    """Static files by sendfile, and WebDAV PUT, which writes a file and renames it: no fsync."""

    def __init__(self, home, workers):
        super().__init__("nginx", home)
        self.root = os.path.join(home, "nginx-root")
        os.makedirs(self.root)
        self.uploads = os.path.join(home, "nginx-body")
        self.conf = os.path.join(home, "nginx.conf")
        self.workers = workers

    @staticmethod
    def binary():
        """Path of an nginx that has WebDAV, or None."""
        for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"):
            if os.access(path, os.X_OK):
                built = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)
                return path if "http_dav_module" in built.stderr else None
        return None

    def start(self):
        user = "user root;" if os.getuid() == 0 else ""
        with open(self.conf, "w", encoding="utf-8") as conf:
            conf.write(NGINX_CONF.format(user=user, workers=self.workers, home=self.home,
                                         port=self.port, root=self.root))
        with open(os.path.join(self.root, "ready"), "w", encoding="ascii") as ready:
            ready.write("ready\n")
        self.spawn([self.binary(), "-c", self.conf, "-p", self.home])
        return self.await_answer(self.port, "/ready")

    def load_args(self):
        return ["--anonymous", "--expect", "200,201,204"]

    def create_bucket(self, name):
        os.mkdir(os.path.join(self.root, name))

    def before_write(self):
        """ext4 does not use inodes again for minutes after they were freed, but looks at each of
        them for every new file: a folder near which many files were deleted is twenty times as
        slow. So uploads begin in a new folder each time; ext4 places it by a hash of its first
        name, see spread_folders.
        """
        fresh = os.path.join(self.home, secrets.token_hex(8))
        os.mkdir(fresh)
        os.rename(self.uploads, f"{self.uploads}.{secrets.token_hex(8)}")
        os.rename(fresh, self.uploads)
