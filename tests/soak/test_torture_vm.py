#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to move bytes, on Debian's kernels in qemu: tests/net/test_torture.py and test_torture_older.py, as they are, in the guests
of tests/vm.

    O=build tests/soak/test_torture_vm.py [6.1|6.12|fentry|kprobe|torture|torture_older]...     only these

Prints TAP: a line for each kernel, backend and way. Where a guest says that a way cannot pass there, that is skipped.
"""
import glob
import os
import re
import shutil
import sys
import sysconfig
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../vm"))
import vm  # noqa: E402  pylint: disable=wrong-import-position
from test_kernels import KERNELS, MODULES  # noqa: E402  pylint: disable=wrong-import-position

BACKENDS = ["fentry", "kprobe"]
TESTS = {"torture": 60, "torture_older": 40}  # and how many ways there are at least
MEMORY = 1536  # MiB
TIMEOUT = 3000  # seconds for all of a guest; emulated, each backend takes minutes
TOOLS = ["getent", "timeout"]
PACKAGES = ["collections", "encodings", "importlib", "json", "re"]  # of Python: what the test imports and some more

SCRIPT = """
section() {{ echo "### $*"; }}
cd {root}
export O={out}
for test in {tests}; do
	for backend in {backends}; do
		section $backend $test
		BOP_BACKEND=$backend {python} tests/net/test_$test.py 2>&1
		echo "status $?"
	done
done
section end
"""
RESULT = re.compile(r"^(ok|not ok) \d+ - ([^:\n]*)(.*)\n((?:# .*\n)*)", re.M)


def python_copy(image):
    """The interpreter that runs this, with what of its library a test may import."""
    image.copy(os.path.realpath(sys.executable))
    library = sysconfig.get_path("stdlib")
    sources = glob.glob(os.path.join(library, "*.py"))
    for package in PACKAGES:
        sources += glob.glob(os.path.join(library, package, "**/*.py"), recursive=True)
    for source in sources + glob.glob(os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload/*.so")):
        image.copy(source)


def fill(image):
    python_copy(image)
    for built in ("bop", "tfj", "tests/torture/torture"):
        image.copy(os.path.join(vm.OUT, built))
    for source in ("harness", "serving", *(f"test_{test}" for test in TESTS)):
        image.copy(os.path.join(vm.ROOT, f"tests/net/{source}.py"))
    for tool in TOOLS:
        image.copy(shutil.which(tool), f"/usr/bin/{tool}")
    image.copy(shutil.which("ip", path="/bin:/sbin:/usr/bin:/usr/sbin"), "/usr/bin/ip")


def retell(tap, name, least, text):
    """What the test said in the guest is said here."""
    found = RESULT.findall(text)
    for word, way, rest, detail in found:
        skipped = re.search(r"# SKIP (.*)", rest)
        if skipped:
            tap.skip(f"{name}: {way}", skipped[1])
        else:
            tap.result(word == "ok", f"{name}: {way}", detail.replace("# ", ""))
    plan = re.search(r"^1\.\.(\d+)$", text, re.M)
    tap.result(plan and len(found) == int(plan[1]) > least, f"{name}: all ways were tried", text)


class Guest:
    """One kernel with all that it is to run. What a later build changes does not concern it any more."""

    def __init__(self, version, backends, tests, folder):
        self.version, self.backends, self.tests, self.unavailable = version, backends, tests, None
        try:
            self.kernel = vm.Kernel(KERNELS[version][0])
            self.image = os.path.join(folder, f"{version}.cpio")
            script = SCRIPT.format(root=vm.ROOT, out=vm.OUT, python=os.path.realpath(sys.executable),
                                   tests=" ".join(tests), backends=" ".join(backends))
            vm.guest_image(self.kernel, MODULES, script, self.image, fill)
        except vm.Unavailable as reason:
            self.unavailable = str(reason)

    def run(self, tap):
        passed, printed = False, ""
        try:
            if not self.unavailable:
                passed, printed = vm.boot(self.kernel, self.image, MEMORY, TIMEOUT,
                                          os.path.join(vm.CACHE, f"{self.version}-torture.log"))
        except vm.Unavailable as reason:
            self.unavailable = str(reason)
        if self.unavailable:
            tap.skip(f"torture on kernel {self.version}", self.unavailable)
            return
        sections = vm.sections(printed)
        for test in self.tests:
            for backend in self.backends:
                retell(tap, f"{self.version} {backend} {test}", TESTS[test],
                       sections.get(f"{backend} {test}", "it did not come to this"))
        tap.result(passed, f"{self.version}: the guest came to its end, its kernel has no complaint",
                   sections.get("boot", "") + sections.get("end", ""))


def main():
    asked = set(sys.argv[1:])
    tests = [test for test in TESTS if not asked & set(TESTS) or test in asked]
    tap = vm.Tap()
    with tempfile.TemporaryDirectory(prefix="bop-vm-") as folder:
        guests = []
        for version, (_, works, _) in KERNELS.items():
            backends = [name for name in BACKENDS if name in works and (not asked & set(BACKENDS) or name in asked)]
            if not asked & set(KERNELS) or version in asked:
                guests.append(Guest(version, backends, tests, folder))
        for guest in guests:
            guest.run(tap)
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
