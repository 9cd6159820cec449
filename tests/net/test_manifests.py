#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""containers/: the Containerfile and the Kubernetes manifests, as far as that can be seen without a registry and a cluster.

Manifests are checked against Kubernetes' OpenAPI schema, of which Debian's python3-kubernetes is made: kinds, fields, types, what is required.
"""
import json
import os
import re
import shutil
import subprocess
import sys

from harness import OUT, ROOT, TFJ, Skip, command, equal, run_tests, scratch, true

try:
    import yaml
    from kubernetes import client
except ImportError as missing:
    yaml = client = None
    MISSING = str(missing)

FOLDER = os.path.join(ROOT, "containers")
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "VOLUME", "EXPOSE", "USER", "ENTRYPOINT", "CMD"}


def lines_of(path):
    """[(instruction, rest)] of a Containerfile."""
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"^#.*\n", "", f.read(), flags=re.M)
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            found.append((word, " ".join(rest.split())))
    return found


def stages_of(lines):
    """{name: its lines}, in order; the first line is FROM."""
    stages = {}
    for word, rest in lines:
        if word == "FROM":
            name = re.fullmatch(r"(\S+) AS (\w+)", rest)
            true(name, f"FROM {rest} has no name")
            true(re.fullmatch(r"docker\.io/library/debian:12-slim", name[1]), f"{name[1]} is not the Debian that everything is made for")
            stages[name[2]] = []
        else:
            true(stages, f"{word} comes before FROM")
            list(stages.values())[-1].append((word, rest))
    return stages


def test_containerfile():
    """the Containerfile: known instructions, named stages, apt as it should be, lists in JSON, a server that is not root"""
    lines = lines_of(os.path.join(FOLDER, "Containerfile"))
    stages = stages_of(lines)
    equal(list(stages), ["build", "bop", "tfj"], "stages")
    for word, rest in lines:
        true(word in INSTRUCTIONS, f"{word} is no instruction that is used here")
        if word in ("ENTRYPOINT", "CMD"):
            true(all(isinstance(part, str) for part in json.loads(rest)), f"{word} {rest}")
        if word == "RUN" and "apt-get" in rest:
            for part in ("apt-get update && apt-get install -y --no-install-recommends ", "rm -rf /var/lib/apt/lists/*"):
                true(part in rest, f"'{part}' is not in {rest}")
        for stage in re.findall(r"--from=(\w+)", rest):
            true(stage in stages, f"{stage} is no stage")
        for place in re.findall(r"--from=\w+ (\S+)", rest):
            true(place.startswith("/out/usr/bin/"), f"{place} is not what make install DESTDIR=/out PREFIX=/usr makes")
        if word == "RUN":
            equal(subprocess.run(["sh", "-n", "-c", rest], check=False).returncode, 0, f"what a shell says of {rest}")
    users = [rest for word, rest in stages["bop"] if word == "USER"]
    equal(users, ["7100:7100"], "the user of bop")


def test_context():
    """what the Containerfile copies is enough to build and to install"""
    folder = scratch()
    for word, rest in stages_of(lines_of(os.path.join(FOLDER, "Containerfile")))["build"]:
        if word != "COPY":
            continue
        *sources, target = rest.split()
        for source in sources:
            place = os.path.join(ROOT, source)
            true(os.path.exists(place), f"{source} is not there")
            if os.path.isdir(place):
                shutil.copytree(place, os.path.join(folder, target))
            else:
                shutil.copy(place, folder)
    # names what it would do: a file that is missing, and that nothing makes, is an error
    result = command("make", "-n", "all", "install", "DESTDIR=/out", "PREFIX=/usr", cwd=folder)
    true("-o build/bop" in result.out and "-o build/tfj" in result.out, "bop and tfj are not built")
    for path in re.findall(r"^install -m \d+ (.*) /out", result.out, re.M):
        for source in path.split():
            true(source.startswith("build/") or subprocess.run(["sh", "-c", f"ls {source}"], cwd=folder, capture_output=True,
                                                               check=False).returncode == 0, f"{source} would be installed, and is not there")


def packages_needed(program):
    """The Debian packages of the libraries that a program names."""
    names = re.findall(r"NEEDED +(\S+)", command("objdump", "-p", program).out)
    found = dict(re.findall(r"^\t(\S+) => (\S+)", command("ldd", program).out, re.M))
    packages = set()
    for name in names:
        if name in found and "san" not in name:
            path = os.path.realpath(found[name])  # /lib is a link to /usr/lib, and dpkg knows a file by one of the two
            owners = command("dpkg", "-S", path, re.sub("^/usr", "", path), status=None).out
            true(owners, f"no package has {path}")
            packages.add(owners.split(":")[0])
    return packages


def test_libraries():
    """the images have the packages of the libraries that the programs need, and no others"""
    if not shutil.which("objdump"):
        raise Skip("objdump is not installed")
    stages = stages_of(lines_of(os.path.join(FOLDER, "Containerfile")))
    for name in ("bop", "tfj"):
        run = next(rest for word, rest in stages[name] if word == "RUN")
        given = set(re.search(r"recommends (.*?) &&", run)[1].split())
        wanted = packages_needed(os.path.join(OUT, name)) - {"libc6", "libgcc-s1"}
        equal(given - {"fonts-dejavu-core"}, wanted, f"packages of {name}")


def documents():
    if not client:
        raise Skip(MISSING)
    found = []
    for name in sorted(os.listdir(os.path.join(FOLDER, "kubernetes"))):
        if not name.endswith(".yaml"):
            continue
        with open(os.path.join(FOLDER, "kubernetes", name), encoding="utf-8") as f:
            found += [(name, document) for document in yaml.safe_load_all(f)]
    return found


def type_check(kind, value, at):
    """Complaints about a value that should be of this type of the schema."""
    container = re.fullmatch(r"(list|dict)(?:\[|\()(?:str, )?(.*?)[\])]", kind)
    if container and container[1] == "list":
        if not isinstance(value, list):
            return [f"{at} is no list"]
        return [text for i, item in enumerate(value) for text in type_check(container[2], item, f"{at}[{i}]")]
    if container:
        if not isinstance(value, dict):
            return [f"{at} is no mapping"]
        return [text for key, item in value.items() for text in type_check(container[2], item, f"{at}.{key}")]
    plain = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": (str, int, dict)}
    if kind in plain:
        right = isinstance(value, plain[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if right else [f"{at}: {value!r} is no {kind}"]
    return model_check(getattr(client, kind), value, at)


def model_check(model, value, at):
    """Complaints about a mapping by its class of the schema: fields that it has not, types, what is missing."""
    if not isinstance(value, dict):
        return [f"{at} is no mapping"]
    names = {name: attribute for attribute, name in model.attribute_map.items()}
    complaints = [f"{at} has no field '{key}'" for key in value if key not in names]
    for key in set(value) & set(names):
        complaints += type_check(model.openapi_types[names[key]], value[key], f"{at}.{key}")
    try:
        model(**{names[key]: value[key] for key in value if key in names})
    except ValueError as error:
        complaints.append(f"{at}: {error}")
    return complaints


def complaints_of(document):
    group, _, version = document.get("apiVersion", "").rpartition("/")
    kind = document.get("kind", "")
    if group not in ("", "apps", "networking.k8s.io") or version != "v1" or not hasattr(client, f"V1{kind}"):
        return [f"{group}/{version} {kind} is not known"]
    return model_check(getattr(client, f"V1{kind}"), document, kind)


def test_schema():
    """every manifest is what Kubernetes' schema says, and the check finds what is not"""
    found = documents()
    kinds = [document["kind"] for _, document in found]
    for kind in ("DaemonSet", "Deployment", "Service", "Namespace", "Kustomization"):
        true(kind in kinds, f"there is no {kind}")
    for name, document in found:
        if document["kind"] != "Kustomization":
            equal(complaints_of(document), [], name)
    for old, new in (('"hostPID"', '"hostPid"'), ('"selector"', '"selectors"'), ('"runAsUser": 0', '"runAsUser": "root"'),
                     ('"image"', '"picture"'), ('"add": [', '"add": [5, '), ('"kind": "DaemonSet"', '"kind": "DaemonSets"')):
        text = json.dumps(next(document for _, document in found if document["kind"] == "DaemonSet"))
        true(old in text, f"{old} is not in it")
        true(complaints_of(json.loads(text.replace(old, new, 1))), f"{new} was not found")


