/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Events for those who want them as they come. Each subscriber has the queue that all answers to it wait in; when that is full, events
 * are left out for it and counted, and with the next that it gets it is told how many. Nobody waits for a subscriber: not the run, not the
 * others.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/event_label.h"
#include "collector/serve_inside.h"

enum { ROWS = 256, LABEL_MAX = 320 };

struct subscriber {
	struct subscriber *prev, *next;
	struct door_id client;
	int fd;
	uint64_t request, run; /* run 0: of all */
	uint32_t kinds;	       /* bits 1 << enum event_kind */
	uint64_t sent, missed, missed_now; /* missed_now: since the last that it got */
};

_Static_assert(EVENT_KIND_COUNT <= 32, "kinds fit into bits");

/* Rows of an answer, with the texts that they need. */
struct page {
	Bop__Api__Event rows[ROWS], *pointers[ROWS];
	char labels[ROWS][LABEL_MAX];
	size_t n;
};

static void subscriber_free(struct serve *serve, struct subscriber *one)
{
	DL_DELETE(serve->subscribers, one);
	free(one);
}

static void end_tell(struct serve *serve, struct subscriber *one, const char *reason)
{
	Bop__Api__EventsEnd end = BOP__API__EVENTS_END__INIT;
	struct api_answer answer = { .id = one->request, .kind = API_EVENTS_END, .events_end = &end };

	end.sent = one->sent;
	end.missed = one->missed;
	end.reason = (char *)reason;
	api_answer(serve, &one->client, &answer);
	subscriber_free(serve, one);
}

static int kinds_read(const Bop__Api__Subscribe *ask, uint32_t *ret_kinds, struct error *e)
{
	*ret_kinds = ask->n_kinds ? 0 : UINT32_MAX;
	for (size_t i = 0; i < ask->n_kinds; i++) {
		unsigned kind = 1;

		while (kind < EVENT_KIND_COUNT && strcmp(event_kind_name(kind), ask->kinds[i]))
			kind++;
		if (kind == EVENT_KIND_COUNT)
			return error_set(e, -EINVAL, "'%.40s' is no kind of event (send, recv, connect, fired, ...: see docs/json.md)",
					 ask->kinds[i]);
		*ret_kinds |= 1u << kind;
	}
	return 0;
}

void subscribe(struct serve *serve, const struct door_frame *from, const struct api_request *request)
{
	const Bop__Api__Subscribe *ask = request->subscribe;
	struct subscriber *one, *other;
	const struct act *act;
	struct error e;
	uint32_t kinds;
	size_t n;
	int err = kinds_read(ask, &kinds, &e);

	DL_FOREACH(serve->acts, act)
	if (course_id(act->course) == ask->run && !act->sealing)
		break;
	if (!err && ask->run && !act)
		err = error_set(&e, -ENOENT, "run %" PRIu64 " does not go on here", ask->run);
	DL_COUNT(serve->subscribers, other, n);
	one = !err && n < SERVE_SUBSCRIBERS_MAX ? calloc(1, sizeof(*one)) : NULL;
	if (!err && !one)
		err = error_set(&e, -EBUSY, "the server has as many subscribers as it takes, or no memory");
	if (err) {
		api_refuse(serve, &from->from, request->id, err, e.text);
		return;
	}
	*one = (struct subscriber){ .client = from->from, .fd = from->fd, .request = request->id, .run = ask->run, .kinds = kinds };
	DL_APPEND(serve->subscribers, one);
}

bool subscriber_cancel(struct serve *serve, const struct door_id *client, uint64_t request)
{
	struct subscriber *one;

	DL_FOREACH(serve->subscribers, one)
	if (one->request == request && door_id_same(&one->client, client)) {
		end_tell(serve, one, "cancelled");
		return true;
	}
	return false;
}

