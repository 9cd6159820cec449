/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See copy.h. One run is in memory at a time. */
#include "collector/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/classed.h"
#include "collector/run.h"
#include "graph/graph.h"
#include "lib/utf8.h"
#include "proto/merge.h"
#include "proto/wire.h"

enum { BATCHES = 64 /* of a piece */ };

struct copying {
	struct store *from;
	struct run *run;
	struct graph *graph; /* NULL: it cannot be made */
	struct prints prints;
	char *injected;
	struct store_run row; /* as it is to be; what it has is borrowed from run */
	uint64_t *streams;    /* by stream of the run: its number there */
	unsigned pending;     /* batches that were not flushed */
	struct store *to;
	struct copy_index *index; /* of what is there */
	struct copied copied;
};

/* Printable; a text of lines keeps these. What is so already stays as it is. */
static int text_clean(char **text, size_t most, bool lines, const char *what, uint64_t id, struct error *e)
{
	size_t n = *text ? strlen(*text) : 0;
	char *clean;

	if (!*text)
		return 0;
	if (n > most)
		return error_set(e, -E2BIG, "run %" PRIu64 ": its %s has %zu bytes: that is no run of bop", id, what, n);
	clean = utf8_printable(*text, n);
	if (!clean)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && lines; i++)
		if ((*text)[i] == '\n' || (*text)[i] == '\t')
			clean[i] = (*text)[i];
	free(*text);
	*text = clean;
	return 0;
}

static int row_clean(struct store_run *row, struct error *e)
{
	struct {
		char **text;
		size_t most;
		bool lines;
		const char *what;
	} texts[] = {
		{ &row->experiment, COPY_NAME_MAX, false, "experiment's name" }, { &row->path, COPY_TEXT_MAX, false, "file's name" },
		{ &row->text, COPY_TEXT_MAX, true, "file" }, { &row->version, COPY_NAME_MAX, false, "version" },
		{ &row->plan, COPY_TEXT_MAX, true, "plan" }, { &row->reason, COPY_TEXT_MAX, false, "reason" },
		{ &row->warnings, COPY_TEXT_MAX, true, "warnings" },
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts) && !err; i++)
		err = text_clean(texts[i].text, texts[i].most, texts[i].lines, texts[i].what, row->id, e);
	if (!err && (!row->experiment || !*row->experiment || !row->path || !row->text || !row->version))
		err = error_set(e, -EBADMSG, "run %" PRIu64 " has no experiment: it is damaged", row->id);
	if (!err && row->outcome == OUTCOME_NONE)
		err = error_set(e, -EBADMSG, "run %" PRIu64 " ended with no outcome: it is damaged", row->id);
	for (char *at = row->owner.boot_id; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	return err;
}

static int streams_clean(struct store_stream *streams, size_t n, uint64_t id, struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		char **texts[] = { &streams[i].host, &streams[i].boot_id, &streams[i].kernel, &streams[i].backend };

		for (size_t k = 0; k < 4 && !err; k++)
			err = text_clean(texts[k], COPY_NAME_MAX, false, "agent", id, e);
	}
	return err;
}

static int rest_clean(struct run *run, struct error *e)
{
	size_t n_agents = run->n_agents > run->n_streams ? run->n_agents : run->n_streams;
	uint64_t id = run->row->id;
	int err;

	if (n_agents > MERGE_STREAMS_MAX || run->n_processes > COPY_PROCESSES_MAX)
		return error_set(e, -E2BIG, "run %" PRIu64 " has %zu agents and %zu processes: that is no run of bop", id, n_agents,
				 run->n_processes);
	err = streams_clean(run->streams, run->n_streams, id, e);
	if (!err)
		err = streams_clean(run->agents, run->n_agents, id, e);
	for (size_t i = 0; i < run->n_processes && !err; i++) {
		struct store_process *process = &run->processes[i];
		char **texts[] = { &process->name, &process->box, &process->command };

		for (size_t k = 0; k < 3 && !err; k++)
			err = text_clean(texts[k], k < 2 ? COPY_NAME_MAX : COPY_TEXT_MAX, false, "process", id, e);
		if (!err && (process->role < STORE_PROCESS || process->role > STORE_CHECK))
			err = error_set(e, -EBADMSG, "run %" PRIu64 ": process %s has no role: it is damaged", id, process->name);
		if (!err && process->output_size > COPY_TEXT_MAX)
			err = error_set(e, -E2BIG, "run %" PRIu64 ": the output of %s has %zu bytes: that is no run of bop", id,
					process->name, process->output_size);
	}
	return err;
}

/* Can its own agents stand where those of its events do? */
static bool agents_fit(const struct run *run)
{
	return run->n_agents == run->n_streams;
}

