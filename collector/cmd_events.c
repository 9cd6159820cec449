/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop events: what happens in the runs of a server, as it comes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "collector/client.h"
#include "collector/cmd_server.h"
#include "collector/interrupt.h"
#include "collector/json.h"
#include "collector/outcome.h"

enum { REQUEST = 1 };

static void event_text(const Bop__Api__Event *event)
{
	printf("%4" PRIu64 " %12.6f  %-12s %-8s %s", event->run, (double)event->time_ns / 1e9,
	       *event->process ? event->process : *event->box ? event->box : "-", event->kind, event->label);
	if (event->bytes)
		printf(", %" PRIu64 " B", event->bytes);
	else if (event->value < 0)
		printf(", error %" PRId64, -event->value);
	puts("");
}

static void event_json(const Bop__Api__Event *event)
{
	json_t *object = json_object();

	json_object_set_new(object, "run", json_number(event->run));
	json_object_set_new(object, "agent", json_text(event->agent));
	json_object_set_new(object, "box", *event->box ? json_text(event->box) : json_null());
	json_object_set_new(object, "process", *event->process ? json_text(event->process) : json_null());
	json_object_set_new(object, "thread", json_number(event->thread));
	json_object_set_new(object, "kind", json_text(event->kind));
	json_object_set_new(object, "label", *event->label ? json_text(event->label) : json_null());
	json_object_set_new(object, "time_ns", json_number(event->time_ns));
	json_object_set_new(object, "value", json_integer(event->value));
	json_object_set_new(object, "bytes", json_number(event->bytes));
	json_object_set_new(object, "text", *event->text ? json_text(event->text) : json_null());
	json_dumpf(object, stdout, JSON_COMPACT);
	puts("");
	json_decref(object);
}

static void missed_say(const struct cmd_args *args, uint64_t missed)
{
	if (missed && args->json)
		printf("{\"missed\":%" PRIu64 "}\n", missed);
	else if (missed)
		printf("     ... %" PRIu64 " events were not taken in time and are left out\n", missed);
}

static void events_print(const struct cmd_args *args, const Bop__Api__Events *events)
{
	missed_say(args, events->missed);
	for (size_t i = 0; i < events->n_rows; i++) {
		if (args->json)
			event_json(events->rows[i]);
		else
			event_text(events->rows[i]);
	}
	fflush(stdout);
}

/* 1: it was the last. */
static int answer_take(const struct cmd_args *args, const struct api_answer *answer, struct error *e)
{
	if (answer->id != REQUEST && !client_ended(answer))
		return 0;
	if (answer->kind == API_EVENTS_END)
		return 1;
	if (answer->kind == API_ERROR)
		return error_set(e, client_errno(answer->error.kind), "%s", answer->error.text);
	if (answer->kind != API_EVENTS)
		return error_set(e, -EBADMSG, "the server's answer makes no sense");
	events_print(args, answer->events);
	return 0;
}

/* The first Ctrl-C ends the subscription, so that what is under way is shown; the second one leaves. */
static int follow(struct client *client, struct interrupt *interrupt, const struct cmd_args *args, struct error *e)
{
	struct api_request cancel = { .id = REQUEST + 1, .kind = API_CANCEL, .cancel = REQUEST };
	zmq_pollitem_t items[CLIENT_ITEMS + 1];
	struct api_answer answer;
	unsigned told = 0;
	int err = 0, done = 0;

	while (!err && !done && !ferror(stdout)) {
		client_items(client, items);
		items[CLIENT_ITEMS] = (zmq_pollitem_t){ .fd = interrupt->fd, .events = ZMQ_POLLIN };
		zmq_poll(items, CLIENT_ITEMS + 1, -1);
		interrupt_read(interrupt);
		if (interrupt->n > 1)
			return -EINTR;
		if (interrupt->n != told)
			err = client_send(client, &cancel, e);
		told = interrupt->n;
		while (!err && !done && (err = client_receive(client, &answer, e)) > 0) {
			done = answer_take(args, &answer, e);
			api_answer_fini(&answer);
			err = done < 0 ? done : 0;
		}
	}
	return err ? err : interrupt->n ? -EINTR : 0;
}

static int events_main(const struct cmd *cmd, const struct cmd_args *args)
{
	Bop__Api__Subscribe subscribe = BOP__API__SUBSCRIBE__INIT;
	struct api_request request = { .id = REQUEST, .kind = API_SUBSCRIBE, .subscribe = &subscribe };
	struct interrupt interrupt = INTERRUPT_NONE;
	struct client *client = NULL;
	struct error e;
	int err = cmd_run_number(args, &subscribe.run);

	if (err)
		return err;
	subscribe.kinds = (char **)args->kinds.texts;
	subscribe.n_kinds = args->kinds.n;
	err = client_open(args->server ? args->server : "", &client, &e);
	if (!err)
		err = interrupt_open(&interrupt, &e);
	if (!err)
		err = client_send(client, &request, &e);
	if (!err)
		err = follow(client, &interrupt, args, &e);
	interrupt_close(&interrupt);
	client_close(client);
	if (err == -EINTR)
		return cmd_flush(outcome_status(OUTCOME_INTERRUPTED));
	return err ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "run", 0, CMD_TEXT, CMD_OPTION(run), "RUN", "only of this run, and until it ends" },
	{ "kind", 'k', CMD_TEXTS, CMD_OPTION(kinds), "KIND", "only of this kind (send, recv, connect, fired, ...); as often as wanted" },
	CMD_OPTION_SERVER,
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print one JSON object an event, a line each (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_events = {
	.name = "events",
	.arguments = "",
	.summary = "Shows what happens in the runs that go on at `bop serve`, as it comes",
	.text = "Of all runs, also those that begin later, until Ctrl-C; with --run until that one has ended. Events come when\n"
		"the agents send them: some milliseconds later, or, of a run that is sent deferred, all at its end. Those of\n"
		"one agent come in its order. Labels are as `bop show` spells them, as far as they are known then: a receive\n"
		"has its connection's. Whoever does not take them in time misses some, and is told how many; the run does\n"
		"not wait. Ctrl-C ends it with status 130.\n\n"
		"  bop events --kind send --kind fired\n",
	.options = options,
	.max_rest = 0,
	.main = events_main,
};
