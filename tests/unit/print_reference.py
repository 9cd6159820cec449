# SPDX-License-Identifier: GPL-3.0-or-later
"""The prints of docs/print.md, by nothing but that page."""
import struct
from collections import Counter
from types import SimpleNamespace

from xxh3 import h64, h128

THREAD, START, EXEC, SPAWN, LISTEN, CONNECT, ACCEPT, SEND, RECV, PART, DATA, FIN, ERROR, CLOSE, SHUTDOWN, WAIT, EXIT, FIRED = range(18)


def join(orbits, pairs):
    for old, new in [(orbits[a], orbits[b]) for a, b in pairs]:
        orbits.update({thread: orbits[new] for thread in orbits if orbits[thread] == orbits[old]})


class Print:
    """Takes a run and its roles; .print is (the hash, whether it is approximate)."""

    def __init__(self, run, roles):
        self.run, self.vertices, self.connections = run, run["vertices"], {c["id"]: c for c in run["connections"]}
        self.faults = {f["id"]: f for f in run["faults"]}
        self.processes = {p["name"]: p for p in run["processes"]}
        self.role = {name: role for name in self.processes for role in roles if name.split("'")[0] in roles[role]}
        self.boxes = {self.processes[name]["box"] for name in self.role}  # that can be renamed
        self.at, self.last, self.cause, self.origin, self.first, self.ends = {}, {}, {}, {}, {}, {}
        for step in (self.survey, self.take, self.keep, self.find):
            step()

    def survey(self):
        for edge in self.run["edges"]:
            source, sink, rule = self.vertices[edge["from"]], self.vertices[edge["to"]], edge["rule"]
            if rule == "spawn" and source["kind"] == "spawn":
                self.origin[sink["id"]] = source["id"]
            elif rule == "close" or (rule == "fault" and sink["kind"] in ("recv", "reset")) or (rule == "spawn" and "thread" not in source.get("flags", [])):
                self.cause[sink["id"]] = source["id"]
            elif rule in ("message", "local", "pipe"):
                m, end = source["messages"][0], sink["pos"] + sink["bytes"]
                self.ends[m] = max(self.ends.get(m, 0), min(source["pos"] + source["bytes"], end))
                self.last[m] = max(self.last.get(m, (0, 0)), (end, sink["id"]))
        for v in self.vertices:
            if (v["kind"], v.get("end")) in (("connect", ">"), ("accept", "<")):
                self.first.setdefault((v["kind"], v["connection_id"]), v["id"])

    def take(self):
        places = {}
        for v in [v for v in self.vertices if v["process"] and (v["thread"] is not None or v["kind"] == "start")]:
            places.setdefault(v["process"], {}).setdefault(v["thread"] or 0, []).append(v)
        self.threads = [self.thread(process, places[process][n]) for process in places for n in sorted(places[process])]
        items = [item for thread in self.threads for item in thread.items]
        for thing, vertex in [(item, item.link) for item in items] + [(t, self.origin.get(t.link)) for t in self.threads]:
            thing.link = self.at.get(vertex)
        users = {(i.connection, i.side, i.thread.process) for i in items if SEND <= i.kind <= ERROR}
        for item in items:
            if item.kind in (RECV, PART, ACCEPT) and item.link and not item.datagram:
                item.link.link = item
            later = [i.kind for i in item.thread.items[item.index + 1:] if i.kind != WAIT][:1] if item.kind == WAIT else []
            item.dropped = (item.kind == WAIT and later not in ([SPAWN], [EXIT])) or (item.kind == CLOSE and any(
                u[:2] == (item.connection, item.side) and u[2] != item.thread.process for u in users))
        for item in items:
            item.link = item.link if item.link and not item.link.dropped else None

    def thread(self, process, vertices):
        root = process
        while self.processes[root]["parent"]:
            root = self.processes[root]["parent"]
        name, quote, again = root.partition("'")
        text, box, seen = f"role {self.role[root]}{quote}{again}" if root in self.role else root, self.processes[process]["box"], set()
        thread = SimpleNamespace(kind=THREAD, side=0, process=process, link=vertices[0]["id"], items=[], kept_to=0,
                                 text=h64(text.encode()), box=box if box in self.boxes else None, is_root=root == process)
        for v in vertices:
            c = self.connections.get(v.get("connection_id"))
            for kind, text, box, link in self.items(v, c, seen) if not v["teardown"] else ():
                self.at[v["id"]] = SimpleNamespace(
                    kind=kind, text=h64(text.encode()) if text else 0, box=box, link=link, kept=False, index=len(thread.items),
                    connection=c["id"] if c else 0, side=" ><".index(v["end"]) if c else 0, thread=thread,
                    datagram=c and c["transport"] == "udp")
                thread.items.append(self.at[v["id"]])
        return thread

    def target(self, text, more=""):
        box, colon, rest = text.rpartition(":")
        return (colon + rest + more, box) if box in self.boxes else (text + more, None)

    def items(self, v, c, seen):  # what a vertex becomes: kind, text, box, and the vertex that is linked
        kind, flags, cause, messages = v["kind"], v.get("flags", []), self.cause.get(v["id"]), self.run["messages"]
        plain = {"start": START, "exec": EXEC, "spawn": SPAWN, "wait": WAIT, "close": SHUTDOWN if "shutdown" in flags else CLOSE}
        if kind in plain and (kind != "close" or (c and c["transport"] != "udp")):
            yield plain[kind], "", None, cause if kind == "wait" else None
        elif kind == "listen":
            yield LISTEN, *self.target(v["label"]), None
        elif kind == "exit" and "thread" not in flags:
            yield EXIT, f"signal {v['signal']}" if v["signal"] else f"status {v['status']}", None, None
        elif kind == "fired":
            fault = self.faults[v["fault"]]
            if fault["acted"]:
                yield FIRED, " ".join([fault["kind"] or "?", *fault["flags"]]), None, None
        elif c and kind in ("send", "recv") and "error" in v:
            if v["error"] not in (None, "EAGAIN", "EINTR") and (ERROR, c["id"], v["end"]) not in seen:
                seen.add((ERROR, c["id"], v["end"]))
                reset = cause is not None and self.vertices[cause]["kind"] == "reset"
                yield ERROR, v["error"], None, self.cause.get(cause) if reset else cause
        elif c and kind == "send" and v["messages"] and messages[v["messages"][0]]["send"] == v["id"]:
            yield SEND, "lost" if messages[v["messages"][0]]["lost_by"] is not None else "", None, None
        elif c and c["transport"] == "udp" and kind == "recv" and "urgent" not in flags:
            yield from [(RECV, "", None, messages[m]["send"]) for m in v["messages"]] or [(DATA, "", None, None)]
        elif c and c["transport"] != "udp" and kind in ("connect", "accept") and self.first.get((kind, c["id"])) == v["id"]:
            target = c["target"] or c["label"].partition(">")[2].rpartition("#")[0]
            result = c["error"] or (c["end"] if c["end"] in ("unanswered", "failed") else "")
            yield ((CONNECT, *self.target(target, f" {result}"), None) if kind == "connect" else
                   (ACCEPT, *self.target(target, " "), self.first.get(("connect", c["id"]))))
        elif c and kind == "recv" and not v["bytes"] and "urgent" not in flags:
            if (cause is not None or not c["to" if v["end"] == ">" else "from"]) and (FIN, c["id"], v["end"]) not in seen:
                seen.add((FIN, c["id"], v["end"]))
                yield FIN, "", None, cause
        elif c and kind == "recv" and "urgent" not in flags:
            yield from [] if v["messages"] else [(DATA, "", None, None)]
            for m in sorted(set(v["messages"]), key=lambda m: (self.ends[m], m)):
                if self.last[m][1] == v["id"]:
                    yield RECV if messages[m]["received"] >= messages[m]["bytes"] else PART, "", None, messages[m]["send"]

    def keep(self):
        todo = [i for t in self.threads for i in t.items if LISTEN <= i.kind <= DATA or i.kind == FIRED or (i.kind in (START, EXEC, EXIT) and t.is_root)]
        while todo:
            item = todo.pop()
            thread, item.kept = item.thread, True
            todo += [thread.link] if thread.link and not thread.kept_to else []
            for other in thread.items[thread.kept_to:item.index + 1]:
                other.kept |= other.kind != SPAWN and not other.dropped
                todo += [other.link] if other.kept and other.kind in (FIN, ERROR, WAIT) and other.link else []
            thread.kept_to = max(thread.kept_to, item.index + 1)
        for thread in self.threads:
            thread.kept, last = [], None
            for item in filter(lambda item: item.kept, thread.items):
                key = (item.kind, item.connection, item.side)
                thread.kept += [] if key == last and item.kind in (SPAWN, DATA) else [item]
                item.place, last = len(thread.kept) - 1, key
        self.threads = [thread for thread in self.threads if thread.kept]

    def find(self):
        work, same = sum(len(thread.kept) for thread in self.threads), {id(t): id(t) for t in self.threads}
        self.rounds, self.base = min(max((1 << 24) // (work + 1), 64), 4096), {id(t): t.text for t in self.threads}
        try:
            self.print = (self.search(self.refine(self.base, True), same)[0][0], False)
        except OverflowError:
            colours = sorted(self.round(self.base, True).values())
            self.print = (h128(b"bop print 1 approximate\n" + struct.pack(f"<{len(colours)}Q", *colours)), True)

    def round(self, colours, everybody=False):
        housed = {box: sorted(colours[id(t)] for t in self.threads if t.box == box) for box in self.boxes}
        of_box = {box: h64(struct.pack(f"<{len(c)}Q", *c)) for box, c in housed.items() if c}
        count, numbers = Counter(colours.values()), {}

        def token(i, connection):
            return struct.pack("<IIIIQQQ", i.kind, i.side, numbers.setdefault(connection, len(numbers)), i.link.place + 1 if i.link else 0,
                               i.text, colours[id(i.link.thread)] if i.link else 0, of_box.get(i.box, 0))

        def coloured(t):
            numbers.clear()
            return h64(struct.pack("<Q", colours[id(t)]) + token(t, 0) + b"".join(token(i, i.connection) for i in t.kept))
        return {id(t): coloured(t) if everybody or count[colours[id(t)]] > 1 else colours[id(t)] for t in self.threads}

    def refine(self, colours, base=False):
        before, found = 0, len(set(colours.values()))
        while before < found < len(self.threads):
            if not self.rounds:
                raise OverflowError
            self.rounds, before, colours = self.rounds - 1, found, self.round(colours)
            self.base, found = colours if base else self.base, len(set(colours.values()))
        return colours

    def alike(self, colours):  # all threads of the least colour that several have
        shared = [colour for colour, n in Counter(colours.values()).items() if n > 1]
        return [t for t in self.threads if colours[id(t)] == min(shared)] if shared else []

    def made_first(self, colours, thread):
        return self.refine({**colours, id(thread): h64(struct.pack("<Q", colours[id(thread)]))})

    def search(self, colours, orbits):  # the least of all that is written below, and what is first: hash, order of threads
        if not self.alike(colours):
            return (self.written(colours),) * 2
        own, leaves, best, first = {t: t for t in orbits}, {}, None, None
        for n, thread in enumerate(self.alike(colours)):
            if any(own[id(other)] == own[id(thread)] for other in self.alike(colours)[:n]):
                continue
            way = below = self.made_first(colours, thread)
            while n and self.alike(way):
                way = self.made_first(way, self.alike(way)[0])
            leaf = self.written(way) if n else None
            if leaf and leaf[0] in leaves:
                join(own, zip(leaves[leaf[0]], leaf[1]))
                continue
            found, leaf = self.search(below, own)
            leaves[leaf[0]], first, best = leaf[1], first or leaf, min(best or found, found)
        join(orbits, own.items())
        return best, first

    def written(self, colours):
        order, start, n = sorted(self.threads, key=lambda t: colours[id(t)]), {}, 0
        connections, processes, boxes, data = {0: 0}, {None: 0}, {None: 0}, [b"bop print 1 exact\n"]
        for thread in order:
            start[id(thread)], n = n, n + len(thread.kept)

        def token(i, connection):
            link = start[id(i.link.thread)] + i.link.place + 1 if i.link else 0
            return struct.pack("<IIIIIIQ", i.kind, i.side, connection, link, boxes.setdefault(i.box, len(boxes)), 0, i.text)
        for t in order:
            data.append(token(t, processes.setdefault(t.process, len(processes))))
            data += [token(i, connections.setdefault(i.connection, len(connections))) for i in t.kept]
        return h128(b"".join(data)), [id(t) for t in order]
