/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests of controllers: proto/api.proto. Whatever one sends costs it an answer, and nobody else anything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/serve_inside.h"
#include "lib/clock.h"

enum { REQUESTS_TURN = 64 };

static enum outbox_kind outbox_kind(enum api_answer_kind kind)
{
	switch (kind) {
	case API_PROGRESS:
		return OUTBOX_SKIP;
	case API_RUN_END:
	case API_EVENTS_END:
	case API_MINIMIZED:
	case API_REPEATED:
		return OUTBOX_END;
	case API_ANSWER_NONE:
	case API_ERROR:
	case API_BOXES:
	case API_INJECTED:
	case API_FAULTS:
	case API_CAPABILITIES:
	case API_EXPERIMENT:
	case API_RUNS:
	case API_REMOVED:
	case API_RUN_INFO:
	case API_MESSAGES:
	case API_PAST:
	case API_SUPPORTS:
	case API_RENDERED:
	case API_EVENTS:
	case API_HISTORY:
	case API_HYPOTHESES:
		break;
	}
	return OUTBOX_ANSWER;
}

static struct outbox *outbox_of(const struct serve *serve, const struct door_id *to)
{
	return to->door == serve->api ? serve->outbox : serve_remote_outbox(serve->remote);
}

bool api_full(struct serve *serve, const struct door_id *to)
{
	return outbox_full(outbox_of(serve, to), to);
}

int api_put(struct serve *serve, const struct door_id *to, enum api_answer_kind kind, unsigned char *bytes, size_t size)
{
	/* what cannot be sent was not worth waiting for, or has nobody */
	return outbox_put(outbox_of(serve, to), to, outbox_kind(kind), bytes, size, clock_monotonic_ns());
}

int api_answer(struct serve *serve, const struct door_id *to, const struct api_answer *answer)
{
	unsigned char *bytes = NULL;
	size_t size;
	int err = api_answer_encode(answer, &bytes, &size);

	return err ? err : api_put(serve, to, answer->kind, bytes, size);
}

static enum api_error error_of(int err)
{
	switch (err) {
	case -EPROTO:
		return API_VERSION_DIFFERS;
	case -EBADMSG:
		return API_MALFORMED;
	case -EINVAL:
	case -ENOTUNIQ:
	case -ENETUNREACH:
	case -E2BIG:
		return API_INVALID;
	case -ENOENT:
		return API_NOT_FOUND;
	case -EBUSY:
		return API_BUSY;
	case -ENODATA:
		return API_INCOMPLETE;
	default:
		return API_FAILED;
	}
}

void api_refuse(struct serve *serve, const struct door_id *to, uint64_t request, int err, const char *text)
{
	struct api_answer answer = { .id = request, .kind = API_ERROR };

	answer.error.kind = error_of(err);
	answer.error.text = (char *)text;
	api_answer(serve, to, &answer);
}

static void agent_row(const struct server_agent *from, struct api_agent *to)
{
	const struct act *act = from->owner;

	*to = (struct api_agent){
		.host = from->hello->host, .kernel = from->hello->kernel, .backend = from->hello->backend,
		.version = from->hello->version, .boot_id = from->hello->boot_id, .key = (char *)from->key,
		.address = (char *)from->address, .since_ns = from->since_ns, .boxes = from->hello->boxes,
		.n_boxes = from->hello->n_boxes, .run = act ? course_id(act->course) : from->settling,
		.state = !from->connected ? "away" : act ? "running" : from->settling ? "ending" : "idle",
	};
}

static void boxes_list(struct serve *serve, const struct door_id *to, uint64_t request)
{
	static const char *const names[] = {
#define X(NAME, name, text) #name,
		REFUSALS(X)
#undef X
	}, *const texts[] = {
#define X(NAME, name, text) text,
		REFUSALS(X)
#undef X
	};
	struct api_agent agents[SERVER_AGENTS_MAX];
	const struct refusals counted = serve_refusals(serve);
	struct api_refusal refusals[REFUSAL_COUNT];
	struct api_answer answer = { .id = request, .kind = API_BOXES };

	answer.boxes = (struct api_boxes){
		.version = BOP_VERSION, .store = serve->store_name, .agents = agents,
		.refusals = refusals, .n_refusals = REFUSAL_COUNT,
	};
	for (struct server_agent *agent = server_agents(serve->server); agent; agent = agent->next)
		agent_row(agent, &agents[answer.boxes.n_agents++]);
	for (size_t i = 0; i < REFUSAL_COUNT; i++)
		refusals[i] = (struct api_refusal){ (char *)names[i], (char *)texts[i], counted.n[i] };
	api_answer(serve, to, &answer);
}

