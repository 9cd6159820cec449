/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs that controllers asked for, on connected agents. An agent that goes may come back within two minutes; then the run
 * goes on. One that does not makes the run an error, incomplete, and said so. A controller that goes ends its run, in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collector/serve_inside.h"
#include "lib/clock.h"
#include "proto/merge.h"

#define AWAY_NS (120 * CLOCK_SECOND_NS)
#define AWAY_PRIVATE_NS (3 * CLOCK_SECOND_NS) /* by a private socket: there is no link that could break, it has ended */
#define PROGRESS_NS (CLOCK_SECOND_NS / 2)
#define ORDER_LAST UINT64_MAX /* id of the Finish that ends what nobody wants any more: see course_agent_lost() */

enum { ACTS_MAX = 256 };

_Static_assert(SERVER_AGENTS_MAX <= MERGE_STREAMS_MAX, "a run can be on all agents of a server");

static void on_send(void *arg, size_t agent, const struct message *message)
{
	struct act *act = arg;

	if (message->kind == MESSAGE_ORDER && message->order.id == ORDER_LAST) {
		act->agents[agent]->settling = course_id(act->course);
		act->agents[agent]->settling_ns = clock_monotonic_ns();
		act->agents[agent]->settling_told = false;
	}
	/* what cannot leave now is kept for the agent, or its absence ends the run */
	server_send(act->serve->server, act->agents[agent], message, NULL);
}

static void on_warn(void *arg, const char *text)
{
	struct act *act = arg;
	char **grown;

	serve_log("run %llu: warning: %s", (unsigned long long)course_id(act->course), text);
	grown = realloc(act->warnings, (act->n_warnings + 2) * sizeof(*grown));
	if (!grown)
		return;
	act->warnings = grown;
	grown[act->n_warnings] = strdup(text);
	grown[act->n_warnings + 1] = NULL;
	act->n_warnings += grown[act->n_warnings] != NULL;
}

static const char *called(const struct server_agent *agent)
{
	return *agent->key ? agent->key : agent->hello->host;
}

static void on_events(void *arg, size_t agent, const struct trace *trace)
{
	struct act *act = arg;

	if (act->serve->subscribers)
		subscribers_tell(act->serve, course_id(act->course), called(act->agents[agent]), trace);
}

/* Lets go of the agents. Whatever they may still hold of the run, nobody wants it. */
static void agents_release(struct act *act)
{
	struct message forget = { .kind = MESSAGE_ACK };

	for (size_t i = 0; act->agents && i < act->cast.n_agents; i++) {
		if (!act->agents[i])
			continue;
		if (act->course) {
			forget.ack.run = course_id(act->course);
			forget.ack.number = UINT64_MAX;
			server_send(act->serve->server, act->agents[i], &forget, NULL);
		}
		server_release(act->serve->server, act->agents[i]);
		act->agents[i] = NULL;
	}
}

static void act_free(struct act *act)
{
	agents_release(act);
	course_result_fini(&act->result);
	act_asks_free(act);
	act_waiters_free(act);
	course_close(act->course);
	for (size_t i = 0; i < act->n_warnings; i++)
		free(act->warnings[i]);
	free(act->warnings);
	free(act->agents);
	cast_fini(&act->cast);
	plan_fini(&act->plan);
	experiment_free(act->x);
	free(act);
}

/* Chooses agents, and makes them ours. */
static int agents_take(struct act *act, struct error *e)
{
	struct server_agent *all[SERVER_AGENTS_MAX], *agent;
	struct cast_agent rows[SERVER_AGENTS_MAX];
	size_t n = 0;
	int err;

	DL_FOREACH(server_agents(act->serve->server), agent)
	{
		if (agent->cut)
			continue;
		all[n] = agent;
		rows[n++] = (struct cast_agent){ agent->hello->host, agent->key, agent->hello->boxes, agent->hello->n_boxes,
						 agent->owner || !agent->connected, agent->settling };
	}
	err = cast_make(act->x, rows, n, &act->cast, e);
	if (err)
		return err;
	act->agents = calloc(act->cast.n_agents, sizeof(struct server_agent *));
	if (!act->agents)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < act->cast.n_agents; i++) {
		act->agents[i] = all[act->cast.agents[i]];
		act->agents[i]->owner = act;
		act->agents[i]->place = i;
	}
	return 0;
}

