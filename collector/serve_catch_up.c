/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the store still wants done when a server begins: runs that have no class yet get theirs, a few at a time, so that nobody waits
 * for long who needs the same thread; then what a killed one began to remove goes. A failure is said, and waits for the next server.
 */
#include <stdlib.h>

#include "collector/catch_up.h"
#include "collector/serve_inside.h"

enum { AT_ONCE = 8 };

struct catch_up {
	struct worker_job job;
	struct serve *serve;
	int found; /* runs, or a negative errno */
	uint64_t n; /* so far */
	struct error e;
};

static void on_work(struct worker_job *job)
{
	struct catch_up *c = (struct catch_up *)job;
	struct store *store = NULL;
	int err = store_open(c->serve->store_url, STORE_WRITE, &store, &c->e);

	if (!err)
		err = c->found = history_catch_up_some(store, AT_ONCE, &c->e);
	if (!err)
		err = store_sweep(store, &c->e);
	if (err < 0)
		c->found = err;
	store_close(store);
}

static void on_done(struct worker_job *job)
{
	struct catch_up *c = (struct catch_up *)job;

	if (c->found > 0) {
		c->n += (uint64_t)c->found;
		workers_add(c->serve->workers, &c->job);
		return;
	}
	if (c->found < 0)
		serve_log("history: %s", c->e.text);
	if (c->n)
		serve_log("history: looked at %llu runs of before", (unsigned long long)c->n);
	c->serve->catch_up = NULL;
	free(c);
}

void catch_up_begin(struct serve *serve)
{
	struct catch_up *c = calloc(1, sizeof(*c));

	if (!c) /* the next one does */
		return;
	c->serve = serve;
	c->job = (struct worker_job){ .work = on_work, .done = on_done };
	serve->catch_up = c;
	workers_add(serve->workers, &c->job);
}
