/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes to requests and answers. Pure. See api.h for what is checked. */
#include "proto/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/api_faults.h"
#include "proto/api_strings.h"
#include "proto/text.h"

enum { ROWS_MAX = 4096, NAME_MAX_SIZE = 4096 };

static int run_decode(const Bop__Api__Run *from, struct api_run *run)
{
	if (strlen(from->name) > NAME_MAX_SIZE || strlen(from->path) > NAME_MAX_SIZE)
		return -EBADMSG;
	run->keep = from->keep;
	run->size = from->text.len;
	run->text = malloc(run->size + 1);
	if (!run->text)
		return -ENOMEM;
	if (run->size)
		memcpy(run->text, from->text.data, run->size);
	run->text[run->size] = '\0';
	if (text_copy(&run->name, from->name) || text_copy(&run->path, from->path) || text_copy(&run->keep_runs, from->keep_runs))
		return -ENOMEM;
	return text_copy(&run->send, from->send);
}

static int plan_decode(Bop__Api__FaultLine **rows, size_t n, const struct api_plan *head, struct api_plan *plan)
{
	*plan = *head;
	return api_lines_take(rows, n, plan);
}

static int request_decode(Bop__Api__Request *from, struct api_request *request)
{
	int err;

	switch (from->what_case) {
	case BOP__API__REQUEST__WHAT_LIST_BOXES:
		request->kind = API_LIST_BOXES;
		return 0;
	case BOP__API__REQUEST__WHAT_RUN:
		request->kind = API_RUN;
		err = plan_decode(from->run->faults, from->run->n_faults,
				  &(struct api_plan){ .seed = from->run->seed, .dry = from->run->dry_run, .racy = from->run->racy },
				  &request->plan);
		return err ? err : run_decode(from->run, &request->run);
	case BOP__API__REQUEST__WHAT_INJECT:
		request->kind = API_INJECT;
		request->about.run = from->inject->run;
		return plan_decode(from->inject->faults, from->inject->n_faults,
				   &(struct api_plan){ .seed = from->inject->seed, .dry = from->inject->dry_run,
						       .racy = from->inject->racy },
				   &request->plan);
	case BOP__API__REQUEST__WHAT_LIFT:
		request->kind = API_LIFT;
		request->about.run = from->lift->run;
		request->about.id = from->lift->id;
		return 0;
	case BOP__API__REQUEST__WHAT_LIST_FAULTS:
		request->kind = API_LIST_FAULTS;
		request->about.run = from->list_faults->run;
		return 0;
	case BOP__API__REQUEST__WHAT_CANCEL:
		request->kind = API_CANCEL;
		request->cancel = from->cancel->request;
		request->at_once = from->cancel->at_once;
		request->about.run = from->cancel->run;
		return 0;
/* the body changes hands */
#define X(NAME, field_, type)                                                                                        \
	case BOP__API__REQUEST__WHAT_##NAME:                                                                         \
		request->kind = API_##NAME;                                                                          \
		request->field_ = from->field_;                                                                      \
		from->what_case = BOP__API__REQUEST__WHAT__NOT_SET;                                                  \
		return 0;
		API_QUERIES(X)
#undef X
	default:
		return -EBADMSG;
	}
}

int api_request_decode(const unsigned char *bytes, size_t size, struct api_request *ret_request, struct error *e)
{
	struct api_request request = { .id = 0 };
	Bop__Api__Request *from = size <= API_MAX_REQUEST ? bop__api__request__unpack(NULL, size, bytes) : NULL;
	int err = -EBADMSG;

	if (from) {
		request.id = from->id;
		err = from->version == API_VERSION ? request_decode(from, &request) : -EPROTO;
	}
	if (err == -EPROTO)
		error_set(e, err, "this request is of version %u of the API, the server of version %u", from->version, API_VERSION);
	else if (err)
		error_set(e, err, err == -ENOMEM ? "no memory for a request of %zu bytes" :
						   "no request that this server knows (%zu bytes)", size);
	if (from)
		bop__api__request__free_unpacked(from, NULL);
	*ret_request = request;
	if (err) {
		api_request_fini(ret_request);
		ret_request->id = request.id;
	}
	return err;
}

void api_request_fini(struct api_request *request)
{
	free(request->run.name);
	free(request->run.path);
	free(request->run.send);
	free(request->run.keep_runs);
	free(request->run.text);
	api_plan_fini(&request->plan);
	protobuf_c_message_free_unpacked(request->body, NULL);
	*request = (struct api_request){ .id = 0 };
}

