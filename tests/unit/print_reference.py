# SPDX-License-Identifier: GPL-3.0-or-later
"""The prints of docs/print.md, by nothing but that page."""
import struct
from collections import Counter, defaultdict
from types import SimpleNamespace

from xxh3 import h64, h128, packed

THREAD, START, EXEC, SPAWN, LISTEN, CONNECT, ACCEPT, SEND, RECV, PART, DATA, FIN, ERROR, CLOSE, SHUTDOWN, WAIT, EXIT, FIRED = range(18)


class Print:  # of a run up to roles; .prints is (the hash, whether it is approximate) by level
    def __init__(self, run, roles):
        self.run, self.vertices, self.connections = run, run["vertices"], {c["id"]: c for c in run["connections"]}
        self.faults, self.processes = {f["id"]: f for f in run["faults"]}, {p["name"]: p for p in run["processes"]}
        self.role = {name: role for name in self.processes for role in roles if name.split("'")[0] in roles[role]}
        self.boxes = {self.processes[name]["box"] for name in self.role}  # that can be renamed
        self.first = {(v["kind"], v.get("connection_id"), v.get("end")): v["id"] for v in reversed(self.vertices)}
        self.at, self.last, self.cause, self.origin, self.ends = {}, {}, {}, {}, {}
        self.take()
        self.prints = {"exact": self.find(self.threads, ""), "folded": self.find(words := self.fold(), "folded "), "shape": (self.shape(words), False)}

    def take(self):
        places = defaultdict(lambda: defaultdict(list))
        for source, sink, rule in [(self.vertices[e["from"]], self.vertices[e["to"]], e["rule"]) for e in self.run["edges"]]:
            if rule in ("message", "local", "pipe"):
                m, end = source["messages"][0], sink["pos"] + sink["bytes"]
                self.ends[m] = max(self.ends.get(m, 0), min(source["pos"] + source["bytes"], end))
                self.last[m] = max(self.last.get(m, (0, 0)), (end, sink["id"]))
            elif rule == "spawn" and source["kind"] == "spawn":
                self.origin[sink["id"]] = source["id"]
            elif {"close": True, "spawn": "thread" not in source.get("flags", []), "fault": sink["kind"] in ("recv", "reset")}.get(rule):
                self.cause[sink["id"]] = source["id"]
        for v in [v for v in self.vertices if v["process"] and (v["thread"] is not None or v["kind"] == "start")]:
            places[v["process"]][v["thread"] or 0].append(v)
        self.threads = [self.thread(process, places[process][n]) for process in places for n in sorted(places[process])]
        items = [item for thread in self.threads for item in thread.items]
        users = {(i.connection, i.side, i.thread.process) for i in items if SEND <= i.kind <= ERROR}
        for item in items:
            item.dropped = (item.kind == WAIT and [i.kind for i in item.thread.items[item.index:] if i.kind != WAIT][:1] not in ([SPAWN], [EXIT])) or (
                item.kind == CLOSE and any(u[:2] == (item.connection, item.side) and u[2] != item.thread.process for u in users))
        for thing, cause in [(item, self.at.get(item.link)) for item in items] + [(t, self.at.get(self.origin.get(t.link))) for t in self.threads]:
            thing.link = cause if cause and not cause.dropped else None
        for item in [i for i in items if i.kind in (RECV, PART, ACCEPT) and i.link and self.connections[i.connection]["transport"] != "udp"]:
            item.link.link = item
        self.keep(items)

    def thread(self, process, vertices):
        root, box = process, self.processes[process]["box"]
        while self.processes[root]["parent"]:
            root = self.processes[root]["parent"]
        name = f"role {self.role[root]}{root[len(root.partition(chr(39))[0]):]}" if root in self.role else root
        thread = SimpleNamespace(kind=THREAD, side=0, text=h64(name.encode()), box=box if box in self.boxes else None, process=process,
                                 link=vertices[0]["id"], items=[], kept=[], kept_to=0, root=root)
        for v in [v for v in vertices if not v["teardown"]]:
            connection, side = v.get("connection_id"), " ><".index(v.get("end") or " ")
            known = {i.kind for i in thread.items if i.kind in (FIN, ERROR) and (i.connection, i.side) == (connection, side)}
            for kind, text, link in [i for i in self.items(v, self.connections.get(connection), v.get("flags", [])) if i[0] not in known]:
                box, colon, rest = text.rpartition(":") if kind in (LISTEN, CONNECT, ACCEPT) else ("", "", text)
                self.at[v["id"]] = SimpleNamespace(
                    kind=kind, side=side, text=h64((colon + rest if box in self.boxes else text).encode()) if text else 0, link=link, peer=None,
                    connection=connection or 0, box=box if box in self.boxes else None, thread=thread, index=len(thread.items), kept=False, mark=0,
                    core=LISTEN <= kind <= DATA or kind == FIRED or (kind in (START, EXEC, EXIT) and root == process))
                thread.items.append(self.at[v["id"]])
        return thread

    def items(self, v, c, flags):  # what a vertex becomes: kind, text, and the vertex that is linked
        kind, messages, cause, received = v["kind"], self.run["messages"], self.cause.get(v["id"]), v["kind"] == "recv" and "urgent" not in flags
        udp, found = c and c["transport"] == "udp", sorted(set(v.get("messages") or []), key=lambda m: (self.ends.get(m, 0), m))
        plain = {"start": (START, ""), "exec": (EXEC, ""), "spawn": (SPAWN, ""), "wait": (WAIT, ""), "listen": (LISTEN, v["label"]),
                 "close": (SHUTDOWN if "shutdown" in flags else CLOSE, "") if c and not udp else None, "exit": None if "thread" in flags else (
                     EXIT, f"signal {v['signal']}" if v.get("signal") else f"status {v.get('status')}")}
        if plain.get(kind):
            yield *plain[kind], cause if kind == "wait" else None
        elif kind == "fired" and self.faults[v["fault"]]["acted"]:
            yield FIRED, " ".join([self.faults[v["fault"]]["kind"] or "?", *self.faults[v["fault"]]["flags"]]), None
        elif c and kind in ("send", "recv") and "error" in v:
            reset = cause is not None and self.vertices[cause]["kind"] == "reset"
            yield from [] if v["error"] in (None, "EAGAIN", "EINTR") else [(ERROR, v["error"], self.cause.get(cause) if reset else cause)]
        elif c and kind == "send" and found and messages[found[0]]["send"] == v["id"]:
            yield SEND, "lost" if messages[found[0]]["lost_by"] is not None else "", None
        elif udp and received:
            yield from [(RECV, "", messages[m]["send"]) for m in v["messages"]] or [(DATA, "", None)]
        elif c and not udp and (kind, v["end"]) in (("connect", ">"), ("accept", "<")) and self.first[kind, c["id"], v["end"]] == v["id"]:
            target = c["target"] or c["label"].partition(">")[2].rpartition("#")[0]
            result = c["error"] or (c["end"] if c["end"] in ("unanswered", "failed") else "")
            yield (CONNECT, f"{target} {result}", None) if kind == "connect" else (ACCEPT, target + " ", self.first.get(("connect", c["id"], ">")))
        elif c and received and not v["bytes"]:
            yield from [(FIN, "", cause)] if cause is not None or not c["to" if v["end"] == ">" else "from"] else []
        elif c and received:
            yield from [(RECV if messages[m]["received"] >= messages[m]["bytes"] else PART, "", messages[m]["send"])
                        for m in found if self.last[m][1] == v["id"]] if found else [(DATA, "", None)]

    def keep(self, items):
        todo = [i for i in items if i.core]
        while todo:
            item = todo.pop()
            thread, item.kept = item.thread, True
            todo += [thread.link] if thread.link and not thread.kept_to else []
            for other in thread.items[thread.kept_to:item.index + 1]:
                other.kept |= other.kind != SPAWN and not other.dropped
                todo += [other.link] if other.kept and other.kind in (FIN, ERROR, WAIT) and other.link else []
            thread.kept_to = max(thread.kept_to, item.index + 1)
        for item in [item for item in items if item.kept]:
            kept, same = item.thread.kept, lambda a, b: (a.kind, a.connection, a.side) == (b.kind, b.connection, b.side)
            kept += [] if kept and item.kind in (SPAWN, DATA) and same(kept[-1], item) else [item]
            item.place = len(kept) - 1
        self.threads = [thread for thread in self.threads if thread.kept]

    def fold(self):  # to words, which are made as threads are
        opened, kinds, roots, turns, words = {}, Counter(), defaultdict(set), defaultdict(list), {}
        for i in [i for t in self.threads for i in t.kept if i.core and i.connection]:
            opened[i.connection, i.kind] = i
            kinds[i.connection] |= 1 << i.kind + 32 * (i.side == 2)
            roots[i.connection, i.side].add(i.thread.root)
            turns[id(i.thread), i.connection] += [i] if SEND <= i.kind <= DATA else []
        for turn in turns.values():
            opens = [(i.kind == SEND) == (turn[0].kind == SEND) for i in turn]
            for n, i in enumerate(turn):
                i.mark = int(opens[n + 1:n + 2] == [False]) if opens[n] else 3 - opens[n - 1]
        for t in self.threads:
            word, home = {}, self.processes[t.root]["box"]
            for i in [i for i in t.kept if i.core]:
                opener = opened.get((i.connection, ACCEPT), opened.get((i.connection, CONNECT), SimpleNamespace(text=0, box=None)))
                plain, peers = h64(packed([i.text, opener.text, kinds[i.connection]])), list(roots[i.connection, 3 - i.side])
                peer, text = peers[0] if len(peers) == 1 else None, h64(packed([plain, i.mark]))
                box = None if peer else i.box or opener.box
                word[i.kind, i.side, text, peer, box] = SimpleNamespace(
                    **{**vars(i), "text": text, "plain": plain, "peer": peer, "box": box, "link": None, "connection": 0})
            own = {"process": t.root, "box": home if home in self.boxes else None, "kept": list(word.values()), "link": None}
            words.setdefault((t.root, *word), SimpleNamespace(**{**vars(t), **own}))
        return [word for word in words.values() if word.kept]

    def shape(self, words):
        colours, homes = {word.process: word.text for word in words}, {word.process: word.box for word in words}
        for _ in range(3):
            of_box = {box: box and h64(packed(sorted(colours[p] for p in homes if homes[p] == box))) for box in [None, *homes.values()]}
            letters = {(w.process, h64(struct.pack("<IIQQQ", i.kind, i.side, i.plain, colours.get(i.peer, 0), of_box.get(i.box) or 0)))
                       for w in words for i in w.kept}
            colours = {p: h64(packed([colours[p], *sorted(hashed for of, hashed in letters if of == p)])) for p in colours}
        return h128(b"bop print 1 shape\n" + packed(sorted(colours.values())))

    def find(self, threads, level):
        self.threads, work = threads, sum(len(thread.kept) for thread in threads)
        self.rounds, self.base = min(max((1 << 24) // (work + 1), 64), 4096), {id(t): t.text for t in threads}
        try:
            return self.search(*self.refine(self.base, base=True), {id(t): id(t) for t in threads}, level or "exact ")[0][0], False
        except OverflowError:
            return h128(f"bop print 1 {level}approximate\n".encode() + packed(sorted(self.round(self.base, True).values()))), True

    def round(self, colours, everybody=False):
        groups, count = {of for t in self.threads for of in (("box", t.box), ("peer", t.process)) if of[1]}, Counter(colours.values())
        looks = {of: h64(packed(sorted(colours[id(t)] for t in self.threads if of in (("box", t.box), ("peer", t.process))))) for of in groups}

        def coloured(t, numbers, data):
            for i in (t, *t.kept):
                number = 0 if i is t else numbers.setdefault(i.connection, len(numbers))
                linked = colours[id(i.link.thread)] if i.link else 0 if i is t else looks.get(("peer", i.peer), 0)
                data += struct.pack("<IIIIQQQ", i.kind, i.side, number, i.link.place + 1 if i.link else 0, i.text, linked, looks.get(("box", i.box), 0))
            return h64(data)
        return {id(t): coloured(t, {0: 0}, packed([colours[id(t)]])) if everybody or count[colours[id(t)]] > 1 else colours[id(t)] for t in self.threads}

    def refine(self, colours, first=None, base=False):  # also which threads share the least of the colours that several have
        colours = {**colours, id(first): h64(packed([colours[id(first)]]))} if first else colours
        before, count = 0, Counter(colours.values())
        while before < len(count) < len(self.threads):
            if not self.rounds:
                raise OverflowError
            self.rounds, before, colours = self.rounds - 1, len(count), self.round(colours)
            self.base, count = colours if base else self.base, Counter(colours.values())
        least = min([colour for colour in count if count[colour] > 1], default=None)
        return colours, [t for t in self.threads if colours[id(t)] == least]

    def search(self, colours, alike, orbits, level):  # the least of all that is written below, and what is first: hash, order of threads
        own, leaves, best, first = {t: t for t in orbits}, {}, None, None
        for n, thread in enumerate(alike):
            if any(own[id(other)] == own[id(thread)] for other in alike[:n]):
                continue
            way = below = self.refine(colours, thread)
            while n and way[1]:
                way = self.refine(way[0], way[1][0])
            leaf = self.written(way[0], level) if n else None
            if leaf and leaf[0] in leaves:
                for a, b in zip(leaves[leaf[0]], leaf[1]):
                    own.update({t: own[b] for t in own if own[t] == own[a]})
                continue
            found, leaf = self.search(*below, own, level)
            leaves[leaf[0]], first, best = leaf[1], first or leaf, min(best or found, found)
        for a, b in own.items():
            orbits.update({t: orbits[b] for t in orbits if orbits[t] == orbits[a]})
        return (best, first) if first else (self.written(colours, level),) * 2

    def written(self, colours, level):
        order, connections, processes, boxes = sorted(self.threads, key=lambda t: colours[id(t)]), {0: 0}, {None: 0}, {None: 0}
        places, data = {(id(i.thread), i.place): n for n, i in enumerate([i for t in order for i in t.kept], 1)}, f"bop print 1 {level[:-1]}\n".encode()
        for i in [thing for t in order for thing in (t, *t.kept)]:
            of, numbers = (i.process, processes) if i.kind == THREAD else (i.peer, processes) if i.peer else (i.connection, connections)
            data += struct.pack("<IIIIIIQ", i.kind, i.side, numbers.setdefault(of, len(numbers)), places[id(i.link.thread), i.link.place] if i.link else 0,
                                boxes.setdefault(i.box, len(boxes)), 0, i.text)
        return h128(data), [id(t) for t in order]
