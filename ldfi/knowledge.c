/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See knowledge.h: what is there, and what hits what. What is learned is in knowledge_learn.c. Fails only without memory.
 */
#define HASH_NONFATAL_OOM 1
#include "ldfi/knowledge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/knowledge_inside.h"
#include "lib/grow.h"

int knowledge_new(const struct budget *budget, const struct symmetry *symmetry, bool thorough,
		struct knowledge **ret_knowledge)
{
	struct knowledge *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->useless = calloc(symmetry_ways(symmetry), sizeof(*k->useless));
	if (!k->useless) {
		free(k);
		return -ENOMEM;
	}
	k->budget = budget;
	k->symmetry = symmetry;
	k->thorough = thorough;
	*ret_knowledge = k;
	return 0;
}

static void goal_fini(struct goal *goal)
{
	for (size_t i = 0; i < goal->n; i++) {
		free(goal->supports[i].entries);
		failures_fini(&goal->supports[i].plan);
		failures_fini(&goal->supports[i].survived);
	}
	free(goal->supports);
	free(goal->name);
}

void knowledge_free(struct knowledge *k)
{
	if (!k)
		return;
	HASH_CLEAR(hh, k->by_label);
	HASH_CLEAR(hh, k->by_name);
	for (size_t i = 0; i < k->n_messages; i++) {
		free(k->messages[i]->label);
		free(k->messages[i]->images);
		free(k->messages[i]);
	}
	for (size_t i = 0; i < k->n_processes; i++) {
		free(k->processes[i]->name);
		free(k->processes[i]->order);
		free(k->processes[i]);
	}
	for (size_t i = 0; i < k->n_goals; i++)
		goal_fini(&k->goals[i]);
	free(k->messages);
	free(k->processes);
	free(k->failures);
	free(k->goals);
	free(k->useless);
	free(k);
}

size_t knowledge_n_messages(const struct knowledge *k)
{
	return k->n_messages;
}

size_t knowledge_n_goals(const struct knowledge *k)
{
	return k->n_goals;
}

size_t knowledge_n_supports(const struct knowledge *k, size_t goal)
{
	return k->goals[goal].n;
}

unsigned knowledge_version(const struct knowledge *k, size_t goal, size_t support)
{
	return k->goals[goal].supports[support].version;
}

/* Whether a message of a support came too late to get lost, which it can elsewhere: then failures of the run have a part in it. */
static bool delayed(const struct knowledge *k, uint32_t entry)
{
	return ENTRY_LATE(entry) && k->messages[ENTRY_MESSAGE(entry)]->time < k->budget->losses_until;
}

static bool told(const struct knowledge *k, const struct support *s, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct message *m = k->messages[ENTRY_MESSAGE(s->entries[i])];

		if (m->from == from && m->to == to)
			return true;
	}
	return false;
}

/*
 * Whether a failure can have delayed what a process sent: by taking away what would have reached it earlier. A crash did so only if
 * nothing came from there.
 */
static bool delays(const struct knowledge *k, const struct support *s, const struct failure *f, uint32_t process)
{
	const struct message *m = k->messages[f->message];

	return f->crash ? m->from != process && !told(k, s, m->from, process) : m->to == process || !*k->processes[m->to]->name;
}

/* Without a context of its own, that of what is late in it. */
static int delays_add(const struct knowledge *k, const struct support *s, struct failures *ret)
{
	int err = 0;

	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->plan.n && delayed(k, s->entries[i]) && !err; j++)
			if (delays(k, s, &k->failures[s->plan.rows[j]], k->messages[ENTRY_MESSAGE(s->entries[i])]->from))
				err = failures_add(ret, s->plan.rows[j]);
	return err;
}

int knowledge_context(const struct knowledge *k, size_t goal, size_t support, struct failures *ret)
{
	const struct support *s = &k->goals[goal].supports[support];
	int err = 0;

	ret->n = 0;
	if (k->goals[goal].base && !k->thorough)
		return delays_add(k, s, ret);
	for (size_t i = 0; i < s->plan.n && !err; i++)
		err = failures_add(ret, s->plan.rows[i]);
	return err;
}

bool knowledge_branches(const struct knowledge *k, size_t goal)
{
	return !k->goals[goal].base;
}

const char *knowledge_goal_name(const struct knowledge *k, size_t goal)
{
	return k->goals[goal].name;
}

size_t knowledge_n_failures(const struct knowledge *k)
{
	return k->n_failures;
}

const struct failure *knowledge_failure(const struct knowledge *k, uint32_t failure)
{
	return &k->failures[failure];
}

static const struct message *message_of(const struct knowledge *k, uint32_t failure)
{
	return k->messages[k->failures[failure].message];
}

uint32_t knowledge_process(const struct knowledge *k, uint32_t failure)
{
	return message_of(k, failure)->from;
}

uint64_t knowledge_time(const struct knowledge *k, uint32_t failure)
{
	return message_of(k, failure)->time;
}

const char *knowledge_label(const struct knowledge *k, uint32_t failure)
{
	return message_of(k, failure)->label;
}

char *knowledge_line(const struct knowledge *k, uint32_t failure)
{
	const struct message *message = message_of(k, failure);
	char *line;
	int n;

	if (k->failures[failure].crash)
		n = asprintf(&line, "crash %s at send %s", k->processes[message->from]->name, message->label);
	else
		n = asprintf(&line, "cut %s", message->label);
	return n < 0 ? NULL : line;
}