def pods():
    """{name: (kind, spec of its pods)}"""
    return {d["metadata"]["name"]: (d, d["spec"]["template"]["spec"]) for _, d in documents() if d["kind"] in ("DaemonSet", "Deployment")}


def test_references():
    """selectors, ports, volumes, secrets and accounts meet; all files are in the kustomization"""
    found = documents()
    with open(os.path.join(FOLDER, "kubernetes/kustomization.yaml"), encoding="utf-8") as f:
        kustomization = yaml.safe_load(f)
    equal(sorted(kustomization["resources"]) + ["kustomization.yaml"], sorted({name for name, _ in found} - {"kustomization.yaml"}) + ["kustomization.yaml"], "files")
    secrets = {secret["name"]: [os.path.basename(path) for path in secret["files"]] for secret in kustomization["secretGenerator"]}
    accounts = {d["metadata"]["name"] for _, d in found if d["kind"] == "ServiceAccount"}
    claims = {d["metadata"]["name"] for _, d in found if d["kind"] == "PersistentVolumeClaim"}
    for name, (document, spec) in pods().items():
        labels = document["spec"]["template"]["metadata"]["labels"]
        true(document["spec"]["selector"]["matchLabels"].items() <= labels.items(), f"{name} does not select its own pods")
        true(spec["serviceAccountName"] in accounts and spec["automountServiceAccountToken"] is False, f"the account of {name}")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {m["name"] for c in spec["containers"] + spec.get("initContainers", []) for m in c["volumeMounts"]}
        equal(mounts, set(volumes), f"volumes of {name}")
        for volume in volumes.values():
            true(volume.get("secret", {"secretName": "bop-keys"})["secretName"] in secrets, f"no secret for {volume}")
            true(volume.get("persistentVolumeClaim", {"claimName": "bop-runs"})["claimName"] in claims, f"no claim for {volume}")
    service = next(d for _, d in found if d["kind"] == "Service")
    deployment, spec = pods()["bop"]
    true(service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items(), "the service has no pods")
    ports = {port["name"]: port["containerPort"] for port in spec["containers"][0]["ports"]}
    equal({port["targetPort"]: port["port"] for port in service["spec"]["ports"]}, ports, "ports of the service")
    args = pods()["tfj"][1]["containers"][0]["args"]
    true(f"--collector=tcp://{service['metadata']['name']}:{ports['agents']}" in args, f"the agents do not find the service: {args}")
    for argument in args:
        path = re.search(r"=/etc/bop/keys/(.*)", argument)
        true(not path or path[1] in secrets["tfj-keys"], f"{argument}: no such key in the secret")
    true({"server.secret", "allowed"} <= set(secrets["bop-keys"]) and "server.secret" not in secrets["tfj-keys"], f"keys: {secrets}")


