/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See hunt.h. */
#include "collector/hunt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/hunt_inside.h"
#include "collector/plan.h"
#include "lib/clock.h"
#include "lib/nearest.h"

enum { ERRORS_MAX = 6 }; /* runs one after the other that could not be made: then it is not their plans */

static const Bop__Api__ExperimentProcess *process_find(const struct hunt *hunt, const char *name)
{
	const Bop__Api__Experiment *x = hunt->experiment.experiment;

	for (size_t i = 0; i < x->n_processes; i++)
		if (!strcmp(x->processes[i]->name, name))
			return x->processes[i];
	return NULL;
}

static size_t in_box(const struct hunt *hunt, const char *box)
{
	const Bop__Api__Experiment *x = hunt->experiment.experiment;
	size_t n = 0;

	for (size_t i = 0; i < x->n_processes; i++)
		n += !strcmp(x->processes[i]->box, box) && strcmp(x->processes[i]->role, "check");
	return n;
}

/* A role can be used if each member has a box of its own: else its label does not tell who is meant. */
static int roles_make(struct hunt *hunt, struct error *e)
{
	const Bop__Api__Experiment *x = hunt->experiment.experiment;
	size_t n = 0, n_members = 0;

	for (size_t i = 0; i < x->n_roles; i++)
		n_members += x->roles[i]->n_members;
	hunt->roles = calloc(x->n_roles + 1, sizeof(*hunt->roles));
	hunt->members = calloc(n_members + 1, sizeof(*hunt->members));
	if (!hunt->roles || !hunt->members)
		return error_set(e, -ENOMEM, "out of memory");
	n_members = 0;
	for (size_t i = 0; i < x->n_roles; i++) {
		struct symmetry_member *members = &hunt->members[n_members];
		bool alone = true;

		for (size_t k = 0; k < x->roles[i]->n_members; k++) {
			const Bop__Api__ExperimentProcess *process = process_find(hunt, x->roles[i]->members[k]);

			alone = alone && process && in_box(hunt, process->box) == 1;
			if (alone)
				members[k] = (struct symmetry_member){ process->name, process->box };
		}
		if (alone) {
			hunt->roles[n++] = (struct symmetry_role){ members, x->roles[i]->n_members };
			n_members += x->roles[i]->n_members;
		} else {
			hunt->left_out++;
		}
	}
	hunt->settings.loop.roles = hunt->roles;
	hunt->settings.loop.n_roles = n;
	return 0;
}

static int no_such(const char *option, const char *name, char **names, size_t n, struct error *e)
{
	struct nearest nearest;

	nearest_begin(&nearest, name, strlen(name));
	for (size_t i = 0; i < n; i++)
		nearest_offer(&nearest, names[i]);
	if (nearest.best)
		return error_set(e, -EINVAL, "%s %s: the experiment has none of that name; did you mean '%s'?", option, name,
				 nearest.best);
	return error_set(e, -EINVAL, "%s %s: the experiment has none of that name", option, name);
}

/* Names that may have commas between them, each handed to a function. */
static int each_name(struct hunt *hunt, const struct cmd_texts *texts,
		     int (*take)(struct hunt *hunt, const char *name, struct error *e), struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < texts->n && !err; i++) {
		char *copy = strdup(texts->texts[i]), *rest = copy, *name;

		err = copy ? 0 : error_set(e, -ENOMEM, "out of memory");
		while (!err && (name = strsep(&rest, ",")))
			err = take(hunt, name, e);
		free(copy);
	}
	return err;
}

static int process_allow(struct hunt *hunt, const char *name)
{
	size_t n = 0;

	while (hunt->processes[n])
		if (!strcmp(hunt->processes[n++], name))
			return 0;
	hunt->processes[n] = name;
	return 0;
}

static int process_take(struct hunt *hunt, const char *name, struct error *e)
{
	const Bop__Api__Experiment *x = hunt->experiment.experiment;
	const Bop__Api__ExperimentProcess *process = process_find(hunt, name);
	char *names[64];
	size_t n = 0;

	if (process && strcmp(process->role, "check"))
		return process_allow(hunt, process->name);
	for (size_t i = 0; i < x->n_processes && n < 64; i++)
		if (strcmp(x->processes[i]->role, "check"))
			names[n++] = x->processes[i]->name;
	return no_such("--processes", name, names, n, e);
}

