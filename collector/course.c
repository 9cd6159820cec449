/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See course.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/course_inside.h"
#include "lib/clock.h"

enum { WARNINGS_MAX = 100 }; /* of a run; an agent can say as many as it likes */

static int on_order(void *arg, size_t agent, const struct message_order *order, struct error *e)
{
	struct message message = { .kind = MESSAGE_ORDER, .order = *order };
	struct course *course = arg;

	if (course->lost[agent])
		return 0;
	course->heard[agent] = clock_monotonic_ns();
	course->door.send(course->door.arg, agent, &message);
	return 0;
}

static int on_conduct_order(void *arg, const struct message_order *order, struct error *e)
{
	struct course *course = arg;

	return troupe_order(course->troupe, order, e);
}

static void on_warning(struct course *course, const char *text)
{
	struct error line;
	char *warnings;

	if (course->n_warnings > WARNINGS_MAX)
		return;
	if (course->n_warnings++ == WARNINGS_MAX)
		text = "further warnings are left out";
	error_set(&line, 0, "%s", text); /* one line, as others are: an agent may say anything */
	course->door.warn(course->door.arg, line.text);
	if (asprintf(&warnings, "%s%s%s", course->warnings ? course->warnings : "", course->warnings ? "\n" : "", line.text) < 0)
		return;
	free(course->warnings);
	course->warnings = warnings;
}

static void on_conduct_warning(void *arg, const char *text)
{
	on_warning(arg, text);
}

/* What cannot be kept ends the run. */
static void on_broken(struct course *course, const struct error *e)
{
	if (course->store_failed)
		return;
	course->store_failed = true;
	for (size_t i = 0; i < course->cast->n_agents; i++)
		ingest_drop(&course->ingests[i]);
	conduct_fail(course->conduct, e->text, clock_monotonic_ns());
}

void course_begin(struct course *course, uint64_t now)
{
	conduct_begin(course->conduct, now);
}

void course_message(struct course *course, size_t agent, const struct message *message, uint64_t now)
{
	const struct message *said;
	struct error e;

	course->heard[agent] = now;
	if (message->kind == MESSAGE_BATCH) {
		if (!course->store_failed &&
		    ingest_put(&course->ingests[agent], message->batch.bytes, message->batch.size, &e) < 0)
			on_broken(course, &e);
	} else if (message->kind == MESSAGE_PROGRESS) {
		course->events[agent] = message->progress;
	} else if (message->kind == MESSAGE_WARNING) {
		on_warning(course, message->text);
	} else if (message->kind == MESSAGE_RECEIPTS) {
		course_receipts(course, agent, message);
	}
	said = troupe_message(course->troupe, agent, message);
	/* every message shows that somebody lives */
	conduct_on_message(course->conduct, said ? said : &(struct message){ .kind = MESSAGE_NONE }, now);
}

void course_agent_away(struct course *course, size_t agent, uint64_t now)
{
	course->heard[agent] = now;
	conduct_on_message(course->conduct, &(struct message){ .kind = MESSAGE_NONE }, now);
}

/* Everything that waits of all agents. Each stream is acknowledged for itself. */
void course_commit(struct course *course)
{
	struct message message = { .kind = MESSAGE_ACK };
	struct error e;

	course->commit_at = UINT64_MAX;
	for (size_t i = 0; i < course->cast->n_agents && !course->store_failed; i++) {
		message.ack.run = course->row.id;
		if (ingest_flush(&course->ingests[i], &message.ack.number, &e) < 0)
			on_broken(course, &e);
		else if (message.ack.number) /* unsent: the agent sends the batches again */
			course->door.send(course->door.arg, i, &message);
	}
}

bool course_full(const struct course *course)
{
	for (size_t i = 0; i < course->cast->n_agents; i++)
		if (ingest_full(&course->ingests[i]))
			return true;
	return false;
}

/* When the agent will have been silent for too long; UINT64_MAX: it owes nothing. */
static uint64_t silence_at(const struct course *course, size_t agent)
{
	return course->lost[agent] || !troupe_waits(course->troupe, agent) ? UINT64_MAX :
									     course->heard[agent] + CONDUCT_SILENCE_NS;
}

