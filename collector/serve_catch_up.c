/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the store still wants done when a server begins: runs that have no class yet get theirs, a few at a time, so that nobody waits
 * for long who needs the same thread; then what a killed one began to remove goes. A failure is said, and waits for the next server; so
 * does what is left when this one ends. It begins again when a run was sealed without anybody looking what it did.
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
	bool again; /* there is more since */
	struct error e;
};

static bool goes_on(void *arg)
{
	return !workers_closing(arg);
}

static void on_work(struct worker_job *job)
{
	struct catch_up *c = (struct catch_up *)job;
	struct store *store = NULL;
	int err = store_open(c->serve->store_url, STORE_WRITE, &store, &c->e);

	c->found = 0;
	for (int i = 0, more = 1; i < AT_ONCE && more && !err && goes_on(c->serve->workers); i++) {
		more = history_catch_up_some(store, 1, &c->e);
		c->found += more > 0;
		err = more < 0 ? more : 0;
	}
	if (!err && !c->found)
		err = store_sweep(store, goes_on, c->serve->workers, &c->e);
	if (err < 0)
		c->found = err;
	store_close(store);
}

static void on_done(struct worker_job *job)
{
	struct catch_up *c = (struct catch_up *)job;

	if (c->found > 0 || c->again) {
		c->again = false;
		c->n += c->found > 0 ? (uint64_t)c->found : 0;
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
	struct catch_up *c = serve->catch_up;

	if (c) {
		c->again = true;
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) /* the next one does */
		return;
	c->serve = serve;
	c->job = (struct worker_job){ .work = on_work, .done = on_done };
	serve->catch_up = c;
	workers_add(serve->workers, &c->job);
}
