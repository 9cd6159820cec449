#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API says of real runs: their messages and supports, pictures in pages, how much may be asked at once; and bop's own commands say the
same through a server."""
import json
import os
import signal
import sqlite3
import sys

from asking import become

NAMES = become()

from controller import RENDER, RENDERED, Controller, number, text  # noqa: E402
from harness import (BOP, Running, bop, equal, example, experiment, kill_quietly, one_line,  # noqa: E402
                     run_tests, scratch, true, wait_for)
from serving import Server  # noqa: E402
import strangers  # noqa: E402

api, Client = NAMES["api"], NAMES["Server"]
SHARED = {}


def server():
    """One for all tests, with an agent, and runs 1 (the quorum), 2 and 3 (with a crash; with a cut), 4 (primary and backup, violated)."""
    if not SHARED:
        SHARED["server"] = it = Server().start()
        it.agent()
        quorum = example("quorum")
        it.run(quorum)
        it.run(quorum, "--fault", "crash s1 at recv client>s1:7000#1/1")
        it.run(quorum, "--fault", "cut client>s2:7000#1/2")
        it.run(example("primary-backup"), "--fault", "crash primary at send primary>b:7001#1/3", status=1)
    return SHARED["server"]


def client():
    return Client(server().api)


def refused(kind, *words):
    """Checks what comes of the with-block's request."""
    class Refused:
        def __enter__(self):
            return self

        def __exit__(self, _, error, __):
            true(isinstance(error, RuntimeError), f"wanted {kind}, got {error!r}")
            equal(error.args[0], kind, f"kind of {error.args[1]!r}")
            for word in words:
                true(word in error.args[1], f"'{word}' is not in: {error.args[1]}")
            return True
    return Refused()


def whole(asking, **fields):
    page = asking.ask(api.Render(**fields))
    data = page.data
    while len(data) < page.total:
        page = asking.ask(api.Render(**{**fields, "run": page.run, "offset": len(data)}))
        true(page.data, "a page is empty")
        data += page.data
    return data


def test_messages():
    """the messages of a run are those of its JSON, page by page, and vertices are numbered alike"""
    asking = client()
    run = json.loads(whole(asking, run=3, format="json"))
    rows, more = [], True
    while more:
        page = asking.ask(api.GetMessages(run=3, limit=4, after=len(rows)))
        rows += page.rows
        more = page.more
    true(len(rows) >= 8, f"messages: {len(rows)}")
    for row, m in zip(rows, run["messages"], strict=True):
        equal((row.label, row.connection, row.number, row.bytes, row.received, row.delivered, row.racy, row.send_vertex),
              (m["label"], m["connection"], m["number"], m["bytes"], m["received"], m["delivered"], m["racy"], m["send"]),
              f"message {m['label']}")
        equal(row.lost_by or None, m["lost_by"], f"fault that lost {m['label']}")
        equal(m["recv"] in row.recv_vertices or m["recv"] is None, True, f"receive of {m['label']}")
        sender = run["vertices"][m["send"]]
        equal((getattr(row, "from"), row.from_box), (sender["process"], sender["box"]), f"sender of {m['label']}")
        true(row.time >= 1 and row.named and row.transport == "tcp", f"{row}")
    true(any(row.lost_by for row in rows), "no message was lost by a fault")
    by_pair = {}
    for row in rows:
        times = by_pair.setdefault((getattr(row, "from"), row.to or row.connection), [])
        true(row.time not in times, f"two messages at one time: {row}")
        times.append(row.time)


def test_supports():
    """the client's end stands on the answers of a majority; after faults on those of the others; a crash takes a message of the support away"""
    asking = client()
    goal, = asking.ask(api.GetSupports(run=1)).goals
    equal((goal.name, goal.moment), ("client exit", "exit client"))
    answers = {m.label for m in goal.messages if m.to == "client"}
    true(len({label[:9] for label in answers}) >= 2, f"answers that it stands on: {answers}")
    past = asking.ask(api.GetPast(run=1, moment="exit client"))
    equal([m.label for m in past.messages], [m.label for m in goal.messages], "the past of its end")
    true({"client", "s1", "s2", "s3"} >= set(past.processes) > {"client"}, f"processes of it: {past.processes}")
    equal({(c.process, c.moment) for c in goal.crashes},
          {(getattr(m, "from"), f"send {m.label}") for m in goal.messages if getattr(m, "from") != "client"}, "crashes")
    after, = asking.ask(api.GetSupports(run=2)).goals
    true(not any(m.label == "client<s1:7000#1/1" for m in after.messages), "it stands on what a crash took away")
    fired = 0
    for crash in goal.crashes:
        end = asking.ask(api.Run(name="x.yaml", path=asking.ask(api.GetRun(run=1)).path, text=asking.ask(api.GetRun(run=1)).text,
                                 faults=[api.FaultLine(line=f"crash {crash.process} at {crash.moment}")]))
        fault = asking.ask(api.GetRun(run=end.run)).faults[0]
        equal(end.outcome, "good", f"with {fault.line}")
        fired += fault.state == "fired"  # the client may be content before it comes to that
        found, = asking.ask(api.GetSupports(run=end.run)).goals
        true(crash.moment[5:] not in {m.label for m in found.messages}, f"{crash.moment} is still in the support")
    true(fired, "no crash of the support fired")


