/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store to memory. See run.h. A batch that does not decode makes the whole run unreadable: the file is damaged, or the
 * agent sent nonsense. Lists show such a run all the same.
 */
#include "collector/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/merge.h"
#include "proto/wire.h"

int run_name_parse(const char *name, uint64_t *ret_id, struct error *e)
{
	unsigned long long id;
	char *end;

	if (!strcmp(name, "last")) {
		*ret_id = 0;
		return 0;
	}
	errno = 0;
	id = strtoull(name, &end, 10);
	if (errno || *end || end == name || *name < '0' || *name > '9' || !id || id > INT64_MAX)
		return error_set(e, -EINVAL, "'%s' is no run: give a number that `bop runs` lists, or last", name);
	*ret_id = id;
	return 0;
}

int run_none(struct error *e)
{
	return error_set(e, -ENOENT, "there is no run yet, so no last one: the store is empty");
}

int run_find(struct store *store, const char *name, uint64_t *ret_id, struct error *e)
{
	int err = run_name_parse(name, ret_id, e);

	if (err || *ret_id)
		return err;
	err = store_run_last(store, ret_id, e);
	return err || *ret_id ? err : run_none(e);
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static int stream_add(struct store_stream **streams, size_t *n, const struct store_stream *from, struct error *e)
{
	struct store_stream *to = realloc(*streams, (*n + 1) * sizeof(*to));

	if (!to)
		return error_set(e, -ENOMEM, "out of memory");
	*streams = to;
	to += (*n)++;
	*to = *from;
	to->host = copy(from->host);
	to->boot_id = copy(from->boot_id);
	to->kernel = copy(from->kernel);
	to->backend = copy(from->backend);
	if (!to->host || !to->boot_id || !to->kernel || !to->backend)
		return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

static int on_stream(const struct store_stream *stream, void *arg, struct error *e)
{
	struct run *run = arg;

	return stream_add(&run->streams, &run->n_streams, stream, e);
}

static int on_agent(const struct store_stream *stream, void *arg, struct error *e)
{
	struct run *run = arg;

	return stream_add(&run->agents, &run->n_agents, stream, e);
}

static int on_process(const struct store_process *from, void *arg, struct error *e)
{
	struct run *run = arg;
	struct store_process *to;

	to = realloc(run->processes, (run->n_processes + 1) * sizeof(*to));
	if (!to)
		return error_set(e, -ENOMEM, "out of memory");
	run->processes = to;
	to += run->n_processes++;
	*to = *from;
	to->name = copy(from->name);
	to->box = copy(from->box);
	to->command = copy(from->command);
	to->output = from->output ? malloc(from->output_size + 1) : NULL;
	if (!to->name || !to->box || !to->command || (from->output && !to->output))
		return error_set(e, -ENOMEM, "out of memory");
	if (to->output) {
		memcpy(to->output, from->output, from->output_size);
		to->output[from->output_size] = '\0';
	}
	return 0;
}

/* What one stream recorded, as it is read. */
struct loading {
	struct trace trace;
	uint64_t next; /* number of the batch that must come */
	uint64_t lost; /* as the last batch says */
	bool complete;
};

struct loadings {
	const struct run *run;
	struct loading *streams; /* as run->streams */
};

static int on_batch(uint64_t stream, uint64_t number, const void *bytes, size_t size, void *arg, struct error *e)
{
	struct loadings *all = arg;
	struct loading *loading = all->streams;
	struct wire_batch head;
	int err;

	for (size_t i = 0; i < all->run->n_streams && all->run->streams[i].number != stream; i++)
		loading++;
	if (loading == all->streams + all->run->n_streams)
		return error_set(e, -EBADMSG, "run %llu, batch %llu is of an agent that nothing else is known of: it is damaged",
				 (unsigned long long)all->run->events_of, (unsigned long long)number);
	err = wire_batch_decode(bytes, size, &head, &loading->trace, e);
	if (err < 0)
		return error_prefix(e, err, "run %llu, batch %llu is damaged",
				    (unsigned long long)all->run->events_of, (unsigned long long)number);
	if (number != loading->next)
		loading->next = UINT64_MAX; /* a gap; nothing can follow it in order */
	else
		loading->next++;
	if (head.last && loading->next == number + 1) {
		loading->complete = true;
		loading->lost = head.lost;
	}
	return 0;
}

/* What the stream's end says was lost, or what the events say if that is more. */
static void lost_set(struct loading *loading)
{
	struct trace *trace = &loading->trace;
	uint64_t lost = 0;

	for (size_t i = 0; i < trace->n_events; i++)
		if (trace->events[i].kind == EVENT_LOST && trace->events[i].value > 0)
			lost += (uint64_t)trace->events[i].value;
	if (!loading->complete)
		lost = UINT64_MAX;
	else if (loading->lost > lost)
		lost = loading->lost;
	trace->lost = lost;
}

/* The first stream from the same kernel. */
static unsigned kernel_of(const struct run *run, size_t i)
{
	unsigned first = 0;

	while (first < i && strcmp(run->streams[first].boot_id, run->streams[i].boot_id))
		first++;
	return first;
}

/* How much more the clock of a stream shows than the first one's. */
static int64_t clock_offset(const struct run *run, size_t i, const struct trace *trace)
{
	const struct store_stream *first = &run->streams[0], *stream = &run->streams[i];
	int64_t offset;

	if (!strcmp(first->boot_id, stream->boot_id)) /* one kernel, one clock */
		return 0;
	if (merge_offset(&run->trace, trace, &offset))
		return offset;
	return (int64_t)(stream->monotonic_ns - first->monotonic_ns) - (int64_t)(stream->realtime_ns - first->realtime_ns);
}

/* The traces of the streams become the trace of the run. */
static int streams_join(struct run *run, struct loading *streams, struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < run->n_streams && !err; i++) {
		lost_set(&streams[i]);
		run->complete = streams[i].complete && (i == 0 || run->complete);
		if (i == 0) {
			run->trace = streams[0].trace;
			trace_init(&streams[0].trace);
		} else {
			err = merge_stream(&run->trace, &streams[i].trace, clock_offset(run, i, &streams[i].trace), (unsigned)i,
					   kernel_of(run, i));
		}
	}
	if (!err && run->n_streams > 1)
		err = merge_names(&run->trace);
	return err < 0 ? error_set(e, err, "out of memory") : 0;
}

static int streams_load(struct store *store, struct run *run, struct error *e)
{
	struct loadings all = { .run = run, .streams = calloc(run->n_streams + 1, sizeof(*all.streams)) };
	int err;

	if (!all.streams)
		return error_set(e, -ENOMEM, "out of memory");
	run->trace.lost = UINT64_MAX; /* without any stream nobody knows */
	for (size_t i = 0; i < run->n_streams; i++) {
		trace_init(&all.streams[i].trace);
		all.streams[i].next = 1;
	}
	err = store_each_batch(store, run->events_of, on_batch, &all, e);
	if (!err)
		err = streams_join(run, all.streams, e);
	trace_receipts_settle(&run->trace);
	for (size_t i = 0; i < run->n_streams; i++)
		trace_fini(&all.streams[i].trace);
	free(all.streams);
	return err;
}

static void row_of_dead_owner(struct store_run *row)
{
	row->running = false;
	row->incomplete = true;
	row->outcome = OUTCOME_ERROR;
	free(row->reason);
	row->reason = strdup(RUN_OWNER_DIED);
	row->lost = STORE_UNKNOWN;
}

/* Whose events stand for the run's, and when that one began. */
static int events_find(struct store *store, struct run *run, struct error *e)
{
	struct store_run *row = run->row, *whole = NULL;
	int err = 0;

	run->events_of = row->kept;
	if (!row->kept)
		return error_set(e, -ENODATA, "run %llu: its events were removed (by `bop gc`, or as those of the run that it repeats)",
				 (unsigned long long)row->id);
	if (row->kept != row->id)
		err = store_run_get(store, row->kept, &whole, e);
	if (err < 0)
		return err;
	row = whole ? whole : row;
	run->clock = (struct run_clock){ "", row->started_ns, row->started_monotonic_ns };
	memcpy(run->clock.boot_id, row->owner.boot_id, sizeof(run->clock.boot_id));
	store_run_free(whole);
	return 0;
}

/* Reads everything that belongs to run->row. */
static int rest_load(struct store *store, struct run *run, struct error *e)
{
	int err = events_find(store, run, e);

	if (!err)
		err = store_each_stream(store, run->events_of, on_stream, run, e);
	if (!err && run->events_of != run->row->id) {
		err = store_each_stream(store, run->row->id, on_agent, run, e);
	} else {
		run->agents = run->streams;
		run->n_agents = run->n_streams;
	}
	if (!err)
		err = store_each_process(store, run->row->id, on_process, run, e);
	return err ? err : streams_load(store, run, e);
}

/* Whether other events stand for it since it was begun to be read: then those that were read are not all of them. */
static bool has_moved(struct store *store, const struct run *run)
{
	struct store_run *row = NULL;
	bool moved = store_run_get(store, run->row->id, &row, NULL) < 0 || row->kept != run->row->kept ||
		     row->running != run->row->running;

	store_run_free(row);
	return moved;
}

static int load_once(struct store *store, uint64_t id, bool *ret_moved, struct run **ret_run, struct error *e)
{
	struct run *run;
	int err;

	run = calloc(1, sizeof(*run));
	if (!run)
		return error_set(e, -ENOMEM, "out of memory");
	trace_init(&run->trace);
	*ret_moved = false;
	err = store_run_get(store, id, &run->row, e);
	if (err < 0)
		goto out;
	err = rest_load(store, run, e);
	*ret_moved = (!err || err == -EBADMSG || err == -ENOENT) && has_moved(store, run);
	if (err < 0)
		goto out;
	if (run->row->running && !store_owner_alive(&run->row->owner)) {
		row_of_dead_owner(run->row);
		run_count(run, run->row, NULL, NULL); /* what cannot be counted stays unknown */
	}
	*ret_run = run;
	run = NULL;
	err = 0;
out:
	run_free(run);
	return err;
}

int run_load(struct store *store, uint64_t id, struct run **ret_run, struct error *e)
{
	struct run *run = NULL;
	bool moved;
	int err;

	/* It was sealed, or removed, while it was read: that happens once or twice in its life. */
	for (int i = 0; i < 4; i++) {
		run_free(run);
		run = NULL;
		err = load_once(store, id, &moved, &run, e);
		if (moved)
			continue;
		if (!err)
			*ret_run = run;
		return err;
	}
	run_free(run);
	return err ? err : error_set(e, -EBUSY, "run %llu is being changed: try again", (unsigned long long)id);
}

/* For lists and seals, which need no more than the row: a run with a damaged batch still has one. */
static int orphan_load(struct store *store, uint64_t id, struct run **ret_run, struct error *e)
{
	struct run *run;
	int err = run_load(store, id, ret_run, e);

	if (err != -EBADMSG)
		return err;
	run = calloc(1, sizeof(*run));
	if (!run)
		return error_set(e, -ENOMEM, "out of memory");
	trace_init(&run->trace);
	err = store_run_get(store, id, &run->row, e);
	if (err < 0) {
		run_free(run);
		return err;
	}
	if (run->row->running)
		row_of_dead_owner(run->row);
	*ret_run = run;
	return 0;
}

static void streams_free(struct store_stream *streams, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(streams[i].host);
		free(streams[i].boot_id);
		free(streams[i].kernel);
		free(streams[i].backend);
	}
	free(streams);
}

