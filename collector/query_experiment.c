/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an experiment file says. See query.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/experiment.h"
#include "collector/query_inside.h"

/* The words of a command, with blanks between them; malloc'ed. */
static char *command_text(char *const *argv)
{
	size_t size = 1;
	char *text, *at;

	for (size_t i = 0; argv && argv[i]; i++)
		size += strlen(argv[i]) + 1;
	text = at = calloc(1, size);
	for (size_t i = 0; text && argv && argv[i]; i++) {
		if (i)
			*at++ = ' ';
		at = stpcpy(at, argv[i]);
	}
	return text;
}

static int process_add(Bop__Api__Experiment *answer, const char *name, const char *box, char *const *argv,
		       const char *attached, const char *role)
{
	Bop__Api__ExperimentProcess *row = QUERY_MAKE(experiment_process);
	char *command = attached ? strdup(attached) : command_text(argv);
	int err = query_row_add(&answer->processes, &answer->n_processes, row);

	if (!err && !command)
		err = -ENOMEM;
	if (!err)
		err = query_text(&row->name, name);
	if (!err)
		err = query_text(&row->box, box);
	if (!err)
		err = query_text(&row->role, role);
	if (!err)
		err = query_text(&row->command, command);
	free(command);
	return err;
}

static int role_add(Bop__Api__Experiment *answer, const struct experiment_role *role)
{
	Bop__Api__Role *row = QUERY_MAKE(role);
	int err = query_row_add(&answer->roles, &answer->n_roles, row);

	if (!err)
		err = query_text(&row->name, role->name);
	for (char **member = role->members; *member && !err; member++)
		err = query_text_add(&row->members, &row->n_members, *member, strlen(*member));
	return err;
}

static int fill(const struct experiment *x, Bop__Api__Experiment *answer)
{
	int err = query_text(&answer->name, x->name);

	for (size_t i = 0; i < x->n_boxes && !err; i++)
		err = query_text_add(&answer->boxes, &answer->n_boxes, x->boxes[i], strlen(x->boxes[i]));
	for (size_t i = 0; i < x->n_processes && !err; i++) {
		const struct experiment_process *p = &x->processes[i];

		err = process_add(answer, p->name, p->box, p->run, p->attach ? p->attach->text : NULL, "process");
	}
	for (size_t i = 0; i < x->n_workloads && !err; i++)
		err = process_add(answer, x->workloads[i].name, x->workloads[i].box, x->workloads[i].run, NULL,
				  "workload");
	if (!err && x->check_run)
		err = process_add(answer, "check", x->check_box, x->check_run, NULL, "check");
	for (size_t i = 0; i < x->n_roles && !err; i++)
		err = role_add(answer, &x->roles[i]);
	answer->timeout_ns = x->timeout_ns;
	return err;
}

int query_describe_experiment(struct store *store, const Bop__Api__DescribeExperiment *ask,
			      Bop__Api__Experiment *answer, struct error *e)
{
	const char *name = *ask->name ? ask->name : "experiment.yaml",
		   *path = *ask->path ? ask->path : "/experiment.yaml";
	char *text = strndup(ask->text.data ? (const char *)ask->text.data : "", ask->text.len);
	struct experiment *x = NULL;
	int err = text ? experiment_parse(name, path, text, ask->text.len, &x, e) : -ENOMEM;

	if (!err)
		err = fill(x, answer);
	if (!err)
		err = store_run_baseline(store, x->name, &answer->baseline_run, e);
	experiment_free(x);
	free(text);
	return err;
}
