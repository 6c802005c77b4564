"""An admin address that answers what a test gives it: for what a real server shows too rarely."""
import http.server
import json
import threading


class FakeAdmin:
    """pages: by path and query, as on the wire; signatures are not looked at."""

    def __init__(self, pages):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                path = self.path.removeprefix("/_/admin/v1/")
                answer = pages.get(path)
                body = json.dumps(answer if answer is not None else {
                    "error": {"code": "NotFound", "message": path}}).encode()
                self.send_response(200 if answer is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.admin_port = self.http.server_port
        self.access_key, self.secret_key = "fake-access", "fake-secret-key"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
