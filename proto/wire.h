/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Events to bytes and back: the only includer of the generated protobuf code for traces and control. Input is
 * hostile: every index, size and count is checked against what the batch itself holds, and a batch is taken whole or
 * not at all.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "proto/event.h"
#include "proto/fault.h"

/* Changes when an old peer would misunderstand a new one. Also the version of the blobs in a store. */
#define WIRE_PROTOCOL 1u

#define WIRE_MAX_BATCH (16u << 20)     /* bytes of one encoded batch; larger ones are refused */
#define WIRE_MAX_EVENTS (1u << 18)     /* events of one batch */
#define WIRE_MAX_INDEX (1u << 24)      /* largest table index */

struct wire_batch {
	uint64_t run, number;
	uint64_t emitted, lost; /* only with last */
	bool last;
};

/*
 * Encodes what `part` holds as one batch: all events, outputs, contents and receipts, and those rows of the tables that the sets name
 * (arrays of indices). A row that is named but zero is an error of the caller. *ret_bytes is malloc'ed.
 */
struct wire_rows {
	const uint32_t *boxes, *processes, *ends, *texts;
	size_t n_boxes, n_processes, n_ends, n_texts;
	const struct trace_end *const *end_rows; /* by place in `ends`; NULL: they are in part->ends */
};
int wire_batch_encode(const struct wire_batch *head, const struct trace *part, const struct wire_rows *rows,
		      unsigned char **ret_bytes, size_t *ret_size);

/*
 * Reads the head alone, without unpacking the rest: is this batch new? That it can be decoded it does not say. -EBADMSG
 * if it is no protobuf message.
 */
int wire_batch_peek(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct error *e);

/*
 * Adds a batch to trace (tables replaced row by row, everything else appended). On failure (-EBADMSG, -ENOMEM)
 * trace may hold a part of it and must not be used.
 */
int wire_batch_decode(const unsigned char *bytes, size_t size, struct wire_batch *ret_head, struct trace *trace,
		      struct error *e);

/*
 * Control messages, both ways, as plain structs. Strings and arrays of a decoded message belong to it and are freed by
 * message_fini; for encoding they are borrowed. A decoded string is never NULL.
 */
enum message_kind {
	MESSAGE_NONE,
	/* from agent */
	MESSAGE_HELLO,
	MESSAGE_BATCH,
	MESSAGE_REPLY,
	MESSAGE_READY,
	MESSAGE_EXITED,
	MESSAGE_WARNING,
	MESSAGE_PROGRESS,
	MESSAGE_RECEIPTS,
	/* from collector */
	MESSAGE_WELCOME,
	MESSAGE_REFUSED,
	MESSAGE_ACK,
	MESSAGE_ORDER,
};

enum order_kind {
	ORDER_NONE, ORDER_BEGIN, ORDER_START, ORDER_SIGNAL, ORDER_MARK, ORDER_FINISH, ORDER_QUIT, ORDER_ARM, ORDER_LIFT, ORDER_ATTACH,
};

/* A kind of fault that does not work on the agent's machine. */
struct message_unable {
	char *kind, *why; /* kind: as fault_kind_name() */
};

struct message_hello {
	uint32_t protocol;
	char *version, *host, *boot_id, *kernel, *backend;
	unsigned char session[16];
	uint64_t monotonic_ns, realtime_ns;
	struct trace_box *boxes; /* n_boxes of them, that it serves; address empty: made for each run */
	size_t n_boxes;		 /* 0: it makes whatever boxes a run needs */
	struct message_unable *unable; /* n_unable of them; all other kinds work */
	size_t n_unable;
};

struct message_welcome {
	char *version;
	unsigned char session[16]; /* of the collector; zero: it did not say */
};

struct message_start {
	char *name, *box, *user, *directory;
	char **argv, **environment; /* NULL-terminated */
	uint32_t ready_port;
	bool untraced, quiet;
};

/* Exactly one of the last five says which process; the others are 0 or "". */
struct message_attach {
	char *name, *box;
	uint32_t pid;
	char *cgroup, *executable;
	uint32_t port;
	char *container;
};

struct message_order {
	uint64_t id;
	enum order_kind kind;
	struct { /* BEGIN */
		uint64_t run;
		char *experiment, *directory;
		char **boxes; /* names, NULL-terminated */
		uint32_t content_bytes; /* 0: none */
		uint32_t transports; /* bits 1 << enum transport; 0: what is traced without being asked */
		bool deferred;
		char **redact; /* patterns, NULL-terminated; never NULL when decoded */
		struct trace_box *peers; /* n_peers of them: boxes of the run on other agents, with addresses */
		size_t n_peers;
	} begin;
	struct message_start start;
	struct message_attach attach;
	struct { /* SIGNAL */
		char *name;
		int signal;
		const char *box; /* of the process; for the sender alone, it does not travel */
	} signal;
	char *mark;
	struct { /* ARM */
		struct fault *faults; /* n of them, each with id, text, seed and flags; when decoded, whole */
		size_t n;
		uint64_t armed_ns; /* 0: to the end of the run */
	} arm;
	uint32_t lift; /* LIFT: id of the fault; 0: all */
};

struct message_reply {
	uint64_t id;
	int32_t code; /* 0 or negative errno */
	char *error;
	struct trace_box *boxes; /* n_boxes of them, from [0] */
	size_t n_boxes;
	int32_t pid;
};

struct message {
	enum message_kind kind;
	uint64_t number, heard; /* proto/courier.h */
	union {
		struct message_hello hello;
		struct { /* BATCH: the encoded batch itself, borrowed from the received frame when decoded */
			const unsigned char *bytes;
			size_t size;
		} batch;
		struct message_reply reply;
		struct {
			char *name;
		} ready;
		struct {
			char *name;
			uint32_t status;
			char *output;
			size_t size;
			uint32_t fault; /* that ended it; 0: none */
			bool restarts;	/* it is started again */
		} exited;
		char *text; /* WARNING, REFUSED */
		struct message_welcome welcome;
		uint64_t progress;
		struct { /* n of them, from [0] */
			struct fault_receipt *rows;
			size_t n;
		} receipts;
		struct {
			uint64_t run, number; /* UINT64_MAX: nothing of the run is wanted any more */
		} ack;
		struct message_order order;
	};
};

/* *ret_bytes is malloc'ed. Returns 0 or -ENOMEM. */
int message_encode(const struct message *message, unsigned char **ret_bytes, size_t *ret_size);

/* Who the message was for: the two directions are different types on the wire. */
enum message_side { MESSAGE_TO_COLLECTOR, MESSAGE_TO_AGENT };

/*
 * -EBADMSG with the reason for anything that is not exactly one known message of that side. bytes must outlive a
 * BATCH, which is not looked into: wire_batch_peek does that.
 */
int message_decode(const unsigned char *bytes, size_t size, enum message_side side, struct message *ret_message,
		   struct error *e);
void message_fini(struct message *message);

#endif