/* keep: course_keep */
static int course_make(struct act *act, unsigned keep, struct error *e)
{
	struct course_door door = { .send = on_send, .warn = on_warn, .answered = act_answered, .events = on_events, .arg = act };
	const struct message_hello **hellos = calloc(act->cast.n_agents, sizeof(const struct message_hello *));
	int err;

	if (!hellos)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < act->cast.n_agents; i++)
		hellos[i] = act->agents[i]->hello;
	err = course_open(act->serve->store, act->x, &act->cast, hellos, &act->plan, keep, &door, &act->course, e);
	free(hellos);
	return err;
}

int act_begin(struct serve *serve, const struct door_frame *from, const struct api_request *request, const struct labels *labels,
	      uint64_t now, struct act **ret_act, struct error *e)
{
	const struct api_run *run = &request->run;
	unsigned keep = run->keep ? COURSE_KEEP_DIRECTORY : 0;
	struct act *act, *other;
	size_t n;
	int err;

	DL_COUNT(serve->acts, other, n);
	act = n < ACTS_MAX ? calloc(1, sizeof(*act)) : NULL;
	if (!act)
		return error_set(e, -EBUSY, "the server has too many runs, or no memory");
	act->serve = serve;
	act->client = from->from;
	act->fd = from->fd;
	act->request = request->id;
	act->progress_ns = now;
	err = experiment_parse(run->name, run->path, run->text, run->size, &act->x, e);
	if (!err && *run->send && experiment_send(run->send, &act->x->deferred) < 0)
		err = error_set(e, -EINVAL, "'%s': what is recorded is sent live or deferred", run->send);
	if (!err)
		err = course_keep_parse(run->keep_runs, &keep, e);
	if (!err)
		err = act_plan_make(act, &request->plan, labels, e);
	if (!err)
		err = agents_take(act, e);
	if (!err)
		err = plan_check_cast(&act->plan, act->x, &act->cast, e);
	if (!err)
		err = course_make(act, keep, e);
	if (err) {
		act_free(act);
		return err;
	}
	DL_APPEND(serve->acts, act);
	serve_log("run %llu: %s, on %zu agent%s", (unsigned long long)course_id(act->course), act->x->name,
		  act->cast.n_agents, act->cast.n_agents == 1 ? "" : "s");
	course_begin(act->course, now);
	*ret_act = act;
	return 0;
}

void act_open(struct serve *serve, const struct door_frame *from, const struct api_request *request, const struct labels *labels,
	      uint64_t now)
{
	struct act *act;
	struct error e;
	int err = act_begin(serve, from, request, labels, now, &act, &e);

	if (err)
		api_refuse(serve, &from->from, request->id, err, e.text);
}

void act_end_by(struct act *act, bool at_once, uint64_t now)
{
	if (act->sealing) /* it has ended already */
		return;
	if (at_once)
		course_hurry(act->course, now);
	else
		course_interrupt(act->course, now);
}

static bool is_client(const struct act *act, const struct door_id *client)
{
	return !act->left && door_id_same(&act->client, client);
}

void act_cancel(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now)
{
	struct act *act;

	DL_FOREACH(serve->acts, act)
	{
		if (!is_client(act, client) || act->request != request->cancel)
			continue;
		act_end_by(act, request->at_once, now);
		return;
	}
	if (!check_cancel(serve, client, request->cancel) && !acts_wait_cancel(serve, client, request->cancel) &&
	    !minimize_cancel(serve, client, request, now) && !repeat_cancel(serve, client, request, now) &&
	    !queries_cancel(serve->queries, client, request->cancel) &&
	    !subscriber_cancel(serve, client, request->cancel))
		api_refuse(serve, client, request->id, -ENOENT, "there is nothing to cancel");
}

void act_cancel_number(struct serve *serve, const struct door_id *client, const struct api_request *request, uint64_t now)
{
	char text[64];
	struct act *act;

	DL_FOREACH(serve->acts, act)
	{
		if (course_id(act->course) != request->about.run)
			continue;
		serve_log("run %llu: is cancelled", (unsigned long long)course_id(act->course));
		act_end_by(act, request->at_once, now);
		return;
	}
	snprintf(text, sizeof(text), "run %llu does not go on here", (unsigned long long)request->about.run);
	api_refuse(serve, client, request->id, -ENOENT, text);
}

void acts_client_gone(struct serve *serve, const struct door *door, int fd, uint64_t now)
{
	struct act *act;

	checks_client_gone(serve, door, fd);
	acts_waiter_gone(serve, door, fd);
	minimizes_client_gone(serve, door, fd, now);
	repeats_client_gone(serve, door, fd, now);
	subscribers_client_gone(serve, door, fd);
	DL_FOREACH(serve->acts, act)
		if (!act->left && act->fd == fd && act->client.door == door) {
			serve_log("run %llu: whoever asked for it is gone: it ends", (unsigned long long)course_id(act->course));
			act->left = true;
			if (!act->sealing)
				course_interrupt(act->course, now);
		}
}

static void settled(struct server_agent *agent)
{
	if (agent->settling_told)
		serve_log("agent %s has ended run %llu: it can take another one", called(agent),
			  (unsigned long long)agent->settling);
	agent->settling = 0;
	agent->settling_told = false;
}

/* Whoever looks at `bop boxes` sees it; the log says it, too. */
static void settling_look(struct serve *serve, uint64_t now)
{
	struct server_agent *agent;

	DL_FOREACH(server_agents(serve->server), agent)
	{
		if (!agent->settling || agent->settling_told || now < agent->settling_ns + CONDUCT_SILENCE_NS)
			continue;
		serve_log("agent %s was told to end run %llu and has not answered: it takes no other one until it does",
			  called(agent), (unsigned long long)agent->settling);
		agent->settling_told = true;
	}
}

void acts_acknowledge(void *arg, const unsigned char session[16], uint64_t run, uint64_t number)
{
	struct message acknowledge = { .kind = MESSAGE_ACK, .ack = { .run = run, .number = number } };
	struct serve *serve = arg;
	struct server_agent *agent;

	if (!serve->server) /* it is only being opened */
		return;
	DL_FOREACH(server_agents(serve->server), agent)
		if (agent->connected && !memcmp(agent->hello->session, session, sizeof(agent->hello->session)))
			server_send(serve->server, agent, &acknowledge, NULL);
}

void acts_message(struct serve *serve, struct server_agent *agent, const struct message *message, uint64_t now)
{
	struct act *act = agent->owner;
	struct wire_batch head;

	if (message->kind == MESSAGE_REPLY && message->reply.id == ORDER_LAST)
		settled(agent);
	if (message->kind == MESSAGE_BATCH &&
	    wire_batch_peek(message->batch.bytes, message->batch.size, &head, NULL) == 0 &&
	    (!act || head.run != course_id(act->course))) {
		if (!heirs_batch(serve->heirs, agent->hello->session, head.run, message->batch.bytes, message->batch.size, now))
			acts_acknowledge(serve, agent->hello->session, head.run, UINT64_MAX);
		return;
	}
	if (act)
		course_message(act->course, agent->place, message, now);
}

static void agent_lost(struct act *act, struct server_agent *agent, const char *why)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "agent %s %s", called(agent), why);
	course_agent_lost(act->course, agent->place, OUTCOME_ERROR, reason);
}

void acts_news(struct serve *serve, struct server_agent *agent, enum server_news news)
{
	if (news == SERVER_CUT && agent->owner)
		agent_lost(agent->owner, agent, "was cut off");
	if (news == SERVER_CAME)
		agent->settling = 0;
}

