/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See hunt.h: what the server tells of a run, as the loop wants it. No verdict rests on a run that lost events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/hunt_inside.h"
#include "lib/grow.h"

static int ask(struct hunt *hunt, struct api_request *request, enum api_answer_kind kind, struct hunt_trial *t,
	       struct api_answer **ret_answer, struct error *e)
{
	int err;

	if (grow(&t->answers, &t->cap_answers, t->n_answers + 1, sizeof(*t->answers)))
		return error_set(e, -ENOMEM, "out of memory");
	err = remote_ask(hunt->remote, request, kind, &t->answers[t->n_answers], e);
	if (!err)
		*ret_answer = &t->answers[t->n_answers++];
	return err;
}

static struct trial_message message_of(const Bop__Api__Message *m)
{
	return (struct trial_message){ .label = m->label, .from = m->from, .to = m->to, .time = m->time, .fixed = !m->named };
}

struct sent {
	const Bop__Api__Message *message;
};

/* As its process sent them: its clock never goes back, and vertices of one agent are in the order in which they came. */
static int by_send(const void *a, const void *b)
{
	const Bop__Api__Message *x = ((const struct sent *)a)->message, *y = ((const struct sent *)b)->message;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return (x->send_vertex > y->send_vertex) - (x->send_vertex < y->send_vertex);
}

static int messages_make(struct hunt *hunt, uint64_t run, struct hunt_trial *t, struct error *e)
{
	Bop__Api__GetMessages get = BOP__API__GET_MESSAGES__INIT;
	struct api_request request = { .kind = API_GET_MESSAGES, .get_messages = &get };
	struct sent *sent = NULL;
	size_t n = 0, cap = 0;
	bool more = true;
	int err = 0;

	get.run = run;
	while (more && !err) {
		struct api_answer *answer;

		err = ask(hunt, &request, API_MESSAGES, t, &answer, e);
		if (err)
			break;
		if (grow(&sent, &cap, n + answer->messages->n_rows, sizeof(*sent)))
			err = error_set(e, -ENOMEM, "out of memory");
		for (size_t i = 0; i < answer->messages->n_rows && !err; i++)
			if (!answer->messages->rows[i]->teardown)
				sent[n++].message = answer->messages->rows[i];
		get.after += answer->messages->n_rows;
		more = answer->messages->more && answer->messages->n_rows;
	}
	t->messages = err ? NULL : calloc(n + 1, sizeof(*t->messages));
	if (t->messages) {
		qsort(sent, n, sizeof(*sent), by_send);
		for (size_t i = 0; i < n; i++)
			t->messages[i] = message_of(sent[i].message);
		t->trial.messages = t->messages;
		t->trial.n_messages = n;
	} else if (!err) {
		err = error_set(e, -ENOMEM, "out of memory");
	}
	free(sent);
	return err;
}

static const char *after_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	return strncmp(text, word, n) ? NULL : text + n;
}

/* Where a moment comes about, as far as the messages tell: NULL if they do not. */
static const char *process_of(const struct hunt_trial *t, const char *moment)
{
	const char *of = after_word(moment, "exit "), *label;
	bool sender = false;

	if (!of)
		of = after_word(moment, "start ");
	if (of || !*moment)
		return of ? of : "";
	label = after_word(moment, "recv ");
	if (!label) {
		label = after_word(moment, "send ");
		sender = true;
	}
	for (size_t i = 0; label && i < t->trial.n_messages; i++)
		if (!strcmp(t->trial.messages[i].label, label))
			return sender ? t->trial.messages[i].from : t->trial.messages[i].to;
	return NULL;
}

struct room {
	size_t goals, messages, crashes;
};

static struct room room_of(const struct hunt_trial *t, size_t first)
{
	struct room room = { .goals = 0 };

	for (size_t a = first; a < t->n_answers; a++)
		for (size_t i = 0; i < t->answers[a].supports->n_goals; i++) {
			room.goals++;
			room.messages += t->answers[a].supports->goals[i]->n_messages;
			room.crashes += t->answers[a].supports->goals[i]->n_crashes;
		}
	return room;
}

