#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of an experiment that come late, lose their link, die, and boot again: a run with them is incomplete, not wrong."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))

import vm  # noqa: E402  pylint: disable=wrong-import-position
from machines import WAIT, Machines  # noqa: E402  pylint: disable=wrong-import-position

from harness import BOP, OUT, Running, Skip, equal, experiment, one_line, run_tests, show, true, wait_for  # noqa: E402  pylint: disable=wrong-import-order,wrong-import-position

# s1 answers a client on s2 until there is a file "go" on s2's machine
TALK = f"""experiment: talk
boxes: [s1, s2]
path: [{OUT}/examples/quorum]
processes:
  - {{name: s1, box: s1, run: [quorum-server, "7000"], ready: {{listen: 7000}}}}
workload: {{name: client, box: s2, run: [sh, -c, 'while [ ! -e /tmp/go ]; do quorum-client client 7000 1 s1 || exit 1; sleep 0.2; done']}}
timeout: 10m
"""
world = {}


def machines():
    if "why" in world:
        raise Skip(world["why"])
    true("machines" in world or not world.get("tried"), "the guests did not come up")
    if "machines" not in world:
        world["tried"] = True
        try:
            world["machines"] = Machines("s1", "s2", agents=False).__enter__()
        except vm.Unavailable as reason:
            world["why"] = str(reason)
            raise Skip(world["why"]) from None
    return world["machines"]


class Talk:
    """A run that goes on until end()."""

    def __init__(self):
        self.server, self.two = machines().server, machines().machine["s2"]
        self.two.do("rm -f /tmp/go")
        self.running = Running(BOP, "run", experiment(TALK), f"--server={self.server.api}", "--json")
        wait_for("the workload", lambda: self.running.process.poll() is not None or self.two.do("pidof quorum-client; pidof sleep", None).strip(), WAIT)
        true(self.running.process.poll() is None, f"the run ended: {self.running.result()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running.process.poll() is None:
            self.running.signal(signal.SIGTERM)
            self.running.end(WAIT)

    def states(self):
        return {agent["host"]: agent["state"] for agent in self.server.boxes()["agents"]}

    def end(self):
        """What is shown of the run."""
        self.running.end(WAIT)
        wait_for("the end of the run", lambda: show("last", self.server.store)["state"] == "ended", WAIT)
        return show("last", self.server.store)


def broken(got, name):
    """An error that names the agent; incomplete, with no class; and what is there of it is right."""
    equal((got["outcome"], got["incomplete"], got["class"]), ("error", True, None), f"the run ({got['reason']})")
    true(name in got["reason"], got["reason"])
    true(got["unclassed"], "it has no class, and does not say why")
    labels = [m["label"] for m in got["messages"]]
    equal(len(labels), len(set(labels)), "messages that count once")


def test_late():
    """as long as an agent is not there its box has nobody, and a run that needs it is refused; when it has come it is not"""
    it = machines()
    it.machine["s1"].agent()
    it.connected(1)
    one_line(it.server.run(experiment(TALK), status=3), "box 's2'")
    it.machine["s2"].agent()
    it.connected(2)
    with Talk() as talk:
        talk.two.do(": >/tmp/go")
        got = talk.end()
    equal((got["outcome"], got["incomplete"], got["lost"], got["holes"], got["unmatched_bytes"]), ("good", False, 0, [], 0), "the run")


def test_link_lost():
    """the cable of an agent's link is pulled until the server has noticed, and longer: nothing of the run is lost"""
    with Talk() as talk:
        talk.two.cable(False)
        wait_for("the server to notice", lambda: talk.states()["s2"] == "away", WAIT)
        talk.two.do("sleep 5; : >/tmp/go")
        true(talk.running.process.poll() is None, f"the run ended without its agent: {talk.running.result()}")
        talk.two.cable(True)
        got = talk.end()
    equal((got["outcome"], got["incomplete"], got["lost"], got["holes"], got["unmatched_bytes"]), ("good", False, 0, [], 0),
          f"the run ({got['reason']})")


def test_reboot():
    """a machine that boots again: the run is an error, and incomplete; the machine serves the next one"""
    with Talk() as talk:
        talk.two.kill()
        talk.two.boot().ready().agent()
        broken(talk.end(), "s2")
    machines().connected(2)
    with Talk() as talk:
        talk.two.do(": >/tmp/go")
        equal(talk.end()["outcome"], "good", "outcome of the next run")


def test_killed():
    """a machine whose power goes: two minutes later the run is an error, and incomplete; what the other saw is there"""
    with Talk() as talk:
        talk.two.kill()
        got = talk.end()
        broken(got, "s2")
        true(any(v["process"] == "s1" and v["kind"] == "recv" for v in got["vertices"]), "what s1 received")
        wait_for("the other agent to be idle", lambda: talk.states().get("s1") == "idle", WAIT)
    equal({name: said for name, said in machines().complaints().items() if name == "s1"}, {}, "complaints")


def main():
    try:
        return run_tests(test_late, test_link_lost, test_reboot, test_killed)
    finally:
        if "machines" in world:
            world["machines"].__exit__()


if __name__ == "__main__":
    sys.exit(main())