/* The conduct hears one agent. Of several, those that talk do not speak for one that hangs. */
static void silence_look(struct course *course, uint64_t now)
{
	char reason[128];

	for (size_t i = 0; course->cast->n_agents > 1 && i < course->cast->n_agents; i++) {
		if (conduct_done(course->conduct) || now < silence_at(course, i))
			continue;
		snprintf(reason, sizeof(reason), "the agent of box '%s' does not answer any more", cast_box_of(course->cast, i));
		course_agent_lost(course, i, OUTCOME_ERROR, reason);
	}
}

void course_time(struct course *course, uint64_t now)
{
	bool owed = false;

	for (size_t i = 0; i < course->cast->n_agents; i++)
		owed |= course->ingests[i].owed;
	if (owed && course->commit_at == UINT64_MAX)
		course->commit_at = now + INGEST_COMMIT_NS;
	if (course_full(course) || now >= course->commit_at || conduct_done(course->conduct))
		course_commit(course);
	silence_look(course, now);
	conduct_on_time(course->conduct, now);
}

uint64_t course_deadline(const struct course *course)
{
	uint64_t at = conduct_deadline(course->conduct), silence;

	for (size_t i = 0; course->cast->n_agents > 1 && i < course->cast->n_agents && !conduct_done(course->conduct); i++) {
		silence = silence_at(course, i);
		at = silence < at ? silence : at;
	}
	return course->commit_at < at ? course->commit_at : at;
}

void course_interrupt(struct course *course, uint64_t now)
{
	conduct_interrupt(course->conduct, now);
}

void course_hurry(struct course *course, uint64_t now)
{
	conduct_hurry(course->conduct, now);
}

void course_agent_lost(struct course *course, size_t agent, enum outcome outcome, const char *reason)
{
	struct message finish = { .kind = MESSAGE_ORDER, .order = { .id = UINT64_MAX, .kind = ORDER_FINISH } };

	course->lost[agent] = true;
	if (conduct_done(course->conduct))
		return;
	for (size_t i = 0; i < course->cast->n_agents; i++)
		if (!course->lost[i])
			course->door.send(course->door.arg, i, &finish);
	conduct_agent_lost(course->conduct, outcome, reason);
}

bool course_done(const struct course *course)
{
	return conduct_done(course->conduct);
}

bool course_broken(const struct course *course)
{
	return conduct_result(course->conduct)->agent_lost || course->store_failed;
}

bool course_store_failed(const struct course *course)
{
	return course->store_failed;
}

uint64_t course_id(const struct course *course)
{
	return course->row.id;
}

const char *course_phase(const struct course *course)
{
	return conduct_phase(course->conduct);
}

uint64_t course_events(const struct course *course)
{
	uint64_t events = 0;

	for (size_t i = 0; i < course->cast->n_agents; i++)
		events += course->events[i];
	return events;
}

static void on_taken(void *arg, const struct ingest *ingest)
{
	struct course *course = arg;

	course->door.events(course->door.arg, (size_t)(ingest - course->ingests), &ingest->tables);
}

static void ingest_open(struct course *course, size_t agent, uint64_t stream)
{
	struct ingest *ingest = &course->ingests[agent];

	ingest_init(ingest, course->store, course->row.id, stream);
	ingest->on_taken = course->door.events ? on_taken : NULL;
	ingest->arg = course;
}

/*
 * The row, a stream for each agent, and whoever conducts it, who needs its number: in one transaction, so that a failure
 * leaves nothing.
 */