static void goal_fill(struct hunt_trial *t, const Bop__Api__Goal *from, struct trial_goal *to, struct room *used)
{
	*to = (struct trial_goal){ .name = from->name, .process = process_of(t, from->moment),
				   .messages = &t->supports[used->messages], .n_messages = from->n_messages,
				   .crashes = &t->crashes[used->crashes] };
	for (size_t i = 0; i < from->n_messages; i++)
		t->supports[used->messages++] = message_of(from->messages[i]);
	for (size_t i = 0; i < from->n_crashes; i++) {
		const char *label = after_word(from->crashes[i]->moment, "send ");

		if (!label)
			continue;
		t->crashes[used->crashes++] =
			(struct trial_crash){ from->crashes[i]->process, label, from->crashes[i]->time };
		to->n_crashes++;
	}
}

static int supports_make(struct hunt *hunt, uint64_t run, struct hunt_trial *t, struct error *e)
{
	Bop__Api__GetSupports get = BOP__API__GET_SUPPORTS__INIT;
	struct api_request request = { .kind = API_GET_SUPPORTS, .get_supports = &get };
	size_t first = t->n_answers;
	struct room room, used = { .goals = 0 };
	bool more = true;
	int err;

	get.run = run;
	get.workloads = hunt->settings.workloads;
	while (more) {
		struct api_answer *answer;

		err = ask(hunt, &request, API_SUPPORTS, t, &answer, e);
		if (err)
			return err;
		get.after += answer->supports->n_goals;
		more = answer->supports->more && answer->supports->n_goals;
	}
	room = room_of(t, first);
	t->goals = calloc(room.goals + 1, sizeof(*t->goals));
	t->supports = calloc(room.messages + 1, sizeof(*t->supports));
	t->crashes = calloc(room.crashes + 1, sizeof(*t->crashes));
	if (!t->goals || !t->supports || !t->crashes)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t a = first; a < t->n_answers; a++)
		for (size_t i = 0; i < t->answers[a].supports->n_goals; i++)
			goal_fill(t, t->answers[a].supports->goals[i], &t->goals[used.goals++], &used);
	t->trial.goals = t->goals;
	t->trial.n_goals = used.goals;
	return 0;
}

static enum trial_verdict verdict_of(const struct hunt_run *run)
{
	if (!run->whole)
		return TRIAL_INCONCLUSIVE;
	switch (run->outcome) {
	case OUTCOME_GOOD:
		return TRIAL_GOOD;
	case OUTCOME_VIOLATED:
		return TRIAL_VIOLATED;
	case OUTCOME_VACUOUS:
		return TRIAL_VACUOUS;
	case OUTCOME_TIMEOUT:
	case OUTCOME_INCONCLUSIVE:
	case OUTCOME_INTERRUPTED:
	case OUTCOME_ERROR:
	case OUTCOME_NONE:
	case OUTCOME_COUNT:
		break;
	}
	return TRIAL_INCONCLUSIVE;
}

int hunt_trial_make(struct hunt *hunt, struct hunt_run *run, struct hunt_trial *ret, struct error *e)
{
	int err = 0;

	*ret = (struct hunt_trial){ .trial = { .verdict = verdict_of(run) } };
	if (ret->trial.verdict == TRIAL_INCONCLUSIVE)
		return 0;
	err = messages_make(hunt, run->number, ret, e);
	if (!err && ret->trial.verdict == TRIAL_GOOD)
		err = supports_make(hunt, run->number, ret, e);
	if (err != -ENODATA)
		return err;
	snprintf(run->reason, sizeof(run->reason), "%s", e->text);
	run->whole = false;
	ret->trial = (struct trial){ .verdict = TRIAL_INCONCLUSIVE };
	return 0;
}

void hunt_trial_fini(struct hunt_trial *t)
{
	for (size_t i = 0; i < t->n_answers; i++)
		api_answer_fini(&t->answers[i]);
	free(t->answers);
	free(t->messages);
	free(t->goals);
	free(t->supports);
	free(t->crashes);
}
