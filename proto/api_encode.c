/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests and answers to bytes. Pure. Fails only without memory. */
#include "proto/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/api_faults.h"
#include "proto/api_strings.h"
#include "proto/text.h"

static int pack(ProtobufCMessage *message, unsigned char **ret_bytes, size_t *ret_size)
{
	struct api_mends mends = { .n = 0 };
	int err = api_strings_mend(message, &mends);
	unsigned char *bytes = err ? NULL : malloc(protobuf_c_message_get_packed_size(message) + 1);

	if (bytes) {
		*ret_size = protobuf_c_message_pack(message, bytes);
		*ret_bytes = bytes;
	}
	api_strings_unmend(&mends);
	return bytes ? 0 : -ENOMEM;
}

static void fill_run(Bop__Api__Run *run, const struct api_request *from, Bop__Api__FaultLine **lines)
{
	run->name = text_of(from->run.name);
	run->path = text_of(from->run.path);
	run->send = text_of(from->run.send);
	run->keep_runs = text_of(from->run.keep_runs);
	run->text.data = (uint8_t *)from->run.text;
	run->text.len = from->run.size;
	run->keep = from->run.keep;
	run->faults = lines;
	run->n_faults = from->plan.n;
	run->seed = from->plan.seed;
	run->dry_run = from->plan.dry;
	run->racy = from->plan.racy;
}

static void fill_inject(Bop__Api__Inject *inject, const struct api_request *from, Bop__Api__FaultLine **lines)
{
	inject->run = from->about.run;
	inject->faults = lines;
	inject->n_faults = from->plan.n;
	inject->seed = from->plan.seed;
	inject->dry_run = from->plan.dry;
	inject->racy = from->plan.racy;
}

int api_request_encode(const struct api_request *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Api__Request request = BOP__API__REQUEST__INIT;
	Bop__Api__ListBoxes list_boxes = BOP__API__LIST_BOXES__INIT;
	Bop__Api__Run run = BOP__API__RUN__INIT;
	Bop__Api__Cancel cancel = BOP__API__CANCEL__INIT;
	Bop__Api__Inject inject = BOP__API__INJECT__INIT;
	Bop__Api__Lift lift = BOP__API__LIFT__INIT;
	Bop__Api__ListFaults list_faults = BOP__API__LIST_FAULTS__INIT;
	Bop__Api__FaultLine **lines = api_lines_rows(&from->plan);
	int err;

	if (!lines)
		return -ENOMEM;
	request.version = API_VERSION;
	request.id = from->id;
	switch (from->kind) {
	case API_LIST_BOXES:
		request.what_case = BOP__API__REQUEST__WHAT_LIST_BOXES;
		request.list_boxes = &list_boxes;
		break;
	case API_RUN:
		fill_run(&run, from, lines);
		request.what_case = BOP__API__REQUEST__WHAT_RUN;
		request.run = &run;
		break;
	case API_CANCEL:
		cancel.request = from->cancel;
		cancel.at_once = from->at_once;
		cancel.run = from->about.run;
		request.what_case = BOP__API__REQUEST__WHAT_CANCEL;
		request.cancel = &cancel;
		break;
	case API_INJECT:
		fill_inject(&inject, from, lines);
		request.what_case = BOP__API__REQUEST__WHAT_INJECT;
		request.inject = &inject;
		break;
	case API_LIFT:
		lift.run = from->about.run;
		lift.id = from->about.id;
		request.what_case = BOP__API__REQUEST__WHAT_LIFT;
		request.lift = &lift;
		break;
	case API_LIST_FAULTS:
		list_faults.run = from->about.run;
		request.what_case = BOP__API__REQUEST__WHAT_LIST_FAULTS;
		request.list_faults = &list_faults;
		break;
#define X(NAME, field, type)                                                                                         \
	case API_##NAME:                                                                                             \
		request.what_case = BOP__API__REQUEST__WHAT_##NAME;                                                  \
		request.field = from->field;                                                                         \
		break;
		API_QUERIES(X)
#undef X
	case API_REQUEST_NONE:
		break;
	}
	err = pack(&request.base, ret_bytes, ret_size);
	free(lines);
	return err;
}

