/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests of controllers and the answers to them (proto/api.proto) as plain structs. Input is hostile: what is not
 * exactly one known request or answer with sane fields is refused. Strings and arrays of what was decoded belong to it
 * and are freed by its _fini; for encoding they are borrowed, and NULL is an empty string. A decoded string is never
 * NULL.
 *
 * Requests and answers that this program only carries from one end to the other (API_QUERIES, API_FINDINGS) travel as
 * protobuf-c has them, without a copy of each field; this header is the one includer of the generated code, and hands
 * it on. `body` of one that was decoded belongs to it and is malloc'ed; for encoding it is borrowed. All strings that
 * leave, in whatever answer or request, are UTF-8 without control characters, and so are all that come in an answer.
 */
#ifndef PROTO_API_H
#define PROTO_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "proto/api.pb-c.h"
#include "proto/event.h"
#include "proto/fault.h"

#define API_VERSION 1u		     /* changes when an old peer would misunderstand a new one */
#define API_MAX_REQUEST (2u << 20)   /* bytes of an encoded request */
#define API_MAX_ANSWER (16u << 20)   /* bytes of an encoded answer */

/* X(NAME, field of Request, type) */
#define API_QUERIES(X)                                                                                               \
	X(GET_CAPABILITIES, get_capabilities, GetCapabilities)                                                       \
	X(DESCRIBE_EXPERIMENT, describe_experiment, DescribeExperiment)                                              \
	X(LIST_RUNS, list_runs, ListRuns)                                                                            \
	X(REMOVE_RUN, remove_run, RemoveRun)                                                                         \
	X(WAIT_RUN, wait_run, WaitRun)                                                                               \
	X(GET_RUN, get_run, GetRun)                                                                                  \
	X(GET_MESSAGES, get_messages, GetMessages)                                                                   \
	X(GET_PAST, get_past, GetPast)                                                                               \
	X(GET_SUPPORTS, get_supports, GetSupports)                                                                   \
	X(RENDER, render, Render)                                                                                    \
	X(SUBSCRIBE, subscribe, Subscribe)                                                                           \
	X(REPLAY, replay, Replay)                                                                                    \
	X(MINIMIZE, minimize, Minimize)                                                                              \
	X(GET_HISTORY, get_history, GetHistory)                                                                      \
	X(LIST_HYPOTHESES, list_hypotheses, ListHypotheses)                                                          \
	X(REPEAT, repeat, Repeat)                                                                                    \
	X(DIFF, diff, Diff)

/* X(NAME, field of Answer, type) */
#define API_FINDINGS(X)                                                                                              \
	X(CAPABILITIES, capabilities, Capabilities)                                                                  \
	X(EXPERIMENT, experiment, Experiment)                                                                        \
	X(RUNS, runs, Runs)                                                                                          \
	X(REMOVED, removed, Removed)                                                                                 \
	X(RUN_INFO, run_info, RunInfo)                                                                               \
	X(MESSAGES, messages, Messages)                                                                              \
	X(PAST, past, Past)                                                                                          \
	X(SUPPORTS, supports, Supports)                                                                              \
	X(RENDERED, rendered, Rendered)                                                                              \
	X(EVENTS, events, Events)                                                                                    \
	X(EVENTS_END, events_end, EventsEnd)                                                                         \
	X(MINIMIZED, minimized, Minimized)                                                                           \
	X(HISTORY, history, History)                                                                                 \
	X(HYPOTHESES, hypotheses, Hypotheses)                                                                        \
	X(REPEATED, repeated, Repeated)

enum api_request_kind {
	API_REQUEST_NONE, API_LIST_BOXES, API_RUN, API_CANCEL, API_INJECT, API_LIFT, API_LIST_FAULTS,
#define X(NAME, field, type) API_##NAME,
	API_QUERIES(X)
#undef X
};

/* Of Run and Inject. Lines are as somebody wrote them: not read yet. */
struct api_plan {
	char **lines, **origins; /* n of each */
	size_t n;
	uint64_t seed; /* 0: none */
	bool dry, racy;
};

