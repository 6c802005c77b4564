"""The program itself: starting, refusing to start, settings, keys, health, metrics, stopping."""
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from harness.lean import Lean
from harness.server import Server, ServerDied, binary

LIMIT_S = 60


def run(arguments, env=None):
    """Ends by itself, or is an error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GOODFS_")}
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, check=False,
                          timeout=LIMIT_S, env=dict(clean, **(env or {})))
    return done.returncode, done.stdout, done.stderr


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_S) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class ServerCase(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)

    def put(self, key, body=b"x"):
        lean = Lean(self.server)
        self.addCleanup(lean.close)
        lean.request("PUT", "/kept")
        self.assertEqual(lean.request("PUT", f"/kept/{key}", body=body).status, 200)

    def assert_kept(self, key, body=b"x"):
        lean = Lean(self.server)
        self.addCleanup(lean.close)
        reply = lean.request("GET", f"/kept/{key}")
        self.assertEqual((reply.status, reply.body), (200, body))


class Health(ServerCase):
    def test_live_and_ready_without_a_signature_on_both_addresses(self):
        self.server.start()
        for port in (self.server.port, self.server.admin_port):
            for path in ("/_/health/live", "/_/health/ready"):
                with self.subTest(path=path):
                    self.assertEqual(fetch(port, path)[0], 200)

    def test_metrics_are_prometheus_text_on_the_admin_address_only(self):
        self.server.start()
        self.put("a")
        status, text = fetch(self.server.admin_port, "/metrics")
        self.assertEqual(status, 200)
        for line in text.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) .*|[a-z_]+(\{[^}]*\})? [0-9.e+-]+)$")
        self.assertRegex(text, r'(?m)^goodfs_requests_total\{op="PutObject"\} 1$')
        flushes = int(re.search(r"(?m)^goodfs_flushes_total (\d+)$", text)[1])
        self.assertGreater(flushes, 0)
        self.assertEqual(fetch(self.server.port, "/metrics")[0], 403)


class Refusals(ServerCase):
    def refused(self, *words, args=(), env=None):
        status, _, error = run(["server", self.server.data, "--listen", "127.0.0.1:0", *args], env)
        self.assertNotEqual(status, 0)
        for word in words:
            self.assertIn(word, error)

    def test_a_directory_that_another_process_holds(self):
        self.server.start()
        self.refused(self.server.data, "another process")
        self.put("still-served")

    def test_a_directory_of_another_cluster(self):
        self.server.start()
        self.put("a")
        self.server.stop()
        self.refused("cluster", args=["--cluster", "11111111-2222-4333-8444-555555555555"])
        self.server.start()
        self.assert_kept("a")

    def test_a_newer_format(self):
        self.server.start()
        self.server.stop()
        path = os.path.join(self.server.data, "identity")
        with open(path, encoding="ascii") as file:
            text = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(re.sub(r"format=\d+", "format=99", text))
        self.refused("format")

    def test_metadata_that_is_missing_is_not_taken_for_an_empty_store(self):
        self.server.start()
        self.put("a", b"precious")
        self.server.stop()
        meta = os.path.join(self.server.data, "meta")
        shutil.rmtree(meta)
        try:
            self.server.start()  # the edit log still held everything
        except ServerDied as error:
            self.assertIn("meta", str(error))
        else:
            self.assert_kept("a", b"precious")

    def test_an_address_in_use(self):
        self.server.start()
        with tempfile.TemporaryDirectory() as folder:
            status, _, error = run(["server", folder, "--listen", self.server.host])
            self.assertNotEqual(status, 0)
            self.assertIn(self.server.host, error)

    def test_wrong_command_lines(self):
        for arguments, words in (
                ([], ["usage"]), (["serve"], ["serve"]), (["server"], ["directory"]),
                (["server", self.server.data, "--no-such"], ["no-such"]),
                (["server", self.server.data, "--workers", "many"], ["workers"]),
                (["server", self.server.data, "--workers", "0"], ["workers"]),
                (["server", self.server.data, "--log-level", "loud"], ["loud"]),
                (["server", self.server.data, "--listen", "nowhere"], ["nowhere"]),
                (["server", self.server.data, "--tls-cert", "/x"], ["tls-key"]),
                (["server", self.server.data, "--root-access-key", "A"], ["root-secret-key"])):
            with self.subTest(arguments=arguments):
                status, _, error = run(arguments)
                self.assertNotEqual(status, 0)
                for word in words:
                    self.assertIn(word, error)


class Settings(ServerCase):
    def region_of_new(self, bucket):
        lean = Lean(self.server)
        self.addCleanup(lean.close)
        self.assertEqual(lean.request("PUT", f"/{bucket}").status, 200)
        return lean.request("HEAD", f"/{bucket}").headers.get("x-amz-bucket-region")

    def test_a_flag_beats_the_environment_which_beats_the_file(self):
        path = os.path.join(self.server.home, "settings")
        with open(path, "w", encoding="ascii") as file:
            file.write("# kept in a file\nGOODFS_REGION=eu-file-1\nGOODFS_LOG_LEVEL=info\n")
        for args, env, expected in (([], {}, "us-east-1"), (["--config", path], {}, "eu-file-1"),
                                    (["--config", path], {"GOODFS_REGION": "eu-env-1"}, "eu-env-1"),
                                    (["--config", path, "--region", "eu-flag-1"],
                                     {"GOODFS_REGION": "eu-env-1"}, "eu-flag-1")):
            with self.subTest(expected=expected):
                self.server.args, self.server.env = args, env
                self.server.start()
                region = self.region_of_new(f"made-in-{expected}")
                self.server.stop()
                self.assertEqual(region, expected)

    def test_help_names_every_setting_and_exits_0(self):
        status, text, _ = run(["server", "--help"])
        self.assertEqual(status, 0)
        for name in ("--listen", "--config", "--tls-cert", "--domain", "--admin-listen"):
            self.assertIn(name, text)


class Keys(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="goodfs-keys.")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)

    def keys_of(self, folder):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith("GOODFS_")}
        with subprocess.Popen([binary(), "server", folder, "--listen", "127.0.0.1:0"], env=clean,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as process:
            text = process.stdout.readline()
            self.assertIn("listening on", text)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LIMIT_S)
            self.assertEqual(process.returncode, 0)
        path = os.path.join(folder, "root-credentials")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as file:
            return dict(line.strip().split("=", 1) for line in file)

    def test_keys_are_made_once_and_differ_between_directories(self):
        first = self.keys_of(os.path.join(self.home, "one"))
        self.assertEqual(set(first), {"GOODFS_ROOT_ACCESS_KEY", "GOODFS_ROOT_SECRET_KEY"})
        self.assertGreaterEqual(len(first["GOODFS_ROOT_SECRET_KEY"]), 32)
        self.assertEqual(self.keys_of(os.path.join(self.home, "one")), first)
        other = self.keys_of(os.path.join(self.home, "two"))
        self.assertNotEqual(set(first.values()) & set(other.values()), set(first.values()))
        self.assertTrue(set(first.values()).isdisjoint(other.values()))


class Stopping(ServerCase):
    def test_sigterm_ends_cleanly_and_keeps_everything(self):
        self.server.start()
        for index in range(50):
            self.put(f"k{index}", b"%d" % index)
        self.server.stop()
        self.server.start()
        for index in range(50):
            self.assert_kept(f"k{index}", b"%d" % index)
