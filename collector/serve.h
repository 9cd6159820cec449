/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `bop serve`: agents connect, controllers ask, runs go their course, all in one thread. Owns the store.
 *
 * In its directory (private, found by its user without being told): `agents` and `api`, the sockets, and `lock`, which is
 * held while a server runs there, and has its pid in it.
 */
#ifndef COLLECTOR_SERVE_H
#define COLLECTOR_SERVE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

#define SERVE_API_URL_MAX (PATH_MAX + 16)

struct serve_options {
	const char *directory; /* NULL: place_server() */
	const char *listen;    /* tcp://ADDRESS:PORT; NULL: private sockets only */
	const char *listen_api; /* the same, for controllers */
	const char *keys;      /* folder of keys; NULL: the usual one */
	const char *store;     /* URL */
	bool agent;	       /* starts an agent of its own, which ends with it */
	const char *const *boxes; /* n_boxes of that agent, as `tfj --box` takes them */
	size_t n_boxes;
	bool private; /* for whoever started it: ends when that does, and removes its directory then, if nothing else is in it */
};

struct serve;

/* Says what is wrong before anything is bound. -EBUSY: a server runs in that directory already. */
int serve_open(const struct serve_options *options, struct serve **ret_serve, struct error *e);
/*
 * Until SIGINT or SIGTERM: then runs end in order, a second one ends them at once. -ECHILD: its own agent has ended, and the runs
 * with it.
 */
int serve_loop(struct serve *serve, struct error *e);
void serve_close(struct serve *serve);

#endif