static int row_create(struct course *course, const struct experiment *x, const struct message_hello *const *hellos,
		      const struct plan *plan, struct error *e)
{
	struct conduct_door door = { .order = on_conduct_order, .warn = on_conduct_warning, .answered = course_answered,
				     .arg = course };
	struct store_run *row = &course->row;
	int err;

	*row = (struct store_run){
		.experiment = x->name,
		.path = x->path,
		.text = x->text,
		.version = BOP_VERSION,
		.plan = course->plan_text,
		.seed = plan ? plan->seed : 0,
		.dry_run = plan && plan->dry,
		.racy = plan && plan->racy,
		.started_ns = clock_realtime_ns(),
		.started_monotonic_ns = clock_monotonic_ns(),
	};
	err = store_owner_self(&row->owner, e);
	if (!err)
		err = store_begin(course->store, e);
	if (err < 0)
		return err;
	err = store_run_create(course->store, row, e);
	for (size_t i = 0; i < course->cast->n_agents && !err; i++) {
		struct store_stream stream = {
			.host = hellos[i]->host,
			.boot_id = hellos[i]->boot_id,
			.kernel = hellos[i]->kernel,
			.backend = hellos[i]->backend,
			.monotonic_ns = hellos[i]->monotonic_ns,
			.realtime_ns = hellos[i]->realtime_ns,
		};

		memcpy(stream.session, hellos[i]->session, sizeof(stream.session));
		err = store_stream_add(course->store, row->id, &stream, e);
		if (!err)
			ingest_open(course, i, stream.number);
	}
	if (!err)
		err = conduct_new(x, row->id, course->claim.path, &door, &course->conduct, e);
	if (!err)
		err = store_commit(course->store, e);
	if (err < 0)
		store_rollback(course->store);
	return err;
}

static int directory_make(struct course *course, struct error *e)
{
	char base[PATH_MAX];

	if (!realpath(claim_base(), base))
		return error_set(e, -errno, "%s: %s", claim_base(), strerror(errno));
	return claim_open(&course->claim, base, course->keep & COURSE_KEEP_DIRECTORY ? "kept" : "run", NULL, 0711, e);
}

int course_open(struct store *store, const struct experiment *x, const struct cast *cast,
		const struct message_hello *const *hellos, const struct plan *plan, unsigned keep, const struct course_door *door,
		struct course **ret_course, struct error *e)
{
	struct course *course = calloc(1, sizeof(*course));
	struct troupe_door troupe_door = { .order = on_order, .arg = course };
	int err = error_set(e, -ENOMEM, "out of memory");

	if (!course)
		return err;
	course->store = store;
	course->cast = cast;
	course->door = *door;
	course->keep = keep | (x->content_bytes ? COURSE_KEEP_ALL : 0); /* nothing else has what messages said */
	course->claim = (struct claim)CLAIM_NONE;
	course->commit_at = UINT64_MAX;
	course->ingests = calloc(cast->n_agents + 1, sizeof(*course->ingests));
	course->events = calloc(cast->n_agents + 1, sizeof(*course->events));
	course->heard = calloc(cast->n_agents + 1, sizeof(*course->heard));
	course->lost = calloc(cast->n_agents + 1, sizeof(*course->lost));
	course->troupe = troupe_new(cast, x, &troupe_door);
	if (!course->ingests || !course->events || !course->heard || !course->lost || !course->troupe)
		goto out;
	err = course_plan_take(course, plan, e);
	if (!err)
		err = directory_make(course, e);
	if (!err)
		err = row_create(course, x, hellos, plan, e);
	if (!err) {
		conduct_faults(course->conduct, plan);
		*ret_course = course;
		course = NULL;
	}
out:
	if (course)
		course->keep = 0;
	course_close(course);
	return err;
}

void course_close(struct course *course)
{
	if (!course)
		return;
	if (course->claim.fd >= 0 && !(course->keep & COURSE_KEEP_DIRECTORY))
		claim_remove_tree(course->claim.path);
	claim_close(&course->claim);
	for (size_t i = 0; course->ingests && i < course->cast->n_agents; i++)
		ingest_fini(&course->ingests[i]);
	course_faults_fini(course);
	conduct_free(course->conduct);
	troupe_free(course->troupe);
	free(course->ingests);
	free(course->events);
	free(course->heard);
	free(course->lost);
	free(course->warnings);
	free(course);
}
