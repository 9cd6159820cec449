#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bop history of real runs: classes, curve, estimate, figure; what ends --until-stable; what Repeat and a replay say of determinism; that
runs which lost events are never of a class."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree

from asking import become

NAMES = become()

from harness import (BOP, SOAK, Running, Skip, agent_of, bop, equal, example, experiment, leftovers, nothing_left, one_line,  # noqa: E402
                     run_tests, scratch, show, store, true, wait_for)  # pylint: disable=wrong-import-position
from serving import Embedded, Namespaces, Server, gated, go  # noqa: E402  pylint: disable=wrong-import-position

api, Api = NAMES["api"], NAMES["Server"]
QUORUM = 200
BEFORE = leftovers()
SERVER = Embedded()
COIN = """\
experiment: coin
boxes: [a, b]
workload: {name: w, box: a, run: [sh, -c, "if [ $(($(od -An -N1 -tu1 /dev/urandom) % 2)) = 0 ]; then exec true; else exit 3; fi"]}
check: {run: ['true']}
"""
FLOOD = """
import os, socket, sys
a, b = socket.socketpair()
open(sys.argv[1], "w").close()
open(sys.argv[2]).read()
for i in range(int(sys.argv[3])):
    a.send(b"x")
    b.recv(1)
"""


def history(*experiments, at=None, **options):
    words = [word for name, value in options.items() for word in (["--" + name] if value is True else ["--" + name, value])]
    where = ["--store", at] if at else [f"--server={SERVER.api}"]
    return bop("history", *experiments, "--json", *where, *words).json()["histories"]


def check(found):
    """What must hold of any history."""
    rows = found["classes"]
    equal(found["classes_at"][found["level"] + ("_symmetric" if found["symmetric"] else "")], len(rows), "classes")
    equal(sum(row["runs"] for row in rows), found["runs"], "runs of all classes")
    equal(sum(found["reasons"].values()), found["unclassed"], "reasons")
    for row in rows:
        equal(sum(row["outcomes"].values()), row["runs"], f"outcomes of {row}")
        true(row["first_run"] <= row["last_run"] and row["first"] <= row["last"], f"{row}")
    found_at = [row["found_at"] for row in rows]
    equal(found_at, sorted(set(found_at)), "the curve")
    if rows:
        equal(found_at[0], 1, "the first run that counts")
        estimate = found["estimate"]
        true(len(rows) <= estimate["low"] <= estimate["classes"] <= estimate["high"], f"estimate {estimate}")
        equal(estimate["once"], sum(1 for row in rows if row["runs"] == 1), "classes that came once")
    return rows


def test_quorum():
    """quorum with three clients, 200 runs: 6 classes, 1 up to the roles; the figure, the store and the server say so"""
    out = SERVER.run(example("quorum", "three-clients.yaml"), "--runs", QUORUM, timeout=600).out
    last = out.splitlines()[-1]
    true(re.fullmatch(rf"{QUORUM} runs: 6 classes, 1 up to the roles; 6 new", last), f"the last line: {last}")
    equal(len(re.findall(r"^run \d+ .*  new$", out, re.M)), 6, "lines of runs that are new")
    found = history("quorum-three-clients")[0]
    rows = check(found)
    equal((found["runs"], found["unclassed"], len(rows)), (QUORUM, 0, 6), "runs, and classes")
    equal(found["classes_at"]["exact_symmetric"], 1, "classes up to the roles")
    equal(history("quorum-three-clients", at=SERVER.store)[0], found, "what the store says")
    listed = bop("runs", "--json", "--prints", "--store", SERVER.store).json()["runs"]
    first = {}
    for place, run in enumerate(listed, 1):
        first.setdefault(run["print"]["exact"]["hash"], place)
    equal([row["found_at"] for row in rows], sorted(first.values()), "the curve, counted one by one")
    equal({row["print"]["hash"]: row["found_at"] for row in rows}, first, "which class came when")
    one = check(history("quorum-three-clients", symmetric=True)[0])
    equal([(row["runs"], row["exact_classes"], row["found_at"]) for row in one], [(QUORUM, 6, 1)], "the class up to the roles")
    orders = {row["print"]["hash"]: tuple(v["label"] for v in show(row["kept_run"], SERVER.store)["vertices"]
                                          if v["kind"] == "accept" and v["process"] == "s1") for row in rows}
    equal(len(set(orders.values())), 6, f"accept orders of s1: {orders}")
    text = bop("history", "quorum-three-clients", "--store", SERVER.store).out
    true(text.startswith(f"quorum-three-clients: 6 classes in {QUORUM} runs\n"), text)
    true("exact 6 (1 up to the roles)" in text and "there are 6 classes at least, by Chao1" in text, text)
    true(re.search(r"^  after +1 +2 +5 +10 +20 +50 +100 +200 runs$\n^  classes +1 .* 6$", text, re.M), text)


