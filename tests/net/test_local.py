#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datagrams, unix-domain sockets and pipes, from the kernel to the picture: what programs counted is what is shown."""
import os
import subprocess
import sys

from harness import bop, equal, experiment, run_tests, scratch, show, store, true

# Every datagram says what it must be called. The server answers two of three, and reads nothing while a burst comes that is
# larger than its buffer.
UDP_SERVER = r"""
import os, socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.bind(("::", 5300))
open(sys.argv[1], "w").close()
answers, seen, bursts = {}, 0, 0
while True:
    data, peer = s.recvfrom(3000)
    label = data.split()[0].decode()
    print("recv", label, len(data), flush=True)
    client = label.split("~")[0]
    if data.split()[1] == b"burst":
        while not os.path.exists(sys.argv[1] + "." + client):
            pass
        continue
    seen += 1
    if seen % 3:
        answers[client] = answers.get(client, 0) + 1
        answer = f"{client}~s:5300/{answers[client]}< ".encode() + b"." * (answers[client] % 7)
        print("sent", answer.split()[0].decode(), len(answer), flush=True)
        s.sendto(answer, peer)
"""

# Half of the requests through one unconnected socket, half through a connected one for each.
UDP_CLIENT = r"""
import select, socket, sys
name, family, burst = sys.argv[1], socket.AF_INET if sys.argv[2] == "4" else socket.AF_INET6, int(sys.argv[3])
to = socket.getaddrinfo("s" if sys.argv[2] == "4" else "s.v6", 5300, family, socket.SOCK_DGRAM)[0][4]
one = socket.socket(family, socket.SOCK_DGRAM)
number = 0
def send(s, word, size):
    global number
    number += 1
    data = f"{name}~s:5300/{number} {word} ".encode() + b"x" * size
    print("sent", f"{name}~s:5300/{number}", len(data), flush=True)
    s.sendto(data, to) if s is one else s.send(data)
for i in range(12):
    s = one
    if i % 2:
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.connect(to)
    send(s, "ask", i * 50)
    if select.select([s], [], [], 0.2)[0]:
        data = s.recv(3000)
        print("recv", data.split()[0].decode(), len(data), flush=True)
if burst:
    for i in range(burst):
        send(one, "burst", 900)
    open(sys.argv[4] + "." + name, "w").close()
"""

LOCAL_SERVER = r"""
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind("\0" + sys.argv[1] if sys.argv[1][0] != "/" else sys.argv[1])
s.listen(8)
open(sys.argv[2], "w").close()
while True:
    c, _ = s.accept()
    if os.fork():
        c.close()
        continue
    got, sent = 0, 0
    while True:
        data = c.recv(5000)
        if not data:
            break
        got += len(data)
        if data[-1:] == b"\n":
            answer = b"y" * (got % 3001) + b"\n"
            c.sendall(answer)
            sent += len(answer)
    print("bytes", got, sent, flush=True)
    os._exit(0)
"""

LOCAL_CLIENT = r"""
import socket, sys
for k in range(2):
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + sys.argv[1] if sys.argv[1][0] != "/" else sys.argv[1])
    got, sent = 0, 0
    for i in range(15):
        data = b"x" * (i * i * 83 % 20000) + b"\n"
        s.sendall(data)
        sent += len(data)
        while True:
            answer = s.recv(700)
            got += len(answer)
            if answer[-1:] == b"\n":
                break
    s.close()
    print("bytes", sent, got, flush=True)
"""


def programs(**texts):
    """Files with these programs, in a folder of their own."""
    folder = scratch(0o755)
    for name, text in texts.items():
        with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as file:
            file.write(text)
    return folder


def run_of(text):
    at = store()
    bop("run", experiment(text), "--store", at)
    run = show("last", at)
    equal((run["outcome"], run["lost"], run["holes"]), ("good", 0, []), "how the run ended")
    return run, at


def logged(run, process, word):
    """(label, bytes) that the program itself wrote down, in order."""
    text = "".join(p["stdout"] for p in run["processes"] if p["name"] == process)
    return [(line.split()[1], int(line.split()[2])) for line in text.splitlines() if line.startswith(word + " ")]


def of_kind(run, process, kind):
    """Its sends or receives, in the order of the process; a program of one thread has no other."""
    mine = [v for v in run["vertices"] if v["process"] == process and v["kind"] == kind and "error" not in v]
    return sorted(mine, key=lambda v: v["depth"])