/* What an answer is made of besides itself; all of it is freed after packing. */
struct parts {
	void *memory[8];
	size_t n;
	bool failed;
};

static void *part(struct parts *parts, size_t n, size_t size)
{
	void *memory = parts->n < sizeof(parts->memory) / sizeof(*parts->memory) ? calloc(n + 1, size) : NULL;

	if (memory)
		parts->memory[parts->n++] = memory;
	else
		parts->failed = true;
	return memory;
}

static void agent_fill(Bop__Api__Agent *to, const struct api_agent *from, Bop__Api__Box **pointers, Bop__Api__Box *boxes)
{
	bop__api__agent__init(to);
	to->host = text_of(from->host);
	to->kernel = text_of(from->kernel);
	to->backend = text_of(from->backend);
	to->version = text_of(from->version);
	to->key = text_of(from->key);
	to->address = text_of(from->address);
	to->boot_id = text_of(from->boot_id);
	to->state = text_of(from->state);
	to->since_ns = from->since_ns;
	to->run = from->run;
	to->boxes = pointers;
	to->n_boxes = from->n_boxes;
	for (size_t i = 0; i < from->n_boxes; i++) {
		bop__api__box__init(&boxes[i]);
		boxes[i].name = text_of(from->boxes[i].name);
		boxes[i].address = text_of(from->boxes[i].address);
		boxes[i].address6 = text_of(from->boxes[i].address6);
		pointers[i] = &boxes[i];
	}
}

static void agents_fill(Bop__Api__Boxes *to, const struct api_boxes *from, struct parts *parts)
{
	Bop__Api__Agent *agents = part(parts, from->n_agents, sizeof(*agents));
	Bop__Api__Box **pointers, *boxes;
	size_t n = 0;

	for (size_t i = 0; i < from->n_agents; i++)
		n += from->agents[i].n_boxes;
	pointers = part(parts, n, sizeof(*pointers));
	boxes = part(parts, n, sizeof(*boxes));
	to->agents = part(parts, from->n_agents, sizeof(*to->agents));
	if (parts->failed)
		return;
	to->n_agents = from->n_agents;
	for (size_t i = 0; i < from->n_agents; i++) {
		agent_fill(&agents[i], &from->agents[i], pointers, boxes);
		pointers += from->agents[i].n_boxes;
		boxes += from->agents[i].n_boxes;
		to->agents[i] = &agents[i];
	}
}

static void boxes_fill(Bop__Api__Boxes *to, const struct api_boxes *from, struct parts *parts)
{
	Bop__Api__Refusal *refusals = part(parts, from->n_refusals, sizeof(*refusals));

	to->version = text_of(from->version);
	to->store = text_of(from->store);
	to->refusals = part(parts, from->n_refusals, sizeof(*to->refusals));
	agents_fill(to, from, parts);
	if (parts->failed)
		return;
	to->n_refusals = from->n_refusals;
	for (size_t i = 0; i < from->n_refusals; i++) {
		bop__api__refusal__init(&refusals[i]);
		refusals[i].reason = text_of(from->refusals[i].reason);
		refusals[i].text = text_of(from->refusals[i].text);
		refusals[i].count = from->refusals[i].count;
		to->refusals[i] = &refusals[i];
	}
}

static void print_fill(Bop__Api__Print **to, Bop__Api__Print *row, const struct api_print *from)
{
	if (!from->known)
		return;
	bop__api__print__init(row);
	row->high = from->high;
	row->low = from->low;
	row->approximate = from->approximate;
	*to = row;
}

