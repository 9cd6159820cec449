# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that asks a server questions, and what became of a fault that met them: for tests of faults."""
import signal

from harness import OUT, equal, experiment, true

KILLED = 128 + signal.SIGKILL  # an exit status
QUESTIONS = 6  # of the client on each connection; the server answers each


def talk(connections=1, questions=QUESTIONS, timeout="2s", server="[server, \"7000\"]", more=""):
    """A client that asks a server, one question after the other."""
    return experiment(f"""experiment: talk
boxes: [s, c]
path: [{OUT}/examples/client-server]
processes:
  - {{name: server, box: s, run: {server}, ready: {{listen: 7000}}}}
workload: {{name: client, box: c, run: [client, client, s, "7000", "{connections}", "{questions}"]}}
timeout: {timeout}
{more}""")


def fault(got, number=1):
    return got["faults"][number - 1]


def message(got, label):
    found = [m for m in got["messages"] if m["label"] == label]
    return found[0] if found else None


def process(got, name):
    return next(p for p in got["processes"] if p["name"] == name)


def fired(got, state="fired", number=1):
    """It has fired, once, within a second of its moment, and the graph has it."""
    f = fault(got, number)
    equal((f["state"], f["fired"], f["acted"]), (state, 1, True), f"state of {f['fault']} ({f['why']})")
    true(f["effect_ns"] < 1e9, f"{f['fault']} took effect after {f['effect_ns']} ns")
    kinds = {v["id"]: v["kind"] for v in got["vertices"]}
    equal([kinds.get(f[what]) for what in ("armed_vertex", "fired_vertex")], ["armed", "fired"], f"vertices of {f['fault']}")
    return f


def exact(got, way, k):
    """All of messages 1 to k - 1 of that direction was read, and nothing of k or later."""
    for number in range(1, QUESTIONS + 1):
        m = message(got, f"client{way}s:7000#1/{number}")
        if number < k:
            true(m and m["received"] == m["bytes"], f"message {number} before {k}: {m}")
        else:
            true(not m or not m["received"], f"message {number}, from {k} on: {m}")
