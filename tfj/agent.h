/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The agent: serves the orders of one collector until it is told to quit. */
#ifndef TFJ_AGENT_H
#define TFJ_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "tfj/box.h"

#define AGENT_MEMORY (256ull << 20)
#define AGENT_SPOOL (512ull << 20)

struct agent_options {
	const char *collector; /* URL */
	const char *server_key, *key; /* over TCP: the server's public key (or its file), and the file of our secret; else NULL */
	const char *backend;   /* see tracer_open */
	char *boxes[BOX_MAX]; /* NAME or NAME=NETNS; none: makes whatever boxes a run needs */
	size_t n_boxes;
	bool no_syn_option;    /* SYNs between kernels say nothing; replies have no names there */
	bool no_faults;        /* none can be asked for; starts sooner */
	bool parent_death;     /* end in order when the process that started us ends */
	uint64_t memory, spool; /* bytes that may wait for the collector in memory, and in the spool beyond that */
};

/* Returns when it is over: 0 after a quit or a signal to end, or negative errno with the reason. */
int agent_run(const struct agent_options *options, struct error *e);

#endif
