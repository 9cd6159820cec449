#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first bytes of messages: shown as they were sent, filtered before they are kept, and only where they are asked for."""
import ast
import os
import secrets
import sys

from harness import bop, equal, experiment, run_tests, show, store, true

SERVER = """import socket
s = socket.create_server(('0.0.0.0', 7000))
while True:
    c, _ = s.accept()
    while data := c.recv(65536):
        c.sendall(b'got %d' % len(data))
"""
# sends each line of the file that its argument names, decoded, as a message of its own
CLIENT = """import ast, socket, sys
c = socket.create_connection(('s', 7000))
for line in open(sys.argv[1], 'rb').read().splitlines():
    c.sendall(ast.literal_eval('b"' + line.decode() + '"'))
    c.recv(100)
"""


def run(messages, lines="", status=0):
    """Runs a client that sends these byte strings. Returns (shown run, bytes of the store, where the store is)."""
    path = experiment(f"""experiment: content
boxes: [s, c]
processes:
  - {{name: s, box: s, run: [python3, server.py], ready: {{listen: 7000}}, dir: .}}
workload: {{name: c, box: c, run: [python3, client.py, messages], dir: .}}
{lines}""")
    folder = os.path.dirname(path)
    escaped = "\n".join("".join(f"\\x{byte:02x}" for byte in message) for message in messages)
    for name, text in (("server.py", SERVER), ("client.py", CLIENT), ("messages", escaped)):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(text)
    at = store()
    bop("run", path, "--store", at, status=status)
    kept = b""
    for name in (at, at + "-wal"):
        if os.path.exists(name):
            with open(name, "rb") as f:
                kept += f.read()
    return show("last", at), kept, at


def sent(shown):
    """The client's messages, in their order: (bytes as shown, content member)."""
    mine = sorted((m for m in shown["messages"] if m["direction"] == ">"), key=lambda m: m["number"])
    contents = [m["content"] for m in mine]
    return [(ast.literal_eval('b"' + c["text"] + '"'), c) for c in contents]


def shown_as_sent():
    """What is shown of a message is what was sent: every byte of 256, in JSON, in text and in the pictures"""
    token = secrets.token_hex(8).encode()
    messages = [token + bytes(range(256)), token, b"\"\\\r\n\t<&>\x1b[31m\xe2\x80\xae" + token, b"x" * 5000]
    shown, _, at = run(messages, "content: {bytes: 300}")
    got = sent(shown)
    equal([text for text, _ in got], [message[:300] for message in messages], "contents")
    equal([c["cut"] for _, c in got], [False, False, False, True], "cut")
    true(not any(c["redacted"] or c["withheld"] or not c["readable"] for _, c in got), f"no marks in {got}")
    replies = [m["content"]["text"] for m in shown["messages"] if m["direction"] == "<"]
    equal(sorted(replies), sorted(f"got {len(m)}" for m in messages), "replies")
    text = bop("show", "last", "--store", at).out
    true('\\"\\\\\\r\\n\\t<&>\\x1b[31m\\xe2\\x80\\xae' + token.decode() + '"' in text, text)
    true(all(c.isprintable() or c == "\n" for c in text), "text that is shown is printable")
    for suffix in ("svg", "dot", "png"):
        picture = os.path.join(os.path.dirname(at), "picture." + suffix)
        bop("graph", "last", "--store", at, "-o", picture)
        with open(picture, "rb") as f:
            true(suffix == "png" or token in f.read(), f"the bytes stand in the {suffix}")


def nothing_by_default():
    """Without content nothing of what was sent is in the store, and nothing says that it could be"""
    token = secrets.token_hex(8).encode()
    shown, kept, _ = run([b"payload " + token] * 3)
    equal(len(shown["messages"]), 6, "messages")
    true(not any("content" in m for m in shown["messages"]), "no message has content")
    true(token not in kept and b"payload" not in kept.replace(CLIENT.encode(), b""), "the payload is not in the store")


def secrets_hidden(lines):
    word = b"Zq" + secrets.token_hex(7).encode()
    messages = [b"user=bob password=" + word + b" and so on", b"a" * 50 + b"password=" + word, b"nothing",
                b"Authorization: Basic " + word + b"\r\nHost: x", b"1" * 30 + b" password" + word]
    shown, kept, _ = run(messages, "content: {bytes: 64, redact: ['password=\\S+', '(?i)authorization: *[^\\r\\n]*']}\n" + lines)
    got = sent(shown)
    equal(got[0][0], b"user=bob [redacted] and so on", "first")
    equal(got[1][0], b"a" * 50 + b"[redacted]", "a secret that is cut")
    equal(got[2][0], b"nothing", "third")
    equal(got[3][0], b"[redacted]\r\nHost: x", "fourth")
    equal([c["redacted"] for _, c in got], [True, True, False, True, False], "redacted")
    # in the last one it is no secret: the filter knows what it is told, and this shows that the search below can find
    true(word in got[4][0], "the last one is kept as it is")
    equal(kept.count(word), 1, "how often the word is in the store")
    equal(kept.count(word[:5]), 1, "how often its beginning is")


def redacted():
    """What a pattern matches is nowhere in the bytes of the store, also where the message is cut in the middle of it"""
    secrets_hidden("")


def redacted_deferred():
    """The same when what was recorded is sent after the run"""
    secrets_hidden("send: deferred\n")


def print_is_the_same():
    """The graph does not depend on content"""
    graphs = []
    for lines in ("", "content: {bytes: 64}\n"):
        shown = run([b"one", b"two"], lines)[0]
        graphs.append(([m["label"] for m in shown["messages"]], [(e["from"], e["to"], e["rule"]) for e in shown["edges"]],
                       shown.get("print")))
    equal(graphs[1], graphs[0], "labels, edges and prints")


if __name__ == "__main__":
    sys.exit(run_tests(shown_as_sent, nothing_by_default, redacted, redacted_deferred, print_is_the_same))
