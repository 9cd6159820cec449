# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenTelemetry's protocol, from the other side: which fields a request may have and of which type they are (github.com/open-telemetry/
opentelemetry-proto: collector/trace/v1, trace/v1, resource/v1, common/v1), how they stand in JSON (docs/specification.md there, "JSON Protobuf
Encoding"), and a collector that takes them over HTTP, or does not."""
import http.server
import json
import re
import threading
import time

HEX = {"trace_id": re.compile(r"[0-9a-fA-F]{32}"), "span_id": re.compile(r"[0-9a-fA-F]{16}")}
REPEATED = True

# message -> {field, in lowerCamelCase: (type, whether repeated)}
DEFINITION = {
    "ExportTraceServiceRequest": {"resourceSpans": ("ResourceSpans", REPEATED)},
    "ResourceSpans": {"resource": ("Resource",), "scopeSpans": ("ScopeSpans", REPEATED), "schemaUrl": ("string",)},
    "Resource": {"attributes": ("KeyValue", REPEATED), "droppedAttributesCount": ("uint32",)},
    "ScopeSpans": {"scope": ("InstrumentationScope",), "spans": ("Span", REPEATED), "schemaUrl": ("string",)},
    "InstrumentationScope": {"name": ("string",), "version": ("string",), "attributes": ("KeyValue", REPEATED),
                             "droppedAttributesCount": ("uint32",)},
    "KeyValue": {"key": ("string",), "value": ("AnyValue",)},
    "AnyValue": {"stringValue": ("string",), "boolValue": ("bool",), "intValue": ("int64",), "doubleValue": ("double",)},
    "Span": {"traceId": ("trace_id",), "spanId": ("span_id",), "traceState": ("string",), "parentSpanId": ("span_id",), "flags": ("uint32",),
             "name": ("string",), "kind": ("SpanKind",), "startTimeUnixNano": ("uint64",), "endTimeUnixNano": ("uint64",),
             "attributes": ("KeyValue", REPEATED), "droppedAttributesCount": ("uint32",), "events": ("Event", REPEATED),
             "droppedEventsCount": ("uint32",), "links": ("Link", REPEATED), "droppedLinksCount": ("uint32",), "status": ("Status",)},
    "Event": {"timeUnixNano": ("uint64",), "name": ("string",), "attributes": ("KeyValue", REPEATED), "droppedAttributesCount": ("uint32",)},
    "Link": {"traceId": ("trace_id",), "spanId": ("span_id",), "traceState": ("string",), "attributes": ("KeyValue", REPEATED),
             "droppedAttributesCount": ("uint32",), "flags": ("uint32",)},
    "Status": {"message": ("string",), "code": ("StatusCode",)},
}
ENUMS = {"SpanKind": range(0, 6), "StatusCode": range(0, 3)}
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
ERROR = 2
BODY_MAX = 4 << 20  # bytes: what collectors take, at least


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def integer(value, bits, signed):
    """64 bits are text, less is a number."""
    check(isinstance(value, str) if bits == 64 else isinstance(value, int) and not isinstance(value, bool), f"{value!r} for {bits} bits")
    check(re.fullmatch(r"-?\d+" if signed else r"\d+", str(value)), f"{value!r} is no number")
    check(-(1 << (bits - 1)) <= int(value) < 1 << (bits - 1) if signed else int(value) < 1 << bits, f"{value} has more than {bits} bits")


def validate(value, kind):
    """Raises AssertionError unless it is what the definition calls so."""
    if kind in DEFINITION:
        check(isinstance(value, dict), f"{value!r} is no {kind}")
        for name, field in value.items():
            check(name in DEFINITION[kind], f"{kind} has no field {name}")
            type_, *repeated = DEFINITION[kind][name]
            check(isinstance(field, list) == bool(repeated), f"{kind}.{name}: {field!r}")
            for one in field if repeated else [field]:
                validate(one, type_)
        check(kind != "AnyValue" or len(value) == 1, f"one value: {value}")
    elif kind in ENUMS:
        check(isinstance(value, int) and not isinstance(value, bool) and value in ENUMS[kind], f"{value!r} is no {kind}")
    elif kind in HEX:
        check(isinstance(value, str) and HEX[kind].fullmatch(value) and int(value, 16), f"{value!r} is no {kind}")
    elif kind == "string":
        check(isinstance(value, str), f"{value!r} is no string")
    elif kind == "bool":
        check(isinstance(value, bool), f"{value!r} is no bool")
    elif kind == "double":
        check(isinstance(value, (int, float)), f"{value!r} is no number")
    else:
        integer(value, 64 if kind.endswith("64") else 32, not kind.startswith("u"))


def attributes(holder):
    """As a dict; numbers as numbers."""
    rows = holder.get("attributes", [])
    found = {row["key"]: int(value) if kind == "intValue" else value for row in rows for kind, value in row["value"].items()}
    check(len(found) == len(rows), f"each key once: {rows}")
    return found


class Spans:
    """Of several requests: by id, with their resource's attributes; the rules that hold between them are checked."""

    def __init__(self, lines):
        self.by_id = {}
        for line in lines:
            request = json.loads(line)
            validate(request, "ExportTraceServiceRequest")
            for resource in request["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    check(scope["scope"]["name"] == "bop" and scope["spans"], "spans of bop")
                    for span in scope["spans"]:
                        self.add(span, attributes(resource["resource"]))
        for span in self.by_id.values():
            check("parentSpanId" not in span or span["parentSpanId"] in self.by_id, f"a parent that is there: {span}")
            check(all(link["spanId"] in self.by_id for link in span.get("links", ())), f"links to what is there: {span}")
        check(len({span["traceId"] for span in self.by_id.values()}) == 1, "one trace")
        check(len(self.roots()) == 1, "one root")

    def add(self, span, resource):
        check(span["spanId"] not in self.by_id and span["name"], f"an id of its own, and a name: {span}")
        span = {**span, "resource": resource, "args": attributes(span), "begin": int(span["startTimeUnixNano"]),
                "end": int(span["endTimeUnixNano"])}
        check(span["begin"] <= span["end"], f"it ends after it begins: {span}")
        check(resource.get("service.name"), "whose it is")
        for event in span.get("events", ()):
            attributes(event)
        self.by_id[span["spanId"]] = span

    def roots(self):
        return [span for span in self.by_id.values() if "parentSpanId" not in span]

    def of(self, kind, name=None):
        return [span for span in self.by_id.values() if span["kind"] == kind and name in (None, span["name"])]

    def parent(self, span):
        return self.by_id.get(span.get("parentSpanId"))


class Collector(http.server.ThreadingHTTPServer):
    """Takes what is valid. `script`: what it does with the next requests instead, one after the other: (status, headers, body), "hang" or
    "close"; the last one for ever if again."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lines, self.refused, self.script, self.requests, self.times = [], [], [], 0, []
        self.asked = None  # (Authorization, path) of the last request
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1/traces"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def play(self, *script):
        self.lines, self.refused, self.requests, self.times = [], [], 0, []
        self.script = list(script)

    def handle_error(self, request, client_address):
        pass  # who hangs up on it is the test's business


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def say(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):  # pylint: disable=invalid-name
        server = self.server
        server.requests += 1
        server.times.append(time.monotonic())
        server.asked = (self.headers["Authorization"], self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        step = server.script.pop(0) if server.script else None
        if step == "hang":
            server.released.wait(60)
            return
        if step == "close":
            self.close_connection = True
            self.connection.close()
            return
        if step and step[0] != 200:
            self.say(*step)
            return
        try:
            check(self.path.split("?")[0] == "/v1/traces" and self.headers["Content-Type"] == "application/json", "where and what")
            check(len(body) <= BODY_MAX and "Expect" not in self.headers, "more than a collector takes")
            validate(json.loads(body), "ExportTraceServiceRequest")
        except (AssertionError, ValueError) as wrong:
            server.refused.append(str(wrong))
            self.say(400, {}, json.dumps({"message": str(wrong)}).encode())
            return
        server.lines.append(body.decode())
        self.say(*(step or (200, {}, b"{}")))