static int warn(struct copying *c, struct error *e)
{
	const char *before = c->row.warnings ? c->row.warnings : "";
	char *text = NULL;

	if (asprintf(&text, "%s%sits events%s are those of run %" PRIu64 " there, which it did the same as", before, *before ? "\n" : "",
		     agents_fit(c->run) ? "" : ", and the agents that recorded them,", c->run->events_of) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	free(c->run->row->warnings);
	c->run->row->warnings = c->row.warnings = text;
	return 0;
}

/*
 * Events that stand for a repeat's own were recorded when the other run was; their clock is set so that they are as long after its
 * own begin (run_time()).
 */
static void clock_move(struct copying *c)
{
	struct run *run = c->run;
	int64_t zero = run_time(run, 0);
	uint64_t shift;

	if (!run->n_streams || !strcmp(run->streams[0].boot_id, c->row.owner.boot_id)) {
		c->row.started_monotonic_ns = 0 - (uint64_t)zero;
		return;
	}
	shift = (uint64_t)zero + run->streams[0].monotonic_ns + c->row.started_ns - run->streams[0].realtime_ns;
	for (size_t i = 0; i < run->n_streams; i++)
		run->streams[i].realtime_ns += shift;
}

static void swap(char **a, char **b)
{
	char *text = *a;

	*a = *b;
	*b = text;
}

/* Who recorded the repeat; the clocks stay those of the events. */
static void agents_move(struct run *run)
{
	for (size_t i = 0; i < run->n_agents; i++) {
		swap(&run->streams[i].host, &run->agents[i].host);
		swap(&run->streams[i].kernel, &run->agents[i].kernel);
		swap(&run->streams[i].backend, &run->agents[i].backend);
	}
}

/* Its class, or why it has none; a graph that cannot be made is such a reason (catch_up.h). */
static int class_make(struct copying *c, struct error *e)
{
	int err = graph_build(&c->run->trace, GRAPH_ORDER_PROCESS, &c->graph, e);

	if (err == -EINVAL) {
		c->row.unclassed = (char *)"what was recorded cannot be read: it is damaged";
		return 0;
	}
	if (!err)
		err = prints_make(c->run, &c->row, c->graph, &c->prints, e);
	if (!err && classed_injected(c->graph, &c->row, &c->injected) < 0)
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err)
		classed_row(&c->prints, &c->row);
	return err;
}

static void copying_fini(struct copying *c)
{
	graph_free(c->graph);
	run_free(c->run);
	free(c->injected);
	free(c->streams);
}

static int copying_init(struct copying *c, struct store *from, uint64_t id, struct error *e)
{
	int err;

	*c = (struct copying){ .from = from, .copied = { .from = id } };
	err = run_load(from, id, &c->run, e);
	if (!err && c->run->row->running)
		err = error_set(e, -EBUSY, "run %" PRIu64 " is still being recorded", id);
	if (!err)
		err = row_clean(c->run->row, e);
	if (!err)
		err = rest_clean(c->run, e);
	return err;
}

int copy_check(struct store *from, uint64_t id, struct error *e)
{
	struct copying c;
	int err = copying_init(&c, from, id, e);

	copying_fini(&c);
	return err;
}

static int batch_copy(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	struct copying *c = arg;
	size_t i = 0;
	int err;

	while (i < c->run->n_streams && c->run->streams[i].number != stream)
		i++;
	if (i == c->run->n_streams || size > WIRE_MAX_BATCH)
		return error_set(e, -EBADMSG, "run %" PRIu64 ", batch %" PRIu64 " is damaged", c->copied.from, number);
	if (++c->pending == BATCHES) { /* a backend may keep them in memory until then */
		c->pending = 0;
		err = store_commit(c->to, e);
		if (!err)
			err = store_begin(c->to, e);
		if (err < 0)
			return err;
	}
	return store_batch_put(c->to, c->row.id, c->streams[i], number, bytes, size, e);
}

static int events_copy(struct copying *c, struct error *e)
{
	int err = 0;

	c->pending = 0;
	for (size_t i = 0; i < c->run->n_streams && !err; i++) {
		struct store_stream stream = c->run->streams[i];

		err = store_stream_add(c->to, c->row.id, &stream, e);
		c->streams[i] = stream.number;
	}
	if (!err)
		err = store_begin(c->to, e);
	if (err < 0)
		return err;
	err = store_each_batch(c->from, c->run->events_of, batch_copy, c, e);
	if (!err)
		return store_commit(c->to, e);
	store_rollback(c->to);
	return err;
}

/* What was read is what was copied, if the run is still as it was. */
static int unchanged(struct copying *c, struct error *e)
{
	struct store_run *row = NULL;
	int err = store_run_get(c->from, c->copied.from, &row, e);

	if (!err && (row->kept != c->run->row->kept))
		err = error_set(e, -EAGAIN, "run %" PRIu64 " was changed by another bop meanwhile: try again", c->copied.from);
	store_run_free(row);
	return err;
}

static int copy_work(struct store *to, void *arg, struct error *e)
{
	struct copying *c = arg;
	struct store_seal how = { .keep_all = true, .sketch = c->graph ? &c->prints.sketch : NULL, .injected = c->injected };
	struct store_run row;
	int err;

	c->to = to;
	err = copy_index_find(c->index, &c->row, &c->copied.to, e);
	c->copied.there = err > 0;
	if (err)
		return err < 0 ? err : 0;
	row = c->row; /* may be asked for again */
	err = store_run_create(to, &row, e);
	c->row.id = c->copied.to = row.id;
	if (!err)
		err = events_copy(c, e);
	row.running = false;
	if (!err)
		err = unchanged(c, e);
	if (!err)
		err = store_run_seal(to, &row, c->run->processes, c->run->n_processes, &how, e);
	return err;
}

int copy_run(struct store *from, uint64_t id, struct store *to, struct copy_index *index, struct copied *ret_copied, struct error *e)
{
	struct copying c;
	int err = copying_init(&c, from, id, e);

	c.index = index;
	if (!err) {
		c.row = *c.run->row;
		c.row.class_id = c.row.kept = 0;
		c.row.unclassed = NULL;
		c.row.has_prints = c.row.new_class = false;
		if (c.run->events_of != id) {
			clock_move(&c);
			if (agents_fit(c.run))
				agents_move(c.run);
			err = warn(&c, e);
		}
	}
	if (!err)
		err = class_make(&c, e);
	if (!err && !(c.streams = calloc(c.run->n_streams + 1, sizeof(*c.streams))))
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = store_transaction(to, copy_work, &c, e);
	*ret_copied = c.copied;
	copying_fini(&c);
	return err;
}
