# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way of a fault, from `bop run --fault` to what the receiving program read and what is shown of it.

The programs of examples/client-server write down what they sent and received, one line a message: what they say is the truth.
"""
from harness import OUT, bop, equal, experiment, show, succeeds_by_rank, true

N = 20  # questions, and as many answers
WAYS = ("cut", "cut oneway", "reset", "crash at send", "crash at recv")
NETS = {  # boxes, and how the client calls the server
    "veth": ("[s, c]", "c", "s"),
    "veth6": ("[s, c]", "c", "s.v6"),
    "lo": ("[s]", "s", "s"),
    "lo6": ("[s]", "s", "s.v6"),
}


def conversation(net, timeout="10s"):
    """A client asks N questions on one connection; a child of the server answers them one by one."""
    boxes, box, target = NETS[net]
    return experiment(f"""\
experiment: conversation-{net}
boxes: {boxes}
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: [server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: {box}, run: [client, client, {target}, "7000", "1", "{N}"]}}
timeout: {timeout}
""")


def line_of(way, arrow, k):
    """The fault, and who receives the message."""
    message, sender, receiver = f"client{arrow}s:7000#1/{k}", *(("client", "server.1") if arrow == ">" else ("server.1", "client"))
    return {
        "cut": f"cut {message}", "cut oneway": f"cut {message} oneway", "reset": f"reset {message}",
        "crash at send": f"crash {sender} at send {message}", "crash at recv": f"crash {receiver} at recv {message}",
    }[way]


def logged(run, process, word):
    """A child writes where its parent does."""
    text = "".join(p["stdout"] for p in run["processes"] if p["name"] == process.split(".")[0])
    return [line.split()[1] for line in text.splitlines() if line.startswith(word + " ")]


def fault_run(file, line, at, *options, statuses=(0, 1, 2)):
    """One run with that fault; checks what must hold for every one. Returns it, and its only fault."""
    done = bop("run", file, "--fault", line, "--store", at, "--json", *options, status=None)
    true(done.status in statuses, f"exit status of {done}")
    run = show("last", at)
    equal((run["lost"], run["holes"], run["unmatched_bytes"], run["contradicted"]), (0, [], 0, 0), f"losses of {line}")
    true(succeeds_by_rank(run["vertices"], run["edges"]), f"a cycle with {line}")
    equal(len(run["faults"]), 1, f"faults of {line}")
    fault = run["faults"][0]
    equal((fault["id"], fault["fault"]), (1, line), "the fault")
    for message in run["messages"]:
        true(message["lost_by"] is None or message["received"] < message["bytes"], f"{message} was received")
    return run, fault


def fired(run, fault):
    """It says that it fired; its events are there, in this order."""
    equal((fault["state"], fault["acted"], fault["fired"]), ("fired", True, 1), f"{fault}")
    edges = [(e["from"], e["to"]) for e in run["edges"] if e["rule"] == "fault"]
    true((fault["armed_vertex"], fault["fired_vertex"]) in edges, f"armed is not before fired: {fault}")
    return edges


def vertices(run, **what):
    return [v for v in run["vertices"] if all(v.get(key) == value for key, value in what.items())]


def check(file, way, arrow, k, at):
    """One cell of the matrix: the receiver read exactly what was before message k, and all that is shown says so."""
    line = line_of(way, arrow, k)
    run, fault = fault_run(file, line, at)
    receiver = "server.1" if arrow == ">" else "client"
    message = f"client{arrow}s:7000#1/{k}"
    edges = fired(run, fault)
    equal(logged(run, receiver, "recv"), [f"client{arrow}s:7000#1/{i}" for i in range(1, k)], f"{line}: read by {receiver}")
    by_label = {m["label"]: m for m in run["messages"]}
    for i in range(1, k):
        before = by_label[f"client{arrow}s:7000#1/{i}"]
        equal((before["received"], before["lost_by"]), (before["bytes"], None), f"{line}: message {i}")
    if way == "crash at recv":
        equal(by_label[message]["lost_by"], None, f"{line}: it did arrive")
    else:
        equal((by_label[message]["received"], by_label[message]["lost_by"]), (0, 1), f"{line}: the message")
        true((fault["fired_vertex"], by_label[message]["send"]) in edges, f"{line}: fired is not before the send")
    if way == "cut" or way == "cut oneway" or way == "reset":
        equal((fault["messages"], fault["bytes"]), (1, by_label[message]["bytes"]), f"{line}: hit")
        true(fault["packets"] >= 1, f"{line}: packets hit")
    if way.startswith("crash"):
        killed = line.split()[1]
        ends = [v["id"] for v in vertices(run, kind="exit", process=killed) if "thread" not in v.get("flags", [])]
        equal(len(ends), 1, f"{line}: ends of {killed}")
        true((fault["fired_vertex"], ends[0]) in edges, f"{line}: fired is not before the end of {killed}")
        equal([p["signal"] for p in run["processes"] if p["name"] == killed], [9], f"{line}: signal of {killed}")
    if way == "reset":
        equal({v["process"] for v in vertices(run, kind="reset")}, {"client", "server"}, f"{line}: whose ends were reset")
        errors = {v["process"] for v in run["vertices"] if v.get("error") == "ECONNRESET"}
        # the run ends with the client: its peer can be stopped, by a signal, before it looks at its socket again
        stopped = {p["name"] for p in run["processes"] if p["signal"] and p["name"] != "server"}
        equal(errors | stopped, {"client", "server.1"}, f"{line}: who saw ECONNRESET")
        true("client" in errors, f"{line}: the client did not see ECONNRESET")