static void run_end_fill(Bop__Api__RunEnd *to, const struct api_run_end *from, struct parts *parts)
{
	Bop__Api__Print *prints = part(parts, 6, sizeof(*prints));

	if (!prints)
		return;
	print_fill(&to->exact, &prints[0], &from->exact);
	print_fill(&to->symmetric, &prints[1], &from->symmetric);
	print_fill(&to->folded, &prints[2], &from->folded);
	print_fill(&to->folded_symmetric, &prints[3], &from->folded_symmetric);
	print_fill(&to->shape, &prints[4], &from->shape);
	print_fill(&to->shape_symmetric, &prints[5], &from->shape_symmetric);
	to->print_why_not = text_of(from->print_why_not);
	to->class_id = from->class_id;
	to->kept = from->kept;
	to->new_class = from->new_class;
	to->unclassed = text_of(from->unclassed);
	to->store = text_of(from->store);
	to->run = from->run;
	to->started_ns = from->started_ns;
	to->duration_ns = from->duration_ns;
	to->events = from->events;
	to->messages = from->messages;
	to->lost = from->lost;
	to->holes = from->holes;
	to->experiment = text_of(from->experiment);
	to->outcome = text_of(from->outcome);
	to->reason = text_of(from->reason);
	to->directory = text_of(from->directory);
	to->incomplete = from->incomplete;
	to->warnings = from->warnings;
	while (from->warnings && from->warnings[to->n_warnings])
		to->n_warnings++;
	to->total_ns = from->total_ns;
	to->boxes_ns = from->boxes_ns;
	to->ready_ns = from->ready_ns;
	to->workload_ns = from->workload_ns;
	to->check_ns = from->check_ns;
	to->stop_ns = from->stop_ns;
}

int api_answer_encode(const struct api_answer *from, unsigned char **ret_bytes, size_t *ret_size)
{
	Bop__Api__Answer answer = BOP__API__ANSWER__INIT;
	Bop__Api__Error error = BOP__API__ERROR__INIT;
	Bop__Api__Boxes boxes = BOP__API__BOXES__INIT;
	Bop__Api__Progress progress = BOP__API__PROGRESS__INIT;
	Bop__Api__RunEnd run_end = BOP__API__RUN_END__INIT;
	Bop__Api__Injected injected = BOP__API__INJECTED__INIT;
	Bop__Api__Faults faults = BOP__API__FAULTS__INIT;
	struct parts parts = { .n = 0 };
	int err = -ENOMEM;

	answer.id = from->id;
	switch (from->kind) {
	case API_ERROR:
		error.kind = (Bop__Api__ErrorKind)from->error.kind;
		error.text = text_of(from->error.text);
		answer.what_case = BOP__API__ANSWER__WHAT_ERROR;
		answer.error = &error;
		break;
	case API_BOXES:
		boxes_fill(&boxes, &from->boxes, &parts);
		answer.what_case = BOP__API__ANSWER__WHAT_BOXES;
		answer.boxes = &boxes;
		break;
	case API_PROGRESS:
		progress.run = from->progress.run;
		progress.events = from->progress.events;
		progress.phase = text_of(from->progress.phase);
		answer.what_case = BOP__API__ANSWER__WHAT_PROGRESS;
		answer.progress = &progress;
		break;
	case API_RUN_END:
		run_end_fill(&run_end, &from->run_end, &parts);
		answer.what_case = BOP__API__ANSWER__WHAT_RUN_END;
		answer.run_end = &run_end;
		break;
	case API_INJECTED:
		injected.run = from->injected.run;
		injected.ids = from->injected.ids;
		injected.n_ids = from->injected.n;
		answer.what_case = BOP__API__ANSWER__WHAT_INJECTED;
		answer.injected = &injected;
		break;
	case API_FAULTS:
		faults.rows = api_faults_rows(&from->faults);
		faults.n_rows = from->faults.n;
		parts.failed = !faults.rows;
		answer.what_case = BOP__API__ANSWER__WHAT_FAULTS;
		answer.faults = &faults;
		break;
#define X(NAME, field, type)                                                                                         \
	case API_##NAME:                                                                                             \
		answer.what_case = BOP__API__ANSWER__WHAT_##NAME;                                                    \
		answer.field = from->field;                                                                          \
		break;
		API_FINDINGS(X)
#undef X
	case API_ANSWER_NONE:
		break;
	}
	if (!parts.failed)
		err = pack(&answer.base, ret_bytes, ret_size);
	while (parts.n)
		free(parts.memory[--parts.n]);
	free(faults.rows);
	return err;
}
