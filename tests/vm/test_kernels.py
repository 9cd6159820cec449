#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's kernels in qemu: the kernel tests and whole runs, under each backend that the kernel has.

    O=build tests/vm/test_kernels.py [6.1|6.12]...     only these

Prints TAP. What a guest has runs as root in it, without a network; nothing of this machine is changed.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

import vm

KERNELS = {
    # version: (package, backends that must work, the best first, backends that cannot)
    "6.1": ("linux-image-cloud-amd64", ["fentry", "kprobe"], ["tracepoint", "tracepoint-late"]),
    "6.12": ("linux-image-6.12-cloud-amd64", ["fentry", "kprobe", "tracepoint-late"], ["tracepoint"]),
}
MODULES = ["veth", "bridge", "unix_diag", "tcp_diag", "udp_diag", "sch_ingress", "cls_bpf"]
PROGRAMS = vm.TRACER_PROGRAMS
LOCAL = ["test_local", "test_pipe"]  # not under kprobes, which cannot follow unix-domain sockets; what sees pipes is the same under all
OLDEST = ["test_content"]  # reads the kernel's own structures: where they are least like those of today
FAULTS = ["test_fault_exact", "test_fault_kinds", "test_fault_boxes", "test_fault_devices", "test_fault_left"]  # not where a send is seen too late
ONCE = ["test_name", "test_name_ends"]  # know records only, whoever wrote them: one backend will do
RUNS = ["client-server", "quorum"]
SOAK = bool(os.environ.get("BOP_TEST_SOAK"))  # all programs with faults, under each backend
TIMEOUT = 4200 if SOAK else 1400  # seconds, for everything in one guest; a quiet machine needs a tenth of it
MEMORY = 1024  # MiB

SECTION = r"""
section() { echo "### $*"; }
# an agent that is too slow to answer on a busy machine (3: it could not run) is asked once more
# and each run keeps its own events: of two backends' runs that did the same, both are to be seen
once() { @OUT@/bop run --keep all examples/$1/experiment.yaml 2>&1 >/dev/null; }
run() { once $1; [ $? != 3 ] || once $1; }
cd @ROOT@
# what a busy machine makes of ten seconds is not what is tested here
sed -i 's/^timeout: .*/timeout: 300s/' examples/*/experiment.yaml
export O=@OUT@ BOP_STORE=/tmp/bop.db CK_TAP_LOG_FILE_NAME=- CK_VERBOSITY=silent CK_TIMEOUT_MULTIPLIER=5
"""


def programs_of(kernel, backend):
    if backend == "tracepoint-late":
        return PROGRAMS[:2]  # what it shares with others they show
    oldest = kernel == next(iter(KERNELS))
    best = backend == KERNELS[kernel][1][0]
    faults = FAULTS if SOAK else FAULTS[:1] if oldest and not best else []
    return PROGRAMS + LOCAL * (backend != "kprobe") + faults + OLDEST * oldest + ONCE * (oldest and best)


def script(kernel):
    """What the guest does. Its exit status is 0 when all was tried: how it went is in what it prints."""
    _, backends, impossible = KERNELS[kernel]
    lines = [SECTION.replace("@ROOT@", vm.ROOT).replace("@OUT@", vm.OUT)]
    lines += ["section probe", f"{vm.OUT}/tfj probe --json"]
    for backend in backends:
        for program in programs_of(kernel, backend):
            lines += [f"section {backend} {program}",
                      f"BOP_BACKEND={backend} {vm.OUT}/tests/kernel/{program} 2>&1; echo; echo \"status $?\""]
        for run in RUNS:
            lines += [f"section {backend} {run}",
                      f"(export BOP_BACKEND={backend}; run {run})", f"{vm.OUT}/bop show last --json"]
    lines += ["section best client-server", "run client-server", f"{vm.OUT}/bop show last --json"]
    for backend in impossible:
        lines += [f"section refused {backend}",
                  f"BOP_BACKEND={backend} {vm.OUT}/bop run examples/client-server/experiment.yaml 2>&1; echo \"status $?\""]
    lines += ["section left", f"{vm.OUT}/tfj clean", "mount -t tracefs t /sys/kernel/tracing && cat /sys/kernel/tracing/kprobe_events",
              "section end", "true"]
    return "\n".join(lines) + "\n"


