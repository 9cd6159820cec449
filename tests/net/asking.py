# SPDX-License-Identifier: GPL-3.0-or-later
"""For controllers in Python: an interpreter that has what docs/api.md asks for, the code that protoc makes, and the page's own class."""
import os
import re
import shutil
import subprocess
import sys

from harness import ROOT, Skip, scratch

PAGE = os.path.join(ROOT, "docs/api.md")


def api_python():
    """(interpreter, environment) in which `import zmq, api_pb2` works. Debian's modules are for Debian's interpreter."""
    if not shutil.which("protoc"):
        raise Skip("protoc is not installed (protobuf-compiler)")
    folder = scratch()
    subprocess.run(["protoc", "-I", "proto", f"--python_out={folder}", "api.proto"], cwd=ROOT, check=True, timeout=60)
    environment = {**os.environ, "PYTHONPATH": folder}
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import zmq, api_pb2"], env=environment, capture_output=True, timeout=60,
                          check=False).returncode == 0:
            return python, environment
    raise Skip("no Python here has zmq and protobuf (python3-zmq, python3-protobuf)")


def blocks():
    """[(line, text)] of the Python in docs/api.md."""
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    return [(page.count("\n", 0, found.start(1)), found[1]) for found in re.finditer(r"^```python\n(.*?)^```$", page, re.M | re.S)]


def become():
    """Goes on in an interpreter that can import what a controller needs; call it first. Returns the page's first block's names."""
    if not os.environ.get("BOP_TEST_ASKING"):
        try:
            python, environment = api_python()
        except Skip as reason:
            print(f"ok 1 - controllers in Python # SKIP {reason}\n1..1")
            sys.exit(0)
        sys.exit(subprocess.call([python, *sys.argv], env={**environment, "BOP_TEST_ASKING": "1"}))
    names = {}
    line, text = blocks()[0]
    text = text.replace("\nserver = Server()\n", "\n")
    exec(compile("\n" * line + text, "docs/api.md", "exec"), names)  # pylint: disable=exec-used
    return names
