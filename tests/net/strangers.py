# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers that should not get in, as bytes on TCP sockets: ZMTP 3 (RFC 23) by hand, noise, a relay that remembers."""
import selectors
import socket
import struct
import threading


def greeting(mechanism, as_server=False):
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes([as_server]) + bytes(31)


def command(name, body=b""):
    """A ZMTP command frame."""
    body = bytes([len(name)]) + name + body
    return (b"\x04" + bytes([len(body)]) if len(body) < 256 else b"\x06" + struct.pack(">Q", len(body))) + body


def message(body):
    return (b"\x00" + bytes([len(body)]) if len(body) < 256 else b"\x02" + struct.pack(">Q", len(body))) + body


READY = command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER")
NOISE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"junk" * 16
NULL = greeting(b"NULL") + READY + message(b"\x0a\x02junk" * 8)
PLAIN = greeting(b"PLAIN") + command(b"HELLO", b"\x04user\x06secret") + message(b"junk" * 8)
CURVE_JUNK = greeting(b"CURVE") + command(b"HELLO", b"\x01\x00" + b"j" * 192)
KINDS = {"noise": NOISE, "no_curve": NULL, "handshake": CURVE_JUNK}


def connect(port, source=None):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT: ports are few
    if source:
        s.bind((source, 0))
    s.settimeout(30)
    s.connect(("127.0.0.1", port))
    return s


def refused(port, data, source=None):
    """Sends it and waits until the server has closed the connection; returns what it said."""
    said = b""
    with connect(port, source) as s:
        try:
            s.sendall(data)
            while chunk := s.recv(4096):
                said += chunk
        except ConnectionError:
            pass
    return said


class Flood:
    """Strangers, one after the other in each of some threads, until `total` of them have been turned away."""

    def __init__(self, port, total, threads=8):
        self.port, self.left, self.lock = port, total, threading.Lock()
        self.sent = dict.fromkeys(KINDS, 0)
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(threads)]
        self.trouble = None

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        with self.lock:
            self.left = 0
        self.wait()

    def wait(self):
        for thread in self.threads:
            thread.join()
        if self.trouble:
            raise self.trouble

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def work(self, number):
        kinds = list(KINDS)
        try:
            turn = number
            while self.take():
                kind = kinds[turn % len(kinds)]
                refused(self.port, KINDS[kind], f"127.0.{1 + number}.{1 + turn % 200}")
                with self.lock:
                    self.sent[kind] += 1
                turn += 1
        except OSError as e:
            self.trouble = e


class Relay:
    """Passes bytes on between whoever connects and a port, and remembers what each connection sent; can be cut."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sent, self.pairs, self.up, self.stop = [], [], True, False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        self.drop()
        self.listener.close()

    def accept(self):
        near = self.listener.accept()[0]
        if not self.up:
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self.target))
        number = len(self.sent)
        self.sent.append(b"")
        self.pairs.append((near, far))
        self.selector.register(near, selectors.EVENT_READ, (far, number))
        self.selector.register(far, selectors.EVENT_READ, (near, None))

    def pump(self, source, data):
        to, number = data
        try:
            chunk = source.recv(1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            self.drop(source)
            return
        if number is not None and len(self.sent[number]) < 1 << 20:
            self.sent[number] += chunk
        try:
            to.sendall(chunk)
        except OSError:
            self.drop(source)

    def drop(self, one=None):
        """Ends the connections that one belongs to, or all."""
        for pair in [p for p in self.pairs if one is None or one in p]:
            self.pairs.remove(pair)
            for s in pair:
                self.selector.unregister(s)
                s.close()

    def work(self):
        while not self.stop:
            for key, _ in self.selector.select(0.05):
                if key.fileobj is self.listener:
                    self.accept()
                elif any(key.fileobj in pair for pair in self.pairs):
                    self.pump(key.fileobj, key.data)
            if not self.up:
                self.drop()
