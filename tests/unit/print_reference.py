#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prints of docs/print.md, computed from what `bop show RUN --json` prints by nothing but that page.

    bop show RUN --json | tests/unit/print_reference.py       prints both
    tests/unit/print_reference.py --check < FILE              a run a line: says which are not as bop says
"""
import ctypes
import json
import struct
import sys
from collections import Counter
from types import SimpleNamespace

THREAD, START, EXEC, SPAWN, LISTEN, CONNECT, ACCEPT, SEND, RECV, PART, DATA, FIN, ERROR, CLOSE, SHUTDOWN, WAIT, EXIT = range(17)


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


XXH = ctypes.CDLL("libxxhash.so.0")
XXH.XXH3_64bits.restype, XXH.XXH3_64bits.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
XXH.XXH3_128bits.restype, XXH.XXH3_128bits.argtypes = Hash128, [ctypes.c_char_p, ctypes.c_size_t]


def h64(data):
    return XXH.XXH3_64bits(data, len(data))


def h128(data):
    value = XXH.XXH3_128bits(data, len(data))
    return f"{value.high:016x}{value.low:016x}"


class Print:
    """Takes a run and its roles; .print is (the hash, whether it is approximate)."""

    def __init__(self, run, roles):
        self.run, self.vertices, self.connections = run, run["vertices"], {c["id"]: c for c in run["connections"]}
        self.processes = {p["name"]: p for p in run["processes"]}
        self.role = {name: role for name, p in self.processes.items() for role, members in roles.items()
                     if not p["parent"] and name.split("'")[0] in members}
        self.boxes = {self.processes[name]["box"] for name in self.role}  # that can be renamed
        self.at, self.last, self.cause, self.origin, self.first, self.received, self.reach = {}, {}, {}, {}, {}, {}, {}
        self.survey()
        self.take()
        self.keep()
        self.find()

    def survey(self):
        for edge in self.run["edges"]:
            source, sink = self.vertices[edge["from"]], self.vertices[edge["to"]]
            if edge["rule"] == "spawn" and source["kind"] == "spawn":
                self.origin[edge["to"]] = edge["from"]
            elif edge["rule"] == "close" or (edge["rule"] == "spawn" and "thread" not in source.get("flags", [])):
                self.cause[edge["to"]] = edge["from"]
            elif edge["rule"] in ("message", "local", "pipe"):
                m, end = source["messages"][0], min(source["pos"] + source["bytes"], sink["pos"] + sink["bytes"])
                self.reach[m] = max(self.reach.get(m, 0), end)
        for v in self.vertices:
            if (v["kind"], v.get("end")) in (("connect", ">"), ("accept", "<")):
                self.first.setdefault((v["kind"], v["connection_id"]), v["id"])
            for m in v["messages"] if v["kind"] == "recv" and v["pos"] is not None else ():
                old = self.vertices[self.last.get(m, v["id"])]
                if old["pos"] + old["bytes"] <= v["pos"] + v["bytes"]:
                    self.last[m] = v["id"]

    def take(self):
        places = {}
        for v in self.vertices:
            if v["process"] and (v["thread"] is not None or v["kind"] == "start"):
                places.setdefault(v["process"], {}).setdefault(v["thread"] or 0, []).append(v)
        self.threads = [self.thread(process, places[process][n]) for process in places for n in sorted(places[process])]
        for thread in self.threads:
            thread.origin = self.at.get(self.origin.get(thread.origin))
            for item in thread.items:
                item.link = self.at.get(item.link) if item.kind not in (RECV, PART) or item.datagram else None
        pairs = [(self.at.get(self.run["messages"][m]["send"]), item) for m, item in self.received.items()]
        pairs += [(self.at.get(self.first.get(("connect", c))), self.at.get(self.first.get(("accept", c)))) for c in self.connections]
        for cause, effect in pairs:
            if cause and effect:
                cause.link, effect.link = effect, cause

    def thread(self, process, vertices):
        root = process
        while self.processes[root]["parent"]:
            root = self.processes[root]["parent"]
        name = f"role {self.role[root]}{root[len(root.split(chr(39))[0]):]}" if root in self.role else root
        box = self.processes[process]["box"]
        thread = SimpleNamespace(process=process, origin=vertices[0]["id"], items=[], kept_to=0, text=h64(name.encode()),
                                 box=box if box in self.boxes else None, is_root=root == process)
        seen = set()
        for v in vertices:
            for kind, text, box, link in self.items(v, seen) if not v["teardown"] else ():
                item = SimpleNamespace(kind=kind, text=h64(text.encode()) if text else 0, box=box, link=link, kept=False,
                                       connection=v.get("connection_id", 0), thread=thread, index=len(thread.items))
                item.side = {">": 1, "<": 2}[v["end"]] if item.connection else 0
                thread.items.append(item)
                self.at[v["id"]] = item
                item.datagram = item.connection and self.connections[item.connection]["transport"] == "udp"
                if kind in (RECV, PART) and not item.datagram:
                    self.received[link] = item
        return thread

    def target(self, text):
        box, colon, port = text.rpartition(":")
        return (colon + port, box) if box in self.boxes else (text, None)

    def items(self, v, seen):
        """What a vertex becomes: kind, text, box, and the vertex that caused it. A receive has a message there."""
        kind, flags, c, cause = v["kind"], v.get("flags", []), self.connections.get(v.get("connection_id")), self.cause.get(v["id"])
        if kind in ("start", "exec", "spawn"):
            yield {"start": START, "exec": EXEC, "spawn": SPAWN}[kind], "", None, None
        elif kind == "listen":
            yield LISTEN, *self.target(v["label"]), None
        elif kind == "wait":
            yield WAIT, "", None, cause
        elif kind == "exit" and "thread" not in flags:
            yield EXIT, f"signal {v['signal']}" if v["signal"] else f"status {v['status']}", None, None
        elif c and c["transport"] == "udp" and kind == "recv" and "error" not in v:
            yield from [(RECV, "", None, self.run["messages"][m]["send"]) for m in v["messages"]] or [(DATA, "", None, None)]
        elif c and c["transport"] == "udp" and kind not in ("send", "recv"):
            return
        elif c and kind in ("connect", "accept") and self.first.get((kind, c["id"])) == v["id"]:
            rest, box = self.target(c["target"] or c["label"].partition(">")[2].rpartition("#")[0])
            result = c["error"] or (c["end"] if c["end"] in ("unanswered", "failed") else "")
            yield (CONNECT, f"{rest} {result}", box, None) if kind == "connect" else (ACCEPT, f"{rest} ", box, None)
        elif c and kind in ("send", "recv") and "error" in v:
            if v["error"] and v["error"] not in ("EAGAIN", "EINTR") and (ERROR, c["id"], v["end"]) not in seen:
                seen.add((ERROR, c["id"], v["end"]))
                reset = cause is not None and self.vertices[cause]["kind"] == "reset"
                yield ERROR, v["error"], None, self.cause.get(cause) if reset else cause
        elif c and kind == "send" and v["messages"] and self.run["messages"][v["messages"][0]]["send"] == v["id"]:
            yield SEND, "", None, None
        elif c and kind == "recv" and not v["bytes"] and "urgent" not in flags:
            known = c["to" if v["end"] == ">" else "from"]
            if (cause is not None or not known) and (FIN, c["id"], v["end"]) not in seen:
                seen.add((FIN, c["id"], v["end"]))
                yield FIN, "", None, cause
        elif c and kind == "recv" and "urgent" not in flags:
            if not v["messages"]:
                yield DATA, "", None, None
            for m in sorted(set(v["messages"]), key=lambda m: (self.reach[m], m)):
                if self.last[m] == v["id"]:
                    message = self.run["messages"][m]
                    yield RECV if message["received"] >= message["bytes"] else PART, "", None, m
        elif c and kind == "close":
            yield SHUTDOWN if "shutdown" in flags else CLOSE, "", None, None

    def keep(self):
        todo = [i for t in self.threads for i in t.items if LISTEN <= i.kind <= DATA or (i.kind in (START, EXEC, EXIT) and t.is_root)]
        while todo:
            item = todo.pop()
            thread, item.kept = item.thread, True
            if not thread.kept_to and thread.origin:
                todo.append(thread.origin)
            for other in thread.items[thread.kept_to:item.index + 1]:
                other.kept |= other.kind != SPAWN
                if other.kind in (FIN, ERROR, WAIT) and other.link:
                    todo.append(other.link)
            thread.kept_to = max(thread.kept_to, item.index + 1)
        for thread in self.threads:
            thread.kept, last = [], None
            for item in filter(lambda item: item.kept, thread.items):
                key = (item.kind, item.connection, item.side)
                if key != last or item.kind not in (SPAWN, DATA):
                    thread.kept.append(item)
                item.place, last = len(thread.kept) - 1, key
        self.threads = [thread for thread in self.threads if thread.kept]

    def find(self):
        work = sum(len(thread.kept) for thread in self.threads)
        self.rounds, self.base = min(max((1 << 24) // (work + 1), 64), 4096), {id(t): t.text for t in self.threads}
        try:
            self.print = (self.search(self.refine(self.base, True), {id(t): id(t) for t in self.threads})[0][0], False)
        except OverflowError:
            colours = sorted(self.round(self.base, True).values())
            self.print = (h128(b"bop print 1 approximate\n" + struct.pack(f"<{len(colours)}Q", *colours)), True)

    def round(self, colours, everybody=False):
        of_box = {box: sorted(colours[id(t)] for t in self.threads if t.box == box) for box in self.boxes}
        of_box = {box: h64(struct.pack(f"<{len(c)}Q", *c)) for box, c in of_box.items() if c}
        count, numbers = Counter(colours.values()), {}

        def token(i, side, connection, link):
            return struct.pack("<IIIIQQQ", i.kind, side, numbers.setdefault(connection, len(numbers)), link.place + 1 if link else 0,
                               i.text, colours[id(link.thread)] if link else 0, of_box.get(i.box, 0))

        def coloured(t):
            numbers.clear()
            head = SimpleNamespace(kind=THREAD, text=t.text, box=t.box)
            return h64(struct.pack("<Q", colours[id(t)]) + token(head, 0, 0, t.origin) +
                       b"".join(token(i, i.side, i.connection, i.link) for i in t.kept))
        return {id(t): coloured(t) if everybody or count[colours[id(t)]] > 1 else colours[id(t)] for t in self.threads}

    def refine(self, colours, base=False):
        found, before = len(set(colours.values())), 0
        while before < found < len(self.threads):
            if not self.rounds:
                raise OverflowError
            self.rounds -= 1
            before, colours = found, self.round(colours)
            self.base = colours if base else self.base
            found = len(set(colours.values()))
        return colours

    def alike(self, colours):
        """All threads of the least colour that several have."""
        shared = [colour for colour, n in Counter(colours.values()).items() if n > 1]
        return [t for t in self.threads if colours[id(t)] == min(shared)] if shared else []

    def made_first(self, colours, thread):
        return self.refine({**colours, id(thread): h64(struct.pack("<Q", colours[id(thread)]))})

    def search(self, colours, orbits):
        """The least hash of all ways down from here, and where the first ends: its hash and its order of threads."""
        if not self.alike(colours):
            return (self.written(colours),) * 2
        own, leaves, best = {id(t): id(t) for t in self.threads}, {}, None
        for n, thread in enumerate(self.alike(colours)):
            if any(own[id(other)] == own[id(thread)] for other in self.alike(colours)[:n]):
                continue
            way = below = self.made_first(colours, thread)
            while n and self.alike(way):
                way = self.made_first(way, self.alike(way)[0])
            leaf = self.written(way) if n else None
            if leaf and leaf[0] in leaves:
                self.join(own, zip(leaves[leaf[0]], leaf[1]))
                continue
            found, leaf = self.search(below, own)
            leaves[leaf[0]] = leaf[1]
            first, best = (leaf, found) if best is None else (first, min(best, found))
        self.join(orbits, own.items())
        return best, first

    @staticmethod
    def join(orbits, pairs):
        for a, b in pairs:
            old, new = orbits[a], orbits[b]
            for thread in orbits if old != new else ():
                orbits[thread] = new if orbits[thread] == old else orbits[thread]

    def written(self, colours):
        order, start, n = sorted(self.threads, key=lambda t: colours[id(t)]), {}, 0
        for thread in order:
            start[id(thread)], n = n, n + len(thread.kept)
        connections, processes, boxes = {0: 0}, {}, {None: 0}

        def token(kind, side, connection, link, box, text):
            return struct.pack("<IIIIIIQ", kind, side, connection, start[id(link.thread)] + link.place + 1 if link else 0,
                               boxes.setdefault(box, len(boxes)), 0, text)
        data = [b"bop print 1 exact\n"]
        for t in order:
            data.append(token(THREAD, 0, processes.setdefault(t.process, len(processes) + 1), t.origin, t.box, t.text))
            data += [token(i.kind, i.side, connections.setdefault(i.connection, len(connections)), i.link, i.box, i.text) for i in t.kept]
        return h128(b"".join(data)), [id(t) for t in order]


def prints(run):
    return {"exact": Print(run, {}).print, "symmetric": Print(run, run["roles"] or {}).print}


def main():
    differ = n = 0
    if sys.argv[1:] != ["--check"]:
        print(json.dumps(prints(json.load(sys.stdin)), indent=1))
        return 0
    for n, line in enumerate(sys.stdin, 1):
        run = json.loads(line)
        for level, found in prints(run).items():
            said = (run["print"][level]["hash"], run["print"][level]["approximate"])
            if said != found:
                differ += 1
                print(f"# run {run['run']}, {level}: bop says {said}, this {found}")
    print(f"# {n} runs, {differ} prints differ")
    return 1 if differ or not n else 0


if __name__ == "__main__":
    sys.exit(main())
