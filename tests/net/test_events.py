#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of runs as they come: all of them, with their labels, for who reads them; never at the cost of a run."""
import os
import signal
import sys

from controller import (CANCEL, ERROR, EVENTS, EVENTS_END, INVALID, LIST_BOXES, NOT_FOUND, RUN, RUN_END, SUBSCRIBE, Controller, fields,
                        number, repeated, run_of, text)
from harness import (BOP, OUT, Running, bop, equal, example, experiment, leftovers, nothing_left, one_line, run_tests, scratch, show,
                     true, wait_for)
from serving import Embedded, go

BEFORE = leftovers()
SERVER = Embedded()
NAMES = {1: "run", 2: "agent", 3: "box", 4: "process", 5: "thread", 6: "kind", 7: "label", 8: "time_ns", 9: "value", 10: "bytes", 11: "text"}


def controller():
    return Controller(f"{SERVER.folder}/api")


class Subscriber(Controller):
    """Its subscription has begun: the server has answered a request behind it."""

    def __init__(self, body=b""):
        super().__init__(f"{SERVER.folder}/api")
        self.ask(1, SUBSCRIBE, body)
        self.ask(2, LIST_BOXES)
        self.refused = None
        ident, kind, answer = self.answer()
        if ident == 1:
            self.refused = (kind, answer.get(1, 0))
            ident = self.answer()[0]
        equal(ident, 2, "the answer to the other request")

    def end(self):
        self.ask(3, CANCEL, number(1, 1))

    def events(self):
        """(rows, missed before each page, fields of the end), once it has ended."""
        rows, missed = [], []
        while True:
            ident, kind, body = self.raw()
            equal(ident, 1, "whose answer")
            if kind == EVENTS_END:
                return rows, missed, fields(body)
            equal(kind, EVENTS, "kind of answer")
            missed.append(fields(body).get(2, 0))
            rows += [{NAMES[k]: v.decode() if isinstance(v, bytes) else v for k, v in fields(row).items()} for row in repeated(body, 1)]


def run(path, *faults):
    """The end of a run of another controller."""
    with controller() as asker:
        asker.ask(1, RUN, run_of(path, *faults))
        kind, end = asker.last(1)
        equal(kind, RUN_END, "the run")
        return end


def test_all():
    """a subscriber of all runs gets every event of each, once and in order, with the labels that the run has afterwards"""
    with Subscriber() as one:
        ends = [run(example("quorum")), run(example("primary-backup"), "reset primary>b:7001#1/3")]
        one.end()
        rows, missed, end = one.events()
        equal((sum(missed), end.get(2, 0), end[3]), (0, 0, b"cancelled"), "missed")
        equal(end[1], len(rows), "how many were sent")
        for ended in ends:
            mine = [row for row in rows if row["run"] == ended[1]]
            equal(len(mine), ended[8], f"events of run {ended[1]}")
            shown = show(ended[1], SERVER.store)
            sent = [row["label"] for row in mine if row["kind"] == "send" and row.get("bytes")]
            equal(sorted(set(sent)), sorted({m["label"] for m in shown["messages"]}), "labels of what was sent")
            known = {v["label"] for v in shown["vertices"] if v["kind"] in ("connect", "accept", "start", "exit", "mark", "listen")}
            true({row["label"] for row in mine if row["kind"] in ("connect", "accept", "start", "exit", "mark", "listen")} <= known,
                 "a label that the run does not have")
            true({row["label"] for row in mine if row["kind"] == "recv"} <= {c["label"] for c in shown["connections"]}, "receives")
            true(all(row["box"] and row["process"] for row in mine if row["kind"] == "send"), "box and process")
        fired = [row for row in rows if row["kind"] == "fired"]
        equal([row["text"] for row in fired], ["reset primary>b:7001#1/3"], "the fault")


def test_some():
    """kinds are picked; a subscription to one run ends with it; what is no kind, or no run that goes on, is refused"""
    with Subscriber(text(2, "nonsense")) as one:
        equal(one.refused, (ERROR, INVALID), "a kind that there is none of")
    with Subscriber(number(1, 9999)) as one:
        equal(one.refused, (ERROR, NOT_FOUND), "a run that does not go on")
    with Subscriber(text(2, "connect") + text(2, "mark")) as one:
        run(example("client-server"))
        one.end()
        rows, _, _ = one.events()
        equal({row["kind"] for row in rows}, {"connect", "mark"}, "kinds")


