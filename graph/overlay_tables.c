/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One table of each sort for both runs: rows of run 1, then what only run 0 has. Texts are borrowed. Fails only without memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/overlay_inside.h"
#include "graph/sort.h"
#include "lib/large.h"

static uint32_t *numbers(size_t n)
{
	return large_calloc(n + 1, sizeof(uint32_t));
}

/* By name; boxes without one have nothing in common. */
static int lay_boxes(struct laying *l)
{
	const struct trace *before = l->layers[0].g->trace, *after = l->layers[1].g->trace;
	struct trace *trace = &l->o->trace;

	trace->boxes = calloc(before->n_boxes + after->n_boxes + 1, sizeof(*trace->boxes));
	if (!trace->boxes)
		return -ENOMEM;
	for (uint32_t i = 1; i <= after->n_boxes; i++) {
		trace->boxes[i] = after->boxes[i];
		l->layers[1].box[i] = i;
	}
	trace->n_boxes = after->n_boxes;
	for (uint32_t i = 1; i <= before->n_boxes; i++) {
		const char *name = build_box_name(before, i);
		uint32_t k = 1;

		while (k <= after->n_boxes && (!*name || strcmp(name, build_box_name(after, k)) != 0))
			k++;
		if (k > after->n_boxes) {
			k = (uint32_t)++trace->n_boxes;
			trace->boxes[k] = before->boxes[i];
		}
		l->layers[0].box[i] = k;
	}
	return 0;
}

static uint32_t mapped(const uint32_t *map, size_t n, uint32_t index)
{
	return index <= n ? map[index] : 0;
}

static int lay_processes(struct laying *l)
{
	struct trace *trace = &l->o->trace;
	size_t most = l->layers[0].g->trace->n_processes + l->layers[1].g->trace->n_processes;

	trace->processes = calloc(most + 1, sizeof(*trace->processes));
	l->o->processes = calloc(most + 1, sizeof(*l->o->processes));
	if (!trace->processes || !l->o->processes)
		return -ENOMEM;
	for (unsigned side = 2; side-- > 0;) {
		struct layer *layer = &l->layers[side];
		const struct trace *own = layer->g->trace;

		for (uint32_t i = 1; i <= own->n_processes; i++) {
			uint32_t twin = layer->twins->process[i];

			layer->process[i] = !side && twin ? twin : (uint32_t)++trace->n_processes;
			l->o->processes[layer->process[i]] = twin ? OVERLAY_BOTH : side ? OVERLAY_ADDED : OVERLAY_REMOVED;
		}
		for (uint32_t i = 1; i <= own->n_processes; i++) {
			struct trace_process *row = &trace->processes[layer->process[i]];

			if (!side && layer->twins->process[i])
				continue;
			*row = own->processes[i];
			row->box = mapped(layer->box, own->n_boxes, row->box);
			row->parent = mapped(layer->process, own->n_processes, row->parent);
		}
	}
	return 0;
}

static int lay_ends(struct laying *l)
{
	struct trace *trace = &l->o->trace;
	size_t n[2] = { l->layers[0].g->trace->n_ends, l->layers[1].g->trace->n_ends };

	trace->ends = large_calloc(n[0] + n[1] + 1, sizeof(*trace->ends));
	if (!trace->ends)
		return -ENOMEM;
	l->layers[0].first_end = (uint32_t)n[1];
	trace->n_ends = n[0] + n[1];
	for (unsigned side = 0; side < 2; side++) {
		const struct layer *layer = &l->layers[side];
		const struct trace *own = layer->g->trace;

		for (uint32_t i = 1; i <= n[side]; i++) {
			struct trace_end *row = &trace->ends[layer->first_end + i];

			*row = own->ends[i];
			row->box = mapped(layer->box, own->n_boxes, row->box);
			row->process = mapped(layer->process, own->n_processes, row->process);
		}
	}
	return 0;
}

static int lay_texts(struct laying *l)
{
	struct trace *trace = &l->o->trace;
	const struct trace *before = l->layers[0].g->trace, *after = l->layers[1].g->trace;

	trace->texts = calloc(before->n_texts + after->n_texts + 1, sizeof(*trace->texts));
	if (!trace->texts)
		return -ENOMEM;
	l->layers[0].first_text = (uint32_t)after->n_texts;
	trace->n_texts = before->n_texts + after->n_texts;
	for (size_t i = 1; i <= after->n_texts; i++)
		trace->texts[i] = after->texts[i];
	for (size_t i = 1; i <= before->n_texts; i++)
		trace->texts[after->n_texts + i] = before->texts[i];
	return 0;
}

/* The keys of run 0 are behind those of run 1, as its ends are. */
static int lay_contents(struct laying *l)
{
	struct trace *trace = &l->o->trace;
	struct graph *g = &l->o->graph;
	size_t n = 0, most = l->layers[0].g->trace->n_contents + l->layers[1].g->trace->n_contents;

	if (!most)
		return 0;
	trace->contents = calloc(most, sizeof(*trace->contents));
	g->contents = calloc(most, sizeof(*g->contents));
	if (!trace->contents || !g->contents)
		return -ENOMEM;
	for (unsigned side = 2; side-- > 0;) {
		const struct layer *layer = &l->layers[side];
		size_t first = n;

		for (size_t i = 0; layer->g->contents && i < layer->g->trace->n_contents; i++, n++) {
			const struct pair *pair = &layer->g->contents[i];

			trace->contents[n] = layer->g->trace->contents[i];
			g->contents[n] = (struct pair){ pair->key + ((uint64_t)layer->first_end << 32),
							(uint32_t)(pair->value + first), 0 };
		}
	}
	trace->n_contents = n;
	return 0;
}

