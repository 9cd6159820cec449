/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Processes and threads of the simulator: how they begin, end and are waited for. */
#include "tests/unit/random_inside.h"

#include <stdio.h>
#include <string.h>

struct sim_process *sim_process_new(struct sim *s, const char *name, uint32_t box, uint32_t parent)
{
	struct sim_process *p = &s->processes[s->n_processes++];
	struct trace_process *row = need(trace_process_at(&s->run->trace, s->n_processes));

	*p = (struct sim_process){ .alive = true, .index = s->n_processes, .parent = parent, .n_threads = 1 };
	p->threads[0].alive = true;
	row->name = need(strdup(name));
	row->box = box;
	row->parent = parent;
	row->pid = 1000 + s->n_processes;
	row->command = need(strdup("program --option"));
	return p;
}

void sim_start(struct sim *s, struct sim_process *p)
{
	struct event event = sim_event(s, p, 0, EVENT_START);

	sim_label(s, event_id(&event), sim_process_name(s, p->index));
	sim_emit(s, event);
}

void sim_spawn(struct sim *s, struct sim_process *p, unsigned thread)
{
	struct event event;
	struct sim_process *child;
	char text[64];

	if (s->options.threads && p->n_threads < RANDOM_THREADS_MAX && random_below(&s->rng, 2)) {
		event = sim_event(s, p, thread, EVENT_SPAWN);
		event.flags = EVENT_F_THREAD;
		event.value = p->n_threads;
		snprintf(text, sizeof(text), "%s:%u", sim_process_name(s, p->index), p->n_threads);
		sim_label(s, event_id(&event), text);
		p->threads[p->n_threads++] = (struct sim_thread){ .alive = true, .first_cause = event_id(&event) };
		sim_emit(s, event);
		return;
	}
	if (!s->options.forks || s->n_processes >= RANDOM_PROCESSES_MAX - 1 || strlen(sim_process_name(s, p->index)) > 20)
		return;
	event = sim_event(s, p, thread, EVENT_SPAWN);
	event.value = ++p->n_children;
	snprintf(text, sizeof(text), "%s.%u", sim_process_name(s, p->index), p->n_children);
	sim_label(s, event_id(&event), text);
	child = sim_process_new(s, text, s->run->trace.processes[p->index].box, p->index);
	event.peer = child->index;
	child->first_cause = event_id(&event);
	memcpy(child->fds, p->fds, sizeof(p->fds));
	child->n_fds = p->n_fds;
	for (unsigned i = 0; i < p->n_fds; i++)
		s->ends[p->fds[i]].holders++;
	sim_emit(s, event);
	sim_start(s, child);
}

void sim_call_finish(struct sim *s, struct sim_thread *t)
{
	if (t->busy)
		sim_emit(s, t->call);
	t->busy = false;
}

/* All threads end, sockets are closed, then the process is gone. The thread that says so is the last to end. */
void sim_exit(struct sim *s, struct sim_process *p, unsigned thread)
{
	uint64_t ended[RANDOM_THREADS_MAX] = { 0 };
	struct event event;
	char text[64];

	if (p->threads[thread].first_cause || p->first_cause)
		return;
	for (unsigned i = 0; i < p->n_threads; i++) {
		if (!p->threads[i].alive || i == thread || p->threads[i].first_cause)
			continue;
		sim_call_finish(s, &p->threads[i]);
		event = sim_event(s, p, i, EVENT_EXIT);
		event.flags = EVENT_F_THREAD;
		ended[i] = event_id(&event);
		snprintf(text, sizeof(text), "%s:%u", sim_process_name(s, p->index), i);
		sim_label(s, ended[i], text);
		sim_emit(s, event);
	}
	while (p->n_fds)
		sim_end_close(s, p, thread, p->fds[--p->n_fds], EVENT_F_EXITING);
	event = sim_event(s, p, thread, EVENT_EXIT);
	event.value = random_below(&s->rng, 3) ? 0 : 9;
	p->exit_id = event_id(&event);
	for (unsigned i = 0; i < p->n_threads; i++)
		sim_truth(s, ended[i], p->exit_id, RULE_SPAWN, 0);
	sim_label(s, p->exit_id, sim_process_name(s, p->index));
	sim_emit(s, event);
	p->alive = false;
}

void sim_wait(struct sim *s, struct sim_process *p, unsigned thread)
{
	for (unsigned i = 0; i < s->n_processes; i++) {
		struct sim_process *child = &s->processes[i];
		struct event event;

		if (child->parent != p->index || child->alive || child->waited)
			continue;
		child->waited = true;
		event = sim_event(s, p, thread, EVENT_WAIT);
		event.peer = child->index;
		sim_truth(s, child->exit_id, event_id(&event), RULE_SPAWN, 0);
		sim_label(s, event_id(&event), sim_process_name(s, child->index));
		sim_emit(s, event);
		return;
	}
}