static int box_take(struct hunt *hunt, const char *name, struct error *e)
{
	const Bop__Api__Experiment *x = hunt->experiment.experiment;
	bool there = false;

	for (size_t i = 0; i < x->n_boxes; i++)
		there = there || !strcmp(x->boxes[i], name);
	if (!there)
		return no_such("--boxes", name, x->boxes, x->n_boxes, e);
	for (size_t i = 0; i < x->n_processes; i++)
		if (!strcmp(x->processes[i]->box, name) && strcmp(x->processes[i]->role, "check"))
			process_allow(hunt, x->processes[i]->name);
	return 0;
}

static int processes_make(struct hunt *hunt, struct error *e)
{
	const struct hunt_settings *settings = &hunt->settings;
	int err;

	if (!settings->boxes.n && !settings->processes.n)
		return 0;
	hunt->processes = calloc(hunt->experiment.experiment->n_processes + 1, sizeof(*hunt->processes));
	if (!hunt->processes)
		return error_set(e, -ENOMEM, "out of memory");
	err = each_name(hunt, &settings->boxes, box_take, e);
	if (!err)
		err = each_name(hunt, &settings->processes, process_take, e);
	if (!err && !*hunt->processes) /* a certificate of nothing */
		err = error_set(e, -EINVAL, "--boxes %s: nobody that could be hit is in there", settings->boxes.texts[0]);
	hunt->settings.loop.budget.processes = hunt->processes;
	return err;
}

static int describe(struct hunt *hunt, struct error *e)
{
	Bop__Api__DescribeExperiment describe = BOP__API__DESCRIBE_EXPERIMENT__INIT;
	struct api_request request = { .kind = API_DESCRIBE_EXPERIMENT, .describe_experiment = &describe };

	remote_file(hunt->remote, &describe.name, &describe.path, &describe.text);
	return remote_ask(hunt->remote, &request, API_EXPERIMENT, &hunt->experiment, e);
}

int hunt_new(const struct hunt_settings *settings, struct remote *remote, struct hunt **ret_hunt, struct error *e)
{
	struct hunt *hunt = calloc(1, sizeof(*hunt));
	int err;

	if (!hunt)
		return error_set(e, -ENOMEM, "out of memory");
	hunt->settings = *settings;
	hunt->remote = remote;
	hunt->began_ns = clock_monotonic_ns();
	err = describe(hunt, e);
	if (!err && settings->symmetry)
		err = roles_make(hunt, e);
	if (!err)
		err = processes_make(hunt, e);
	if (!err && loop_new(&hunt->settings.loop, &hunt->loop))
		err = error_set(e, -ENOMEM, "out of memory");
	if (err)
		hunt_free(hunt);
	else
		*ret_hunt = hunt;
	return err;
}

void hunt_free(struct hunt *hunt)
{
	if (!hunt)
		return;
	loop_free(hunt->loop);
	api_answer_fini(&hunt->experiment);
	free(hunt->roles);
	free(hunt->members);
	free(hunt->processes);
	free(hunt);
}

/* What is not known is not whole. */
static bool is_whole(const struct store_run *row)
{
	return !row->incomplete && !row->lost && !row->holes;
}

/* A plan that the server does not take is one that cannot be run; without faults nothing can. */
static int refused(const char *const *lines, size_t n, int err, const struct error *e, struct hunt_run *ret)
{
	if (!n || (err != -EINVAL && err != -ENOENT))
		return err;
	*ret = (struct hunt_run){ .lines = lines, .n_lines = n, .outcome = OUTCOME_ERROR };
	snprintf(ret->reason, sizeof(ret->reason), "%s", e->text);
	return 0;
}

/* The agents may be in a run of somebody else: that ends. */
static int run_when_free(struct hunt *hunt, const struct plan *plan, struct course_result *ret, struct error *e)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };
	bool told = false;
	int err;

	while ((err = remote_run(hunt->remote, plan, COURSE_KEEP_ALL, NULL, ret, e)) == -EBUSY) {
		if (remote_interrupted(hunt->remote))
			return error_set(e, -EINTR, "interrupted");
		if (!told)
			fprintf(stderr, "bop: waiting: %s\n", e->text);
		told = true;
		nanosleep(&pause, NULL);
	}
	return err;
}