def test_figure():
    """the figure has a line an experiment, names, end values, the estimate; .png is one; other names, or too many, are refused"""
    SERVER.run(example("client-server"), "--runs", 3)
    folder = scratch()
    svg, png = os.path.join(folder, "figure.svg"), os.path.join(folder, "figure.png")
    bop("history", "quorum-three-clients", "client-server", "--store", SERVER.store, "-o", svg)
    bop("history", "quorum-three-clients", f"--server={SERVER.api}", "--level", "shape", "-o", png)
    root = xml.etree.ElementTree.parse(svg).getroot()
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    for word in ("Distinct runs", "runs", "distinct runs", "quorum-three-clients", "client-server", f"6 classes in {QUORUM} runs",
                 "1 class in 3 runs", "folded 6, shape 1"):
        true(word in words, f"'{word}' is not in {words}")
    true(any(word.startswith("Chao1: at least 6 (95%: 6 to 6") for word in words), f"{words}")
    equal(sum("stroke-linejoin" in path.attrib for path in root.iter(f"{space}path")), 2, "lines")
    with open(png, "rb") as f:
        equal(f.read(8), b"\x89PNG\r\n\x1a\n", "a PNG")
    for name in ("figure.dot", "figure", "figure.svg.gz"):
        one_line(bop("history", "client-server", "--store", SERVER.store, "-o", os.path.join(folder, name), status=None), ".svg or .png")
    one_line(bop("history", *["client-server"] * 9, "--store", SERVER.store, "-o", svg + "9.svg", status=None), "at most 8 lines")
    one_line(bop("history", "client-server", "nobody", "--store", SERVER.store, "-o", os.path.join(folder, "n.svg"), status=None), "nobody")
    one_line(bop("history", "client-server", "--store", SERVER.store, "-o", "/nowhere/n.svg", status=None), "/nowhere/n.svg")
    equal(sorted(os.listdir(folder)), ["figure.png", "figure.svg"], "files")


def test_bad_input():
    """an unknown experiment, an empty store, a level or a number that is none: one line says what there is"""
    at = store()
    one_line(bop("history", "--store", at, status=None), "EXPERIMENT... is missing")
    one_line(bop("history", "quorum", "--store", at, status=None), at)
    true(not os.path.exists(at), "a store was made")
    path, _, _ = gated()
    one_line(bop("run", path, "--until-stable", "0", "--store", at, status=None), "--until-stable 0")
    one_line(bop("run", path, "--until-stable", "many", "--store", at, status=None), "--until-stable many")
    one_line(bop("run", path, "--level", "shape", "--store", at, status=None), "--until-stable")
    one_line(bop("run", path, "--symmetric", "--store", at, status=None), "--until-stable")
    one_line(bop("run", path, "--until-stable", "2", "--level", "fine", "--store", at, status=None), "exact, folded or shape")
    true(not os.path.exists(at), "a store was made")
    one_line(bop("history", "client-server", "--level", "", "--level", "fine", "--store", SERVER.store, status=None), "fine")
    for where in (["--store", SERVER.store], [f"--server={SERVER.api}"]):
        one_line(bop("history", "client-serve", *where, status=None), "'client-serve'", "client-server", "quorum-three-clients")
    one_line(bop("history", "client-server", "--store", SERVER.store, f"--server={SERVER.api}", status=None), "--store")
    with Embedded() as empty:
        one_line(bop("history", "quorum", f"--server={empty.api}", status=None), "the store is empty")


def served(run):
    """What Redis' one thread did, in its order, up to its last answer: connections taken, requests and ends of files read, answers."""
    found = [(v["kind"], v.get("bytes", 0) > 0, v["label"]) for v in run["vertices"]
             if v["process"] == "server" and v["kind"] in ("accept", "recv", "send")]
    return tuple(found[:max(i for i, row in enumerate(found) if row[0] == "send") + 1])


def test_redis():
    """Redis, two clients with a SET and a GET: a class is an order in which its thread served them, one to one; one client: one class"""
    if not shutil.which("redis-server"):
        raise Skip("redis-server is not installed")
    SERVER.run(example("redis", "two-clients-once.yaml"), "--runs", 100 if SOAK else 24)
    SERVER.run(example("redis", "one-client.yaml"), "--runs", 10)
    equal(len(check(history("redis-one-client")[0])), 1, "classes of one client")
    rows = check(history("redis-two-clients-once")[0])
    true(len(rows) >= 3, f"{len(rows)} classes of two clients")
    orders = {served(show(row["kept_run"], SERVER.store)) for row in rows}
    equal(len(orders), len(rows), "orders, and classes")
    listed = bop("runs", "--json", "--store", SERVER.store).json()["runs"]
    ours = [run["run"] for run in listed if run["experiment"] == "redis-two-clients-once"]
    new = {served(show(run, SERVER.store)) for run in ours} - orders
    true(not new, f"{len(new)} orders are of no class, like {next(iter(new), None)}")


def test_until_stable():
    """--until-stable ends when that many runs in a row brought nothing that history has not, at the level that is asked for"""
    at, path = store(), experiment(COIN)
    out = bop("run", path, "--until-stable", "8", "--store", at).out
    found = history("coin", at=at)[0]
    rows = check(found)
    equal(len(rows), 2, "sides of a coin")
    equal(found["runs"], rows[-1]["found_at"] + 8, "runs")
    true(out.endswith("stable: the last 8 runs that count brought nothing new (exact)\n"), out)
    out = bop("run", path, "--until-stable", "3", "--store", at).out
    true(out.splitlines()[-2].startswith("3 runs: ") and out.splitlines()[-2].endswith("; 0 new"), out)
    equal(history("coin", at=at)[0]["runs"], found["runs"] + 3, "what is known is no news")
    out = SERVER.run(path, "--until-stable", "4", "--level", "shape", "--symmetric", "--runs", "50").out
    true(out.endswith("nothing new (shape, up to the roles)\n"), out)
    out = SERVER.run(path, "--until-stable", "40", "--runs", "2").out
    true("\n2 runs: " in out and "not stable: " in out, out)
    # the same with faults is another experiment to that end
    bop("run", path, "--fault", "isolate b", "--until-stable", "8", "--store", at)
    found = history("coin", at=at)[0]
    equal((len(check(found)), found["plans"]), (4, 2), "classes, with and without the fault")
    lines = bop("run", path, "--until-stable", "2", "--json", "--store", at).jsons()
    true(len(lines) >= 2 and all(line["experiment"] == "coin" for line in lines), f"--json has only runs: {lines}")


def flood(at, n):
    """Makes a run that waits for its gate; what it does then is up to n."""
    folder = scratch(0o777)
    up, gate = os.path.join(folder, "up"), os.path.join(folder, "gate")
    os.mkfifo(gate)
    path = experiment("experiment: flood\nboxes: [a]\nworkload: {name: w, box: a, run: [python3, -c, %s, %s, %s, '%d']}\ntimeout: 2m\n"
                      % (json.dumps(FLOOD), up, gate, n))
    running = Running(BOP, "run", path, "--store", at)
    wait_for("the workload", lambda: os.path.exists(up) or running.process.poll() is not None)
    return running, gate


def waiting_python(pid):
    found = subprocess.run(["pgrep", "-P", str(pid), "python3"], capture_output=True, text=True, check=False).stdout.split()
    return int(found[0]) if found else None


def test_losses():
    """a run that lost events, whose agent or bop was killed, or that was interrupted, is of no class: history says so, and the curve stays"""
    at = store()
    running, gate = flood(at, 3)
    go(gate)
    equal(running.end().status, 0, "the whole run")
    whole = check(history("flood", at=at)[0])
    equal(len(whole), 1, "classes")
    # the agent stands still while more happens than its buffer holds
    running, gate = flood(at, 400000)
    agent = agent_of(running.pid)
    workload = waiting_python(agent)
    os.kill(agent, signal.SIGSTOP)
    go(gate)
    wait_for("the end of the flood", lambda: not os.path.exists(f"/proc/{workload}/fd/0") or "Z" in state(workload))
    os.kill(agent, signal.SIGCONT)
    running.end()
    lost = bop("runs", "--json", "--store", at).json()["runs"][-1]
    true(lost["lost"], f"nothing was lost: {lost}")
    running, gate = flood(at, 3)
    os.kill(agent_of(running.pid), signal.SIGKILL)
    running.end()
    running, gate = flood(at, 3)
    running.signal(signal.SIGINT)
    equal(running.end().status, 130, "interrupted")
    running, gate = flood(at, 3)
    running.signal(signal.SIGKILL)
    running.end()
    found = history("flood", at=at)[0]
    equal(check(found), whole, "the classes")
    equal((found["runs"], found["unclassed"]), (1, 4), "runs that count, and do not")
    equal(found["reasons"], {"events were lost": 1, "the record ends before the run did": 2, "the run was interrupted": 1}, "why")
    text = bop("history", "flood", "--store", at).out
    true("1 class in 1 run\n" in text and "4 more runs do not count: " in text and "events were lost (1)" in text, text)
    running, gate = flood(at, 3)
    go(gate)
    running.end()
    found = check(history("flood", at=at)[0])
    equal((len(found), found[0]["runs"], found[0]["last_run"]), (1, 2, 6), "a repeat, afterwards")


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def test_deaf():
    """when none of the runs counts, --until-stable ends and says why"""
    path = experiment("experiment: broken\nboxes: [a]\nprocesses: [{name: s, box: a, run: ['false'], ready: {listen: 1}}]\n"
                      "workload: {name: w, box: a, run: ['true']}\n")
    result = bop("run", path, "--until-stable", "3", "--store", store(), status=None)
    equal(result.status, 3, f"{result}")
    true("the last 10 runs do not count (" in result.err and len(re.findall(r"^run \d+ ", result.out, re.M)) == 10, f"{result}")


