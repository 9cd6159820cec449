/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See api_faults.h. Pure. */
#include "proto/api_faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/text.h"

#define LINES_MAX (4 * FAULT_PLAN_MAX) /* comments count; that there are too many faults in them is for the plan to say */

Bop__Api__FaultLine **api_lines_rows(const struct api_plan *plan)
{
	Bop__Api__FaultLine **rows = malloc(plan->n * (sizeof(*rows) + sizeof(**rows)) + 1);
	Bop__Api__FaultLine *row = rows ? (Bop__Api__FaultLine *)(rows + plan->n) : NULL;

	for (size_t i = 0; rows && i < plan->n; i++) {
		rows[i] = &row[i];
		bop__api__fault_line__init(&row[i]);
		row[i].line = text_of(plan->lines[i]);
		row[i].origin = text_of(plan->origins[i]);
	}
	return rows;
}

Bop__Api__Fault **api_faults_rows(const struct api_faults *faults)
{
	Bop__Api__Fault **rows = malloc(faults->n * (sizeof(*rows) + sizeof(**rows)) + 1);
	Bop__Api__Fault *row = rows ? (Bop__Api__Fault *)(rows + faults->n) : NULL;

	for (size_t i = 0; rows && i < faults->n; i++) {
		const struct api_fault *from = &faults->rows[i];

		rows[i] = &row[i];
		bop__api__fault__init(&row[i]);
		row[i].run = from->run;
		row[i].dry_run = from->dry;
		row[i].live = from->live;
		row[i].line = text_of(from->receipt.line);
		row[i].why = text_of(from->receipt.why);
		row[i].state = (char *)fault_state_name(from->receipt.state);
#define X(field) row[i].field = from->receipt.field;
		FAULT_RECEIPT_NUMBERS(X)
#undef X
	}
	return rows;
}

int api_lines_take(Bop__Api__FaultLine **rows, size_t n, struct api_plan *plan)
{
	if (n > LINES_MAX)
		return -EBADMSG;
	plan->lines = calloc(n + 1, sizeof(*plan->lines));
	plan->origins = calloc(n + 1, sizeof(*plan->origins));
	if (!plan->lines || !plan->origins)
		return -ENOMEM;
	for (; plan->n < n; plan->n++) {
		size_t i = plan->n;

		if (strlen(rows[i]->line) > FAULT_LINE_MAX || strlen(rows[i]->origin) > FAULT_LINE_MAX)
			return -EBADMSG;
		plan->lines[i] = strdup(rows[i]->line);
		plan->origins[i] = strdup(rows[i]->origin);
		if (!plan->lines[i] || !plan->origins[i]) {
			plan->n++;
			return -ENOMEM;
		}
	}
	return 0;
}

/* -1: no state is called that. */
static int state_of(const char *name)
{
	for (int state = 0; state < FAULT_STATE_COUNT; state++)
		if (!strcmp(name, fault_state_name(state)))
			return state;
	return -1;
}

int api_faults_take(const Bop__Api__Faults *from, struct api_faults *faults)
{
	int err = 0;

	if (from->n_rows > LINES_MAX)
		return -EBADMSG;
	faults->rows = calloc(from->n_rows + 1, sizeof(*faults->rows));
	if (!faults->rows)
		return -ENOMEM;
	while (faults->n < from->n_rows && !err) {
		const Bop__Api__Fault *row = from->rows[faults->n];
		struct api_fault *to = &faults->rows[faults->n++];
		int state = state_of(row->state);

		to->run = row->run;
		to->dry = row->dry_run;
		to->live = row->live;
		to->receipt.state = state > 0 ? (enum fault_state)state : FAULT_STATE_NONE;
#define X(field) to->receipt.field = row->field;
		FAULT_RECEIPT_NUMBERS(X)
#undef X
		err = state < 0 ? -EBADMSG : shown_copy(&to->receipt.line, row->line);
		err = err ? err : shown_copy(&to->receipt.why, row->why);
	}
	return err;
}

int api_injected_take(const Bop__Api__Injected *from, struct api_injected *injected)
{
	if (from->n_ids > FAULT_PLAN_MAX)
		return -EBADMSG;
	injected->run = from->run;
	injected->ids = calloc(from->n_ids + 1, sizeof(*injected->ids));
	if (!injected->ids)
		return -ENOMEM;
	injected->n = from->n_ids;
	if (from->n_ids)
		memcpy(injected->ids, from->ids, from->n_ids * sizeof(*injected->ids));
	return 0;
}

void api_plan_fini(struct api_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		free(plan->lines[i]);
		free(plan->origins[i]);
	}
	free(plan->lines);
	free(plan->origins);
}

void api_faults_fini(struct api_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		fault_receipt_fini(&faults->rows[i].receipt);
	free(faults->rows);
}