static int agent_decode(const Bop__Api__Agent *from, struct api_agent *agent)
{
	agent->since_ns = from->since_ns;
	agent->run = from->run;
	if (shown_copy(&agent->host, from->host) || shown_copy(&agent->kernel, from->kernel) ||
	    shown_copy(&agent->backend, from->backend) || shown_copy(&agent->version, from->version) ||
	    shown_copy(&agent->key, from->key) || shown_copy(&agent->address, from->address) ||
	    shown_copy(&agent->boot_id, from->boot_id) || shown_copy(&agent->state, from->state))
		return -ENOMEM;
	if (from->n_boxes > ROWS_MAX)
		return -EBADMSG;
	agent->boxes = calloc(from->n_boxes + 1, sizeof(*agent->boxes));
	if (!agent->boxes)
		return -ENOMEM;
	agent->n_boxes = from->n_boxes;
	for (size_t i = 0; i < from->n_boxes; i++)
		if (shown_copy(&agent->boxes[i].name, from->boxes[i]->name) ||
		    shown_copy(&agent->boxes[i].address, from->boxes[i]->address) ||
		    shown_copy(&agent->boxes[i].address6, from->boxes[i]->address6))
			return -ENOMEM;
	return 0;
}

static int boxes_decode(const Bop__Api__Boxes *from, struct api_boxes *boxes)
{
	int err = 0;

	if (from->n_agents > ROWS_MAX || from->n_refusals > ROWS_MAX)
		return -EBADMSG;
	boxes->agents = calloc(from->n_agents + 1, sizeof(*boxes->agents));
	boxes->refusals = calloc(from->n_refusals + 1, sizeof(*boxes->refusals));
	if (!boxes->agents || !boxes->refusals || shown_copy(&boxes->version, from->version) ||
	    shown_copy(&boxes->store, from->store))
		return -ENOMEM;
	for (size_t i = 0; i < from->n_agents && !err; i++)
		err = agent_decode(from->agents[i], &boxes->agents[boxes->n_agents++]);
	for (size_t i = 0; i < from->n_refusals && !err; i++) {
		struct api_refusal *refusal = &boxes->refusals[boxes->n_refusals++];

		refusal->count = from->refusals[i]->count;
		if (shown_copy(&refusal->reason, from->refusals[i]->reason) || shown_copy(&refusal->text, from->refusals[i]->text))
			err = -ENOMEM;
	}
	return err;
}

static struct api_print print_decode(const Bop__Api__Print *from)
{
	return from ? (struct api_print){ true, from->high, from->low, from->approximate } : (struct api_print){ false };
}

static int run_end_decode(const Bop__Api__RunEnd *from, struct api_run_end *end)
{
	if (from->n_warnings > ROWS_MAX)
		return -EBADMSG;
	*end = (struct api_run_end){
		.run = from->run, .started_ns = from->started_ns, .duration_ns = from->duration_ns,
		.events = from->events, .messages = from->messages, .lost = from->lost, .holes = from->holes,
		.incomplete = from->incomplete, .total_ns = from->total_ns, .boxes_ns = from->boxes_ns,
		.ready_ns = from->ready_ns, .workload_ns = from->workload_ns, .check_ns = from->check_ns,
		.stop_ns = from->stop_ns, .exact = print_decode(from->exact), .symmetric = print_decode(from->symmetric),
		.folded = print_decode(from->folded), .folded_symmetric = print_decode(from->folded_symmetric),
		.shape = print_decode(from->shape), .shape_symmetric = print_decode(from->shape_symmetric),
		.class_id = from->class_id, .kept = from->kept, .new_class = from->new_class,
	};
	end->warnings = calloc(from->n_warnings + 1, sizeof(*end->warnings));
	if (!end->warnings || shown_copy(&end->experiment, from->experiment) || shown_copy(&end->outcome, from->outcome) ||
	    shown_copy(&end->reason, from->reason) || shown_copy(&end->directory, from->directory) ||
	    shown_copy(&end->store, from->store) || shown_copy(&end->print_why_not, from->print_why_not) ||
	    shown_copy(&end->unclassed, from->unclassed))
		return -ENOMEM;
	for (size_t i = 0; i < from->n_warnings; i++)
		if (shown_copy(&end->warnings[i], from->warnings[i]))
			return -ENOMEM;
	return 0;
}

