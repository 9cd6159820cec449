/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Prints: names of processes and boxes, and the steps of print_inside.h in turn. Fails only without memory. */
#include "graph/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "graph/build.h"
#include "graph/print_fold.h"
#include "graph/print_inside.h"

const char *print_level_name(enum print_level level)
{
	static const char *const names[] = {
#define X(NAME, name, text) [PRINT_LEVEL_##NAME] = #name,
		PRINT_LEVELS(X)
#undef X
	};

	return names[level];
}

void print_text(const struct print *print, char buf[PRINT_TEXT_SIZE])
{
	snprintf(buf, PRINT_TEXT_SIZE, "%016" PRIx64 "%016" PRIx64, print->high, print->low);
}

int print_compare(const struct print *a, const struct print *b)
{
	if (a->approximate != b->approximate)
		return a->approximate ? 1 : -1;
	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	return a->low != b->low ? (a->low < b->low ? -1 : 1) : 0;
}

uint64_t print_hash(const char *text)
{
	return *text ? XXH3_64bits(text, strlen(text)) : 0;
}

/* Parents of a damaged trace may go round in a circle: then one of those on it is the root. */
static int find_roots(struct print_run *run)
{
	const struct trace *trace = run->g->trace;
	size_t n = trace->n_processes, depth;
	uint32_t *path = malloc((n + 1) * sizeof(*path));

	run->root = calloc(n + 1, sizeof(*run->root));
	if (!run->root || !path) {
		free(path);
		return -ENOMEM;
	}
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t process = i, root;

		for (depth = 0; process && process <= n && !run->root[process]; depth++) {
			run->root[process] = process;
			path[depth] = process;
			process = trace->processes[process].parent;
		}
		if (!depth)
			continue;
		root = process && process <= n ? run->root[process] : path[depth - 1];
		while (depth-- > 0)
			run->root[path[depth]] = root;
	}
	free(path);
	return 0;
}

static const char *box_name(const struct trace *trace, uint32_t box)
{
	return text_or(trace->boxes[box].name, "?");
}

static int box_compare(const void *a, const void *b, void *arg)
{
	return strcmp(box_name(arg, *(const uint32_t *)a), box_name(arg, *(const uint32_t *)b));
}

/* Boxes in which somebody with a role lives. */
static int find_boxes(struct print_run *run)
{
	const struct trace *trace = run->g->trace;

	run->renamable = calloc(trace->n_boxes + 1, sizeof(*run->renamable));
	run->boxes = calloc(trace->n_boxes + 1, sizeof(*run->boxes));
	if (!run->renamable || !run->boxes)
		return -ENOMEM;
	for (uint32_t i = 1; run->roles && i <= trace->n_processes; i++) {
		uint32_t box = trace->processes[i].box;

		if (!run->roles[i] || !box || box > trace->n_boxes || run->renamable[box])
			continue;
		run->renamable[box] = true;
		run->boxes[run->n_boxes++] = box;
	}
	qsort_r(run->boxes, run->n_boxes, sizeof(*run->boxes), box_compare, (void *)trace);
	return 0;
}

uint32_t print_box(const struct print_run *run, uint32_t process)
{
	uint32_t box = run->g->trace->processes[process].box;

	return box <= run->g->trace->n_boxes && run->renamable[box] ? box : 0;
}

const char *print_target(const struct print_run *run, const char *text, uint32_t *ret_box)
{
	const char *colon = strrchr(text, ':');
	size_t low = 0, high = colon ? run->n_boxes : 0, size = colon ? colon - text : 0;

	*ret_box = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *name = box_name(run->g->trace, run->boxes[middle]);
		int diff = strncmp(name, text, size);

		if (!diff && !name[size]) {
			*ret_box = run->boxes[middle];
			return colon;
		}
		if (diff < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return text;
}

/* A process is called as its root is; one with a role by that, and which incarnation it is. */
static int name_threads(struct print_run *run)
{
	const struct trace *trace = run->g->trace;

	for (size_t i = 0; i < run->n_threads; i++) {
		struct print_thread *thread = &run->threads[i];
		uint32_t root = run->root[thread->process];
		const char *name = text_or(trace->processes[root].name, "?"), *again = strchr(name, '\'');
		char *text;

		thread->box = print_box(run, thread->process);
		if (!run->roles || !run->roles[root]) {
			thread->text = print_hash(name);
			continue;
		}
		if (asprintf(&text, "role %s%s", run->roles[root], again ? again : "") < 0)
			return -ENOMEM;
		thread->text = print_hash(text);
		free(text);
	}
	return 0;
}

int print_run_init(struct print_run *run, const struct graph *graph, const char *const *roles)
{
	int err;

	*run = (struct print_run){ .g = graph, .roles = roles };
	err = find_roots(run);
	if (!err)
		err = find_boxes(run);
	if (!err)
		err = print_take(run);
	if (!err)
		err = print_drop(run);
	if (!err)
		err = print_keep(run);
	if (!err)
		err = name_threads(run);
	return err;
}

void print_run_fini(struct print_run *run)
{
	free(run->root);
	free(run->boxes);
	free(run->renamable);
	free(run->items);
	free(run->threads);
}

int print_graph(const struct graph *graph, const char *const *roles, struct print *ret_print)
{
	struct print print = { 0 };
	struct print_run run;
	int err = print_run_init(&run, graph, roles);

	if (!err)
		err = print_canon(&run, &print);
	if (!err)
		*ret_print = print;
	print_run_fini(&run);
	return err;
}

int print_run_levels(struct print_run *run, struct print ret_prints[PRINT_LEVEL_COUNT])
{
	struct print prints[PRINT_LEVEL_COUNT] = { 0 };
	struct print_fold fold = { 0 };
	int err = print_canon(run, &prints[PRINT_LEVEL_EXACT]);

	if (!err)
		err = print_fold_init(&fold, run);
	if (!err)
		err = print_canon(&fold.run, &prints[PRINT_LEVEL_FOLDED]);
	if (!err)
		err = print_shape(&fold, &prints[PRINT_LEVEL_SHAPE]);
	if (!err)
		memcpy(ret_prints, prints, sizeof(prints));
	print_fold_fini(&fold);
	return err;
}

int print_levels(const struct graph *graph, const char *const *roles, struct print ret_prints[PRINT_LEVEL_COUNT])
{
	struct print_run run;
	int err = print_run_init(&run, graph, roles);

	if (!err)
		err = print_run_levels(&run, ret_prints);
	print_run_fini(&run);
	return err;
}
