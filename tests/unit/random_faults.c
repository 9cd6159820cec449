/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults that fired in a random run, as its trace tells of them: see random_run_faults(). */
#include "tests/unit/random_run.h"

#include "proto/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *random_box(struct random_run *run, uint64_t *rng)
{
	return run->trace.boxes[1 + random_below(rng, run->trace.n_boxes)].name;
}

/* One of the run's events, with a place in its process; a send more often than not. NULL: none was found. */
static const struct event *random_moment(struct random_run *run, uint64_t *rng)
{
	for (unsigned tries = 0; tries < 100 && run->trace.n_events; tries++) {
		const struct event *event = &run->trace.events[random_below(rng, run->trace.n_events)];

		if (event->order && event->process && (tries > 20 || (event->kind == EVENT_SEND && event->value > 0)))
			return event;
	}
	return NULL;
}

static char *random_line(struct random_run *run, uint64_t *rng, const struct event *moment)
{
	const char *a = random_box(run, rng), *b = random_box(run, rng), *label = NULL;
	const char *process = run->trace.processes[moment ? moment->process : 1].name;
	char *line = NULL;
	int n = -1;

	if (moment && moment->kind == EVENT_SEND && moment->value > 0)
		label = run->labels[event_id(moment)];
	switch (random_below(rng, label ? 12 : 5)) {
	case 0: n = asprintf(&line, "crash box %s", a); break;
	case 1: n = asprintf(&line, "isolate %s", a); break;
	case 2: n = asprintf(&line, "crash %s", process); break;
	case 3: n = asprintf(&line, "loss 50%% %s oneway", a); break;
	case 4: n = strcmp(a, b) ? asprintf(&line, "partition %s | %s", a, b) : asprintf(&line, "isolate %s oneway", a); break;
	case 5: n = asprintf(&line, "cut %s", label); break;
	case 6: n = asprintf(&line, "cut %s oneway", label); break;
	case 7: n = asprintf(&line, "reset %s", label); break;
	case 8: n = asprintf(&line, "crash %s at send %s", process, label); break;
	case 9: n = asprintf(&line, "crash %s at send %s silent", process, label); break;
	case 10: n = asprintf(&line, "hold %s for 1s", label); break;
	case 11: n = asprintf(&line, "pause %s at send %s for 1s", process, label); break;
	}
	return need(n < 0 ? NULL : line);
}

static struct event *fault_event(struct random_run *run, uint64_t *rng, enum event_kind kind, uint32_t id, const char *line)
{
	uint32_t text = (uint32_t)run->trace.n_texts + 1;
	struct event *event = need(trace_event_add(&run->trace));
	char **at = need(trace_text_at(&run->trace, text));

	*at = need(strdup(line));
	*event = (struct event){ .kind = kind, .value = id, .text = text };
	event->seq = (1ull << 40) + run->trace.n_events; /* ids of their own */
	event->enter_ns = event->return_ns = 1 + random_below(rng, 5000);
	return event;
}

void random_run_faults(struct random_run *run, uint64_t seed, unsigned n)
{
	size_t n_events = run->trace.n_events;
	uint64_t rng = seed;

	for (size_t i = 0; i < n_events; i++)
		run->trace.events[i].order *= 4 * (n + 1); /* room for what fired before it */
	/* what was not received had come, or not, or nobody knows */
	for (size_t i = 1; i <= run->trace.n_ends; i++) {
		struct trace_end *row = &run->trace.ends[i];

		row->finished = random_below(&rng, 3) == 0;
		row->unacked = random_below(&rng, row->sent + 1);
		row->unread = random_below(&rng, 20);
	}
	for (uint32_t id = 1; id <= n; id++) {
		const struct event *found = random_moment(run, &rng);
		struct event moment = found ? *found : (struct event){ .kind = EVENT_NONE }, *event;
		char *line = random_line(run, &rng, found);
		bool nowhere = !found || random_below(&rng, 4) == 0;

		if (random_below(&rng, 4))
			fault_event(run, &rng, EVENT_ARMED, id, line);
		event = fault_event(run, &rng, EVENT_FIRED, id, line);
		if (!nowhere) {
			event->process = moment.process;
			event->thread = moment.thread;
			event->box = moment.box;
			if (random_below(&rng, 2)) /* else another machine's clock */
				event->enter_ns = event->return_ns = moment.enter_ns;
			event->order = moment.order - id;
			event->end = moment.end;
			event->pos = moment.pos;
			event->message = moment.message;
		}
		if (random_below(&rng, 4) == 0)
			fault_event(run, &rng, random_below(&rng, 2) ? EVENT_LIFTED : EVENT_EXPIRED, id, line);
		if (random_below(&rng, 8) == 0)
			*(struct fault_receipt *)need(trace_receipt_add(&run->trace)) =
				(struct fault_receipt){ .id = id, .state = FAULT_STATE_WOULD_FIRE };
		free(line);
	}
}
