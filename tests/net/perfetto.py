# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads Perfetto traces by the format's own definition: numbers, types and meaning of fields as in github.com/google/perfetto,
protos/perfetto/trace/ (trace.proto, trace_packet.proto, clock_snapshot.proto, track_event/*.proto) and common/builtin_clock.proto. What
is not in this table, or has another type, is refused."""

VARINT, FIXED64, BYTES = 0, 1, 2
REPEATED = True

# message -> {number: (name, type, whether repeated)}; a type is a wire type's name, or a message
DEFINITION = {
    "Trace": {1: ("packet", "TracePacket", REPEATED)},
    "TracePacket": {6: ("clock_snapshot", "ClockSnapshot"), 8: ("timestamp", "uint64"), 10: ("trusted_packet_sequence_id", "uint32"),
                    11: ("track_event", "TrackEvent"), 13: ("sequence_flags", "uint32"), 42: ("previous_packet_dropped", "uint32"),
                    58: ("timestamp_clock_id", "uint32"), 60: ("track_descriptor", "TrackDescriptor"),
                    87: ("first_packet_on_sequence", "bool")},
    "ClockSnapshot": {1: ("clocks", "Clock", REPEATED), 2: ("primary_trace_clock", "uint32")},
    "Clock": {1: ("clock_id", "uint32"), 2: ("timestamp", "uint64"), 3: ("is_incremental", "bool"), 4: ("unit_multiplier_ns", "uint64")},
    "TrackDescriptor": {1: ("uuid", "uint64"), 2: ("name", "string"), 3: ("process", "ProcessDescriptor"),
                        4: ("thread", "ThreadDescriptor"), 5: ("parent_uuid", "uint64"), 14: ("description", "string")},
    "ProcessDescriptor": {1: ("pid", "int32"), 2: ("cmdline", "string", REPEATED), 6: ("process_name", "string"),
                          7: ("start_timestamp_ns", "int64"), 8: ("process_labels", "string", REPEATED)},
    "ThreadDescriptor": {1: ("pid", "int32"), 2: ("tid", "int32"), 5: ("thread_name", "string")},
    "TrackEvent": {3: ("category_iids", "uint64", REPEATED), 4: ("debug_annotations", "DebugAnnotation", REPEATED), 9: ("type", "uint32"),
                   10: ("name_iid", "uint64"), 11: ("track_uuid", "uint64"), 22: ("categories", "string", REPEATED), 23: ("name", "string"),
                   47: ("flow_ids", "fixed64", REPEATED), 48: ("terminating_flow_ids", "fixed64", REPEATED)},
    "DebugAnnotation": {2: ("bool_value", "bool"), 3: ("uint_value", "uint64"), 4: ("int_value", "int64"), 5: ("double_value", "double"),
                        6: ("string_value", "string"), 10: ("name", "string")},
}
WIRE = {"uint64": VARINT, "uint32": VARINT, "int64": VARINT, "int32": VARINT, "bool": VARINT, "fixed64": FIXED64, "double": FIXED64,
        "string": BYTES}
SLICE_BEGIN, SLICE_END, INSTANT = 1, 2, 3
REALTIME, MONOTONIC, BOOTTIME = 1, 3, 6
DATA = ("clock_snapshot", "track_event", "track_descriptor")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise AssertionError("a number of more than 64 bits")


def decode(data, kind):
    """A message as a dict. Every byte of it must be a field of the definition."""
    message, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if number not in DEFINITION[kind]:
            raise AssertionError(f"{kind} has no field {number}")
        name, type_, *repeated = DEFINITION[kind][number]
        if wire != WIRE.get(type_, BYTES):
            raise AssertionError(f"{kind}.{name}: wire type {wire}")
        if wire == VARINT:
            value, at = varint(data, at)
            if type_ in ("int32", "int64") and value >> 63:
                value -= 1 << 64
        elif wire == FIXED64:
            value, at = int.from_bytes(data[at:at + 8], "little"), at + 8
        else:
            size, at = varint(data, at)
            if at + size > len(data):
                raise AssertionError(f"{kind}.{name} is cut off")
            value, at = data[at:at + size], at + size
            value = value.decode("utf-8") if type_ == "string" else decode(value, type_)
        if repeated:
            message.setdefault(name, []).append(value)
        elif name in message:
            raise AssertionError(f"{kind}.{name} twice")
        else:
            message[name] = value
    return message


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Trace:
    """A trace whose rules were checked: tracks, slices and instants, arrows, clocks."""

    def __init__(self, data):
        self.tracks, self.slices, self.instants, self.clocks = {}, [], [], {}
        self.begins, self.ends = {}, {}  # by flow: (time, event)
        self.open, self.last, self.pids, self.tids = {}, {}, {}, {}
        for number, packet in enumerate(decode(data, "Trace")["packet"]):
            check(packet.get("trusted_packet_sequence_id"), "a packet of no sequence")
            check(sum(name in packet for name in DATA) == 1, f"one thing a packet: {packet}")
            check((packet.get("sequence_flags", 0) & 1) == (number == 0), "only the first packet has nothing before it")
            if "clock_snapshot" in packet:
                self.clocks.update({c["clock_id"]: c["timestamp"] for c in packet["clock_snapshot"]["clocks"]})
            elif "track_descriptor" in packet:
                self.track(packet["track_descriptor"])
            else:
                self.event(packet["timestamp"], packet["track_event"])
        check(not any(self.open.values()), f"slices without an end: {self.open}")
        check(self.begins.keys() == self.ends.keys(), "an arrow has two ends")
        for flow, (time, begin) in self.begins.items():
            check(time < self.ends[flow][0] and begin is not self.ends[flow][1], f"an arrow goes forwards: {begin}")

    def track(self, track):
        check(track["uuid"] and track["uuid"] not in self.tracks, f"a track of its own: {track}")
        check("parent_uuid" not in track or track["parent_uuid"] in self.tracks, f"a parent that was announced: {track}")
        if "process" in track:
            check(track["process"]["pid"] > 0 and track["process"]["pid"] not in self.pids, f"a process of its own: {track}")
            self.pids[track["process"]["pid"]] = track["uuid"]
        if "thread" in track:
            thread = track["thread"]
            check(thread["pid"] in self.pids and thread["tid"] > 0 and thread["tid"] not in self.tids, f"a thread of its own: {track}")
            self.tids[thread["tid"]] = track["uuid"]
        self.tracks[track["uuid"]] = track

    def event(self, time, event):
        track = event["track_uuid"]
        check(track in self.tracks, f"a track that was announced: {event}")
        check(time >= self.last.get(track, 0), f"time goes on: {event}")
        self.last[track] = time
        event = {**event, "time": time, "args": {a["name"]: next(v for k, v in a.items() if k != "name")
                                                 for a in event.get("debug_annotations", ())}}
        check(len(event["args"]) == len(event.get("debug_annotations", ())), f"each argument once: {event}")
        if event["type"] == SLICE_END:
            begun = self.open[track].pop()
            begun["end"] = time
        else:
            check(event.get("name"), f"a name: {event}")
            if event["type"] == SLICE_BEGIN:
                self.open.setdefault(track, []).append(event)
                self.slices.append(event)
            else:
                check(event["type"] == INSTANT, f"a type: {event}")
                self.instants.append(event)
        for place, flows in ((self.begins, event.get("flow_ids", ())), (self.ends, event.get("terminating_flow_ids", ()))):
            for flow in flows:
                check(flow and flow not in place, f"an arrow of its own: {event}")
                place[flow] = (time, event)

    def named(self, words):
        """Slices and instants whose name begins so."""
        return [event for event in self.slices + self.instants if event["name"].startswith(words)]

    def track_name(self, event):
        return self.tracks[event["track_uuid"]]["name"]
