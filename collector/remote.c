/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See remote.h. The first signal of the user ends the run in order, the second at once, the third leaves. */
#include "collector/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/client.h"
#include "collector/interrupt.h"
#include "collector/progress.h"
#include "collector/yaml.h"
#include "lib/clock.h"

struct remote {
	struct client *client;
	struct interrupt interrupt;
	struct progress progress;
	unsigned told; /* how many signals the server knows of */
	char *name, *path, *text;
	char *why_not, *store; /* of the last run */
	size_t size;
	uint64_t last_id;
};

static int file_read(struct remote *remote, struct error *e)
{
	int fd = open(remote->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	ssize_t n = 1;

	remote->text = malloc(YAML_MAX_FILE + 1);
	if (fd < 0)
		err = error_set(e, -errno, "%s: cannot open the experiment file: %s", remote->name, strerror(errno));
	else if (!remote->text)
		err = error_set(e, -ENOMEM, "out of memory");
	while (!err && n && remote->size <= YAML_MAX_FILE) {
		n = read(fd, remote->text + remote->size, YAML_MAX_FILE + 1 - remote->size);
		if (n < 0)
			err = error_set(e, -errno, "%s: cannot read it: %s", remote->name, strerror(errno));
		else
			remote->size += (size_t)n;
	}
	if (!err && remote->size > YAML_MAX_FILE)
		err = error_set(e, -EINVAL, "%s: larger than 1 MiB; this is not an experiment file", remote->name);
	if (fd >= 0)
		close(fd);
	return err;
}

int remote_open(const char *url, const char *path, struct remote **ret_remote, struct error *e)
{
	struct remote *remote = calloc(1, sizeof(*remote));
	int err;

	if (!remote)
		return error_set(e, -ENOMEM, "out of memory");
	remote->interrupt = (struct interrupt)INTERRUPT_NONE;
	remote->name = path ? strdup(path) : NULL;
	remote->path = path ? realpath(path, NULL) : NULL;
	if (!path)
		err = 0;
	else if (!remote->path)
		err = error_set(e, -errno, "%s: cannot open the experiment file: %s", path, strerror(errno));
	else
		err = remote->name ? file_read(remote, e) : error_set(e, -ENOMEM, "out of memory");
	if (!err)
		err = client_open(url, &remote->client, e);
	if (!err)
		err = interrupt_open(&remote->interrupt, e);
	if (err)
		remote_close(remote);
	else
		*ret_remote = remote;
	return err;
}

void remote_close(struct remote *remote)
{
	if (!remote)
		return;
	client_close(remote->client);
	interrupt_close(&remote->interrupt);
	free(remote->name);
	free(remote->path);
	free(remote->text);
	free(remote->why_not);
	free(remote->store);
	free(remote);
}

void remote_file(const struct remote *remote, char **ret_name, char **ret_path, ProtobufCBinaryData *ret_text)
{
	*ret_name = remote->name;
	*ret_path = remote->path;
	*ret_text = (ProtobufCBinaryData){ remote->size, (uint8_t *)remote->text };
}

const char *remote_store(const struct remote *remote)
{
	return remote->store;
}

bool remote_interrupted(const struct remote *remote)
{
	return remote->interrupt.n > 0;
}

static int signals_tell(struct remote *remote, struct error *e)
{
	struct api_request cancel = { .kind = API_CANCEL, .cancel = remote->last_id, .at_once = remote->interrupt.n > 1 };

	interrupt_read(&remote->interrupt);
	if (remote->interrupt.n == remote->told)
		return 0;
	remote->told = remote->interrupt.n;
	progress_clear(&remote->progress);
	if (remote->told > 2)
		return error_set(e, -EINTR, "left: the server ends the run");
	if (remote->told == 1)
		fprintf(stderr, "bop: stopping; interrupt again to stop at once\n");
	cancel.at_once = remote->told > 1;
	return client_send(remote->client, &cancel, e);
}

static char *text_or_null(const char *text)
{
	return *text ? strdup(text) : NULL;
}

static struct print print_of(const struct api_print *print)
{
	return (struct print){ print->high, print->low, print->approximate };
}

/* A run with no more than its row. */
static int end_take(struct remote *remote, const struct api_run_end *end, struct course_result *ret, struct error *e)
{
	struct run *run = calloc(1, sizeof(*run));
	struct store_run *row = calloc(1, sizeof(*row));

	if (!run || !row) {
		free(run);
		free(row);
		return error_set(e, -ENOMEM, "out of memory");
	}
	run->row = row;
	row->id = ret->id = end->run;
	row->outcome = ret->outcome = outcome_by_name(end->outcome);
	row->experiment = strdup(end->experiment);
	row->reason = text_or_null(end->reason);
	row->incomplete = end->incomplete;
	row->started_ns = end->started_ns;
	row->duration_ns = end->duration_ns;
	row->events = end->events;
	row->messages = end->messages;
	row->lost = end->lost;
	row->holes = end->holes;
	row->class_id = end->class_id;
	row->new_class = end->new_class;
	row->kept = end->kept;
	row->unclassed = text_or_null(end->unclassed);
	snprintf(ret->reason, sizeof(ret->reason), "%s", end->reason);
	snprintf(ret->directory, sizeof(ret->directory), "%s", end->directory);
	for (char **warning = end->warnings; *warning; warning++)
		fprintf(stderr, "bop: warning: %s\n", *warning);
	ret->timing = (struct show_timing){
		.total = end->total_ns, .boxes = end->boxes_ns, .ready = end->ready_ns, .workload = end->workload_ns,
		.check = end->check_ns, .stop = end->stop_ns, .cpu = STORE_UNKNOWN,
	};
	ret->run = run;
	ret->has_prints = end->exact.known;
	ret->prints.own[PRINT_LEVEL_EXACT] = print_of(&end->exact);
	ret->prints.own[PRINT_LEVEL_FOLDED] = print_of(&end->folded);
	ret->prints.own[PRINT_LEVEL_SHAPE] = print_of(&end->shape);
	ret->prints.symmetric[PRINT_LEVEL_EXACT] = print_of(&end->symmetric);
	ret->prints.symmetric[PRINT_LEVEL_FOLDED] = print_of(&end->folded_symmetric);
	ret->prints.symmetric[PRINT_LEVEL_SHAPE] = print_of(&end->shape_symmetric);
	ret->prints.n_levels = end->shape.known ? PRINT_LEVEL_COUNT : PRINT_LEVEL_EXACT + 1;
	ret->prints.has_symmetric = end->symmetric.known;
	free(remote->why_not);
	remote->why_not = text_or_null(end->print_why_not);
	ret->prints.why_not = remote->why_not;
	free(remote->store);
	remote->store = text_or_null(end->store);
	if (row->experiment && ret->outcome)
		return 0;
	course_result_fini(ret);
	return error_set(e, -EBADMSG, "the server's answer makes no sense");
}

/* 1: it was the end, and the caller's. */
static int answer_take(struct remote *remote, const struct api_answer *answer, enum api_answer_kind wanted, struct error *e)
{
	if (answer->id != remote->last_id && !client_ended(answer)) /* of a cancel that came too late */
		return 0;
	if (answer->kind == API_PROGRESS) {
		remote->progress.run = answer->progress.run;
		remote->progress.events = answer->progress.events;
		progress_show(&remote->progress, answer->progress.phase, clock_monotonic_ns());
		return 0;
	}
	progress_clear(&remote->progress);
	if (answer->kind == wanted)
		return 1;
	if (answer->kind == API_ERROR)
		return error_set(e, client_errno(answer->error.kind), "%s", answer->error.text);
	return error_set(e, -EBADMSG, "the server's answer makes no sense");
}

int remote_ask(struct remote *remote, struct api_request *request, enum api_answer_kind wanted, struct api_answer *ret_answer,
	       struct error *e)
{
	zmq_pollitem_t items[CLIENT_ITEMS + 1];
	struct api_answer answer;
	int err, done = 0;

	request->id = ++remote->last_id;
	progress_init(&remote->progress, 0, clock_monotonic_ns());
	err = client_send(remote->client, request, e);
	while (!err && !done) {
		client_items(remote->client, items);
		items[CLIENT_ITEMS] = (zmq_pollitem_t){ .fd = remote->interrupt.fd, .events = ZMQ_POLLIN };
		zmq_poll(items, CLIENT_ITEMS + 1, -1);
		err = signals_tell(remote, e);
		while (!err && !done && (err = client_receive(remote->client, &answer, e)) > 0) {
			done = answer_take(remote, &answer, wanted, e);
			if (done > 0)
				*ret_answer = answer;
			else
				api_answer_fini(&answer);
			err = done < 0 ? done : 0;
		}
	}
	return err;
}

static int ended(struct remote *remote, struct api_request *request, struct course_result *ret, struct error *e)
{
	struct api_answer answer;
	int err;

	*ret = (struct course_result){ .outcome = OUTCOME_ERROR };
	err = remote_ask(remote, request, API_RUN_END, &answer, e);
	if (err)
		return err;
	err = end_take(remote, &answer.run_end, ret, e);
	api_answer_fini(&answer);
	return err;
}

int remote_run(struct remote *remote, const struct plan *plan, unsigned keep, const char *send, struct course_result *ret,
	       struct error *e)
{
	struct api_request request = {
		.kind = API_RUN,
		.run = { .name = remote->name, .path = remote->path, .text = remote->text, .size = remote->size,
			 .keep = keep & COURSE_KEEP_DIRECTORY, .keep_runs = keep & COURSE_KEEP_ALL ? "all" : "",
			 .send = (char *)send },
		.plan = { .lines = plan->lines, .origins = plan->origins, .n = plan->n, .seed = plan->seed, .dry = plan->dry,
			  .racy = plan->racy },
	};

	return ended(remote, &request, ret, e);
}

int remote_replay(struct remote *remote, uint64_t run, unsigned keep, struct course_result *ret, struct error *e)
{
	Bop__Api__Replay replay = BOP__API__REPLAY__INIT;
	struct api_request request = { .kind = API_REPLAY, .replay = &replay };

	replay.run = run;
	replay.keep = keep & COURSE_KEEP_DIRECTORY;
	replay.keep_runs = keep & COURSE_KEEP_ALL ? "all" : "";
	return ended(remote, &request, ret, e);
}