def talkative():
    """A client that says something, waits until it is told, and says something more on the same connection."""
    folder = scratch(0o777)
    up, gate = os.path.join(folder, "up"), os.path.join(folder, "gate")
    os.mkfifo(gate)
    server = os.path.join(folder, "server.py")
    with open(server, "w", encoding="ascii") as f:
        f.write("import socket\nc = socket.create_server(('', 7000)).accept()[0]\nwhile d := c.recv(9):\n    c.sendall(d)\n")
    talk = f"exec 3<>/dev/tcp/s/7000; echo one >&3; read x <&3; : >{up}; read x <{gate}; echo two >&3; read x <&3"
    return experiment("experiment: talk\nboxes: [s, c]\nprocesses:\n"
                      f"  - {{name: s, box: s, run: [{sys.executable}, {server}], ready: {{listen: 7000}}}}\n"
                      f"workload: {{name: w, box: c, run: [bash, -c, '{talk}']}}\ntimeout: 1m\n"), up, gate


def test_late():
    """who subscribes in the middle of a run gets what comes from then on, with labels of connections that were there before"""
    path, up, gate = talkative()
    with controller() as asker:
        asker.ask(1, RUN, run_of(path))
        wait_for("the first answer", lambda: os.path.exists(up))
        number_of = bop("runs", "--store", SERVER.store, "--json").json()["runs"][-1]["run"]
        with Subscriber(number(1, number_of) + text(2, "send")) as one:
            go(gate)
            equal(asker.last(1)[1][3], b"good", "outcome")
            rows, _, end = one.events()
            labels = [row["label"] for row in rows if "s:7000#1" in row["label"]]
            equal(labels[-2:], ["w>s:7000#1/2", "w<s:7000#1/2"], "labels")
            true(end[3] == b"the run has ended", f"its end: {end}")


def test_does_not_read():
    """a subscriber that never reads: the run loses nothing; it misses most of 160,000 events and is told how many, exactly"""
    path = experiment(f"experiment: traffic\nboxes: [s, c]\npath: [{OUT}/examples/client-server]\nprocesses:\n"
                      "  - {name: server, box: s, run: [server, \"7000\"], ready: {listen: 7000}}\n"
                      "workload: {name: client, box: c, run: [client, client, s, \"7000\", \"4\", \"10000\"]}\ntimeout: 1m\n")
    with Subscriber() as slow, Subscriber(text(2, "mark")) as other:
        end = run(path)
        equal((end[3], end.get(10, 0)), (b"good", 0), "outcome and events lost")
        true(end[8] > 100000, f"only {end[8]} events")
        other.end()
        equal(len(other.events()[0]), 3, "marks that another subscriber got")
        slow.end()
        rows, missed, last = slow.events()
        true(last[2] > 0, "it missed nothing")
        equal((len(rows), len(rows) + last[2]), (last[1], end[8]), "sent, and sent and missed together")
        true(sum(missed) <= last[2], "missed in between")


def poke(run_number, running):
    """Makes an event in that run, a fault that is injected and lifted; true once the command shows one."""
    bop("inject", "isolate s for 1ms", "--run", run_number, "--server", SERVER.api, status=None)
    bop("lift", "all", "--run", run_number, "--server", SERVER.api, status=None)
    return " fired " in running.result().out or " armed " in running.result().out


def test_command():
    """bop events follows a run and ends with it, as text and as JSON; Ctrl-C ends it with 130, and bad options with a line"""
    path, up, gate = talkative()
    api = ["--server", SERVER.api]
    all_runs = Running(BOP, "events", *api, "--json", "-k", "send", "-k", "mark")
    runner = Running(BOP, "run", path, f"--server={SERVER.api}")
    wait_for("the first answer", lambda: os.path.exists(up))
    run_number = bop("runs", "--store", SERVER.store, "--json").json()["runs"][-1]["run"]
    wait_for("its event", lambda: "w<s:7000#1/1" in all_runs.result().out)
    one_run = Running(BOP, "events", "--run", run_number, *api)
    wait_for("what it shows", lambda: one_run.process.poll() is not None or poke(run_number, one_run))
    go(gate)
    equal(runner.end().status, 0, "exit status of the run")
    result = one_run.end()
    equal((result.status, result.err), (0, ""), "how it ended")
    true("w>s:7000#1/2, 4 B\n" in result.out, f"what it shows: {result}")
    all_runs.signal(signal.SIGINT)
    result = all_runs.end()
    equal(result.status, 130, "exit status after Ctrl-C")
    sends = [row["label"] for row in result.jsons() if row["kind"] == "send"]
    true({"w>s:7000#1/1", "w<s:7000#1/1", "w>s:7000#1/2", "w<s:7000#1/2"} <= set(sends), f"labels: {sends}")
    one_line(bop("events", *api, "-k", "talk", status=None), "'talk' is no kind of event")
    one_line(bop("events", *api, "--run", "9999", status=None), "run 9999 does not go on here")
    one_line(bop("events", *api, "--run", "x", status=None), "--run x")


with SERVER:
    STATUS = run_tests(test_all, test_some, test_late, test_does_not_read, test_command)
nothing_left(BEFORE)
sys.exit(STATUS)