def fill(image):
    """The programs with what they need, at the paths that they have here."""
    for name in ["bop", "tfj"] + [f"tests/kernel/{program}" for program in PROGRAMS + LOCAL + FAULTS + OLDEST + ONCE]:
        image.copy(os.path.join(vm.OUT, name))
    for run in RUNS:
        for source in glob.glob(os.path.join(vm.ROOT, "examples", run, "*")):
            image.copy(source)
            if source.endswith(".c"):
                built = os.path.join(vm.OUT, "examples", run, os.path.basename(source)[:-2])
                image.copy(built)
                # the experiments look for their programs in build/
                image.copy(built, os.path.join(vm.ROOT, "build/examples", run, os.path.basename(built)))
    image.copy("/bin/ip" if os.path.exists("/bin/ip") else "/sbin/ip", "/usr/bin/ip")


class Guest(threading.Thread):
    """One kernel, from the package to what was printed under each heading."""

    def __init__(self, kernel, folder):
        super().__init__()
        self.kernel, self.folder = kernel, folder
        self.unavailable = None
        self.passed, self.sections = False, {}

    def run(self):
        try:
            kernel = vm.Kernel(KERNELS[self.kernel][0])
            path = os.path.join(self.folder, f"{self.kernel}.cpio")
            vm.guest_image(kernel, MODULES, script(self.kernel), path, fill)
            self.passed, printed = vm.boot(kernel, path, MEMORY, TIMEOUT, os.path.join(vm.CACHE, f"{self.kernel}.log"))
        except vm.Unavailable as reason:
            self.unavailable = str(reason)
            return
        self.sections = vm.sections(printed)


def document(text):
    """The JSON in what a section printed; None: there is none."""
    try:
        return json.loads(text[text.index("{"):text.rindex("}") + 1])
    except ValueError:
        return None


def told(text):
    """What a run said of itself, the most telling first, and nothing of its events but what was lost."""
    run = document(text)
    if not run:
        return text
    lines = [f"run {run['run']}, events of {run['events_of']}, {run['backend']}: {run['outcome']} ({run['reason']}), {run['lost']} lost, "
             f"holes {run['holes']}",
             "messages " + " ".join(message["label"] for message in run["messages"])]
    lines += [f"lost: {vertex}" for vertex in run["vertices"] if vertex["kind"] == "lost"][:10]
    lines += [f"{process['name']} ended with {process['status']}, signal {process['signal']}" for process in run["processes"]]
    lines += [f"check: {run['check']}", f"warnings: {run['warnings']}"]
    return "\n".join(lines + text[:text.index("{")].splitlines()[-20:])


def shape(run):
    """What must be the same under every backend: names of everything, and what became of it. When ends of processes come is
    chance; the print knows what is not."""
    return {
        "print": run.get("print"),
        "outcome": run["outcome"],
        "lost": run["lost"],
        "holes": run["holes"],
        "processes": sorted((p["name"], p["box"], p["status"]) for p in run["processes"]),
        "connections": sorted((c["label"], c["from"], c["to"], c["messages"], c["bytes"]) for c in run["connections"]),
        "messages": sorted((m["label"], m["bytes"]) for m in run["messages"]),
    }


def run_here(folder):
    """The same experiment on this machine's kernel; None where it cannot trace."""
    store = os.path.join(folder, "here.db")
    env = {**os.environ, "BOP_STORE": store}
    env.pop("BOP_BACKEND", None)
    subprocess.run([os.path.join(vm.OUT, "bop"), "run", "examples/client-server/experiment.yaml"], cwd=vm.ROOT, env=env,
                   capture_output=True, timeout=60, check=False)
    shown = subprocess.run([os.path.join(vm.OUT, "bop"), "show", "last", "--json"], cwd=vm.ROOT, env=env, text=True,
                           capture_output=True, timeout=60, check=False).stdout
    return document(shown)