bool acts_full(const struct serve *serve)
{
	const struct act *act;

	DL_FOREACH(serve->acts, act)
		if (!act->sealing && course_full(act->course))
			return true;
	return false;
}

struct api_print serve_print(bool known, const struct print *print)
{
	return known ? (struct api_print){ true, print->high, print->low, print->approximate } : (struct api_print){ false };
}

void serve_prints(struct api_run_end *end, bool known, const struct prints *prints)
{
	bool symmetric = known && prints->has_symmetric;

	end->exact = serve_print(known, &prints->own[PRINT_LEVEL_EXACT]);
	end->symmetric = serve_print(symmetric, &prints->symmetric[PRINT_LEVEL_EXACT]);
	end->folded = serve_print(known, &prints->own[PRINT_LEVEL_FOLDED]);
	end->folded_symmetric = serve_print(symmetric, &prints->symmetric[PRINT_LEVEL_FOLDED]);
	end->shape = serve_print(known, &prints->own[PRINT_LEVEL_SHAPE]);
	end->shape_symmetric = serve_print(symmetric, &prints->symmetric[PRINT_LEVEL_SHAPE]);
	end->print_why_not = (char *)prints->why_not;
}

void serve_class(struct api_run_end *end, const struct store_run *row)
{
	if (!row)
		return;
	end->class_id = row->class_id;
	end->kept = row->kept;
	end->new_class = row->new_class;
	end->unclassed = row->unclassed;
}

static void run_end_tell(struct act *act)
{
	const struct course_result *result = &act->result;
	const struct store_run *row = result->run ? result->run->row : NULL;
	struct api_answer answer = { .id = act->request, .kind = API_RUN_END };

	answer.run_end = (struct api_run_end){
		.run = result->id,
		.experiment = act->x->name,
		.outcome = (char *)outcome_name(result->outcome),
		.reason = (char *)result->reason,
		.directory = (char *)result->directory,
		.warnings = act->warnings,
		.incomplete = row ? row->incomplete : true,
		.started_ns = row ? row->started_ns : 0,
		.duration_ns = row ? row->duration_ns : 0,
		.events = row ? row->events : STORE_UNKNOWN,
		.messages = row ? row->messages : STORE_UNKNOWN,
		.lost = row ? row->lost : STORE_UNKNOWN,
		.holes = row ? row->holes : STORE_UNKNOWN,
		.total_ns = result->timing.total,
		.boxes_ns = result->timing.boxes,
		.ready_ns = result->timing.ready,
		.workload_ns = result->timing.workload,
		.check_ns = result->timing.check,
		.stop_ns = result->timing.stop,
		.store = act->serve->store_name,
	};
	serve_prints(&answer.run_end, result->has_prints, &result->prints);
	serve_class(&answer.run_end, row);
	serve_log("run %llu: %s%s%s%s", (unsigned long long)result->id, outcome_name(result->outcome),
		  answer.run_end.incomplete ? ", incomplete" : "", *result->reason ? ": " : "", result->reason);
	if (!act->left)
		api_answer(act->serve, &act->client, &answer);
	act_waiters_end(act, &answer);
	if (act->on_end)
		act->on_end(act, &answer.run_end);
}

/* One that hung may still be in the run when it wakes up; it is free again when it has answered. */
static void hung_finish(struct act *act)
{
	struct message finish = { .kind = MESSAGE_ORDER, .order = { .id = ORDER_LAST, .kind = ORDER_FINISH } };
	char text[200];

	for (size_t i = 0; course_broken(act->course) && i < act->cast.n_agents; i++) {
		if (!act->agents[i]->connected || act->agents[i]->settling)
			continue;
		on_send(act, i, &finish);
		if (course_store_failed(act->course)) /* it was not the agent */
			continue;
		snprintf(text, sizeof(text), "agent %s does not answer: it takes no other run until it has ended this one "
			 "(`bop boxes` shows it as ending)", called(act->agents[i]));
		on_warn(act, text);
		act->agents[i]->settling_told = true;
	}
}