def goals_file(*lines):
    text = "; ".join(f"echo '{line}'" for line in lines)
    with open(example("primary-backup"), encoding="utf-8") as f:
        return experiment(f.read().replace("check: {run: [./check, \"4\"]}", f"check: {{run: [sh, -c, \"{text}\"]}}"))


def test_goals():
    """goals that a check names are the run's goals; one that names nothing of the run is refused, and the run is there all the same"""
    asking = client()
    server().run(goals_file("goal b has it: recv primary>b:7001#1/1", "all is well", "goal b has it: recv primary>b:7001#1/2"))
    goals = asking.ask(api.GetSupports()).goals
    equal([(goal.name, {m.label for m in goal.messages}) for goal in goals[:1]],
          [("b has it", {"primary>b:7001#1/1", "writer>p:7000#1/1"})])
    equal((goals[1].name, len(goals[1].messages)), ("b has it", 6))
    server().run(goals_file("goal b9 has it: recv primary>b9:7001#1/1"))
    with refused("INVALID", "goal 'b9 has it'", "primary>b9:7001#1/1"):
        asking.ask(api.GetSupports())
    equal(asking.ask(api.GetRun()).row.outcome, "good")


def test_exports():
    """a run for Molly has its crashes and omissions, the table for SQL its messages, both at their logical times; bop graph writes the same"""
    asking = client()
    crashed, cut = (json.loads(whole(asking, run=run, format="molly"))[0] for run in (4, 3))
    taken, = (m for m in asking.ask(api.GetMessages(run=4)).rows if m.label == "primary>b:7001#1/3")
    equal((crashed["status"], crashed["failureSpec"]["crashes"], crashed["failureSpec"]["omissions"]),
          ("failure", [{"node": "primary", "time": taken.time}], []))
    rows = asking.ask(api.GetMessages(run=3)).rows
    lost = [{"from": getattr(m, "from"), "to": m.to, "time": m.time} for m in rows if m.lost_by]
    equal((cut["failureSpec"]["omissions"], cut["failureSpec"]["crashes"]), (lost, []))
    equal(cut["failureSpec"]["eff"], max(m["time"] for m in lost) + 1)
    equal([(m["table"], m["sendTime"]) for m in cut["messages"]], [(m.label, m.time) for m in rows])
    equal(cut["status"], "success")
    with sqlite3.connect(":memory:") as base:
        for run in (1, 3):
            base.executescript(whole(asking, run=run, format="sql").decode())
        got = base.execute("SELECT message, sender, receiver, sent_logical_time, recv_logical_time, dropped FROM network_trace "
                           "WHERE run_id = 3").fetchall()
    equal(got, [(m.label, getattr(m, "from"), m.to or "?", m.time, m.received_time or None, int(m.lost_by != 0)) for m in rows])
    for end in ("molly", "sql", "shiviz"):
        path = os.path.join(scratch(), f"x.{end}")
        bop("graph", "3", "--store", server().store, "-o", path)
        with open(path, "rb") as f:
            equal(f.read(), whole(asking, run=3, format=end), end)


def test_errors():
    """what is not there, or makes no sense, is refused with its kind and a word for a person"""
    asking = client()
    for message in (api.GetRun, api.GetMessages, api.GetPast, api.GetSupports, api.RemoveRun):
        with refused("NOT_FOUND", "no run 999"):
            asking.ask(message(run=999))
    with refused("NOT_FOUND", "no run 999"):
        asking.ask(api.Render(run=999, format="svg"))
    with refused("INVALID", "format ''"):
        asking.ask(api.Render(run=1))
    with refused("INVALID", "order 'up'"):
        asking.ask(api.GetMessages(run=1, order="up"))
    with refused("INVALID", "is no moment"):
        asking.ask(api.GetPast(run=1, moment="then"))
    with refused("NOT_FOUND", "exit s4", "did you mean"):
        asking.ask(api.GetPast(run=1, moment="exit s4"))
    with refused("NOT_FOUND", "no goal"):
        asking.ask(api.GetSupports(run=1, goal="peace"))
    with refused("INVALID", "0 is none"):
        asking.ask(api.RemoveRun())
    with refused("INVALID", "e.yaml:1"):
        asking.ask(api.DescribeExperiment(name="e.yaml", path="/e.yaml", text=b"boxes: 7\n"))