uint32_t knowledge_find(const struct knowledge *k, const char *line)
{
	bool crash = !strncmp(line, "crash ", 6);
	const char *label = crash ? strstr(line, " at send ") : line + 4;
	struct message *message;

	if (!label || (!crash && strncmp(line, "cut ", 4)))
		return KNOWLEDGE_NONE;
	label += crash ? 9 : 0;
	HASH_FIND_STR(k->by_label, label, message);
	if (!message)
		return KNOWLEDGE_NONE;
	return crash ? message->crash : message->loss;
}

bool knowledge_takes(const struct knowledge *k, uint32_t message, uint32_t other)
{
	return k->messages[other]->rank >= k->messages[message]->rank;
}

bool knowledge_hits(const struct knowledge *k, uint32_t failure, const struct support *support)
{
	const struct failure *f = &k->failures[failure];
	uint32_t from = k->messages[f->message]->from;

	if (failures_has(&support->survived, failure))
		return false;
	for (size_t i = 0; i < support->n; i++) {
		uint32_t m = ENTRY_MESSAGE(support->entries[i]);

		if (f->crash ? k->messages[m]->from == from && knowledge_takes(k, f->message, m)
			     : m == f->message && !ENTRY_LATE(support->entries[i]))
			return true;
	}
	return false;
}

int knowledge_hitters(const struct knowledge *k, size_t goal, size_t support, struct failures *ret)
{
	const struct support *s = &k->goals[goal].supports[support];
	int err = 0;

	ret->n = 0;
	for (uint32_t f = 0; f < k->n_failures && !err; f++)
		if (knowledge_hits(k, f, s))
			err = failures_add(ret, f);
	return err;
}

int knowledge_takers(const struct knowledge *k, uint32_t failure, struct failures *ret)
{
	const struct failure *f = &k->failures[failure];
	int err;

	ret->n = 0;
	err = failures_add(ret, failure);
	for (uint32_t i = 0; i < k->n_failures && !err && !f->crash; i++)
		if (k->failures[i].crash && message_of(k, i)->from == message_of(k, failure)->from &&
		    knowledge_takes(k, k->failures[i].message, f->message))
			err = failures_add(ret, i);
	return err;
}

/* Whether a crash of the plan leaves nothing for that failure to do. */
static bool idle(const struct knowledge *k, const struct failures *plan, uint32_t failure)
{
	const struct failure *f = &k->failures[failure];

	for (size_t i = 0; i < plan->n; i++) {
		const struct failure *other = &k->failures[plan->rows[i]];

		if (other->crash && plan->rows[i] != failure &&
		    k->messages[other->message]->from == k->messages[f->message]->from &&
		    knowledge_takes(k, other->message, f->message))
			return true;
	}
	return false;
}

void knowledge_reduce(const struct knowledge *k, struct failures *plan)
{
	for (size_t i = 0; i < plan->n;) {
		if (idle(k, plan, plan->rows[i]))
			memmove(&plan->rows[i], &plan->rows[i + 1], (--plan->n - i) * sizeof(*plan->rows));
		else
			i++;
	}
}

static uint32_t image_known(const struct knowledge *k, size_t way, uint32_t message)
{
	return k->messages[message]->images ? k->messages[message]->images[way] : KNOWLEDGE_NONE;
}

/* Whether what the crash takes away becomes what its image takes away, of all that is known. */
static bool same_effect(const struct knowledge *k, size_t way, uint32_t message, uint32_t image)
{
	size_t taken = 0, image_taken = 0;

	for (uint32_t m = 0; m < k->n_messages; m++) {
		const struct message *other = k->messages[m];
		uint32_t to;

		if (other->from == k->messages[image]->from)
			image_taken += knowledge_takes(k, image, m);
		if (other->from != k->messages[message]->from || !knowledge_takes(k, message, m))
			continue;
		taken++;
		to = image_known(k, way, m);
		if (to == KNOWLEDGE_NONE || !knowledge_takes(k, image, to))
			return false;
	}
	return taken == image_taken;
}

bool knowledge_mirror(const struct knowledge *k, size_t way, const struct failures *plan, struct failures *ret)
{
	ret->n = 0;
	if (k->useless[way])
		return false;
	for (size_t i = 0; i < plan->n; i++) {
		const struct failure *f = &k->failures[plan->rows[i]];
		uint32_t image = image_known(k, way, f->message), failure;

		if (image == KNOWLEDGE_NONE)
			return false;
		failure = f->crash ? k->messages[image]->crash : k->messages[image]->loss;
		if (failure == KNOWLEDGE_NONE || (f->crash && !same_effect(k, way, f->message, image)) ||
		    failures_add(ret, failure))
			return false;
	}
	return true;
}

int failures_add(struct failures *failures, uint32_t failure)
{
	size_t at = failures->n;

	while (at && failures->rows[at - 1] > failure)
		at--;
	if (at && failures->rows[at - 1] == failure)
		return 0;
	if (grow(&failures->rows, &failures->cap, failures->n + 1, sizeof(*failures->rows)))
		return -ENOMEM;
	memmove(&failures->rows[at + 1], &failures->rows[at], (failures->n++ - at) * sizeof(*failures->rows));
	failures->rows[at] = failure;
	return 0;
}

bool failures_has(const struct failures *failures, uint32_t failure)
{
	for (size_t i = 0; i < failures->n; i++)
		if (failures->rows[i] == failure)
			return true;
	return false;
}

void failures_fini(struct failures *failures)
{
	free(failures->rows);
	*failures = (struct failures){ .n = 0 };
}
