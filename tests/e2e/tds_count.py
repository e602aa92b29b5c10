"""A relay in front of a TDS server that keeps what a client asks: one message, one round trip."""

import socket
import threading

SQL_BATCH, RPC, TRANSACTION = 1, 3, 14
END_OF_MESSAGE = 0x01


class CountingRelay:
    """with CountingRelay(server.port) as relay: relay.port, relay.messages"""

    def __init__(self, upstream):
        self.upstream = upstream
        self.messages = 0
        self.largest = 0  # bytes of the largest message
        self.texts = []  # of the batches, in UTF-16
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._threads = []

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        for s in self._sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        for t in self._threads:
            t.join(10)

    def _spawn(self, target, *arguments):
        t = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(t)
        t.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                return
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            self._spawn(self._asked, client, server)
            self._spawn(self._copy, server, client)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _asked(self, client, server):
        """Packets: type, status, length (2, big-endian), ... of which the last ends the message."""
        stream = client.makefile("rb")
        message = b""
        try:
            while len(header := stream.read(8)) == 8:
                body = stream.read(int.from_bytes(header[2:4], "big") - 8)
                server.sendall(header + body)
                message += body
                if header[1] & END_OF_MESSAGE:
                    if header[0] in (SQL_BATCH, RPC, TRANSACTION):
                        self.messages += 1
                        self.largest = max(self.largest, len(message))
                        self.texts.append(message)
                    message = b""
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass
