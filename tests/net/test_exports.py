#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs for other programs: Perfetto traces and OpenTelemetry spans, each read by its format's own definition, and a collector that takes them,
does not, or is not there."""
import base64
import ctypes
import os
import signal
import sys

from harness import BOP, Running, bop, command, equal, example, one_line, run_tests, scratch, show, store, true, wait_for
from otlp import CLIENT, CONSUMER, ERROR, INTERNAL, PRODUCER, SERVER, Collector, Spans
from perfetto import BOOTTIME, MONOTONIC, REALTIME, Trace

STORE = store()
CUT = "cut client>s1:7000#1/1"
SHARED = {}


def runs():
    """1: as it is; 2: with a cut; 3: the client is killed. Then the rest of this program is alone in its network."""
    if "runs" in SHARED:
        return
    path = example("quorum")
    for faults in ((), ("--fault", CUT), ("--fault", "crash client at send client>s1:7000#1/2")):
        bop("run", path, "--store", STORE, *faults, status=None)
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) < 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
    command("ip", "link", "set", "lo", "up")
    os.environ["no_proxy"] = "*"
    SHARED["runs"] = True


def collector():
    runs()
    if "collector" not in SHARED:
        SHARED["collector"] = Collector()
    return SHARED["collector"]


def exported(run, end):
    runs()
    path = os.path.join(scratch(), f"x.{end}")
    equal(bop("export", run, "--store", STORE, "-o", path, "--json").json(), {"file": path, "runs": [{"run": run}]})
    with open(path, "rb") as f:
        return f.read()


def edges(run):
    """(rule, from, to) of what is no teardown."""
    whole = show(run, STORE)
    rows = {v["id"]: v for v in whole["vertices"]}
    return [e for e in whole["edges"] if not (rows[e["from"]]["teardown"] or rows[e["to"]]["teardown"])]


def test_perfetto():
    """a trace holds every message as an arrow from its send to its receive, on the tracks of their threads"""
    trace = Trace(exported(1, "perfetto-trace"))
    equal(len(trace.begins), sum(e["rule"] not in ("thread", "process") for e in edges(1)), "arrows")
    names = {track["name"] for track in trace.tracks.values()}
    true({"quorum, run 1: good", "box s1", "box c", "s1", "client (box c)", "client"} <= names, names)
    send, = trace.named("send client>s1:7000#1/1")
    equal((trace.track_name(send), send["categories"], send["args"]["label"]), ("client", ["message"], "client>s1:7000#1/1"))
    ends = {trace.track_name(trace.ends[flow][1]) for flow in send["flow_ids"]}
    equal(ends, {"s1"}, "where its arrow goes")
    message = next(m for m in show(1, STORE)["messages"] if m["label"] == "client>s1:7000#1/1")
    equal((send["args"]["size"], send["args"]["received"]), (message["bytes"], message["received"]))
    run, = [e for e in trace.slices if e["name"] == "quorum, run 1: good"]
    equal((run["args"]["run"], run["args"]["outcome"], run["args"]["lost"]), (1, "good", 0))
    true(all(run["time"] <= e["time"] <= run["end"] for e in trace.slices + trace.instants), "all is inside the run")


def test_perfetto_clocks():
    """its clocks are those of the run: the first event is when the run says it was"""
    trace = Trace(exported(1, "perfetto-trace"))
    equal(trace.clocks[MONOTONIC], trace.clocks[BOOTTIME])
    first = min(e["time"] for e in trace.slices + trace.instants)
    whole = show(1, STORE)
    at = (first - trace.clocks[BOOTTIME] + trace.clocks[REALTIME]) / 1e9
    true(abs(at - whole["started"] - min(v["time"] for v in whole["vertices"]) / 1e9) < 1e-3, "a millisecond at most")


def test_perfetto_faults():
    """a fault has a track, a slice as long as it acts, and arrows to what it hit; what it took away says so"""
    trace = Trace(exported(2, "perfetto-trace"))
    fault, = [e for e in trace.slices if trace.track_name(e) == f"fault 1: {CUT}"]
    equal((fault["name"], fault["categories"]), (CUT, ["fault"]))
    fired, = trace.named("fired ")
    true(fired.get("flow_ids") and fired.get("terminating_flow_ids"), "armed, fired, hit")
    equal(fired["time"], fault["time"])
    lost = [e for e in trace.named("send ") if e["args"].get("lost_by")]
    equal({e["args"]["lost_by"] for e in lost}, {CUT})
    true(all(e["args"]["undelivered"] for e in lost), "nobody got them")
    killed = Trace(exported(3, "perfetto-trace"))
    true([e for e in killed.named("exit client") if e["args"]["status"] == 9], "the client that was killed")


def test_otlp():
    """spans: the run, its processes, both sides of a connection, each message and its receipt; causes as parents and links"""
    spans = Spans(exported(1, "otlp.json").decode().splitlines())
    root, = spans.roots()
    equal((root["name"], root["resource"]["service.name"], root["args"]["bop.outcome"], root["args"]["bop.run"]), ("run 1", "bop", "good", 1))
    equal([e["name"] for e in root["events"]], ["mark"] * 3, "phases of the run")
    client, = spans.of(CLIENT, "client>s1:7000#1")
    server, = spans.of(SERVER, "client>s1:7000#1")
    equal((client["resource"]["service.name"], client["resource"]["host.name"]), ("client", "c"))
    equal((server["resource"]["service.name"], spans.parent(server)), ("s1", client))
    equal((client["args"]["network.transport"], client["args"]["network.peer.port"]), ("tcp", 7000))
    equal(spans.parent(client)["name"], "client")
    asked, = spans.of(PRODUCER, "client>s1:7000#1/1")
    taken, = spans.of(CONSUMER, "client>s1:7000#1/1")
    equal((spans.parent(taken), spans.parent(asked), taken["resource"]["service.name"]), (asked, client, "s1"))
    answer, = spans.of(PRODUCER, "client<s1:7000#1/1")
    true(taken["spanId"] in [link["spanId"] for link in answer["links"]], "what it is an answer to")
    equal(spans.parent(answer), server)
    equal(sorted(s["name"] for s in spans.of(PRODUCER)), sorted(m["label"] for m in show(1, STORE)["messages"]))
    true(all(s["begin"] >= spans.parent(s)["begin"] for s in spans.by_id.values() if s is not root), "nothing before what it is part of")
    process, = [s for s in spans.of(INTERNAL, "client")]
    equal((process["args"]["process.exit.code"], "status" in process), (0, False))


def test_otlp_faults():
    """what a fault took away is an error that names it; so is the end of who was killed; the same run has the same ids"""
    text = exported(2, "otlp.json").decode()
    spans = Spans(text.splitlines())
    lost = [s for s in spans.of(PRODUCER) if s["args"].get("bop.lost_by") == CUT]
    true(lost and all(s["status"] == {"code": ERROR, "message": f"lost by fault 1: {CUT}"} for s in lost), lost)
    fired = [e for s in spans.by_id.values() for e in s.get("events", ()) if e["name"] == "fired"]
    equal(len(fired), 1)
    equal(spans.roots()[0]["args"]["bop.plan"], CUT + "\n")
    killed = Spans(exported(3, "otlp.json").decode().splitlines())
    process, = killed.of(INTERNAL, "client")
    equal((process["status"]["message"], process["args"]["bop.signal"]), ("SIGKILL", "SIGKILL"))
    equal(exported(2, "otlp.json").decode(), text)
    true(killed.roots()[0]["traceId"] != spans.roots()[0]["traceId"], "two runs")


def send(*argv, **kwargs):
    return bop("export", "1", "--store", STORE, "--otlp", collector().url, *argv, **kwargs)


def test_collector():
    """a collector gets what the file has, in requests that it takes"""
    collector().play()
    done = send()
    equal(collector().refused, [])
    equal(collector().lines, exported(1, "otlp.json").decode().splitlines(keepends=True))
    count = len(Spans(collector().lines).by_id)
    equal(done.out, f"run 1: {count} spans sent to {collector().url}\n")
    collector().play()
    equal(send("--json").json(), {"run": 1, "url": collector().url, "spans": count, "rejected": 0, "message": None})


def test_retried():
    """429, 502, 503, 504 and a connection that breaks are tried again, after as long as the collector asks for"""
    for step in ((503, {}, b"busy"), (429, {"Retry-After": "1"}, b"{}"), (502, {}, b""), (504, {}, b""), "close"):
        collector().play(step)
        send()
        equal(collector().lines, exported(1, "otlp.json").decode().splitlines(keepends=True), f"after {step}")
        times = collector().times
        true(times[1] - times[0] >= (1.0 if "429" in str(step) else 0.2), f"it was waited: {times}")


def refused(*words, script, status=3, argv=()):
    collector().play(*script)
    done = send(*argv, status=status)
    for word in words:
        one_line(done, word)
    return done


def test_refused():
    """what may not be tried again is not; what the collector says is shown, in one printable line"""
    refused("answered 400", "no such tenant", script=[(400, {}, b'{"message":"no such tenant\\u001b[1m\\n"}')])
    equal(collector().requests, 1)
    refused("answered 404", "/v1/traces", script=[(404, {}, b"<html>\nnot found</html>")])
    refused("answered 301", script=[(301, {"Location": "http://127.0.0.1:1/"}, b"")])
    refused("answered 500", script=[(500, {}, b"\xff\x00" * 5000)])
    equal(collector().requests, 1)
    refused("answered 200", "is that one", script=[(200, {}, b"<html>hello</html>")])
    refused("more than", "is that a collector", script=[(200, {}, b" " * ((1 << 20) + 2))])
    done = refused("answered 400", "it had taken", script=[(200, {}, b"{}"), (400, {}, b"{}")])
    true("spans before" in done.err, done)


def test_gives_up():
    """a collector that is never free, asks for too long a wait, hangs, or is not there, is given up with a word"""
    refused("answered 503", script=[(503, {}, b"busy")] * 9)
    equal(collector().requests, 4)
    refused("answered 429", script=[(429, {"Retry-After": "86400"}, b"")])
    equal(collector().requests, 1)
    refused("Timeout", script=["hang"] * 9, argv=["--timeout", "1"])
    equal(collector().requests, 4)
    collector().released.set()
    one_line(bop("export", "1", "--store", STORE, "--otlp", "http://127.0.0.1:1/v1/traces", status=3), "http://127.0.0.1:1/v1/traces")


def test_secret_url():
    """a password or a key in the URL goes to the collector, and is shown nowhere: not in what is said, nor in the list of processes"""
    url = collector().url.replace("http://", "http://me:pa55%40w0rd@") + "?key=topsecret"
    shown = collector().url.replace("http://", "http://***@") + "?***"
    said = []

    def export(otlp, *argv, status=None):
        said.append(bop("export", "1", "--store", STORE, "--otlp", otlp, *argv, status=status))
        return said[-1]

    collector().play()
    true(export(url, status=0).out.endswith(f" spans sent to {shown}\n"), said)
    equal(collector().asked, ("Basic " + base64.b64encode(b"me:pa55@w0rd").decode(), "/v1/traces?key=topsecret"), "what the collector got")
    equal(export(url, "--json", status=0).json()["url"], shown, "as JSON")
    for script in ((400, {}, b"{}"), (200, {}, b"<html>")):
        collector().play(script)
        one_line(export(url, status=3), shown)
    for other, word in (("http://me:topsecret@127.0.0.1:1/x", "http://***@127.0.0.1:1/x"), ("ftp://me:topsecret@h/", "ftp://***@h/"),
                        ("me:topsecret@h", "***@h"), ("http://me:top?secret@h:x/", "http://***@h:x/"), ("http://h:x/?topsecret", "http://h:x/?***")):
        one_line(export(other, status=3), word)
    collector().play("hang")
    collector().released.clear()
    running = Running(BOP, "export", "1", "--store", STORE, "--otlp", url, "--timeout", "60")
    wait_for("the request", lambda: collector().requests)
    with open(f"/proc/{running.pid}/cmdline", encoding="ascii") as f:
        words = f.read()
    running.signal(signal.SIGTERM)
    collector().released.set()
    said.append(running.end())
    true(shown in words and "me:" not in words and "secret" not in words, words)
    for done in said:
        true(not any(secret in done.out + done.err for secret in ("pa55", "w0rd", "secret", "me:")), f"{done}")


def test_partial():
    """spans that the collector rejected are counted and its reason is shown; they are not sent again"""
    done = refused(script=[(200, {}, b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old\\n"}}')], status=2)
    true("it rejected 3: too old?" in done.out, done)
    equal(collector().requests, len(exported(1, "otlp.json").splitlines()))
    done = refused(script=[(200, {}, b'{"partialSuccess":{"errorMessage":"mind the size"}}')], status=0)
    true(done.out.endswith(": mind the size\n"), done)


def test_bad():
    """what makes no sense is refused in a line, and nothing is written"""
    runs()
    folder = scratch()
    for argv, word in ((("1", "2", "-o", os.path.join(folder, "x.otlp.json")), "several runs"), (("1", "-o", "x.sql", "--otlp", "http://h/"), "either"),
                       (("1", "-o", os.path.join(folder, "x.trace")), ".perfetto-trace"), (("9", "-o", os.path.join(folder, "x.sql")), "no run 9"),
                       (("1", "--otlp", "ftp://h/v1/traces"), "no URL of a collector"), (("1", "--otlp", "h:4318"), "no URL of a collector"),
                       (("1", "--otlp", "http://h/", "--timeout", "0"), "whole seconds"), (("1", "--otlp", "http://[::1/"), "no URL of a collector")):
        one_line(bop("export", *argv, "--store", STORE, status=3), word)
    equal(os.listdir(folder), [])


if __name__ == "__main__":
    sys.exit(run_tests(test_perfetto, test_perfetto_clocks, test_perfetto_faults, test_otlp, test_otlp_faults, test_collector, test_secret_url, test_retried,
                       test_refused, test_gives_up, test_partial, test_bad))