def datagrams():
    """datagrams with losses: every one has the label that stands in it, at both ends; what was lost has no receive"""
    folder = programs(server=UDP_SERVER, client=UDP_CLIENT)
    ready = os.path.join(folder, "ready")
    clients = "\n".join(
        f"  - {{name: c{i}, box: c{i}, run: [python3, {folder}/client.py, c{i}, '{4 if i % 2 else 6}', '{60 if i == 1 else 0}', {ready}]}}"
        for i in (1, 2, 3))
    run, at = run_of(f"""
experiment: datagrams
boxes: [s, c1, c2, c3]
processes:
  - {{name: s, box: s, run: [python3, {folder}/server.py, {ready}], ready: {{run: [test, -e, {ready}]}}}}
workload:
{clients}
timeout: 60s
""")
    received = [v["label"] for v in of_kind(run, "s", "recv")]
    equal(received, [label for label, _ in logged(run, "s", "recv")], "what s received")
    for process in ("s", "c1", "c2", "c3"):
        equal([(v["label"], v["bytes"]) for v in of_kind(run, process, "send")], logged(run, process, "sent"), f"what {process} sent")
        equal([v["label"] for v in of_kind(run, process, "recv")], [n for n, _ in logged(run, process, "recv")], f"what {process} received")
    messages = {m["label"]: m for m in run["messages"]}
    equal(len(messages), len(run["messages"]), "labels of messages are different")
    taken = {label for process in ("s", "c1", "c2", "c3") for label, _ in logged(run, process, "recv")}
    equal({n for n, m in messages.items() if m["delivered"]}, taken, "which messages were delivered")
    true(len([n for n in messages if n.startswith("c1~") and n not in taken]) > 10, "the burst lost some")
    equal({m["transport"] for m in run["messages"]}, {"udp"}, "transports")
    edges = [e for e in run["edges"] if e["rule"] == "datagram"]
    equal(len(edges), len(taken), "edges of datagrams")
    true(all(e.get("inferred") and "guessed" not in e for e in edges), "edges are inferred, and no guesses: contents differ")
    equal((run["unmatched_datagrams"], run["contradicted"]), (0, 0), "what could not be matched")
    totals = {c["label"]: c["bytes"][0] for c in run["connections"]}
    equal(totals, {f"c{i}~s:5300": sum(size for _, size in logged(run, f"c{i}", "sent")) for i in (1, 2, 3)}, "bytes by client")
    picture = os.path.join(scratch(), "p.svg")
    bop("graph", "last", "--store", at, "-o", picture)
    with open(picture, encoding="utf-8") as file:
        drawn = file.read()
    true("inferred, not proved" in drawn and "not read" in drawn, "the picture says what is inferred, and what was lost")


def local_streams():
    """unix-domain streams of several clients, with a path and without: bytes shown are bytes counted, all matched"""
    for address in (os.path.join(programs(), "x.sock"), "some.name"):
        folder = programs(server=LOCAL_SERVER, client=LOCAL_CLIENT)
        ready = os.path.join(folder, "ready")
        clients = "\n".join(f"  - {{name: c{i}, box: b, run: [python3, {folder}/client.py, {address}]}}" for i in (1, 2, 3))
        run, _ = run_of(f"""
experiment: streams
boxes: [a, b]
processes:
  - {{name: s, box: {'a' if address[0] == '/' else 'b'}, run: [python3, {folder}/server.py, {address}, {ready}],
     ready: {{run: [test, -e, {ready}]}}}}
workload:
{clients}
timeout: 60s
""")
        name = "x.sock" if address[0] == "/" else "@some.name"
        counted = {}
        for i in (1, 2, 3):
            text = next(p["stdout"] for p in run["processes"] if p["name"] == f"c{i}")
            for k, line in enumerate(text.splitlines(), 1):
                counted[f"c{i}>unix:{name}#{k}"] = [int(word) for word in line.split()[1:]]
        shown = {c["label"]: c for c in run["connections"] if c["transport"] == "unix"}
        equal({label: c["bytes"] for label, c in shown.items()}, counted, "bytes of connections")
        equal({c["to"] for c in shown.values()}, {"s"}, "who accepted")
        vertices = {v["id"]: v for v in run["vertices"]}
        readers = {vertices[e["to"]]["process"] for e in run["edges"]
                   if e["rule"] == "local" and vertices[e["from"]]["process"].startswith("c")}
        true(len(readers) == 6 and all(reader.startswith("s.") for reader in readers), "a child of s reads each")
        text = next(p["stdout"] for p in run["processes"] if p["name"] == "s")
        servers = sorted(line.split()[1:] for line in text.splitlines())
        equal(servers, sorted([str(a), str(b)] for a, b in counted.values()), "what the server counted")
        messages = [m for m in run["messages"] if m["transport"] == "unix"]
        equal([m["label"] for m in messages if m["received"] != m["bytes"] or m["inferred"]], [], "messages not read, or not proved")
        equal(run["unmatched_bytes"], 0, "unmatched bytes")
        rules = {e["rule"] for e in run["edges"]}
        true("local" in rules and "connect" in rules and "message" not in rules, "rules of edges")


def pipelines():
    """a pipeline of a shell: each pipe's bytes, from the right process to the right one; nothing of it without being asked"""
    text = """
experiment: pipeline
boxes: [a]
workload: {name: sh, box: a, run: [sh, -c, "seq 1 30000 | sort -r | tr 1 2 | wc -c"]}
timeout: 60s
"""
    run, _ = run_of(text + "trace: [tcp, udp, unix, pipe]\n")
    size = len(subprocess.run(["seq", "1", "30000"], capture_output=True, check=True).stdout)
    equal(next(p["stdout"] for p in run["processes"] if p["name"] == "sh.4" or p["name"] == "sh" and p["stdout"]).strip(), str(size),
          "what wc counted")
    pipes = {c["label"]: (c["from"], c["to"], c["bytes"]) for c in run["connections"]}
    equal(pipes, {f"sh.{i}>pipe#1": (f"sh.{i}", f"sh.{i + 1}", [size, 0]) for i in (1, 2, 3)}, "pipes")
    equal([m["label"] for m in run["messages"] if m["received"] != m["bytes"] or m["inferred"]], [], "not read, or not proved")
    vertices = {v["id"]: v for v in run["vertices"]}
    ways = {(vertices[e["from"]]["process"], vertices[e["to"]]["process"]) for e in run["edges"] if e["rule"] == "pipe"}
    equal(ways, {(f"sh.{i}", f"sh.{i + 1}") for i in (1, 2, 3)}, "who read whose bytes")
    run, _ = run_of(text)
    equal((run["connections"], run["messages"]), ([], []), "pipes without being asked")


sys.exit(run_tests(datagrams, local_streams, pipelines))
