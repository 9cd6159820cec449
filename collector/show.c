/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What both forms of a shown run need: statuses, outputs, ends of connections. See show.h. */
#include "collector/show.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int show_order_parse(const char *name, enum graph_order *ret_order, struct error *e)
{
	if (!name || !strcmp(name, "process"))
		*ret_order = GRAPH_ORDER_PROCESS;
	else if (!strcmp(name, "thread"))
		*ret_order = GRAPH_ORDER_THREAD;
	else
		return error_set(e, -EINVAL, "--order %s: it is thread or process", name);
	return 0;
}

/* What is kept of a program is how it ended last; what the trace says of an earlier incarnation stays. */
static void program_status(const struct trace *trace, const struct store_process *program, struct show_status *statuses)
{
	size_t which = 0, n = strlen(program->name);
	unsigned long last = 0, life;

	for (size_t i = 1; i <= trace->n_processes; i++) {
		const char *label = trace->processes[i].name;

		if (label && graph_label_life(label, &life) == n && life > last && !memcmp(label, program->name, n)) {
			last = life;
			which = i;
		}
	}
	if (which)
		statuses[which] = (struct show_status){ true, program->status };
}

int show_statuses(const struct run *run, struct show_status **ret_statuses, struct error *e)
{
	const struct trace *trace = &run->trace;
	struct show_status *statuses = calloc(trace->n_processes + 1, sizeof(*statuses));

	if (!statuses)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];

		if (event->kind == EVENT_EXIT && !(event->flags & EVENT_F_THREAD) && event->process <= trace->n_processes)
			statuses[event->process] = (struct show_status){ true, (uint32_t)event->value };
	}
	for (size_t k = 0; k < run->n_processes; k++)
		if (run->processes[k].exited && run->processes[k].role != STORE_CHECK)
			program_status(trace, &run->processes[k], statuses);
	*ret_statuses = statuses;
	return 0;
}

void show_status_text(const struct show_status *status, char *buf, size_t size)
{
	const char *name = sigabbrev_np(WTERMSIG(status->status));

	if (!status->exited)
		snprintf(buf, size, "-");
	else if (WIFSIGNALED(status->status))
		snprintf(buf, size, "SIG%s", name ? name : "?");
	else
		snprintf(buf, size, "%d", WEXITSTATUS(status->status));
}

char *show_written(const struct run *run, uint32_t process, int stream, size_t *ret_size, uint64_t *ret_left_out)
{
	const struct trace *trace = &run->trace;
	size_t size = 0, cap = 1;
	uint64_t end = 0, left_out = 0;
	char *text;

	for (size_t i = 0; i < trace->n_outputs; i++)
		if (trace->outputs[i].process == process && trace->outputs[i].stream == stream)
			cap += trace->outputs[i].size;
	text = malloc(cap);
	for (size_t i = 0; text && i < trace->n_outputs; i++) {
		const struct trace_output *output = &trace->outputs[i];

		if (output->process != process || output->stream != stream)
			continue;
		if (output->offset > end)
			left_out += output->offset - end;
		if (output->size)
			memcpy(text + size, output->bytes, output->size);
		size += output->size;
		end = output->offset + output->size;
	}
	if (text)
		text[size] = '\0';
	*ret_size = size;
	*ret_left_out = left_out;
	return text;
}

enum { ENDED_FIN = 1, ENDED_RST = 2 };

static const char *end_text(const struct graph *graph, const struct graph_connection *connection, unsigned connector,
			    unsigned acceptor)
{
	const struct trace_end *end = &graph->trace->ends[connection->connector];
	const char *name;

	if (connection->transport != TRANSPORT_TCP) /* nobody tells when those are closed */
		return "-";
	if (connection->connector && end->error) {
		name = strerrorname_np(-end->error);
		return name ? name : "failed";
	}
	if (connection->connector && !end->keyed && !connection->acceptor)
		return "unanswered";
	if ((connector | acceptor) & ENDED_RST)
		return "reset";
	if (connector && acceptor)
		return "closed";
	if (connector || acceptor)
		return "half closed";
	return "open";
}

int show_connection_ends(const struct graph *graph, const char ***ret_ends, struct error *e)
{
	const char **ends = calloc(graph->n_connections + 1, sizeof(*ends));
	unsigned char(*ended)[2] = calloc(graph->n_connections + 1, sizeof(*ended));
	bool *used = calloc(graph->n_connections + 1, sizeof(*used));
	int err = 0;

	if (!ends || !ended || !used) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	for (size_t i = 0; i < graph->n_vertices; i++) {
		const struct graph_vertex *vertex = &graph->vertices[i];
		const struct event *event = &graph->trace->events[vertex->event];
		const struct graph_connection *connection = &graph->connections[vertex->connection];
		bool rst = event->kind == EVENT_RESET || (event->flags & EVENT_F_RST);

		used[vertex->connection] = true;
		if (vertex->connection && (event->kind == EVENT_CLOSE || event->kind == EVENT_RESET))
			ended[vertex->connection][event->end != connection->connector] |= rst ? ENDED_RST : ENDED_FIN;
	}
	for (size_t i = 1; i <= graph->n_connections; i++)
		if (used[i] || graph->connections[i].transport != TRANSPORT_UDP)
			ends[i] = end_text(graph, &graph->connections[i], ended[i][0], ended[i][1]);
	*ret_ends = ends;
	ends = NULL;
out:
	free(ends);
	free(ended);
	free(used);
	return err;
}
