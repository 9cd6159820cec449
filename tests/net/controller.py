# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that speaks the API by hand: ZMTP 3 (RFC 23) and protobuf (proto/api.proto) as bytes on the server's socket."""
import socket
import struct

import strangers


def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(data):
    """{field: value} of a message; of a repeated field the last one."""
    return dict(pairs(data))


def repeated(data, field):
    """All values of a field."""
    return [value for found, value in pairs(data) if found == field]


def pairs(data):
    """(field, value) of a message, in order."""
    found, at = [], 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = take()
        if tag & 7 == 2:
            size = take()
            found.append((tag >> 3, data[at:at + size]))
            at += size
        elif tag & 7 == 1:
            found.append((tag >> 3, data[at:at + 8]))
            at += 8
        else:
            found.append((tag >> 3, take()))
    return found


def numbers(data):
    """Of a repeated field, packed."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


# fields of Request and of Answer
LIST_BOXES, RUN, CANCEL, INJECT, LIFT, LIST_FAULTS = 3, 4, 5, 6, 7, 8
WAIT_RUN, RENDER, SUBSCRIBE, REPLAY, MINIMIZE = 13, 18, 19, 20, 21
ERROR, BOXES, PROGRESS, RUN_END, INJECTED, FAULTS = 2, 3, 4, 5, 6, 7
RENDERED, EVENTS, EVENTS_END, MINIMIZED = 16, 17, 18, 19
ANSWERS = range(2, 23)
# kinds of Error
FAILED, VERSION, MALFORMED, INVALID, NOT_FOUND, BUSY = 0, 1, 2, 3, 4, 5


def run_of(path, *faults):
    """The body of a Run."""
    with open(path, "rb") as f:
        body = text(1, path) + text(2, path) + text(3, f.read())
    return body + b"".join(text(6, text(1, fault)) for fault in faults)


class Controller:
    """One connection to the API. Reads nothing unless it is told to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.socket.sendall(strangers.greeting(b"NULL") + strangers.READY)
        self.file.read(64)
        self.frame()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def frame(self):
        flags, = self.file.read(1)
        size = struct.unpack(">Q", self.file.read(8))[0] if flags & 2 else self.file.read(1)[0]
        return self.file.read(size)

    def ask(self, ident, what, body=b""):
        self.socket.sendall(strangers.message(number(1, 1) + number(2, ident) + text(what, body)))

    def answer(self):
        """(id, kind, fields) of the next one."""
        ident, kind, body = self.raw()
        return ident, kind, fields(body)

    def raw(self):
        """The same, with the bytes of the last."""
        found = fields(self.frame())
        kind = next(k for k in ANSWERS if k in found)
        return found.get(1, 0), kind, found[kind]

    def last(self, ident):
        """(kind, fields) of the answer to that request which is no progress, after whatever else comes."""
        while True:
            found, kind, body = self.answer()
            if found == ident and kind not in (PROGRESS, EVENTS):
                return kind, body
