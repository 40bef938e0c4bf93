"""A Prefect server whose answer to the end of a run is lost, once a run."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 1 << 16
ENDS = (b'"FAILED"', b'"COMPLETED"')


@contextmanager
def forgetting(address: str) -> Iterator[tuple[str, list[bytes]]]:
    """Serve a server's API at another address of loopback, and cut the line at a run's end.

    Yields that address, and the requests whose answers were lost.
    """
    url = urlsplit(address)
    lost: list[bytes] = []

    class Line(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.ended = False
            with socket.create_connection((str(url.hostname), int(url.port or 80))) as far:
                back = threading.Thread(target=self.answer, args=(far,))
                back.start()
                self.ask(far)
                far.shutdown(socket.SHUT_WR)
                back.join()

        def ask(self, far: socket.socket) -> None:
            asked = b""
            while data := self.request.recv(CHUNK):
                asked = data if data.startswith((b"GET ", b"POST ")) else asked + data
                first = asked.split(b"\r\n", 1)[0]
                end = b"/set_state" in first and any(word in asked for word in ENDS)
                if end and first not in lost:
                    lost.append(first)
                    self.ended = True
                far.sendall(data)

        def answer(self, far: socket.socket) -> None:
            with suppress(OSError):  # whoever asked may be gone
                while (data := far.recv(CHUNK)) and not self.ended:
                    self.request.sendall(data)
                self.request.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}{url.path}", lost
        server.shutdown()