void run_free(struct run *run)
{
	if (!run)
		return;
	for (size_t i = 0; i < run->n_processes; i++) {
		free(run->processes[i].name);
		free(run->processes[i].box);
		free(run->processes[i].command);
		free(run->processes[i].output);
	}
	free(run->processes);
	streams_free(run->streams, run->n_streams);
	if (run->agents != run->streams)
		streams_free(run->agents, run->n_agents);
	trace_fini(&run->trace);
	store_run_free(run->row);
	free(run);
}

int64_t run_time(const struct run *run, uint64_t monotonic_ns)
{
	const struct store_stream *stream = run->n_streams ? &run->streams[0] : NULL;
	const struct run_clock *clock = &run->clock;

	if (!stream || !strcmp(stream->boot_id, clock->boot_id))
		return (int64_t)(monotonic_ns - clock->monotonic_ns);
	return (int64_t)(monotonic_ns - stream->monotonic_ns + stream->realtime_ns - clock->realtime_ns);
}

int run_count(const struct run *run, struct store_run *row, struct graph **ret_graph, struct error *e)
{
	struct graph *graph = NULL;
	int err;

	row->events = run->trace.n_events;
	row->lost = run->trace.lost;
	row->messages = row->holes = STORE_UNKNOWN;
	err = graph_build(&run->trace, GRAPH_ORDER_PROCESS, &graph, e);
	if (err < 0)
		return err;
	row->messages = graph->n_messages;
	row->holes = graph->n_holes;
	if (ret_graph)
		*ret_graph = graph;
	else
		graph_free(graph);
	return 0;
}