/* A file lets one write at a time, which nobody should do for long who is not the loop: what waits for it there fails after a while. */
static void on_count(struct worker_job *job)
{
	struct act *act = (struct act *)job;
	const char *url = act->serve->store_url;

	course_seal_count(act->course, url, &act->result);
	act->sealed = store_is_server(url) && !course_seal_end(act->course, url, STORE_UNKNOWN, &act->result);
}

static void on_counted(struct worker_job *job)
{
	struct act *act = (struct act *)job;

	if (!act->sealed)
		course_seal_end(act->course, NULL, STORE_UNKNOWN, &act->result);
	DL_DELETE(act->serve->acts, act);
	run_end_tell(act);
	act_free(act);
}

/* Counting can take seconds: nobody else waits for it, and the agents can take the next run. */
static void act_end(struct act *act)
{
	hung_finish(act);
	course_seal_begin(act->course, &act->result);
	subscribers_run_ended(act->serve, course_id(act->course));
	agents_release(act);
	act_asks_free(act);
	act->sealing = true;
	act->job.work = on_count;
	act->job.done = on_counted;
	workers_add(act->serve->workers, &act->job);
}

static void progress_tell(struct act *act, uint64_t now)
{
	struct api_answer answer = { .id = act->request, .kind = API_PROGRESS };

	if (now - act->progress_ns < PROGRESS_NS)
		return;
	act->progress_ns = now;
	answer.progress.run = course_id(act->course);
	answer.progress.events = course_events(act->course);
	answer.progress.phase = act->sealing ? "counting" : (char *)course_phase(act->course);
	if (!act->left)
		api_answer(act->serve, &act->client, &answer);
	act_waiters_progress(act, &answer);
}

void acts_time(struct serve *serve, uint64_t now)
{
	struct act *act;

	heirs_time(serve->heirs, now);
	settling_look(serve, now);
	minimizes_time(serve, now);
	repeats_time(serve, now);
	DL_FOREACH(serve->acts, act)
	{
		progress_tell(act, now);
		if (act->sealing)
			continue;
		for (size_t i = 0; i < act->cast.n_agents; i++) {
			if (act->agents[i]->connected)
				continue;
			if (now - act->agents[i]->away_ns >= (*act->agents[i]->key ? AWAY_NS : AWAY_PRIVATE_NS))
				agent_lost(act, act->agents[i], "went and did not come back");
			else
				course_agent_away(act->course, i, now);
		}
		course_time(act->course, now);
		if (course_done(act->course))
			act_end(act);
	}
}

uint64_t acts_deadline(const struct serve *serve)
{
	uint64_t at = heirs_deadline(serve->heirs), deadline = minimizes_deadline(serve);
	const struct act *act;

	if (deadline < at)
		at = deadline;
	deadline = repeats_deadline(serve);
	if (deadline < at)
		at = deadline;
	DL_FOREACH(serve->acts, act)
	{
		deadline = act->sealing ? UINT64_MAX : course_deadline(act->course);
		if (deadline > act->progress_ns + PROGRESS_NS)
			deadline = act->progress_ns + PROGRESS_NS;
		if (deadline < at)
			at = deadline;
	}
	return at;
}

void acts_stop(struct serve *serve, bool at_once, uint64_t now)
{
	struct act *act;

	DL_FOREACH(serve->acts, act)
	{
		if (act->sealing)
			continue;
		if (!at_once) {
			course_interrupt(act->course, now);
			continue;
		}
		course_hurry(act->course, now);
		for (size_t i = 0; i < act->cast.n_agents; i++)
			if (!act->agents[i]->connected)
				agent_lost(act, act->agents[i], "is not connected");
	}
}

/* Only after a failure of the server itself: what is left shows as incomplete. */
void acts_free(struct serve *serve)
{
	struct act *act, *next;

	checks_free(serve);
	recalls_free(serve);
	minimizes_free(serve);
	repeats_free(serve);
	subscribers_free(serve);
	DL_FOREACH_SAFE(serve->acts, act, next)
	{
		DL_DELETE(serve->acts, act);
		act_free(act);
	}
}
