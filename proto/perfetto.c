/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See perfetto.h. Fails only without memory, which is needed only for strings that are not clean. */
#include "proto/perfetto.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"
#include "proto/perfetto.pb-c.h"

/* Numbers of the definition: BuiltinClock, SequenceFlags. */
enum { CLOCK_OF_REALTIME = 1, CLOCK_OF_MONOTONIC = 3, CLOCK_OF_BOOTTIME = 6, NOTHING_BEFORE = 1 };
enum { STRINGS_MAX = 40, TEXT_MAX = 4096 };

/* Copies that were needed for one packet. */
struct clean {
	char *copies[STRINGS_MAX];
	size_t n;
	bool failed;
};

static void clean_fini(struct clean *clean)
{
	for (size_t i = 0; i < clean->n; i++)
		free(clean->copies[i]);
}

static bool is_clean(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	for (; *at; at++)
		if (*at < 0x20 || *at >= 0x7f)
			return false;
	return at - (const unsigned char *)text <= TEXT_MAX;
}

static char *clean_text(struct clean *clean, const char *text)
{
	char *copy;

	if (!text || is_clean(text))
		return (char *)text;
	copy = clean->n < STRINGS_MAX ? utf8_printable(text, strnlen(text, TEXT_MAX)) : NULL;
	clean->failed |= !copy;
	if (copy)
		clean->copies[clean->n++] = copy;
	return copy;
}

struct out {
	ProtobufCBuffer buffer;
	FILE *file;
};

static void out_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
	fwrite(bytes, 1, size, ((struct out *)buffer)->file); /* buffer is its first member */
}

/* A trace of one packet; what stands behind each other is one trace. */
static int packet_write(Bop__Perfetto__TracePacket *packet, struct clean *clean, FILE *file)
{
	Bop__Perfetto__Trace trace = BOP__PERFETTO__TRACE__INIT;
	struct out out = { { out_append }, file };
	bool failed = clean && clean->failed;

	packet->has_trusted_packet_sequence_id = true;
	packet->trusted_packet_sequence_id = 1;
	trace.n_packet = 1;
	trace.packet = &packet;
	if (!failed)
		protobuf_c_message_pack_to_buffer(&trace.base, &out.buffer);
	if (clean)
		clean_fini(clean);
	return failed ? -ENOMEM : 0;
}

static Bop__Perfetto__ClockSnapshot__Clock clock_of(uint32_t id, uint64_t time)
{
	Bop__Perfetto__ClockSnapshot__Clock clock = BOP__PERFETTO__CLOCK_SNAPSHOT__CLOCK__INIT;

	clock.has_clock_id = clock.has_timestamp = true;
	clock.clock_id = id;
	clock.timestamp = time;
	return clock;
}

int perfetto_clocks(uint64_t monotonic_ns, uint64_t realtime_ns, FILE *out)
{
	Bop__Perfetto__TracePacket packet = BOP__PERFETTO__TRACE_PACKET__INIT;
	Bop__Perfetto__ClockSnapshot snapshot = BOP__PERFETTO__CLOCK_SNAPSHOT__INIT;
	Bop__Perfetto__ClockSnapshot__Clock clocks[] = {
		clock_of(CLOCK_OF_REALTIME, realtime_ns),
		clock_of(CLOCK_OF_MONOTONIC, monotonic_ns),
		clock_of(CLOCK_OF_BOOTTIME, monotonic_ns), /* the trace's own: readers take it for that of packets */
	};
	Bop__Perfetto__ClockSnapshot__Clock *all[] = { &clocks[0], &clocks[1], &clocks[2] };

	snapshot.clocks = all;
	snapshot.n_clocks = 3;
	snapshot.has_primary_trace_clock = true;
	snapshot.primary_trace_clock = CLOCK_OF_BOOTTIME;
	packet.has_timestamp = packet.has_sequence_flags = true;
	packet.timestamp = monotonic_ns;
	packet.sequence_flags = NOTHING_BEFORE;
	packet.data_case = BOP__PERFETTO__TRACE_PACKET__DATA_CLOCK_SNAPSHOT;
	packet.clock_snapshot = &snapshot;
	return packet_write(&packet, NULL, out);
}