DEAF = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
a = socket.create_connection(listening.getsockname())
b = listening.accept()[0]
stranger = socket.socket(socket.AF_UNIX)
stranger.connect(sys.argv[1])
a.send(b"x")
b.recv(1)
socket.send_fds(stranger, [b"x"], [a.fileno()])
stranger.recv(1)
b.recv(1)
"""


def write_for_others(listening):
    """Whoever sends a connection has a byte written into it, by us, whom nobody traces."""
    while True:
        try:
            with listening.accept()[0] as client:
                fd = socket.recv_fds(client, 1, 1)[1][0]
                os.write(fd, b"y")
                os.close(fd)
                client.send(b"x")
        except OSError:
            return


def test_deaf_repeat():
    """when none of the runs counts, Repeat with until_stable ends and says why"""
    path = os.path.join(scratch(0o777), "stranger")
    with Namespaces("a") as spaces, Server() as server, socket.socket(socket.AF_UNIX) as listening:
        server.agent(spaces.box("a"))  # of those there only the run's own processes are traced
        listening.bind(path)
        os.chmod(path, 0o777)
        listening.listen()
        threading.Thread(target=write_for_others, args=(listening,), daemon=True).start()
        first = server.run(experiment("experiment: deaf\nboxes: [a]\nworkload: {name: w, box: a, run: [python3, -c, %s, %s]}\n"
                                      % (json.dumps(DEAF), path)), "--json").json()["run"]
        found = Api(server.api).ask(api.Repeat(run=first, until_stable=3, times=12))
        equal((len(found.runs), found.counted, found.stable, found.deterministic), (10, 0, False, False), "runs")
        equal(found.deaf, "the last 10 runs do not count (bytes passed that no event shows), so nobody can tell when nothing new comes "
              "any more", "why")
        found = Api(server.api).ask(api.Repeat(run=first, times=11))
        equal((len(found.runs), found.deaf), (11, ""), "as often as was asked")
        listening.shutdown(socket.SHUT_RDWR)


def test_removed():
    """what is removed is gone from history, and a class goes with its last run"""
    at, path = store(), experiment(COIN)
    bop("run", path, "--until-stable", "6", "--store", at)
    rows = check(history("coin", at=at)[0])
    runs = bop("runs", "--json", "--prints", "--store", at).json()["runs"]
    gone = [run["run"] for run in runs if run["print"]["exact"]["hash"] == rows[0]["print"]["hash"]]
    bop("rm", *gone[:-1], "--store", at)
    left = check(history("coin", at=at)[0])
    one = next(row for row in left if row["print"] == rows[0]["print"])
    equal((one["runs"], one["first_run"], one["last_run"]), (1, gone[-1], gone[-1]), "one is left of it")
    bop("rm", gone[-1], "--store", at)
    equal([row["print"] for row in check(history("coin", at=at)[0])], [row["print"] for row in rows[1:]], "what is left")


def ask(message):
    return Api(SERVER.api).ask(message)


def refused(kind, message):
    try:
        answer = ask(message)
    except RuntimeError as error:
        equal(error.args[0], kind, f"{error}")
        return error.args[1]
    raise AssertionError(f"answered: {answer}")


def test_repeat():
    """Repeat says of a deterministic run that it is, of another one which classes came; it ends when nothing new comes, or is cancelled"""
    first = bop("run", example("primary-backup"), f"--server={SERVER.api}", "--json").json()["run"]
    found = ask(api.Repeat(run=first, times=4))
    equal((found.of, list(found.runs), found.counted), (first, list(range(first + 1, first + 5)), 4), "runs")
    equal((found.as_before, found.deterministic, len(found.classes), found.stable), (4, True, 1, False), "what came")
    equal((found.classes[0].count, found.classes[0].first_run, list(found.classes[0].plan)), (4, first + 1, []), "its class")
    coin = SERVER.run(experiment(COIN), "--json").json()["run"]
    found = ask(api.Repeat(run=coin, until_stable=8))
    equal((found.deterministic, found.stable, len(found.classes), found.classes[1].found_at + 8),
          (False, True, 2, len(found.runs)), "sides of a coin")
    equal(sum(row.count for row in found.classes), found.counted, "counts")
    same = next(row for row in found.classes if row.print == ask(api.GetRun(run=coin)).row.exact)
    equal(found.as_before, same.count, "as before")
    found = ask(api.Repeat(run=coin, until_stable=2, level="shape", symmetric=True, times=3))
    true(found.stable or len(found.runs) == 3, f"{found}")
    true("level 'x'" in refused("INVALID", api.Repeat(run=coin, level="x")), "the level")
    true("10000 times" in refused("INVALID", api.Repeat(run=coin, times=10001)), "the times")
    refused("NOT_FOUND", api.Repeat(run=4711))
    path, up, gate = gated()
    controller = Api(SERVER.api)
    with open(path, "rb") as f:
        going = controller.send(api.Run(name="gated", path=path, text=f.read()))
    wait_for("the workload", lambda: os.path.exists(up))
    run = controller.next(going).run
    true("goes on" in refused("BUSY", api.Repeat(run=run)), "of a run that goes on")
    go(gate)
    while isinstance(controller.next(going), api.Progress):
        pass
    os.unlink(up)
    repeating = controller.send(api.Repeat(run=run))
    wait_for("the workload", lambda: os.path.exists(up))
    controller.send(api.Cancel(request=repeating))
    try:
        while isinstance(controller.next(repeating), api.Progress):
            pass
        raise AssertionError("a cancelled one was answered")
    except RuntimeError as error:
        equal((error.args[0], "stopped after 1 of 10 runs" in error.args[1]), ("FAILED", True), f"{error}")
    ask(api.Repeat(run=first, times=1))  # the agent is free again


def test_pages():
    """GetHistory and ListHypotheses come in pages, which together are the whole"""
    whole = ask(api.GetHistory(experiment="quorum-three-clients"))
    rows, more = [], True
    while more:
        page = ask(api.GetHistory(experiment="quorum-three-clients", after=len(rows), limit=4))
        true(len(page.rows) <= 4 and page.classes == 6 and page.estimate == whole.estimate, f"{page}")
        rows, more = rows + list(page.rows), page.more
    equal(rows, list(whole.rows), "rows")
    equal(len(ask(api.GetHistory(experiment="quorum-three-clients", after=1 << 62)).rows), 0, "behind the end")
    for line in ("isolate b", "crash box b"):
        SERVER.run(experiment(COIN), "--fault", line, "--dry-run", status=None)
        SERVER.run(experiment(COIN), "--fault", line, status=None)
    tried = ask(api.ListHypotheses(experiment="coin")).rows
    equal([(list(row.plan), row.dry_run, row.runs) for row in tried[1:]],
          [(["isolate b"], True, 1), (["isolate b"], False, 1), (["crash box b"], True, 1), (["crash box b"], False, 1)], "plans")
    found = []
    while len(found) < len(tried):
        page = ask(api.ListHypotheses(experiment="coin", after=len(found), limit=2))
        true(1 <= len(page.rows) <= 2 and page.more == (len(found) + len(page.rows) < len(tried)), f"{page}")
        found += page.rows
    equal(found, list(tried), "plans, page by page")
    for row in tried:
        equal(sum(outcome.count for outcome in row.outcomes), row.runs, f"outcomes of {row}")
    refused("NOT_FOUND", api.GetHistory(experiment="nobody"))
    refused("NOT_FOUND", api.ListHypotheses(experiment="nobody"))
    refused("INVALID", api.GetHistory(experiment="coin", level="x"))
    text = bop("history", "coin", "--store", SERVER.store).out
    true("\n  with (a dry run)\n    isolate b\n" in text and "\n  with\n    crash box b\n" in text and "\n  without faults\n" in text, text)


def test_replay():
    """several replays say how many classes came, and of a deterministic run that it is one, as far as they show"""
    SERVER.run(example("client-server"))
    run = bop("runs", "--json", "--store", SERVER.store).json()["runs"][-1]["run"]
    lines = bop("replay", "last", "--runs", 3, f"--server={SERVER.api}").out.splitlines()
    equal(lines[-2:], ["3 runs: 1 class; 0 new", f"all did what run {run} did: deterministic, as far as 3 runs show"], "the last lines")
    coin = SERVER.run(experiment(COIN), "--json").json()["run"]
    lines = bop("replay", coin, "--until-stable", 8, f"--server={SERVER.api}").out.splitlines()
    true(re.fullmatch(rf"\d+ of them did what run {coin} did: not deterministic", lines[-2]), f"{lines[-3:]}")
    true(lines[-1].startswith("stable: the last 8 runs"), f"{lines[-3:]}")


def test_explain():
    """--explain says of each class what differs from one that was found before it, at the store and at the server"""
    found = history("quorum-three-clients", at=SERVER.store, explain=True)[0]["classes"]
    equal(found[0]["explained"], None, "the first class")
    place_of = {row["kept_run"]: place for place, row in enumerate(found)}
    for place, row in enumerate(found[1:], 1):
        other = re.match(rf"run {row['kept_run']}, compared with run (\d+): ", row["explained"])
        true(other and place_of[int(other[1])] < place, f"{row['explained']}")
        true(re.search(r"^  \* s[123]: .* (before|after) ", row["explained"], re.M), row["explained"])
    equal(history("quorum-three-clients", explain=True)[0]["classes"], found, "what the server says")
    text = bop("history", "quorum-three-clients", "--explain", f"--server={SERVER.api}").out
    for row in found[1:]:
        for line in row["explained"].splitlines():
            true(f"        {line}\n" in text, f"'{line}' is not in {text}")
    equal(history("client-server", at=SERVER.store, explain=True)[0]["classes"][0]["explained"], None, "the only class")


def test_etcd():
    """three etcd: the last 10 of 30 runs bring one new shape at most"""
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        raise Skip("etcd-server or etcd-client is not installed")
    at = store()
    bop("run", example("etcd"), "--runs", 30, "--store", at, timeout=1200, status=None)
    found = history("etcd", at=at, level="shape")[0]
    rows = check(found)
    true(found["runs"] >= 28, f"{found['runs']} runs count: {found['reasons']}")
    true(sum(1 for row in rows if row["found_at"] > found["runs"] - 10) <= 1, f"shapes came at {[row['found_at'] for row in rows]}")


def all_of_it(*tests):
    with SERVER:
        status = run_tests(*tests)
    nothing_left(BEFORE)
    return status


sys.exit(all_of_it(test_quorum, test_figure, test_bad_input, test_redis, test_until_stable, test_losses, test_deaf, test_deaf_repeat, test_removed, test_repeat,
                   test_pages, test_replay, test_explain, *([test_etcd] if SOAK else [])))
