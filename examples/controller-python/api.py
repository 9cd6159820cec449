# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of `bop serve` from Python: protobuf messages over a ZeroMQ socket (proto/api.proto, docs/api.md)."""
import importlib
import os
import subprocess
import sys
import tempfile

import zmq

VERSION = 1  # of the protocol


class Refused(Exception):
    """The server answered with an error, or not at all; the text is for a person."""


def generated(proto):
    """The module that protoc makes from api.proto, made anew at every start: it cannot be another version's."""
    with tempfile.TemporaryDirectory() as folder:
        protoc = ["protoc", f"--python_out={folder}", f"--proto_path={os.path.dirname(proto)}", proto]
        if subprocess.run(protoc, check=False).returncode:
            raise Refused(f"protoc could not read {proto}")
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("api_pb2")
        finally:
            sys.path.remove(folder)


class Api:
    """One connection, one request after the other."""

    def __init__(self, url, proto, patience=20):
        """patience: so many seconds without a word from the server."""
        self.pb, self.url, self.patience, self.last = generated(proto), url, patience, 0
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        try:
            self.socket.connect(url)
        except zmq.ZMQError as e:
            raise Refused(f"{url}: {e}") from None
        self.ask("get_capabilities")

    def ask(self, kind, **fields):
        """ask("get_run", run=7) sends a GetRun and returns its answer; Progress, while a run goes on, is none."""
        self.last += 1
        request = self.pb.Request(version=VERSION, id=self.last)
        what = getattr(request, kind)
        what.SetInParent()
        what.MergeFrom(type(what)(**fields))
        self.socket.send(request.SerializeToString())
        while True:
            if not self.socket.poll(self.patience * 1000):
                raise Refused(f"nobody answers at {self.url}: is `bop serve --agent` there?")
            answer = self.pb.Answer.FromString(self.socket.recv())
            found = answer.WhichOneof("what")
            if answer.id == self.last and found == "error":
                raise Refused(answer.error.text)
            if answer.id == self.last and found != "progress":
                return getattr(answer, found)

    def rows(self, kind, field, **fields):
        """All rows of an answer that comes in pages."""
        after, more = 0, True
        while more:
            page = self.ask(kind, after=after, **fields)
            rows = getattr(page, field)
            yield from rows
            after, more = after + len(rows), page.more and len(rows) > 0

    def rendered(self, run, form):
        """A picture or text of a run, whole."""
        data, total = b"", 1
        while len(data) < total:
            page = self.ask("render", run=run, format=form, offset=len(data))
            if not page.data:
                break
            data, total = data + page.data, page.total
        return data