/* Labels of one run need not be there in the next, and may be racy: what fired is what counts. */
int hunt_run(struct hunt *hunt, const char *const *lines, size_t n, struct hunt_run *ret, struct error *e)
{
	struct plan plan = { .racy = n > 0 };
	struct course_result result;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = plan_add(&plan, "plan", lines[i], strlen(lines[i]), e);
	if (!err)
		err = run_when_free(hunt, &plan, &result, e);
	plan_fini(&plan);
	if (err)
		return refused(lines, n, err, e, ret);
	*ret = (struct hunt_run){ .lines = lines, .n_lines = n, .number = result.id, .outcome = result.outcome,
				  .whole = is_whole(result.run->row) };
	snprintf(ret->reason, sizeof(ret->reason), "%s", result.reason);
	if (!ret->whole && !*ret->reason)
		snprintf(ret->reason, sizeof(ret->reason), "events of it are lost");
	course_result_fini(&result);
	if (ret->outcome == OUTCOME_INTERRUPTED)
		return error_set(e, -EINTR, "interrupted");
	return 0;
}

/* Of what could not be run a certificate says so; but if nothing can, there is no point in trying all plans. */
static int errors_count(struct hunt *hunt, const struct hunt_run *run, struct error *e)
{
	hunt->errors = run->outcome == OUTCOME_ERROR ? hunt->errors + 1 : 0;
	if (run->outcome != OUTCOME_ERROR || (run->n_lines && hunt->errors < ERRORS_MAX))
		return 0;
	return error_set(e, -EIO, "run %llu: %s", (unsigned long long)run->number, run->reason);
}

static int once(struct hunt *hunt, struct hunt_run *ret, struct error *e)
{
	struct loop_learned learned;
	struct hunt_trial trial;
	size_t n;
	const char *const *lines = loop_plan(hunt->loop, &n);
	int err = hunt_run(hunt, lines, n, ret, e);

	if (!err)
		err = errors_count(hunt, ret, e);
	if (err)
		return err;
	err = hunt_trial_make(hunt, ret, &trial, e);
	if (!err && loop_result(hunt->loop, &trial.trial, &learned))
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err)
		hunt_show_run(hunt, ret, &learned);
	hunt_trial_fini(&trial);
	return err;
}

static int found(struct hunt *hunt, const struct hunt_run *run, struct error *e)
{
	struct hunt_violation violation;
	int err = hunt_violation_make(hunt, run, &violation, e);

	if (!err && loop_smaller(hunt->loop, violation.lines, violation.n))
		err = error_set(e, -ENOMEM, "out of memory");
	if (!err)
		hunt_show_violation(hunt, &violation);
	hunt_violation_fini(&violation);
	return err;
}

static int status_of(const struct hunt *hunt, enum loop_state state, const struct hunt_run *last)
{
	struct loop_counts counts;

	switch (state) {
	case LOOP_GOES_ON:
	case LOOP_RUNS_OUT:
		loop_counts(hunt->loop, &counts);
		return outcome_status(counts.violated ? OUTCOME_VIOLATED : OUTCOME_INCONCLUSIVE);
	case LOOP_NOT_GOOD:
		return last->whole ? outcome_status(last->outcome) : outcome_status(OUTCOME_INCONCLUSIVE);
	case LOOP_VIOLATED:
		return outcome_status(OUTCOME_VIOLATED);
	case LOOP_CERTIFIED:
		return outcome_status(loop_n_open(hunt->loop) ? OUTCOME_INCONCLUSIVE : OUTCOME_GOOD);
	}
	return CMD_EXIT_ERROR;
}

int hunt_go(struct hunt *hunt, int *ret_status, struct error *e)
{
	struct hunt_run run = { .n_lines = 0 };
	struct loop_counts counts;
	enum loop_state state;
	uint64_t violated = 0;
	int err = 0;

	hunt_show_begin(hunt);
	for (;;) {
		if (loop_next(hunt->loop, &state))
			return error_set(e, -ENOMEM, "out of memory");
		if (state != LOOP_GOES_ON)
			break;
		err = once(hunt, &run, e);
		if (err)
			return err;
		loop_counts(hunt->loop, &counts);
		if (counts.violated > violated && counts.plans > 1)
			err = found(hunt, &run, e);
		violated = counts.violated;
		if (err)
			return err;
		if (remote_interrupted(hunt->remote))
			return error_set(e, -EINTR, "interrupted");
	}
	hunt_show_end(hunt, state, &run);
	*ret_status = status_of(hunt, state, &run);
	return 0;
}