void subscribers_client_gone(struct serve *serve, const struct door *door, int fd)
{
	struct subscriber *one, *next;

	DL_FOREACH_SAFE(serve->subscribers, one, next)
	if (one->fd == fd && one->client.door == door)
		subscriber_free(serve, one);
}

void subscribers_run_ended(struct serve *serve, uint64_t run)
{
	struct subscriber *one, *next;

	DL_FOREACH_SAFE(serve->subscribers, one, next)
	if (one->run == run)
		end_tell(serve, one, "the run has ended");
}

void subscribers_free(struct serve *serve)
{
	while (serve->subscribers)
		subscriber_free(serve, serve->subscribers);
}

static void page_send(struct serve *serve, struct subscriber *one, struct page *page)
{
	Bop__Api__Events events = BOP__API__EVENTS__INIT;
	struct api_answer answer = { .id = one->request, .kind = API_EVENTS, .events = &events };

	if (!page->n)
		return;
	events.rows = page->pointers;
	events.n_rows = page->n;
	events.missed = one->missed_now;
	if (api_answer(serve, &one->client, &answer)) {
		one->missed += page->n;
		one->missed_now += page->n;
	} else {
		one->sent += page->n;
		one->missed_now = 0;
	}
	page->n = 0;
}

static char *text_or_empty(const char *text)
{
	return (char *)(text ? text : "");
}

static void row_fill(struct page *page, uint64_t run, const char *agent, const struct event_labels *labels, const struct event *event)
{
	const struct trace *trace = labels->trace;
	Bop__Api__Event *row = &page->rows[page->n];
	bool moves = event->kind == EVENT_SEND || event->kind == EVENT_RECV;

	bop__api__event__init(row);
	event_label(labels, event, page->labels[page->n], LABEL_MAX);
	row->run = run;
	row->agent = (char *)agent;
	if (event->box && event->box <= trace->n_boxes)
		row->box = text_or_empty(trace->boxes[event->box].name);
	if (event->process && event->process <= trace->n_processes)
		row->process = text_or_empty(trace->processes[event->process].name);
	row->thread = event->thread;
	row->kind = (char *)event_kind_name(event->kind);
	row->label = page->labels[page->n];
	row->time_ns = event_time(event);
	row->value = event->value;
	row->bytes = moves && event->value > 0 ? (uint64_t)event->value : 0;
	if (event->text && event->text <= trace->n_texts)
		row->text = text_or_empty(trace->texts[event->text]);
	page->pointers[page->n++] = row;
}

static void events_put(struct serve *serve, struct subscriber *one, struct page *page, uint64_t run, const char *agent,
		       const struct event_labels *labels)
{
	const struct trace *trace = labels->trace;

	for (size_t i = 0; i < trace->n_events; i++) {
		const struct event *event = &trace->events[i];

		if (!(one->kinds & 1u << event->kind))
			continue;
		if (api_full(serve, &one->client)) { /* nothing is made for who does not take it */
			one->missed++;
			one->missed_now++;
			continue;
		}
		row_fill(page, run, agent, labels, event);
		if (page->n == ROWS)
			page_send(serve, one, page);
	}
	page_send(serve, one, page);
}

void subscribers_tell(struct serve *serve, uint64_t run, const char *agent, const struct trace *trace)
{
	struct event_labels labels = { .n = 0 };
	struct page *page = NULL;
	struct subscriber *one;
	int err = 0;

	if (!trace->n_events)
		return;
	DL_FOREACH(serve->subscribers, one)
	{
		if (one->run && one->run != run)
			continue;
		if (!page && !err) {
			page = malloc(sizeof(*page));
			err = page ? event_labels_init(&labels, trace) : -ENOMEM;
			if (page)
				page->n = 0;
		}
		if (err) {
			one->missed += trace->n_events;
			one->missed_now += trace->n_events;
		} else {
			events_put(serve, one, page, run, agent, &labels);
		}
	}
	event_labels_fini(&labels);
	free(page);
}