def difference(run, wanted):
    got = shape(run)
    return "\n".join(f"{key}: {got[key]} instead of {wanted[key]}" for key in wanted if got[key] != wanted[key])


def check_program(tap, guest, backend, program):
    text = guest.sections.get(f"{backend} {program}", "")
    good = len(re.findall(r"^ok ", text, re.M))
    bad = re.search(r"^not ok|SKIP cannot trace", text, re.M) or not re.search(r"^1\.\.\d+", text, re.M) or not good
    tap.result(not bad, f"{guest.kernel} {backend}: {program}, {good} tests", text)
    for reason in re.findall(r"^ok \d+ - (.*) # SKIP (.*)$", text, re.M):
        tap.skip(f"{guest.kernel} {backend}: {reason[0]}", reason[1])


def own(run, backend):
    """Is what is shown what that backend recorded, and no other run's?"""
    return run["backend"] == backend and run["events_of"] == run["run"]


def check_runs(tap, guest, backend, wanted):
    text = guest.sections.get(f"{backend} quorum", "")
    run = document(text)
    # two values, each put to three servers and enough when two have answered
    ways = [message["direction"] for message in run["messages"]] if run else []
    good = run and run["outcome"] == "good" and not run["lost"] and not run["holes"]
    good = good and ways.count(">") == 6 and 4 <= ways.count("<") <= 6
    tap.result(good and own(run, backend), f"{guest.kernel} {backend}: quorum, whole, and it says which backend", told(text))
    text = guest.sections.get(f"{backend} client-server", "")
    run = document(text)
    name = f"{guest.kernel} {backend}: client-server has the labels and the print that it has here"
    if not wanted:
        tap.skip(name, "this machine's kernel is not traced by tracepoints")
        return
    wrong = difference(run, wanted) if run else "no run was stored\n" + text
    if run and not own(run, backend):
        wrong += "\n" + told(text)
    tap.result(not wrong, name, wrong)


def check_choice(tap, guest):
    _, backends, impossible = KERNELS[guest.kernel]
    best = backends[0]
    probe = document(guest.sections.get("probe", "")) or {"capabilities": []}
    works = [c["name"][8:] for c in probe["capabilities"] if c["name"].startswith("backend ") and c["works"]]
    run = document(guest.sections.get("best client-server", "")) or {"backend": None}
    tap.result(sorted(works) == sorted(backends) and probe.get("backend") == best and own(run, best),
               f"{guest.kernel}: tfj probe knows which backends work, and the best of them is used",
               f"works: {works}, probe says {probe.get('backend')}, the run {run.get('backend')}\n"
               + guest.sections.get("best client-server", "")[:2000])
    for backend in impossible:
        text = guest.sections.get(f"refused {backend}", "")
        tap.result(f"backend {backend} does not work here" in text and "status 3" in text,
                   f"{guest.kernel}: {backend} is refused in one line, with the reason", text)


def check_guest(tap, guest, wanted):
    if guest.unavailable:
        tap.skip(f"kernel {guest.kernel}", guest.unavailable)
        return
    for backend in KERNELS[guest.kernel][1]:
        for program in programs_of(guest.kernel, backend):
            check_program(tap, guest, backend, program)
        check_runs(tap, guest, backend, wanted)
    check_choice(tap, guest)
    left = guest.sections.get("left", "no such section")
    tap.result("bop" not in left.replace("nothing of ours was left", ""), f"{guest.kernel}: nothing is left behind", left)
    tap.result(guest.passed, f"{guest.kernel}: the guest came to its end, its kernel has no complaint",
               "".join(guest.sections.get(part, "") for part in ("boot", "end")) or "it did not boot")


def main():
    wanted_kernels = [name for name in KERNELS if not sys.argv[1:] or name in sys.argv[1:]]
    tap = vm.Tap()
    with tempfile.TemporaryDirectory(prefix="bop-vm-") as folder:
        guests = [Guest(kernel, folder) for kernel in wanted_kernels]
        for guest in guests:
            guest.start()
        here = run_here(folder)
        wanted = shape(here) if here and here["backend"] == "tracepoint" else None
        for guest in guests:
            guest.join()
            check_guest(tap, guest, wanted)
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