def test_damaged():
    """whatever is asked of a run that is damaged in the store fails for that reason: nobody is told that the request makes no sense"""
    with Server() as it:
        it.agent()
        it.run(example("client-server"))
        with sqlite3.connect(it.store) as base:
            base.execute("UPDATE batch SET bytes = x'00'")
        asking = Client(it.api)
        for message in (api.WaitRun(run=1), api.GetRun(run=1), api.GetMessages(run=1), api.Render(run=1, format="output")):
            with refused("FAILED", "is damaged"):
                asking.ask(message)


def test_not_whole():
    """a run whose agent was killed has no supports; all else is told of it"""
    path = experiment("experiment: cut\nboxes: [a]\nworkload: {name: w, box: a, run: [sleep, \"60\"]}\n")
    with Server() as it:
        agent = it.agent()
        asking = Client(it.api)
        with open(path, "rb") as f:
            ident = asking.send(api.Run(name="e", path=path, text=f.read()))
        run = asking.next(ident).run
        with refused("INCOMPLETE", "goes on"):
            asking.ask(api.GetSupports(run=run))
        equal(asking.ask(api.GetRun(run=run)).row.running, True)
        with refused("BUSY", "still being recorded"):
            asking.ask(api.RemoveRun(run=run))
        kill_quietly(agent.pid, signal.SIGKILL)
        while isinstance(end := asking.next(ident), api.Progress):
            pass
        equal((end.outcome, end.incomplete), ("error", True))
        with refused("INCOMPLETE", f"run {run}"):
            asking.ask(api.GetSupports(run=run))
        info = asking.ask(api.GetRun(run=run))
        true(info.row.incomplete and info.row.lost == 2 ** 64 - 1, f"{info.row}")
        equal(asking.ask(api.GetCapabilities()).agents, 0)
        true(not any(fault.here for fault in asking.ask(api.GetCapabilities()).faults), "faults work without an agent")


def test_capabilities():
    """an agent without faults says why there are none; with one that has them, not all agents can"""
    with Server() as it:
        it.agent(argv=["--no-faults"])
        asking = Client(it.api)
        able = {fault.name: fault for fault in asking.ask(api.GetCapabilities()).faults}
        equal((able["cut"].here, able["crash"].here, able["fail"].here), (False, False, True))
        true("--no-faults" in able["cut"].why_not, able["cut"].why_not)
    able = {fault.name: fault for fault in client().ask(api.GetCapabilities()).faults}
    equal((able["cut"].here, able["cut"].why_not), (True, ""))
    probe = json.loads(Running(BOP[:-3] + "tfj", "probe", "--json").end().out)
    for capability in probe["capabilities"]:
        if capability["name"].startswith("fault "):
            equal(able[capability["name"][6:]].here, capability["works"], capability["name"])


def test_at_once():
    """of 1,000 requests at once 64 wait and are answered, the others are busy; another controller is answered meanwhile"""
    asking, other = client(), client()
    sent, got, answers = [], {"run_info": 0, "BUSY": 0}, set()

    def take(wait):
        while len(answers) < len(sent) and (wait or asking.socket.poll(0)):
            answer = api.Answer.FromString(asking.socket.recv())
            what = answer.WhichOneof("what")
            got[api.ErrorKind.Name(answer.error.kind) if what == "error" else what] += 1
            answers.add(answer.id)

    for _ in range(1000):  # who does not read has requests dropped: docs/api.md
        sent.append(asking.send(api.GetRun(run=1)))
        take(False)
    equal(other.ask(api.GetRun(run=1)).row.run, 1)
    take(True)
    equal(answers, set(sent))
    true(got["run_info"] >= 64, f"answers: {got}")


def test_reads_late():
    """64 pages that are asked for at once by who reads none of them for long are all answered, in order: the server makes them as they are taken"""
    size = client().ask(api.Render(run=1, format="png")).total
    true(64 * min(size, 1 << 20) > 4 << 20, f"a page has {size} bytes: all of them could wait at once")
    other = client()
    with Controller(f"{server().folder}/api") as late:
        late.socket.sendall(b"".join(strangers.message(number(1, 1) + number(2, ident) + text(RENDER, number(1, 1) + text(2, "png")))
                                     for ident in range(1, 65)))
        for _ in range(200):  # the two take turns: by then all that can be made for who does not read has been
            other.ask(api.GetRun(run=1))
        got = [late.raw()[:2] for _ in range(64)]
    equal(got, [(ident, RENDERED) for ident in range(1, 65)], "answers")


