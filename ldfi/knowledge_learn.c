/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See knowledge.h: what a run adds to what is known of its goals, and of their mirror images. Fails only without
 * memory.
 */
#define HASH_NONFATAL_OOM 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/knowledge_inside.h"
#include "lib/grow.h"

static int goal_intern(struct knowledge *k, const char *name, struct goal **ret_goal)
{
	for (size_t i = 0; i < k->n_goals; i++)
		if (!strcmp(k->goals[i].name, name)) {
			*ret_goal = &k->goals[i];
			return 0;
		}
	if (grow(&k->goals, &k->cap_goals, k->n_goals + 1, sizeof(*k->goals)))
		return -ENOMEM;
	k->goals[k->n_goals] = (struct goal){ .name = strdup(name) };
	if (!k->goals[k->n_goals].name)
		return -ENOMEM;
	*ret_goal = &k->goals[k->n_goals++];
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool contains(const struct failures *all, const struct failures *some)
{
	for (size_t i = 0; i < some->n; i++)
		if (!failures_has(all, some->rows[i]))
			return false;
	return true;
}

static int failures_copy(const struct failures *from, struct failures *ret)
{
	int err = 0;

	*ret = (struct failures){ .n = 0 };
	for (size_t i = 0; i < from->n && !err; i++)
		err = failures_add(ret, from->rows[i]);
	if (err)
		failures_fini(ret);
	return err;
}

/* The same messages among fewer failures say more. */
static int support_shrink(struct support *support, const struct failures *plan)
{
	struct failures copy;

	if (contains(plan, &support->plan))
		return 0;
	if (failures_copy(plan, &copy))
		return -ENOMEM;
	failures_fini(&support->plan);
	support->plan = copy;
	support->version++;
	return 0;
}

/*
 * Takes entries, which need not be sorted. *ret_support: where it is; another one that counts at least where it does
 * may be it.
 */
static int support_add(struct goal *goal, uint32_t *entries, size_t n, const struct failures *plan, bool *ret_new,
		       struct support **ret_support)
{
	struct support support = { .entries = entries, .n = n };

	goal->base = goal->base || !plan->n;
	qsort(entries, n, sizeof(*entries), by_number);
	*ret_new = false;
	for (size_t i = 0; i < goal->n; i++) {
		struct support *known = &goal->supports[i];

		if (known->n != n || memcmp(known->entries, entries, n * sizeof(*entries)) ||
		    (!contains(plan, &known->plan) && !contains(&known->plan, plan)))
			continue;
		free(entries);
		*ret_support = known;
		return support_shrink(known, plan);
	}
	if (failures_copy(plan, &support.plan) || grow(&goal->supports, &goal->cap, goal->n + 1, sizeof(support))) {
		failures_fini(&support.plan);
		free(entries);
		return -ENOMEM;
	}
	*ret_support = &goal->supports[goal->n];
	goal->supports[goal->n++] = support;
	*ret_new = true;
	return 0;
}

static int survive(struct support *support, uint32_t failure)
{
	size_t n = support->survived.n;
	int err = failures_add(&support->survived, failure);

	support->version += support->survived.n != n;
	return err;
}

/*
 * The goal in the other places. A goal of a process that moves must have another name there: else the way says
 * nothing, for it cannot be told which goal is meant.
 */
static int goal_mirror(struct knowledge *k, size_t way, const struct trial_goal *goal, char **ret_name)
{
	char *name = symmetry_words(k->symmetry, way, goal->name),
	     *process = symmetry_process(k->symmetry, way, goal->process ? goal->process : "");

	if (!name || !process) {
		free(name);
		free(process);
		return -ENOMEM;
	}
	if (!goal->process || (strcmp(process, goal->process) && !strcmp(name, goal->name)))
		k->useless[way] = true;
	free(process);
	*ret_name = name;
	return 0;
}

/* The messages of the support, and those of the failures that it came about among. */
static int entries_mirror(struct knowledge *k, size_t way, const struct support *s, uint32_t *ret_entries)
{
	uint32_t image;
	int err = 0;

	for (size_t i = 0; i < s->n && !err; i++) {
		err = knowledge_image(k, way, ENTRY_MESSAGE(s->entries[i]), &image);
		ret_entries[i] = ENTRY(image, ENTRY_LATE(s->entries[i]));
	}
	for (size_t i = 0; i < s->plan.n && !err; i++)
		err = knowledge_image(k, way, k->failures[s->plan.rows[i]].message, &image);
	return err;
}

/* Losses are survived in the other places as well; of crashes nobody knows. */
static int survived_mirror(struct knowledge *k, size_t way, const struct failures *plan, struct support *support)
{
	int err = 0;

	for (size_t i = 0; i < plan->n && !err; i++) {
		const struct failure *f = &k->failures[plan->rows[i]];
		uint32_t image;

		if (!f->crash)
			err = knowledge_image(k, way, f->message, &image);
		if (!f->crash && !err && k->messages[image]->loss != KNOWLEDGE_NONE)
			err = survive(support, k->messages[image]->loss);
	}
	return err;
}

/* What the support is in one other way. */
static int support_mirror(struct knowledge *k, size_t way, const char *name, const struct support *s,
			  const struct failures *plan, struct knowledge_news *news)
{
	uint32_t *entries = malloc((s->n + 1) * sizeof(*entries));
	struct failures mirrored = { .n = 0 };
	struct support *support;
	struct goal *goal = NULL;
	bool new = false;
	int err = entries ? entries_mirror(k, way, s, entries) : -ENOMEM;

	if (!err && knowledge_mirror(k, way, &s->plan, &mirrored))
		err = goal_intern(k, name, &goal);
	if (err || !goal) {
		free(entries);
	} else {
		err = support_add(goal, entries, s->n, &mirrored, &new, &support);
		news->mirrored += new;
		if (!err)
			err = survived_mirror(k, way, plan, support);
	}
	failures_fini(&mirrored);
	return err;
}

/* s is copied: what is learned may move it. */
static int mirrors_learn(struct knowledge *k, const struct trial_goal *goal, const struct support *s,
			 const struct failures *plan, struct knowledge_news *news)
{
	struct support copy = { .entries = malloc((s->n + 1) * sizeof(*s->entries)), .n = s->n };
	int err = copy.entries ? failures_copy(&s->plan, &copy.plan) : -ENOMEM;

	if (!err)
		memcpy(copy.entries, s->entries, s->n * sizeof(*s->entries));
	for (size_t way = 1; way < symmetry_ways(k->symmetry) && !err; way++) {
		char *name = NULL;

		if (k->useless[way])
			continue;
		err = goal_mirror(k, way, goal, &name);
		if (!err && !k->useless[way])
			err = support_mirror(k, way, name, &copy, plan, news);
		free(name);
	}
	free(copy.entries);
	failures_fini(&copy.plan);
	return err;
}

static int crashes_learn(struct knowledge *k, const struct trial_goal *goal)
{
	int err = 0;

	for (size_t i = 0; i < goal->n_crashes && !err; i++) {
		const struct trial_crash *crash = &goal->crashes[i];
		struct trial_message message = {
			.label = crash->message, .from = crash->process, .to = "", .time = crash->time
		};
		uint32_t m;

		err = knowledge_message_learn(k, &message, &m);
		if (!err)
			err = knowledge_admit_crash(k, m);
	}
	return err;
}

static int goal_learn(struct knowledge *k, const struct trial_goal *trial, const struct failures *plan,
		      struct knowledge_news *news)
{
	uint32_t *entries = malloc((trial->n_messages + 1) * sizeof(*entries));
	size_t n_goals = k->n_goals;
	struct support *support;
	struct goal *goal;
	bool new = false;
	int err = entries ? 0 : -ENOMEM;

	for (size_t i = 0; i < trial->n_messages && !err; i++) {
		err = knowledge_message_learn(k, &trial->messages[i], &entries[i]);
		entries[i] = ENTRY(entries[i], trial->messages[i].time >= k->budget->losses_until);
	}
	if (!err)
		err = crashes_learn(k, trial);
	if (!err)
		err = goal_intern(k, trial->name, &goal);
	if (err) {
		free(entries);
		return err;
	}
	err = support_add(goal, entries, trial->n_messages, plan, &new, &support);
	news->supports += new;
	for (size_t i = 0; i < plan->n && !err; i++)
		err = survive(support, plan->rows[i]);
	if (!err)
		err = mirrors_learn(k, trial, support, plan, news);
	news->goals += k->n_goals - n_goals;
	return err;
}

/* Known goals that the run did not have. */
static size_t absent(const struct knowledge *k, const struct trial *trial)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n_goals; i++) {
		bool there = false;

		for (size_t j = 0; j < trial->n_goals && !there; j++)
			there = !strcmp(k->goals[i].name, trial->goals[j].name);
		n += !there;
	}
	return n;
}

int knowledge_learn(struct knowledge *k, const struct trial *trial, const struct failures *plan,
		  struct knowledge_news *ret_news)
{
	struct knowledge_news news = { .goals = 0 };
	size_t n_messages = k->n_messages;
	int err;

	k->changed = false;
	err = knowledge_messages_learn(k, trial->messages, trial->n_messages);
	for (size_t i = 0; i < trial->n_goals && !err; i++)
		err = goal_learn(k, &trial->goals[i], plan, &news);
	if (err)
		return err;
	news.messages = k->n_messages - n_messages;
	news.absent = absent(k, trial);
	news.failures = k->changed;
	*ret_news = news;
	return 0;
}

int knowledge_see(struct knowledge *k, const struct trial_message *messages, size_t n)
{
	uint32_t m;
	int err = knowledge_messages_learn(k, messages, n);

	for (size_t i = 0; i < n && !err; i++) {
		err = knowledge_message_learn(k, &messages[i], &m);
		if (!err && k->processes[k->messages[m]->from]->can_crash)
			err = knowledge_admit_crash(k, m);
	}
	return err;
}