static void request_do(struct serve *serve, const struct door_frame *frame, struct api_request *request, uint64_t now)
{
	switch (request->kind) {
	case API_LIST_BOXES:
		boxes_list(serve, &frame->from, request->id);
		break;
	case API_RUN:
		if (serve->stopping)
			api_refuse(serve, &frame->from, request->id, -EBUSY, "the server is ending");
		else if (check_wanted(request))
			check_add(serve, frame, request, NULL);
		else
			act_open(serve, frame, request, NULL, now);
		break;
	case API_CANCEL:
		if (request->about.run)
			act_cancel_number(serve, &frame->from, request, now);
		else
			act_cancel(serve, &frame->from, request, now);
		break;
	case API_INJECT:
		acts_inject_ask(serve, frame, request, now);
		break;
	case API_LIFT:
		acts_lift(serve, &frame->from, request, now);
		break;
	case API_LIST_FAULTS:
		acts_faults(serve, &frame->from, request);
		break;
	case API_WAIT_RUN:
		acts_wait(serve, frame, request);
		break;
	case API_REPLAY:
	case API_MINIMIZE:
	case API_REPEAT:
		if (serve->stopping)
			api_refuse(serve, &frame->from, request->id, -EBUSY, "the server is ending");
		else if (request->kind == API_REPLAY)
			replay_open(serve, frame, request, now);
		else if (request->kind == API_REPEAT)
			repeat_open(serve, frame, request, now);
		else
			minimize_open(serve, frame, request, now);
		break;
	case API_GET_CAPABILITIES:
		capabilities_tell(serve, &frame->from, request->id);
		break;
	case API_DESCRIBE_EXPERIMENT:
	case API_LIST_RUNS:
	case API_REMOVE_RUN:
	case API_GET_RUN:
	case API_GET_MESSAGES:
	case API_GET_PAST:
	case API_GET_SUPPORTS:
	case API_RENDER:
	case API_GET_HISTORY:
	case API_LIST_HYPOTHESES:
	case API_DIFF:
		queries_add(serve->queries, frame, request);
		break;
	case API_SUBSCRIBE:
		subscribe(serve, frame, request);
		break;
	case API_REQUEST_NONE:
		break;
	}
}

static void request_take(struct serve *serve, const struct door_frame *frame, uint64_t now)
{
	struct api_request request;
	struct error e;
	int err = api_request_decode(frame->bytes, frame->size, &request, &e);

	if (err < 0) {
		api_refuse(serve, &frame->from, request.id, err, e.text);
		return;
	}
	if (request.kind != API_CANCEL && api_full(serve, &frame->from)) { /* asks and asks, and reads nothing */
		api_request_fini(&request);
		return;
	}
	request_do(serve, frame, &request, now);
	api_request_fini(&request);
}

void api_work(struct serve *serve, uint64_t now)
{
	struct door_frame frame;

	outbox_time(serve->outbox, now);
	for (int i = 0; serve->remote && i < REQUESTS_TURN && door_receive(serve_remote_door(serve->remote), &frame); i++)
		if (serve_remote_welcome(serve->remote, &frame)) /* else it is gone, or cut off and told so */
			request_take(serve, &frame, now);
	for (int i = 0; i < REQUESTS_TURN && door_receive(serve->api, &frame); i++) {
		door_watch(serve->api, serve_client_gone, serve); /* the connection may be younger than the last look */
		if (door_claim(serve->api, frame.fd)) /* else the client is gone: nobody waits for an answer */
			request_take(serve, &frame, now);
	}
}