int run_load_dead(struct store *store, uint64_t id, bool complete, struct run **ret_run, struct error *e)
{
	struct run *run = NULL;
	int err = orphan_load(store, id, &run, e);

	if (err < 0)
		return err;
	row_of_dead_owner(run->row);
	run->row->incomplete = !complete;
	run_count(run, run->row, NULL, NULL); /* what cannot be counted stays unknown */
	*ret_run = run;
	return 0;
}

struct orphans {
	uint64_t *ids;
	size_t n;
};

static int on_orphan(const struct store_run *row, void *arg, struct error *e)
{
	struct orphans *orphans = arg;
	uint64_t *ids;

	if (!row->running || store_owner_alive(&row->owner))
		return 0;
	ids = realloc(orphans->ids, (orphans->n + 1) * sizeof(*ids));
	if (!ids)
		return error_set(e, -ENOMEM, "out of memory");
	orphans->ids = ids;
	ids[orphans->n++] = row->id;
	return 0;
}

static const struct store_range unsealed = { .running = true };

int run_has_orphans(struct store *store, struct error *e)
{
	struct orphans orphans = { NULL, 0 };
	int err = store_each_run(store, &unsealed, on_orphan, &orphans, e);

	free(orphans.ids);
	return err < 0 ? err : orphans.n > 0;
}

