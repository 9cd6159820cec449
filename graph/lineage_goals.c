/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The goals of a run: those that its check names, or those that every run has. See lineage.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/lineage_inside.h"

struct part {
	const char *at;
	size_t n;
};

/* Whether a line of a check's output is a goal, and of what name and moment. */
static bool goal_split(struct part line, struct part *ret_name, struct part *ret_moment)
{
	static const char begin[] = "goal ";
	const char *colon;

	while (line.n && strchr(" \t\r", line.at[line.n - 1]))
		line.n--;
	if (line.n < sizeof(begin) - 1 || memcmp(line.at, begin, sizeof(begin) - 1))
		return false;
	colon = memmem(line.at, line.n, ": ", 2);
	if (!colon)
		return false;
	*ret_name = (struct part){ line.at + sizeof(begin) - 1, 0 };
	*ret_moment = (struct part){ colon + 2, (size_t)(line.at + line.n - colon - 2) };
	if (colon < ret_name->at)
		return false;
	ret_name->n = (size_t)(colon - ret_name->at);
	while (ret_name->n && *ret_name->at == ' ') {
		ret_name->at++;
		ret_name->n--;
	}
	while (ret_moment->n && *ret_moment->at == ' ') {
		ret_moment->at++;
		ret_moment->n--;
	}
	return true;
}

static int goal_add(struct lineage_goals *goals, struct part name, struct part moment, uint32_t vertex)
{
	struct lineage_goal *row;

	for (size_t i = 0; i < goals->n; i++)
		if (goals->rows[i].vertex == vertex && strlen(goals->rows[i].name) == name.n &&
		    !memcmp(goals->rows[i].name, name.at, name.n))
			return 0;
	row = realloc(goals->rows, (goals->n + 1) * sizeof(*row));
	if (!row)
		return -ENOMEM;
	goals->rows = row;
	row += goals->n;
	*row = (struct lineage_goal){ strndup(name.at, name.n), strndup(moment.at, moment.n), vertex };
	if (row->name && row->moment) {
		goals->n++;
		return 0;
	}
	free(row->name);
	free(row->moment);
	return -ENOMEM;
}

/* The line without its end: a zero byte ends it, too. */
static int line_take(struct lineage *l, struct part line, struct lineage_goals *goals, struct error *e)
{
	struct part name, moment;
	uint32_t vertex = LINEAGE_NONE;
	int err;

	line.n = strnlen(line.at, line.n);
	if (!goal_split(line, &name, &moment))
		return 0;
	if (!name.n || name.n > LINEAGE_NAME_MAX)
		return error_set(e, -EINVAL,
				 "the check printed a goal with %s name: 'goal NAME: MOMENT', the name up to %u bytes",
				 name.n ? "too long a" : "no", LINEAGE_NAME_MAX);
	err = lineage_moment_find(l, moment.at, moment.n, &vertex, e);
	if (err == -EINVAL || err == -ENOENT)
		return error_prefix(e, -EINVAL, "the check names a goal '%.*s'", (int)name.n, name.at);
	return err ? err : goal_add(goals, name, moment, vertex);
}

int lineage_goals_read(struct lineage *l, const char *output, size_t size, struct lineage_goals *ret_goals,
		       struct error *e)
{
	struct lineage_goals goals = { .n = 0 };
	const char *end;
	int err = 0;

	for (size_t i = 0; i < size && !err; i = (size_t)(end - output) + 1) {
		end = memchr(output + i, '\n', size - i);
		if (!end)
			end = output + size;
		err = line_take(l, (struct part){ output + i, (size_t)(end - output) - i }, &goals, e);
	}
	if (err) {
		lineage_goals_fini(&goals);
		return err == -ENOMEM ? error_set(e, err, "out of memory") : err;
	}
	*ret_goals = goals;
	return 0;
}

/* 1, 0, or -ENOMEM. */
static int supported(const struct lineage *l, uint32_t vertex)
{
	bool *past = NULL, any = false;
	int err = lineage_past(l, vertex, &past);

	for (uint32_t m = 0; m < l->graph->n_messages && !err && !any; m++)
		any = lineage_supports(l, past, m);
	free(past);
	return err ? err : any;
}

int lineage_goals_default(struct lineage *l, const char *const *workloads, size_t n, struct lineage_goals *ret_goals)
{
	struct lineage_goals goals = { .n = 0 };
	char name[FAULT_NAME_MAX + 8], moment[FAULT_NAME_MAX + 8];
	uint32_t vertex = LINEAGE_NONE;
	int err = 0, any = 0;

	for (size_t i = 0; i < n && !err; i++) {
		snprintf(name, sizeof(name), "%s exit", workloads[i]);
		snprintf(moment, sizeof(moment), "exit %s", workloads[i]);
		err = lineage_moment(l, moment, &vertex, NULL);
		if (err == -ENOMEM)
			break;
		if (err) { /* it has none: killed with its box, or never started */
			err = 0;
			continue;
		}
		err = goal_add(&goals, (struct part){ name, strlen(name) }, (struct part){ moment, strlen(moment) },
			       vertex);
		if (!err && !any)
			any = supported(l, vertex);
		if (any < 0)
			err = any;
	}
	if (!err && !any) {
		lineage_goals_fini(&goals);
		err = goal_add(&goals, (struct part){ "outcome", 7 }, (struct part){ "", 0 }, LINEAGE_NONE);
	}
	if (err)
		lineage_goals_fini(&goals);
	else
		*ret_goals = goals;
	return err;
}

void lineage_goals_fini(struct lineage_goals *goals)
{
	for (size_t i = 0; i < goals->n; i++) {
		free(goals->rows[i].name);
		free(goals->rows[i].moment);
	}
	free(goals->rows);
	*goals = (struct lineage_goals){ .n = 0 };
}