def test_turns():
    """two controllers that ask for much take turns with one that asks for little: it does not wait until they are served"""
    heavy, light = (client(), client()), client()
    for asking in heavy:
        for i in range(60):
            asking.send(api.Render(run=1 + i % 4, format="png", all=i % 8 > 3))
        asking.next(1)  # its turn has come
    equal(light.ask(api.GetRun(run=1)).row.run, 1)
    left = []
    for asking in heavy:
        n = 1
        while asking.socket.poll(0):
            asking.socket.recv()
            n += 1
        left.append(60 - n)
    true(min(left) > 10, f"what the others still waited for: {left}")


def test_cancel():
    """a request that waits is taken back by Cancel, and answered so"""
    asking = client()
    sent = [asking.send(api.Render(run=1, format="png", all=i % 2 == 1)) for i in range(30)]
    asking.send(api.Cancel(request=sent[-1]))
    with refused("FAILED", "cancelled"):
        asking.next(sent[-1])
    asking = client()
    asking.send(api.Cancel(request=77))
    with refused("NOT_FOUND"):
        asking.next(asking.last)


def test_dots():
    """pictures that Graphviz's library writes are the same, byte for byte, whoever asks, also when several ask at once"""
    wanted, folder = {}, scratch()
    for run in (1, 3, 4):
        path = os.path.join(folder, f"{run}.dot")
        bop("graph", run, "--store", server().store, "-o", path)
        with open(path, "rb") as f:
            wanted[run] = f.read()
    both = client(), client()
    for order in (["", "process"], ["process", ""], ["", "process"]):  # another order is another rendering
        sent = [[asking.send(api.Render(run=run, format="dot", order=word, all=False)) for run in wanted for word in order] for asking in both]
        for asking, idents in zip(both, sent):
            got = [asking.next(ident) for ident in idents]
            equal([page.data == wanted[page.run] for page in got], [True] * 6, "pages that are as the store's")


def test_leaving():
    """controllers that leave with questions open take nothing from the others"""
    for _ in range(5):
        leaving = client()
        for _ in range(60):
            leaving.send(api.Render(run=1, format="svg"))
        leaving.socket.close()
    equal(client().ask(api.GetRun(run=1)).row.run, 1)


def test_commands():
    """bop runs, show and graph print the same through a server as from its store; rm removes"""
    it = server()
    for words in (["runs"], ["runs", "--json"], ["runs", "--prints"], ["show", "1"], ["show", "2", "--all"], ["show", "3", "--json"],
                  ["show", "4", "--output"], ["show", "1", "--json", "--order", "thread"], ["graph", "3"], ["graph", "4", "--all"]):
        equal(bop(*words, f"--server={it.api}").out, bop(*words, "--store", it.store).out, f"bop {' '.join(words)}")
    folder = scratch()
    for end in ("svg", "png", "dot", "json"):
        paths = [os.path.join(folder, f"{name}.{end}") for name in "ab"]
        bop("graph", "last", f"--server={it.api}", "-o", paths[0])
        bop("graph", "last", "--store", it.store, "-o", paths[1])
        contents = []
        for path in paths:
            with open(path, "rb") as f:
                contents.append(f.read())
        true(contents[0] and contents[0] == contents[1], f"the pictures as {end} differ")
    equal(len(os.listdir(folder)), 8, "files of graph")
    it.run(example("quorum"))
    last = max(row["run"] for row in json.loads(bop("runs", "--json", f"--server={it.api}").out)["runs"])
    bop("rm", f"--server={it.api}", "last")
    one_line(bop("show", f"--server={it.api}", last, status=None), f"no run {last}")
    one_line(bop("rm", f"--server={it.api}", last, status=None), f"no run {last}")
    one_line(bop("rm", f"--server={it.api}", "x", status=None), "'x' is no run")
    one_line(bop("runs", f"--server={it.api}", "--store", "x.db", status=None), "--store", "--server")
    one_line(bop("graph", "1", f"--server={it.api}", "-o", "/nowhere/x.svg", status=None), "/nowhere/x.svg")
    with Server() as empty:
        one_line(bop("show", "last", f"--server={empty.api}", status=None), "no run yet")
        equal(bop("runs", f"--server={empty.api}", "--json").json(), {"runs": []})


def test_end():
    """the server ends, though controllers wait for answers"""
    it = SHARED.pop("server")
    asking = Client(it.api)
    for _ in range(60):
        asking.send(api.Render(run=1, format="png"))
    it.running.signal(signal.SIGTERM)
    wait_for("the server's end", lambda: it.running.process.poll() is not None)
    equal(it.running.end().status, 0)
    it.__exit__()


sys.exit(run_tests(test_messages, test_supports, test_goals, test_exports, test_errors, test_damaged, test_not_whole, test_capabilities,
                   test_at_once, test_reads_late, test_turns, test_cancel, test_dots, test_leaving, test_commands, test_end))