int perfetto_track(const struct perfetto_track *track, FILE *out)
{
	Bop__Perfetto__TracePacket packet = BOP__PERFETTO__TRACE_PACKET__INIT;
	Bop__Perfetto__TrackDescriptor descriptor = BOP__PERFETTO__TRACK_DESCRIPTOR__INIT;
	Bop__Perfetto__ProcessDescriptor process = BOP__PERFETTO__PROCESS_DESCRIPTOR__INIT;
	Bop__Perfetto__ThreadDescriptor thread = BOP__PERFETTO__THREAD_DESCRIPTOR__INIT;
	struct clean clean = { .n = 0 };
	char *name = clean_text(&clean, track->name), *command = clean_text(&clean, track->command);

	descriptor.has_uuid = true;
	descriptor.uuid = track->uuid;
	descriptor.has_parent_uuid = track->parent != 0;
	descriptor.parent_uuid = track->parent;
	descriptor.name = name;
	if (track->pid && track->tid) {
		thread.has_pid = thread.has_tid = true;
		thread.pid = track->pid;
		thread.tid = track->tid;
		thread.thread_name = name;
		descriptor.thread = &thread;
	} else if (track->pid) {
		process.has_pid = true;
		process.pid = track->pid;
		process.process_name = name;
		process.n_cmdline = command ? 1 : 0;
		process.cmdline = &command;
		descriptor.process = &process;
	}
	packet.data_case = BOP__PERFETTO__TRACE_PACKET__DATA_TRACK_DESCRIPTOR;
	packet.track_descriptor = &descriptor;
	return packet_write(&packet, &clean, out);
}

static void arg_fill(Bop__Perfetto__DebugAnnotation *row, const struct perfetto_arg *arg, struct clean *clean)
{
	bop__perfetto__debug_annotation__init(row);
	row->name = (char *)arg->name;
	switch (arg->type) {
	case PERFETTO_BOOL:
		row->value_case = BOP__PERFETTO__DEBUG_ANNOTATION__VALUE_BOOL_VALUE;
		row->bool_value = arg->number != 0;
		break;
	case PERFETTO_UINT:
		row->value_case = BOP__PERFETTO__DEBUG_ANNOTATION__VALUE_UINT_VALUE;
		row->uint_value = arg->number;
		break;
	case PERFETTO_INT:
		row->value_case = BOP__PERFETTO__DEBUG_ANNOTATION__VALUE_INT_VALUE;
		row->int_value = arg->integer;
		break;
	case PERFETTO_TEXT:
		row->value_case = BOP__PERFETTO__DEBUG_ANNOTATION__VALUE_STRING_VALUE;
		row->string_value = clean_text(clean, arg->text ? arg->text : "");
		break;
	}
}

int perfetto_event(const struct perfetto_event *event, FILE *out)
{
	Bop__Perfetto__TracePacket packet = BOP__PERFETTO__TRACE_PACKET__INIT;
	Bop__Perfetto__TrackEvent body = BOP__PERFETTO__TRACK_EVENT__INIT;
	Bop__Perfetto__DebugAnnotation args[PERFETTO_ARGS_MAX], *all[PERFETTO_ARGS_MAX];
	struct clean clean = { .n = 0 };
	char *category = (char *)event->category;

	for (size_t i = 0; i < event->n_args && i < PERFETTO_ARGS_MAX; i++) {
		arg_fill(&args[i], &event->args[i], &clean);
		all[i] = &args[i];
	}
	body.debug_annotations = all;
	body.n_debug_annotations = event->n_args < PERFETTO_ARGS_MAX ? event->n_args : PERFETTO_ARGS_MAX;
	body.has_type = body.has_track_uuid = true;
	body.type = (Bop__Perfetto__TrackEvent__Type)event->type;
	body.track_uuid = event->track;
	body.n_categories = category ? 1 : 0;
	body.categories = &category;
	body.name = clean_text(&clean, event->name);
	body.n_flow_ids = event->n_flows;
	body.flow_ids = (uint64_t *)event->flows;
	body.n_terminating_flow_ids = event->n_ends;
	body.terminating_flow_ids = (uint64_t *)event->ends;
	packet.has_timestamp = true;
	packet.timestamp = event->time_ns;
	packet.data_case = BOP__PERFETTO__TRACE_PACKET__DATA_TRACK_EVENT;
	packet.track_event = &body;
	return packet_write(&packet, &clean, out);
}