def test_rights():
    """the agent has the capabilities that tfj lists, no more and no less, the server none; neither is privileged, or in the node's network"""
    if os.geteuid():
        raise Skip("tfj probe needs root")
    wanted = {right["name"][4:] for right in command(TFJ, "probe", "--json").json()["rights"]}
    for name, (_, spec) in pods().items():
        true(not spec.get("hostNetwork") and not spec.get("hostIPC"), f"{name} is in the node's network or IPC")
        true(not any("hostPath" in volume for volume in spec["volumes"]), f"{name} mounts files of the node")
        equal(bool(spec.get("hostPID")), name == "tfj", f"hostPID of {name}")
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            true(not context.get("privileged") and context["readOnlyRootFilesystem"], f"{name}: {context}")
            equal(context["capabilities"]["drop"], ["ALL"], f"{name} drops")
            equal(set(context["capabilities"].get("add", [])), wanted if name == "tfj" else set(), f"{name} adds")
            true(name == "tfj" or (context["allowPrivilegeEscalation"] is False and spec["securityContext"]["runAsNonRoot"]), f"{name}: {context}")


def test_images():
    """images and what is run in them are what the Containerfile makes"""
    lines = stages_of(lines_of(os.path.join(FOLDER, "Containerfile")))
    version = command(TFJ, "--version").out.split()[1]
    for name, (_, spec) in pods().items():
        for container in spec["containers"] + spec.get("initContainers", []):
            equal(container["image"], f"box-of-pain/{name}:{version}", "the image")
            true(name in lines, f"{name} is no stage")
    user = next(rest for word, rest in lines["bop"] if word == "USER").split(":")[0]
    equal(str(pods()["bop"][1]["securityContext"]["runAsUser"]), user, "the user of bop")
    with open(os.path.join(FOLDER, "Containerfile"), encoding="utf-8") as f:
        for tag in re.findall(r"-t (box-of-pain/\S+)", f.read()):
            true(tag.endswith(f":{version}"), f"{tag} is not of this version")
    for name in ("bop", "tfj"):
        usage = command(os.path.join(OUT, name), *(["serve"] if name == "bop" else []), "--help").out
        for option in re.findall(r"--[\w-]+", " ".join(pods()[name][1]["containers"][0]["args"])):
            true(option in usage, f"{name} has no {option}")


if __name__ == "__main__":
    sys.exit(run_tests(test_containerfile, test_context, test_libraries, test_schema, test_references, test_rights, test_images))
