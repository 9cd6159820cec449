/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults: a line of a plan as a plain struct, and what became of it. Neutral: knows no kernel, socket, store or graph. The text
 * (docs/faults.md) is the one spelling, on the wire too: fault_print(fault_parse(x)) is the canonical form of x, and stays as it is.
 */
#ifndef PROTO_FAULT_H
#define PROTO_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define FAULT_TIME_MAX_NS (365ull * 24 * 3600 * 1000000000ull) /* a time in a plan is shorter than a year */
#define FAULT_LINE_MAX 4096u   /* bytes of one line */
#define FAULT_NAME_MAX 255u    /* bytes of a process's or box's name */
#define FAULT_PLAN_MAX 10000u  /* faults of one plan, and of one run */
#define FAULT_PPM 1000000u     /* loss, corrupt, duplicate, reorder: all of them */

/* X(NAME, "word", "usage", "what it does"). The numbers are kept in traces: append, never reorder. */
#define FAULT_KINDS(X)                                                                                               \
	X(CUT, "cut", "cut MESSAGE [oneway] [for TIME] [lease TIME]",                                                \
	  "nothing from that message on arrives, and then nothing at all on that connection")                        \
	X(DROP, "drop", "drop MESSAGE [times N]", "the first N packets with its first byte are lost on the wire")    \
	X(HOLD, "hold", "hold MESSAGE for TIME", "it does not arrive before that time has passed")                   \
	X(RESET, "reset", "reset MESSAGE", "instead of it both ends get ECONNRESET")                                 \
	X(REFUSE, "refuse", "refuse CONNECTION [timeout]", "that connect fails (or its SYNs vanish)")                \
	X(PARTITION, "partition", "partition BOX,... | BOX,... [oneway] [from MOMENT] [for TIME] [lease TIME]",      \
	  "no packet between the groups")                                                                            \
	X(ISOLATE, "isolate", "isolate BOX,... [oneway] [from MOMENT] [for TIME] [lease TIME]",                      \
	  "no packet between each of them and anyone else")                                                          \
	X(CRASH, "crash", "crash PROCESS [at MOMENT] [silent]", "SIGKILL in its own system call")                    \
	X(CRASH_BOX, "crash box", "crash box BOX [at MOMENT]", "every process of the box, as if its power had gone") \
	X(RESTART, "restart", "restart PROCESS after TIME", "after a crash: started again, same name and box")       \
	X(PAUSE, "pause", "pause PROCESS [at MOMENT] for TIME", "SIGSTOP, and SIGCONT when the time has passed")     \
	X(LOSS, "loss", "loss PERCENT BOX,... [| BOX,...] [oneway] [from MOMENT] [for TIME] [lease TIME] [seed N]",  \
	  "random packets between the groups are lost")                                                              \
	X(CORRUPT, "corrupt",                                                                                        \
	  "corrupt PERCENT BOX,... [| BOX,...] [oneway] [from MOMENT] [for TIME] [lease TIME] [seed N]",             \
	  "random packets arrive with a changed byte")                                                               \
	X(DUPLICATE, "duplicate",                                                                                    \
	  "duplicate PERCENT BOX,... [| BOX,...] [oneway] [from MOMENT] [for TIME] [lease TIME] [seed N]",           \
	  "random packets arrive twice")                                                                             \
	X(REORDER, "reorder",                                                                                        \
	  "reorder PERCENT BOX,... [| BOX,...] [oneway] [from MOMENT] [for TIME] [lease TIME] [seed N]",             \
	  "random packets arrive late")                                                                              \
	X(RATE, "rate", "rate RATE BOX,... [| BOX,...] [oneway] [from MOMENT] [for TIME] [lease TIME]",              \
	  "no more than so many bits a second")                                                                      \
	X(FAIL, "fail", "fail CALL ERRNO PROCESS [from MOMENT] [for TIME] [lease TIME] [times N]",                   \
	  "a system call of that process fails")

enum fault_kind {
	FAULT_NONE,
#define X(NAME, word, usage, text) FAULT_##NAME,
	FAULT_KINDS(X)
#undef X
	FAULT_KIND_COUNT,
};

/* "crash box"; "?" for a number that is none. Static. */
const char *fault_kind_name(unsigned kind);

enum fault_flag {
	FAULT_F_ONEWAY = 1 << 0,  /* cut, partition, isolate, random ones: only that direction; from the first group to the second */
	FAULT_F_TIMEOUT = 1 << 1, /* refuse: its SYNs vanish */
	FAULT_F_SILENT = 1 << 2,  /* crash: the peers see nothing */
	FAULT_F_RACY = 1 << 3,    /* not in the text: a racy label was allowed */
	FAULT_F_DRY = 1 << 4,	  /* not in the text: everything is evaluated, nothing happens (would-fire) */
};

/* client>s1:7000#2: which process connects, to which box (or address) and port, and which of its connects to there. */
struct fault_connection {
	char *process;
	char *box;	     /* name or address, IPv6 without brackets */
	uint32_t port;	     /* 0: port_order says */
	uint32_t port_order; /* s1:*1: k-th port that the kernel chose there */
	uint32_t ordinal;    /* from 1 */
	int column, box_column; /* of process and box in the line, from 1 */
};

enum fault_moment_kind {
	MOMENT_NONE,
	MOMENT_SEND,	/* the message leaves */
	MOMENT_RECV,	/* a receive returned its first byte */
	MOMENT_CONNECT,
	MOMENT_ACCEPT,
	MOMENT_EXIT,
	MOMENT_START,
	MOMENT_KIND_COUNT,
};

struct fault_moment {
	enum fault_moment_kind kind;
	struct fault_connection connection; /* SEND, RECV, CONNECT, ACCEPT */
	bool reply;	  /* SEND, RECV: from the acceptor, client<s1:7000#2/1 */
	uint32_t message; /* SEND, RECV: from 1 */
	char *process;	  /* EXIT, START */
	int column, process_column; /* of its first word, of process */
};

struct fault {
	uint32_t id; /* from 1 in a run; 0: not given yet */
	enum fault_kind kind;
	uint32_t flags; /* enum fault_flag */
	/*
	 * cut, drop, hold, reset: SEND of the message. refuse: CONNECT of the connection. Others: when it begins; NONE: at once
	 * (a process that is not there yet: as it starts).
	 */
	struct fault_moment at;
	char *process; /* crash, restart, pause, fail */
	char *call;    /* fail: name of the system call */
	int error;     /* fail: errno, positive */
	char **from, **to;    /* boxes, NULL-terminated; crash box: from[0]. to NULL: everyone. Both NULL: the kind has no groups */
	int *from_columns, *to_columns;
	uint32_t times;	      /* drop: 1 at least; fail: 0 always */
	uint64_t duration_ns; /* `for`, restart: `after`. 0: none was asked for */
	/*
	 * `lease`: the effect ends then by itself, at the latest; 0: the default (a plan: the end of the run; live: 30 s). It ends at
	 * the smaller of both; unasked (the run is inconclusive) if that was not `for`.
	 */
	uint64_t lease_ns;
	uint32_t ppm;	/* random ones: packets of a million */
	uint64_t rate;	/* bits a second */
	uint64_t seed;	/* random ones: 0 not given */
	bool seed_given; /* in the text */
	char *text;	/* the canonical line */
	int line;	/* of the plan, from 1; 0: none */
	int process_column;
};

/*
 * One line without its end: no comment, not empty. -EINVAL with what is wrong and what would have been right in e (no
 * position in front), and the column, from 1, where; -ENOMEM. Only the form is checked: whether what it names is there the collector
 * knows (collector/plan.h).
 */
int fault_parse(const char *line, size_t size, struct fault *ret_fault, int *ret_column, struct error *e);
void fault_fini(struct fault *fault);

/* Whether its effect can be given an end by `lease`. */
bool fault_has_lease(enum fault_kind kind);

/* Whether it decides by a seed. */
bool fault_is_random(enum fault_kind kind);

/* Of send, recv, connect, accept: the moment of who connects; else of one of those that accept. */
bool fault_moment_is_connectors(const struct fault_moment *moment);

/* The canonical line; the caller frees. NULL without memory. */
char *fault_print(const struct fault *fault);
/* client>s1:7000#2, s1:7000 with the box only. The caller frees. NULL without memory. */
char *fault_connection_print(const struct fault_connection *connection);

/* What a fault is in: numbers are kept in traces. X(NAME, "name", "what it means") */
#define FAULT_STATES(X)                                                               \
	X(ARMED, "armed", "waits for its moment")                                     \
	X(FIRED, "fired", "it acts, or has acted")                                    \
	X(WOULD_FIRE, "would-fire", "its moment came, but the run was a dry one")     \
	X(NEVER_FIRED, "never-fired", "the run ended before its moment came")         \
	X(LIFTED, "lifted", "was taken away on request; if it had fired, its effect ended then") \
	X(EXPIRED, "expired", "its lease or its time was over; if it had fired, its effect ended then") \
	X(REFUSED, "refused", "could not be armed")                                   \
	X(UNKNOWN, "unknown", "the agent that had it is gone")

enum fault_state {
	FAULT_STATE_NONE, /* "asked": nobody has answered yet. Not kept */
#define X(NAME, word, text) FAULT_STATE_##NAME,
	FAULT_STATES(X)
#undef X
	FAULT_STATE_COUNT,
};

const char *fault_state_name(unsigned state); /* as fault_kind_name() */

/* What became of a fault. Times: CLOCK_MONOTONIC of the agent, as those of events; 0: did not happen. */
struct fault_receipt {
	uint32_t id;
	enum fault_state state;
	uint64_t fired_ns;   /* its trigger */
	uint64_t effect_ns;  /* from the trigger until the effect was in place, a duration */
	uint64_t ended_ns;   /* the effect was over: lifted, expired */
	uint64_t fired;	     /* how many times */
	uint64_t messages, bytes, packets; /* that it hit, as asked */
	uint64_t collateral_messages, collateral_bytes, collateral_packets; /* that it hit beside */
	uint64_t lateness_ns; /* hold: how much later than asked the first byte arrived */
	uint64_t decisions;   /* random ones: packets that were decided about */
	char *line;	      /* the fault's canonical text */
	char *why;	      /* a line for a person; "" nothing to add */
	size_t place;	      /* private to event.c */
};

/* X(field): its numbers, which travel as they are. */
#define FAULT_RECEIPT_NUMBERS(X)                                                                                     \
	X(id) X(fired_ns) X(effect_ns) X(ended_ns) X(fired) X(messages) X(bytes) X(packets) X(collateral_messages)   \
	X(collateral_bytes) X(collateral_packets) X(lateness_ns) X(decisions)

void fault_receipt_fini(struct fault_receipt *receipt);

/*
 * Two agents had the same fault (a partition): `into` becomes what both together say, `from` is emptied. The worse state wins:
 * refused, unknown, then what is nearest to its effect.
 */
void fault_receipt_join(struct fault_receipt *into, struct fault_receipt *from);

#endif
