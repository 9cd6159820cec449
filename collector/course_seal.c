/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end of a run: what was recorded is read back and counted, and the row says how it ended. See course.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/classed.h"
#include "collector/course_inside.h"
#include "lib/clock.h"

/* Reason, with the last words of the process to blame. */
static void reason_make(const struct conduct_result *result, const struct run *run, char *buf, size_t size)
{
	char *words = result->blame && run ? run_last_words(run, result->blame, 3) : NULL;

	for (char *c = words; c && *c; c++)
		if (*c == '\n')
			*c = '|';
	if (words)
		snprintf(buf, size, "%.200s; its last words: %s", result->reason, words);
	else
		snprintf(buf, size, "%s", result->reason);
	free(words);
}

int course_keep_parse(const char *word, unsigned *keep, struct error *e)
{
	if (!word || !*word || !strcmp(word, "new"))
		return 0;
	if (strcmp(word, "all"))
		return error_set(e, -EINVAL, "keep %s: it is new (of runs that did the same, only one keeps its events) or all", word);
	*keep |= COURSE_KEEP_ALL;
	return 0;
}

/* Ends the row of a loaded run as the stored one was, or should have been. */
static void row_end(struct store_run *row, const struct store_run *end)
{
	row->running = false;
	row->incomplete = end->incomplete;
	row->outcome = end->outcome;
	free(row->reason);
	row->reason = end->reason ? strdup(end->reason) : NULL;
	row->duration_ns = end->duration_ns;
	row->events = end->events;
	row->messages = end->messages;
	row->lost = end->lost;
	row->holes = end->holes;
	memcpy(row->prints, end->prints, sizeof(row->prints));
	row->has_prints = end->has_prints;
	row->unclassed = end->unclassed ? strdup(end->unclassed) : NULL;
	row->class_id = end->class_id;
	row->new_class = end->new_class;
	row->kept = end->kept;
}

static struct show_timing timing_of(const struct conduct_result *result, uint64_t total, uint64_t cpu)
{
	return (struct show_timing){
		.total = total,
		.boxes = result->boxes_ns,
		.ready = result->ready_ns,
		.workload = result->workload_ns,
		.check = result->check_ns,
		.stop = result->stop_ns,
		.cpu = cpu,
	};
}

/* Whether every agent's stream is on disk to its end. */
static bool streams_complete(const struct course *course)
{
	for (size_t i = 0; i < course->cast->n_agents; i++)
		if (!ingest_complete(&course->ingests[i]))
			return false;
	return true;
}

/* A graph is needed for both. */
static int count_and_print(struct course_result *ret, struct store_run *row, struct error *e)
{
	struct store_run ended = *row;
	struct graph *graph = NULL;
	int err = run_count(ret->run, row, &graph, e);

	ended.running = false;
	if (!err)
		ret->has_prints = !prints_make(ret->run, &ended, graph, &ret->prints, e) &&
				  !classed_injected(graph, ret->run->row, &ret->injected);
	graph_free(graph);
	return err;
}

void course_seal_begin(struct course *course, struct course_result *ret)
{
	const struct conduct_result *result = conduct_result(course->conduct);
	struct store_run *row = &course->row;

	course_commit(course);
	*ret = (struct course_result){ .id = row->id };
	row->duration_ns = clock_monotonic_ns() - row->started_monotonic_ns;
	row->outcome = result->outcome;
	row->warnings = course->warnings;
	row->incomplete = result->agent_lost || (result->began && !streams_complete(course));
	row->messages = row->holes = STORE_UNKNOWN;
	row->events = row->lost = STORE_UNKNOWN;
}

static int read_back(const struct course *course, const char *store_url, struct run **ret_run, struct error *e)
{
	struct store *store = NULL;
	int err;

	if (!store_url)
		return run_load(course->store, course->row.id, ret_run, e);
	err = store_open(store_url, STORE_READ, &store, e);
	if (!err)
		err = run_load(store, course->row.id, ret_run, e);
	store_close(store);
	return err;
}

/* Reason and outcome follow from what was recorded. */
void course_seal_count(struct course *course, const char *store_url, struct course_result *ret)
{
	const struct conduct_result *result = conduct_result(course->conduct);
	struct store_run *row = &course->row;
	struct error e;
	int counted;

	if (read_back(course, store_url, &ret->run, &e) < 0) {
		snprintf(ret->reason, sizeof(ret->reason), "%s", e.text);
		row->outcome = OUTCOME_ERROR;
		return;
	}
	reason_make(result, ret->run, ret->reason, sizeof(ret->reason));
	course_faults_judge(ret->run, row, ret->reason, sizeof(ret->reason));
	counted = count_and_print(ret, row, &e);
	if (!row->incomplete && !result->began) /* nothing ever began to be recorded */
		row->lost = 0;
	if (ret->has_prints)
		classed_row(&ret->prints, row);
	if (counted < 0) { /* no verdict rests on a run that nobody can look at */
		row->outcome = OUTCOME_ERROR;
		snprintf(ret->reason, sizeof(ret->reason), "what was recorded makes no graph: %.400s", e.text);
	}
}

int course_seal_end(struct course *course, const char *store_url, uint64_t cpu_ns, struct course_result *ret)
{
	struct store_seal how = { .keep_all = course->keep & COURSE_KEEP_ALL, .sketch = &ret->prints.sketch, .injected = ret->injected };
	const struct store_process *processes;
	struct store_run *row = &course->row;
	struct store *own = NULL;
	struct error e;
	size_t n;
	int err = store_url ? store_open(store_url, STORE_WRITE, &own, &e) : 0;

	if (err < 0)
		return err;
	processes = conduct_processes(course->conduct, &n);
	row->reason = *ret->reason ? ret->reason : NULL;
	err = store_run_seal(own ? own : course->store, row, processes, n, &how, &e);
	store_close(own);
	if (err < 0) {
		row->outcome = OUTCOME_ERROR;
		row->incomplete = true;
		if (!course->store_failed)
			snprintf(ret->reason, sizeof(ret->reason), "%s", e.text);
		row->reason = ret->reason;
	}
	ret->outcome = row->outcome;
	if (ret->run)
		row_end(ret->run->row, row);
	if (course->keep & COURSE_KEEP_DIRECTORY)
		snprintf(ret->directory, sizeof(ret->directory), "%s", course->claim.path);
	ret->timing = timing_of(conduct_result(course->conduct), clock_monotonic_ns() - row->started_monotonic_ns, cpu_ns);
	return 0;
}

void course_seal(struct course *course, uint64_t cpu_ns, struct course_result *ret)
{
	course_seal_begin(course, ret);
	course_seal_count(course, NULL, ret);
	course_seal_end(course, NULL, cpu_ns, ret);
}

void course_result_fini(struct course_result *result)
{
	run_free(result->run);
	result->run = NULL;
	free(result->injected);
	result->injected = NULL;
}
