/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See compare.h. */
#include "collector/compare.h"

#include <errno.h>
#include <string.h>

#include "collector/run.h"

static int side_load(struct compare_side *side, struct store *store, uint64_t id, struct error *e)
{
	int err = run_load(store, id, &side->run, e);

	if (!err)
		err = graph_build(&side->run->trace, GRAPH_ORDER_THREAD, &side->graph, e);
	if (!err)
		err = prints_make(side->run, side->run->row, side->graph, &side->prints, e);
	return err;
}

static int look_back(struct comparison *c, struct store *store, uint64_t *ret_other, struct error *e)
{
	const struct store_run *row = c->sides[1].run->row;
	struct near_of of = {
		.experiment = row->experiment, .run = row->id, .class_id = row->class_id, .sketch = &c->sides[1].prints.sketch,
	};
	int err = near_find(store, &of, &c->near, e);

	c->nearest = !err;
	*ret_other = c->near.run;
	return err;
}

int comparison_init(struct comparison *c, struct store *store, uint64_t run, uint64_t other, struct error *e)
{
	int err;

	*c = (struct comparison){ .diff = NULL };
	err = side_load(&c->sides[1], store, run, e);
	if (!err && !other)
		err = look_back(c, store, &other, e);
	if (!err)
		err = side_load(&c->sides[0], store, other, e);
	if (err)
		return err;
	err = diff_new((const struct graph *[]){ c->sides[0].graph, c->sides[1].graph }, &c->diff);
	return err ? error_set(e, err, "no memory to compare runs of %zu and %zu events", c->sides[0].graph->n_vertices,
			       c->sides[1].graph->n_vertices) :
		     0;
}

void comparison_fini(struct comparison *c)
{
	diff_free(c->diff);
	for (int i = 0; i < 2; i++) {
		graph_free(c->sides[i].graph);
		run_free(c->sides[i].run);
	}
}

bool comparison_differs(const struct comparison *c)
{
	return c->diff->n_changes || print_compare(&c->sides[0].prints.own[PRINT_LEVEL_EXACT],
						   &c->sides[1].prints.own[PRINT_LEVEL_EXACT]);
}

struct shown_diff comparison_shown(const struct comparison *c)
{
	struct shown_diff shown = { .diff = c->diff, .near = c->nearest ? &c->near : NULL };

	for (int i = 0; i < 2; i++) {
		const struct compare_side *side = &c->sides[i];

		shown.graphs[i] = side->graph;
		shown.runs[i] = side->run->row->id;
		shown.events_of[i] = side->run->events_of;
		shown.lost[i] = side->run->trace.lost;
		shown.experiments[i] = side->run->row->experiment;
		memcpy(shown.prints[i], side->prints.own, sizeof(shown.prints[i]));
	}
	return shown;
}
