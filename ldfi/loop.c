/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See loop.h. Fails only without memory. */
#include "ldfi/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/choose.h"
#include "ldfi/explored.h"
#include "ldfi/knowledge.h"
#include "ldfi/random.h"
#include "lib/grow.h"

/* A plan that says nothing about the budget. */
struct open {
	char *text;
	bool outside;
};

struct loop {
	const struct loop_settings *settings;
	struct symmetry *symmetry;
	struct knowledge *knowledge;
	struct explored *explored;
	struct chooser *chooser;
	struct random random;
	struct failures plan;
	char **lines; /* plan.n of them and a NULL */
	unsigned attempt;
	enum loop_state end; /* GOES_ON: not yet */
	bool begun, again;
	struct loop_counts counts;
	struct open *open;
	size_t n_open, cap_open;
};

int loop_new(const struct loop_settings *settings, struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	size_t ways;
	int err;

	if (!loop)
		return -ENOMEM;
	loop->settings = settings;
	loop->random.state = settings->seed;
	err = symmetry_new(settings->roles, settings->n_roles, &loop->symmetry, &loop->counts.roles_left_out);
	if (!err)
		err = knowledge_new(&settings->budget, loop->symmetry, settings->thorough, &loop->knowledge);
	if (!err)
		err = explored_new(&loop->explored);
	ways = err ? 1 : symmetry_ways(loop->symmetry);
	if (!err)
		err = chooser_new(loop->knowledge, &settings->budget, ways, loop->explored, settings->seed,
				  &loop->chooser);
	if (!err) {
		loop->lines = calloc(1, sizeof(*loop->lines));
		err = loop->lines ? 0 : -ENOMEM;
	}
	if (err)
		loop_free(loop);
	else
		*ret_loop = loop;
	return err;
}

static void lines_free(struct loop *loop)
{
	for (size_t i = 0; loop->lines && loop->lines[i]; i++)
		free(loop->lines[i]);
	free(loop->lines);
	loop->lines = NULL;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (size_t i = 0; i < loop->n_open; i++)
		free(loop->open[i].text);
	free(loop->open);
	lines_free(loop);
	failures_fini(&loop->plan);
	chooser_free(loop->chooser);
	explored_free(loop->explored);
	knowledge_free(loop->knowledge);
	symmetry_free(loop->symmetry);
	free(loop);
}

static int lines_make(struct loop *loop)
{
	lines_free(loop);
	loop->lines = calloc(loop->plan.n + 1, sizeof(*loop->lines));
	for (size_t i = 0; loop->lines && i < loop->plan.n; i++) {
		loop->lines[i] = knowledge_line(loop->knowledge, loop->plan.rows[i]);
		if (!loop->lines[i])
			return -ENOMEM;
	}
	return loop->lines ? 0 : -ENOMEM;
}

int loop_next(struct loop *loop, enum loop_state *ret_state)
{
	const struct loop_settings *settings = loop->settings;
	int err = 1;

	if (loop->end == LOOP_GOES_ON && settings->runs && loop->counts.runs >= settings->runs)
		loop->end = LOOP_RUNS_OUT;
	*ret_state = loop->end;
	if (loop->end != LOOP_GOES_ON)
		return 0;
	if (loop->again) {
		loop->again = false;
		loop->attempt++;
		return 0;
	}
	if (loop->begun && settings->strategy == LOOP_RANDOM)
		err = random_plan(&loop->random, loop->knowledge, &settings->budget, &loop->plan) ? -ENOMEM : 1;
	else if (loop->begun)
		err = chooser_next(loop->chooser, &loop->plan);
	if (err < 0)
		return err;
	loop->attempt = 1;
	if (!err) /* none is left */
		loop->end = *ret_state = loop->counts.violated ? LOOP_VIOLATED : LOOP_CERTIFIED;
	return lines_make(loop);
}

const char *const *loop_plan(const struct loop *loop, size_t *ret_n)
{
	*ret_n = loop->plan.n;
	return (const char *const *)loop->lines;
}

unsigned loop_attempt(const struct loop *loop)
{
	return loop->attempt;
}

static int open_add(struct loop *loop, bool outside)
{
	size_t size = 1;
	char *text, *at;

	for (size_t i = 0; i < loop->plan.n; i++)
		size += strlen(loop->lines[i]) + 2;
	if (grow(&loop->open, &loop->cap_open, loop->n_open + 1, sizeof(*loop->open)))
		return -ENOMEM;
	text = at = malloc(size);
	if (!text)
		return -ENOMEM;
	*text = '\0';
	for (size_t i = 0; i < loop->plan.n; i++)
		at += sprintf(at, "%s%s", i ? "; " : "", loop->lines[i]);
	loop->open[loop->n_open++] = (struct open){ .text = text, .outside = outside };
	return 0;
}