struct row {
	const char *label;
	uint32_t side, index;
};

static int row_compare(const void *a, const void *b)
{
	const struct row *p = a, *q = b;
	int diff = strverscmp(p->label, q->label);

	if (diff)
		return diff;
	if (p->side != q->side)
		return p->side < q->side ? -1 : 1;
	return p->index < q->index ? -1 : p->index > q->index;
}

static void take_connection(struct laying *l, const struct row *row)
{
	struct layer *layer = &l->layers[row->side];
	struct graph_connection *c = &l->o->graph.connections[++l->o->graph.n_connections];

	*c = layer->g->connections[row->index];
	c->connector = c->connector ? c->connector + layer->first_end : 0;
	c->acceptor = c->acceptor ? c->acceptor + layer->first_end : 0;
	c->acceptor_process = mapped(layer->process, layer->g->trace->n_processes, c->acceptor_process);
	layer->connection[row->index] = (uint32_t)l->o->graph.n_connections;
}

/* By name, so that those between the same parties stand together. */
static int lay_connections(struct laying *l)
{
	struct graph *g = &l->o->graph;
	size_t n = 0, most = l->layers[0].g->n_connections + l->layers[1].g->n_connections;
	struct row *rows = calloc(most + 1, sizeof(*rows));

	g->connections = calloc(most + 1, sizeof(*g->connections));
	for (uint32_t side = 0; side < 2 && rows; side++)
		for (uint32_t i = 1; i <= l->layers[side].g->n_connections; i++)
			if (side || !l->layers[0].twins->connection[i])
				rows[n++] = (struct row){ l->layers[side].g->connections[i].label, side, i };
	if (n)
		qsort(rows, n, sizeof(*rows), row_compare);
	for (size_t i = 0; i < n && g->connections; i++)
		take_connection(l, &rows[i]);
	free(rows);
	if (!rows || !g->connections)
		return -ENOMEM;
	for (uint32_t i = 1; i <= l->layers[0].g->n_connections; i++)
		if (l->layers[0].twins->connection[i])
			l->layers[0].connection[i] = l->layers[1].connection[l->layers[0].twins->connection[i]];
	return 0;
}

static bool acted(const struct graph_fault *fault)
{
	return fault->acts && fault->fired != NO_VERTEX;
}

/* In both: the same line, which did something in both, or in neither; each stands for one only. */
static uint32_t fault_twin(const struct laying *l, const struct graph_fault *fault)
{
	const struct graph *g = l->layers[1].g;

	for (uint32_t k = 0; k < g->n_faults; k++)
		if (l->o->faults[l->layers[1].fault[k]].side != OVERLAY_BOTH && acted(&g->faults[k]) == acted(fault) && !strcmp(g->faults[k].text, fault->text))
			return k;
	return DIFF_NONE;
}

static void take_fault(struct laying *l, struct layer *layer, uint32_t i, enum overlay_side side)
{
	struct graph *g = &l->o->graph;
	struct graph_fault *fault = &g->faults[g->n_faults];

	layer->fault[i] = (uint32_t)g->n_faults;
	l->o->faults[g->n_faults++] = (struct overlay_fault){ side, layer->g->faults[i].id };
	*fault = layer->g->faults[i];
	fault->id = (uint32_t)g->n_faults;
	fault->end = fault->end ? fault->end + layer->first_end : 0;
	fault->connection = mapped(layer->connection, layer->g->n_connections, fault->connection);
}

static int lay_faults(struct laying *l)
{
	struct graph *g = &l->o->graph;
	size_t most = l->layers[0].g->n_faults + l->layers[1].g->n_faults;

	g->faults = calloc(most + 1, sizeof(*g->faults));
	l->o->faults = calloc(most + 1, sizeof(*l->o->faults));
	if (!g->faults || !l->o->faults)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->layers[1].g->n_faults; i++)
		take_fault(l, &l->layers[1], i, OVERLAY_ADDED);
	for (uint32_t i = 0; i < l->layers[0].g->n_faults; i++) {
		uint32_t twin = fault_twin(l, &l->layers[0].g->faults[i]);

		if (twin == DIFF_NONE) {
			take_fault(l, &l->layers[0], i, OVERLAY_REMOVED);
			continue;
		}
		l->layers[0].fault[i] = l->layers[1].fault[twin];
		l->o->faults[l->layers[1].fault[twin]].side = OVERLAY_BOTH;
	}
	return 0;
}

int overlay_tables(struct laying *l)
{
	static int (*const steps[])(struct laying *l) = {
		lay_boxes, lay_processes, lay_ends, lay_texts, lay_contents, lay_connections, lay_faults,
	};
	int err = 0;

	for (unsigned side = 0; side < 2; side++) {
		struct layer *layer = &l->layers[side];

		layer->process = numbers(layer->g->trace->n_processes);
		layer->box = numbers(layer->g->trace->n_boxes);
		layer->connection = numbers(layer->g->n_connections);
		layer->fault = numbers(layer->g->n_faults);
		layer->message = numbers(layer->g->n_messages);
		if (!layer->process || !layer->box || !layer->connection || !layer->fault || !layer->message)
			return -ENOMEM;
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !err; i++)
		err = steps[i](l);
	return err;
}
