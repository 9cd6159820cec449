/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Why a peer was not let in, and how many. Counted, so that a stranger's flood is seen and costs no more than a number. */
#ifndef COLLECTOR_REFUSAL_H
#define COLLECTOR_REFUSAL_H

#include <stdint.h>

/* X(NAME, name, what such a peer did). The names are for `bop boxes --json`. */
#define REFUSALS(X)                                                                                \
	X(NOISE, noise, "sent what is not ZeroMQ's protocol")                                      \
	X(NO_CURVE, no_curve, "offered no CURVE, but NULL or PLAIN")                               \
	X(HANDSHAKE, handshake, "began CURVE and could not go on: for another server's key, a replay, or damaged") \
	X(LEFT, left, "said nothing for 5 s, or left, before it had shown its key")                \
	X(UNKNOWN_KEY, unknown_key, "showed a key that is not on the list")                        \
	X(VERSION, version, "is an agent of another version")                                      \
	X(NONSENSE, nonsense, "was let in, and sent what no agent sends")                          \
	X(FULL, full, "is one agent more than its key (32), or the server (256), may have at once")

enum refusal {
#define X(NAME, name, text) REFUSAL_##NAME,
	REFUSALS(X)
#undef X
	REFUSAL_COUNT,
};

struct refusals {
	uint64_t n[REFUSAL_COUNT];
};

#endif
