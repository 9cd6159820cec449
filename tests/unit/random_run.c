/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A random run from its first step to its last: which process is next, and what it does. See random_run.h. */
#include "tests/unit/random_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void step(struct sim *s)
{
	struct sim_process *p = &s->processes[random_below(&s->rng, s->n_processes)];
	unsigned thread = random_below(&s->rng, p->n_threads), dice = random_below(&s->rng, 100);
	struct sim_thread *t = &p->threads[thread];

	if (!p->alive)
		return;
	if (t->busy)
		sim_call_finish(s, t);
	else if (dice < 12)
		sim_connect(s, p, thread);
	else if (dice < 30)
		sim_accept(s, p, thread);
	else if (dice < 56)
		sim_send(s, p, thread);
	else if (dice < 86)
		sim_recv(s, p, thread);
	else if (dice < 89)
		sim_close(s, p, thread);
	else if (dice < 91)
		sim_shutdown(s, p, thread);
	else if (dice < 95)
		sim_spawn(s, p, thread);
	else if (dice < 96 && p->index > 1)
		sim_exit(s, p, thread);
	else
		sim_wait(s, p, thread);
}

static void finish(struct sim *s)
{
	for (unsigned i = 0; i < s->n_processes; i++)
		for (unsigned k = 0; k < s->processes[i].n_threads; k++)
			sim_call_finish(s, &s->processes[i].threads[k]);
	for (uint32_t i = 1; i <= s->n_ends; i++) {
		struct trace_end *row = &s->run->trace.ends[i];

		row->finished = true;
		row->sent = s->ends[i].sent;
		row->received = s->ends[i].received;
		sim_queue_drop(&s->ends[i]);
	}
}

void random_run_init(struct random_run *run, uint64_t seed, const struct random_options *options)
{
	struct sim *s = need(calloc(1, sizeof(*s)));
	char name[24];

	memset(run, 0, sizeof(*run));
	s->run = run;
	s->options = *options;
	s->rng = seed;
	s->next_id = 1;
	run->n_ids = (size_t)options->steps * 4 + 1000;
	run->labels = need(calloc(run->n_ids, sizeof(*run->labels)));
	for (unsigned i = 1; i <= options->processes; i++) {
		struct trace_box *box = need(trace_box_at(&run->trace, i));

		snprintf(name, sizeof(name), "b%u", i);
		box->name = need(strdup(name));
		snprintf(name, sizeof(name), "10.0.0.%u", i);
		box->address = need(strdup(name));
		snprintf(name, sizeof(name), "p%u", i);
		sim_process_new(s, name, i, 0);
	}
	s->n_roots = options->processes;
	for (unsigned i = 0; i < s->n_roots; i++)
		sim_start(s, &s->processes[i]);
	for (unsigned i = 0; i < options->steps; i++)
		step(s);
	finish(s);
	free(s);
}

void random_run_fini(struct random_run *run)
{
	for (size_t i = 0; i < run->n_ids; i++)
		free(run->labels[i]);
	free(run->labels);
	free(run->edges);
	trace_fini(&run->trace);
}
