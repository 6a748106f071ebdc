"""A collector that receives traces and drops them: `python -m tests.benchmarks.sink PORT`."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common.command_line import command_line


class Sink(BaseHTTPRequestHandler):
    """Handler of OTLP over HTTP."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Accept a batch of spans."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_parts: object) -> None:
        """Log nothing."""


def main() -> None:
    """Serve until a signal ends the process."""
    parser = command_line("tests.benchmarks.sink", __doc__)
    parser.add_argument("port", type=int)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Sink).serve_forever()


if __name__ == "__main__":
    main()
