#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel side on arm64: Debian's kernel under qemu, the programs of tests/kernel/ that need nothing but libbpf.

Prints TAP. They are cross-compiled with Debian's own libraries for arm64, which are unpacked, not installed.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import vm

COMPILER = "aarch64-linux-gnu-gcc"
PROGRAMS = vm.TRACER_PROGRAMS
SOURCES = sorted(glob.glob("tfj/tracer*.c", root_dir=vm.ROOT)) + ["tfj/kretprobe.c", "tfj/rings.c", "lib/error.c"]
LIBRARIES = ["libbpf.a", "libelf.a", "libz.a"]
BACKEND = "kprobe"  # before Linux 6.4, arm64 has no trampolines for functions
TIMEOUT = 1400

SCRIPT = """
for program in @PROGRAMS@; do echo "### $program"; BOP_BACKEND=@BACKEND@ /tests/$program 2>&1; done
echo "### chosen"; /tests/test_tracer_begin
echo "### fentry"; BOP_BACKEND=fentry /tests/test_tracer_begin
echo "### end"; true
"""


def programs_build(libraries):
    """Builds the programs for arm64 below build/arm64. Returns the folder; raises Unavailable without a compiler."""
    if not shutil.which(COMPILER):
        raise vm.Unavailable(f"there is no {COMPILER}; install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross")
    out = os.path.join(vm.OUT, "arm64")
    skeletons = [os.path.join(out, "bpf", name) for name in ("tracer.skel.h", "content.skel.h")]
    subprocess.run(["make", "-s", f"O={out}", "ARCH=arm64", *skeletons], cwd=vm.ROOT, check=True, stdout=subprocess.DEVNULL)
    usr = os.path.join(libraries, "usr")
    folder = os.path.join(out, "tests")
    os.makedirs(folder, exist_ok=True)
    for program in PROGRAMS:
        subprocess.run([COMPILER, "-static", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-w", "-I.", f"-I{out}", f"-I{usr}/include", "-o",
                        os.path.join(folder, program), f"tests/kernel/{program}.c", *SOURCES,
                        *(f"{usr}/lib/aarch64-linux-gnu/{name}" for name in LIBRARIES), "-lpthread"], cwd=vm.ROOT, check=True)
    return folder


def guest_run():
    """Returns (it came to its end, what was printed under each heading)."""
    apt = vm.foreign_apt("arm64")
    kernel = vm.Kernel("linux-image-cloud-arm64", apt)
    libraries = vm.packages_fetch("arm64-libraries", ["libbpf-dev", "libelf-dev", "zlib1g-dev", "busybox-static"], apt)
    folder = programs_build(libraries)
    script = SCRIPT.replace("@PROGRAMS@", " ".join(PROGRAMS)).replace("@BACKEND@", BACKEND)

    def fill(image):
        for program in PROGRAMS:
            with open(os.path.join(folder, program), "rb") as f:
                image.add(f"tests/{program}", f.read(), 0o755)

    with tempfile.TemporaryDirectory(prefix="bop-vm-") as scratch:
        path = os.path.join(scratch, "arm64.cpio")
        vm.guest_image(kernel, [], script, path, fill, os.path.join(libraries, "bin/busybox"))
        passed, printed = vm.boot(kernel, path, 512, TIMEOUT, os.path.join(vm.CACHE, "arm64.log"), "arm64")
    return passed, vm.sections(printed)


def main():
    try:
        passed, sections = guest_run()
    except vm.Unavailable as reason:
        print(f"ok 1 - the kernel side on arm64 # SKIP {reason}\n1..1")
        return 0
    results = []
    for program in PROGRAMS:
        text = sections.get(program, "")
        good = len(re.findall(r"^ok ", text, re.M))
        results.append((good and not re.search(r"^not ok|SKIP cannot trace", text, re.M) and re.search(r"^1\.\.", text, re.M),
                        f"arm64 {BACKEND}: {program}, {good} tests", text))
    text = sections.get("chosen", "")
    results.append((not re.search(r"^not ok|SKIP", text, re.M) and "ok 1" in text, "arm64: a backend is found without being asked for", text))
    text = sections.get("fentry", "")
    results.append(("backend fentry does not work here" in text or "ok 4" in text, "arm64: trampolines work, or say why not", text))
    results.append((passed, "arm64: the guest came to its end, its kernel has no complaint", sections.get("end", "") or "it did not"))
    for number, (good, name, detail) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        for skipped in re.findall(r"^ok \d+ - (.* # SKIP .*)$", detail, re.M) if good else []:
            print(f"# {skipped}")
        for line in [] if good else detail.strip().splitlines()[-60:]:
            print(f"# {line}")
    print(f"1..{len(results)}")
    return 0 if all(good for good, _, _ in results) else 1


sys.exit(main())
