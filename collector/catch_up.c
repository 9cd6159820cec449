/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See catch_up.h. One run is in memory at a time. */
#include "collector/catch_up.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/classed.h"
#include "collector/run.h"
#include "graph/graph.h"
#include "lib/grow.h"

struct ids {
	uint64_t *ids;
	size_t n, cap, most;
};

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	struct ids *all = arg;

	if (grow((void **)&all->ids, &all->cap, all->n + 1, sizeof(*all->ids)) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	all->ids[all->n++] = row->id;
	return all->n == all->most; /* enough */
}

static int find(struct store *store, size_t most, struct ids *ret, struct error *e)
{
	static const struct store_range unknown = { .unknown = true };
	int err;

	*ret = (struct ids){ .most = most };
	err = store_each_run(store, &unknown, on_run, ret, e);
	return err < 0 ? err : 0;
}

static int run_class(struct store *store, const struct run *run, const struct graph *graph, struct error *e)
{
	struct store_run row = *run->row; /* what it has is borrowed from there */
	struct store_seal how = { .keep_all = true };
	struct prints prints;
	char *injected = NULL;
	int err = prints_make(run, &row, graph, &prints, e);

	if (!err && classed_injected(graph, &row, &injected) < 0)
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err) {
		classed_row(&prints, &row);
		how.sketch = &prints.sketch;
		how.injected = injected;
		err = store_run_class(store, &row, &how, e);
	}
	free(injected);
	return err;
}

/* One that nobody can read has no class, and is not to be read again each time. */
static int unreadable(struct store *store, uint64_t id, int why, struct error *e)
{
	struct store_run row = { .id = id,
				 .unclassed = why == -ENODATA ? (char *)"its events were removed before anybody looked what it did" :
								(char *)"what was recorded cannot be read: it is damaged" };

	return store_run_class(store, &row, NULL, e);
}

static int catch_up(struct store *store, uint64_t id, struct error *e)
{
	struct graph *graph = NULL;
	struct run *run = NULL;
	int err = run_load(store, id, &run, e);

	if (!err)
		err = graph_build(&run->trace, GRAPH_ORDER_PROCESS, &graph, e);
	if (!err)
		err = run_class(store, run, graph, e);
	else if (err == -EBADMSG || err == -ENODATA || err == -EINVAL)
		err = unreadable(store, id, err, e);
	graph_free(graph);
	run_free(run);
	return err == -ENOENT || err == -ESTALE ? 0 : err; /* it was removed meanwhile */
}

int history_catch_up_some(struct store *store, size_t most, struct error *e)
{
	struct ids all;
	int err = find(store, most, &all, e);

	for (size_t i = 0; i < all.n && !err; i++)
		err = catch_up(store, all.ids[i], e);
	free(all.ids);
	return err ? err : (int)all.n;
}

int history_catch_up(struct store *store, struct error *e)
{
	return history_catch_up_some(store, SIZE_MAX, e);
}

int history_lags(struct store *store, struct error *e)
{
	struct ids all;
	int err = find(store, 1, &all, e);

	free(all.ids);
	return err ? err : all.n > 0;
}