/* A loss of the plan that came later in this run than the budget allows; KNOWLEDGE_NONE: none. */
static uint32_t loss_outside(const struct loop *loop, const struct trial *trial)
{
	for (size_t i = 0; i < loop->plan.n; i++) {
		uint32_t failure = loop->plan.rows[i];

		if (knowledge_failure(loop->knowledge, failure)->crash)
			continue;
		for (size_t k = 0; k < trial->n_messages; k++)
			if (!strcmp(trial->messages[k].label, knowledge_label(loop->knowledge, failure)) &&
			    trial->messages[k].time >= loop->settings->budget.losses_until)
				return failure;
	}
	return KNOWLEDGE_NONE;
}

static int violated(struct loop *loop, const struct trial *trial, struct loop_learned *learned)
{
	uint32_t loss = loss_outside(loop, trial);

	if (loss != KNOWLEDGE_NONE) {
		loop->counts.outside++;
		learned->outside = true;
		learned->outside_label = knowledge_label(loop->knowledge, loss);
		return open_add(loop, true);
	}
	loop->counts.violated++;
	if (!loop->settings->all)
		loop->end = LOOP_VIOLATED;
	return explored_add_violation(loop->explored, &loop->plan);
}

static int good(struct loop *loop, const struct trial *trial, struct loop_learned *learned)
{
	struct knowledge_news news;
	int err = knowledge_learn(loop->knowledge, trial, &loop->plan, &news);

	loop->counts.good++;
	if (err)
		return err;
	learned->goals = news.goals;
	learned->supports = news.supports;
	learned->mirrored = news.mirrored;
	learned->messages = news.messages;
	learned->absent = news.absent;
	loop->counts.supports_mirrored += news.mirrored;
	return chooser_learned(loop->chooser, news.failures);
}

static int inconclusive(struct loop *loop, struct loop_learned *learned)
{
	loop->counts.inconclusive++;
	loop->again = learned->again = loop->attempt < loop->settings->attempts;
	learned->given_up = !learned->again;
	return learned->given_up ? open_add(loop, false) : 0;
}

int loop_result(struct loop *loop, const struct trial *trial, struct loop_learned *ret_learned)
{
	struct loop_learned learned = { .goals = 0 };
	bool first = !loop->begun;
	int err = 0;

	loop->counts.runs++;
	loop->counts.plans += loop->attempt == 1;
	switch (trial->verdict) {
	case TRIAL_GOOD:
		err = good(loop, trial, &learned);
		break;
	case TRIAL_VACUOUS:
		loop->counts.vacuous++;
		break;
	case TRIAL_VIOLATED:
		err = violated(loop, trial, &learned);
		break;
	case TRIAL_INCONCLUSIVE:
		err = inconclusive(loop, &learned);
		break;
	}
	if (!err && loop->settings->strategy == LOOP_RANDOM)
		err = knowledge_see(loop->knowledge, trial->messages, trial->n_messages);
	if (!err && !loop->again)
		err = explored_add(loop->explored, &loop->plan);
	loop->begun = !loop->again || loop->begun;
	if (first && !loop->again && trial->verdict != TRIAL_GOOD)
		loop->end = LOOP_NOT_GOOD;
	*ret_learned = learned;
	return err;
}

int loop_smaller(struct loop *loop, const char *const *lines, size_t n)
{
	struct failures plan = { .n = 0 };
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		uint32_t failure = knowledge_find(loop->knowledge, lines[i]);

		if (failure != KNOWLEDGE_NONE)
			err = failures_add(&plan, failure);
	}
	if (!err && plan.n)
		err = explored_add_violation(loop->explored, &plan);
	failures_fini(&plan);
	return err;
}

void loop_counts(const struct loop *loop, struct loop_counts *ret_counts)
{
	const struct chooser_counts *left_out = chooser_counts(loop->chooser);

	*ret_counts = loop->counts;
	ret_counts->mirrored = left_out->mirrored;
	ret_counts->supersets = left_out->supersets;
	ret_counts->goals = knowledge_n_goals(loop->knowledge);
	for (size_t i = 0; i < ret_counts->goals; i++)
		ret_counts->supports += knowledge_n_supports(loop->knowledge, i);
	ret_counts->messages = knowledge_n_messages(loop->knowledge);
	for (uint32_t f = 0; f < knowledge_n_failures(loop->knowledge); f++) {
		ret_counts->crashes += knowledge_failure(loop->knowledge, f)->crash;
		ret_counts->losses += !knowledge_failure(loop->knowledge, f)->crash;
	}
}

size_t loop_n_open(const struct loop *loop)
{
	return loop->n_open;
}

const char *loop_open(const struct loop *loop, size_t i, bool *ret_outside)
{
	*ret_outside = loop->open[i].outside;
	return loop->open[i].text;
}