static int answer_decode(Bop__Api__Answer *from, struct api_answer *answer)
{
	answer->id = from->id;
	switch (from->what_case) {
	case BOP__API__ANSWER__WHAT_ERROR:
		answer->kind = API_ERROR;
		answer->error.kind = (unsigned)from->error->kind <= API_INCOMPLETE ? (enum api_error)from->error->kind : API_FAILED;
		return shown_copy(&answer->error.text, from->error->text);
	case BOP__API__ANSWER__WHAT_BOXES:
		answer->kind = API_BOXES;
		return boxes_decode(from->boxes, &answer->boxes);
	case BOP__API__ANSWER__WHAT_PROGRESS:
		answer->kind = API_PROGRESS;
		answer->progress.run = from->progress->run;
		answer->progress.events = from->progress->events;
		return shown_copy(&answer->progress.phase, from->progress->phase);
	case BOP__API__ANSWER__WHAT_RUN_END:
		answer->kind = API_RUN_END;
		return run_end_decode(from->run_end, &answer->run_end);
	case BOP__API__ANSWER__WHAT_INJECTED:
		answer->kind = API_INJECTED;
		return api_injected_take(from->injected, &answer->injected);
	case BOP__API__ANSWER__WHAT_FAULTS:
		answer->kind = API_FAULTS;
		return api_faults_take(from->faults, &answer->faults);
#define X(NAME, field_, type)                                                                                        \
	case BOP__API__ANSWER__WHAT_##NAME:                                                                          \
		answer->kind = API_##NAME;                                                                           \
		answer->field_ = from->field_;                                                                       \
		from->what_case = BOP__API__ANSWER__WHAT__NOT_SET;                                                   \
		return api_strings_clean(answer->body);
		API_FINDINGS(X)
#undef X
	default:
		return -EBADMSG;
	}
}

int api_answer_decode(const unsigned char *bytes, size_t size, struct api_answer *ret_answer, struct error *e)
{
	struct api_answer answer = { .kind = API_ANSWER_NONE };
	Bop__Api__Answer *from = size <= API_MAX_ANSWER ? bop__api__answer__unpack(NULL, size, bytes) : NULL;
	int err = -EBADMSG;

	if (from) {
		err = answer_decode(from, &answer);
		bop__api__answer__free_unpacked(from, NULL);
	}
	if (err) {
		api_answer_fini(&answer);
		return error_set(e, err, err == -ENOMEM ? "no memory for an answer of %zu bytes" :
							  "the server's answer is not understood (%zu bytes)", size);
	}
	*ret_answer = answer;
	return 0;
}

static void boxes_fini(struct api_boxes *boxes)
{
	for (size_t i = 0; i < boxes->n_agents; i++) {
		struct api_agent *agent = &boxes->agents[i];

		free(agent->host);
		free(agent->kernel);
		free(agent->backend);
		free(agent->version);
		free(agent->key);
		free(agent->address);
		free(agent->boot_id);
		free(agent->state);
		for (size_t k = 0; k < agent->n_boxes; k++) {
			free(agent->boxes[k].name);
			free(agent->boxes[k].address);
			free(agent->boxes[k].address6);
		}
		free(agent->boxes);
	}
	for (size_t i = 0; i < boxes->n_refusals; i++) {
		free(boxes->refusals[i].reason);
		free(boxes->refusals[i].text);
	}
	free(boxes->agents);
	free(boxes->refusals);
	free(boxes->version);
	free(boxes->store);
}

void api_answer_fini(struct api_answer *answer)
{
	switch (answer->kind) {
	case API_ERROR:
		free(answer->error.text);
		break;
	case API_BOXES:
		boxes_fini(&answer->boxes);
		break;
	case API_PROGRESS:
		free(answer->progress.phase);
		break;
	case API_RUN_END:
		free(answer->run_end.experiment);
		free(answer->run_end.outcome);
		free(answer->run_end.reason);
		free(answer->run_end.directory);
		free(answer->run_end.store);
		free(answer->run_end.print_why_not);
		free(answer->run_end.unclassed);
		for (char **warning = answer->run_end.warnings; warning && *warning; warning++)
			free(*warning);
		free(answer->run_end.warnings);
		break;
	case API_INJECTED:
		free(answer->injected.ids);
		break;
	case API_FAULTS:
		api_faults_fini(&answer->faults);
		break;
#define X(NAME, field, type) case API_##NAME:
		API_FINDINGS(X)
#undef X
		protobuf_c_message_free_unpacked(answer->body, NULL);
		break;
	case API_ANSWER_NONE:
		break;
	}
	*answer = (struct api_answer){ .kind = API_ANSWER_NONE };
}
