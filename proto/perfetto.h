/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Packets of a Perfetto trace (proto/perfetto.proto), written one after the other: a file of them is a trace. Knows
 * nothing of runs. Strings are borrowed, and may hold any bytes: what is no UTF-8, and control characters, is written
 * as '?', and what is longer than 4096 bytes is cut. A write that fails is left in ferror(out).
 */
#ifndef PROTO_PERFETTO_H
#define PROTO_PERFETTO_H

#include <stdint.h>
#include <stdio.h>

enum { PERFETTO_ARGS_MAX = 32 };

/* A slice of time on a track; slices of one track may stand inside each other. An instant has no duration. */
enum perfetto_type { PERFETTO_BEGIN = 1, PERFETTO_END, PERFETTO_INSTANT };

enum perfetto_value { PERFETTO_BOOL, PERFETTO_UINT, PERFETTO_INT, PERFETTO_TEXT };

struct perfetto_arg {
	const char *name;
	enum perfetto_value type;
	union {
		uint64_t number; /* BOOL, UINT */
		int64_t integer;
		const char *text;
	};
};

struct perfetto_event {
	uint64_t time_ns;
	uint64_t track;
	enum perfetto_type type;
	const char *category, *name; /* NULL: none, as of the end of a slice */
	const uint64_t *flows, *ends; /* arrows that begin, and that end here; each number does both once */
	size_t n_flows, n_ends;
	const struct perfetto_arg *args;
	size_t n_args; /* PERFETTO_ARGS_MAX, at most */
};

struct perfetto_track {
	uint64_t uuid, parent; /* parent 0: none */
	const char *name;
	int32_t pid, tid; /* pid 0: the track of no process; tid 0: of no thread. Both are unique in the trace */
	const char *command; /* of a process; NULL: not known */
};

/* The first packet. Times of the trace are of a clock that showed monotonic_ns when the other one showed realtime_ns. */
int perfetto_clocks(uint64_t monotonic_ns, uint64_t realtime_ns, FILE *out);
/* Before all that is on it, and after its parent. All three: 0, or -ENOMEM. */
int perfetto_track(const struct perfetto_track *track, FILE *out);
int perfetto_event(const struct perfetto_event *event, FILE *out);

#endif
