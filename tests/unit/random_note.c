/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a simulated run leaves: events, what really caused them, and what the things of each must be called. */
#include "tests/unit/random_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_truth(struct sim *s, uint64_t from, uint64_t to, enum graph_rule rule, uint64_t bytes)
{
	struct random_run *run = s->run;

	if (!from || !to)
		return;
	if (run->n_edges == run->cap_edges) {
		run->cap_edges = run->cap_edges ? 2 * run->cap_edges : 256;
		run->edges = need(realloc(run->edges, run->cap_edges * sizeof(*run->edges)));
	}
	run->edges[run->n_edges++] = (struct truth_edge){ from, to, rule, bytes };
}

void sim_label(struct sim *s, uint64_t id, const char *text)
{
	char **at, *old, *found;
	size_t size = strlen(text);

	if (id >= s->run->n_ids)
		abort();
	at = &s->run->labels[id];
	old = *at;
	found = old ? strstr(old, text) : NULL;
	for (; found; found = strstr(found + 1, text))
		if ((found == old || found[-1] == ' ') && (!found[size] || found[size] == ' '))
			return;
	if (asprintf(at, "%s%s%s", old ? old : "", old ? " " : "", text) < 0)
		abort();
	free(old);
}

const char *sim_process_name(struct sim *s, uint32_t process)
{
	return s->run->trace.processes[process].name;
}

void sim_connection_name(struct sim *s, uint32_t end, char arrow, char *buf, size_t size)
{
	const struct trace_end *c = &s->run->trace.ends[s->ends[end].connector ? end : (uint32_t)s->ends[end].peer];

	snprintf(buf, size, "%s%c%s#%u", sim_process_name(s, c->process), arrow, c->target, c->ordinal);
}

struct event sim_event(struct sim *s, struct sim_process *p, unsigned thread, enum event_kind kind)
{
	struct event event = { .kind = kind };

	event.seq = s->next_id++ | (uint64_t)random_below(&s->rng, 4) << 48;
	event.enter_ns = event.return_ns = ++s->now;
	if (p) {
		p->order += 1 + random_below(&s->rng, 3);
		event.order = p->order;
		event.process = p->index;
		event.thread = thread;
		event.box = s->run->trace.processes[p->index].box;
		if (p->first_cause)
			sim_truth(s, p->first_cause, event_id(&event), RULE_SPAWN, 0);
		else if (p->threads[thread].first_cause)
			sim_truth(s, p->threads[thread].first_cause, event_id(&event), RULE_SPAWN, 0);
		p->first_cause = p->threads[thread].first_cause = 0;
	}
	return event;
}

void sim_emit(struct sim *s, struct event event)
{
	event.return_ns = ++s->now;
	*(struct event *)need(trace_event_add(&s->run->trace)) = event;
}