struct api_run {
	char *name, *path, *send, *keep_runs; /* keep_runs: new (also NULL, ""), all */
	char *text; /* with the end of a string behind it, which size does not count */
	size_t size;
	bool keep;
};

/* Inject, Lift, ListFaults, Cancel. */
struct api_about {
	uint64_t run; /* 0: not said */
	uint32_t id;  /* LIFT */
};

struct api_request {
	uint64_t id;
	enum api_request_kind kind;
	struct api_run run;
	struct api_about about;
	struct api_plan plan; /* RUN, INJECT */
	uint64_t cancel; /* id of the request to end; if about.run is not 0, that run is meant */
	bool at_once;
	union { /* API_QUERIES */
		ProtobufCMessage *body;
#define X(NAME, field, type) Bop__Api__##type *field;
		API_QUERIES(X)
#undef X
	};
};

/* Numbers as in api.proto. */
enum api_error { API_FAILED, API_VERSION_DIFFERS, API_MALFORMED, API_INVALID, API_NOT_FOUND, API_BUSY, API_INCOMPLETE };

struct api_agent {
	char *host, *kernel, *backend, *version, *key, *address, *boot_id, *state;
	uint64_t since_ns, run;
	struct trace_box *boxes; /* n_boxes of them, from [0] */
	size_t n_boxes;
};

struct api_refusal {
	char *reason, *text;
	uint64_t count;
};

struct api_boxes {
	char *version, *store;
	struct api_agent *agents;
	size_t n_agents;
	struct api_refusal *refusals;
	size_t n_refusals;
};

struct api_print {
	bool known;
	uint64_t high, low;
	bool approximate;
};

struct api_run_end {
	uint64_t run, started_ns, duration_ns;
	uint64_t events, messages, lost, holes; /* UINT64_MAX: not known */
	char *experiment, *outcome, *reason, *directory, *store;
	struct api_print exact, symmetric, folded, folded_symmetric, shape, shape_symmetric;
	char *print_why_not;
	uint64_t class_id, kept; /* 0: none */
	bool new_class;
	char *unclassed;
	char **warnings; /* NULL-terminated; NULL: none */
	bool incomplete;
	uint64_t total_ns, boxes_ns, ready_ns, workload_ns, check_ns, stop_ns;
};

struct api_fault {
	uint64_t run;
	bool dry, live;
	struct fault_receipt receipt; /* id, line, why, numbers; state NONE: nobody has answered yet */
};

struct api_faults {
	struct api_fault *rows;
	size_t n;
};

struct api_injected {
	uint64_t run;
	uint32_t *ids;
	size_t n;
};

enum api_answer_kind {
	API_ANSWER_NONE, API_ERROR, API_BOXES, API_PROGRESS, API_RUN_END, API_INJECTED, API_FAULTS,
#define X(NAME, field, type) API_##NAME,
	API_FINDINGS(X)
#undef X
};

struct api_answer {
	uint64_t id;
	enum api_answer_kind kind;
	union {
		struct {
			enum api_error kind;
			char *text;
		} error;
		struct api_boxes boxes;
		struct {
			uint64_t run, events;
			char *phase;
		} progress;
		struct api_run_end run_end;
		struct api_injected injected;
		struct api_faults faults;
		ProtobufCMessage *body; /* API_FINDINGS */
#define X(NAME, field, type) Bop__Api__##type *field;
		API_FINDINGS(X)
#undef X
	};
};

/* *ret_bytes is malloc'ed. 0 or -ENOMEM. */
int api_request_encode(const struct api_request *request, unsigned char **ret_bytes, size_t *ret_size);
int api_answer_encode(const struct api_answer *answer, unsigned char **ret_bytes, size_t *ret_size);

/*
 * -EPROTO: of another version, -EBADMSG: no request; e says so. ret_request->id is what it says, or 0, also on failure:
 * the refusal carries it. Nothing else is to be freed then.
 */
int api_request_decode(const unsigned char *bytes, size_t size, struct api_request *ret_request, struct error *e);
int api_answer_decode(const unsigned char *bytes, size_t size, struct api_answer *ret_answer, struct error *e);

void api_request_fini(struct api_request *request);
void api_answer_fini(struct api_answer *answer);

#endif