int run_seal_orphans(struct store *store, struct error *e)
{
	struct orphans orphans = { NULL, 0 };
	struct run *run = NULL;
	int err, n = 0;

	err = store_each_run(store, &unsealed, on_orphan, &orphans, e);
	for (size_t i = 0; i < orphans.n && err >= 0; i++) {
		err = orphan_load(store, orphans.ids[i], &run, e);
		if (err < 0)
			break;
		err = store_run_seal(store, run->row, NULL, 0, NULL, e);
		if (err == -ESTALE) /* another bop was quicker */
			err = 0;
		run_free(run);
		run = NULL;
		n++;
	}
	free(orphans.ids);
	return err < 0 ? err : n;
}

struct each {
	struct store *store;
	store_on_run *on_run;
	void *arg;
};

static int on_each(const struct store_run *row, void *arg, struct error *e)
{
	struct each *each = arg;
	struct run *run = NULL;
	int err;

	if (!row->running || store_owner_alive(&row->owner))
		return each->on_run(row, each->arg, e);
	err = orphan_load(each->store, row->id, &run, e);
	if (!err)
		err = each->on_run(run->row, each->arg, e);
	run_free(run);
	return err;
}

int run_each(struct store *store, const struct store_range *range, store_on_run *on_run, void *arg, struct error *e)
{
	struct each each = { store, on_run, arg };

	return store_each_run(store, range, on_each, &each, e);
}

char *run_last_words(const struct run *run, const char *process, unsigned n)
{
	const struct trace *trace = &run->trace;
	size_t size = 0, start;
	char *text = NULL;

	for (int stream = 2; stream >= 1 && !size; stream--)
		for (size_t i = 0; i < trace->n_outputs; i++) {
			const struct trace_output *output = &trace->outputs[i];
			char *grown;

			if (output->stream != stream || !output->process || output->process > trace->n_processes ||
			    !trace->processes[output->process].name ||
			    strcmp(trace->processes[output->process].name, process))
				continue;
			grown = realloc(text, size + output->size + 1);
			if (!grown)
				break;
			text = grown;
			memcpy(text + size, output->bytes, output->size);
			size += output->size;
		}
	while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	for (start = size; start && n; start--)
		if (text[start - 1] == '\n' && !--n)
			break;
	if (!size) {
		free(text);
		return NULL;
	}
	memmove(text, text + start, size - start);
	text[size - start] = '\0';
	return text;
}
