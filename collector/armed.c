/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See armed.h. */
#include "collector/armed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void fault_free(const struct armed *armed, struct armed_fault *fault)
{
	for (size_t i = 0; fault->receipts && i < armed->n_agents; i++)
		fault_receipt_fini(&fault->receipts[i]);
	free(fault->receipts);
	free(fault->line);
}

void armed_fini(struct armed *armed)
{
	for (size_t i = 0; i < armed->n; i++)
		fault_free(armed, &armed->faults[i]);
	free(armed->faults);
	*armed = (struct armed){ .n = 0 };
}

static int fault_init(const struct armed *armed, struct armed_fault *to, const struct fault *from, bool live)
{
	*to = (struct armed_fault){ .dry = from->flags & FAULT_F_DRY, .live = live };
	to->line = strdup(from->text);
	to->receipts = calloc(armed->n_agents + 1, sizeof(*to->receipts));
	return to->line && to->receipts ? 0 : -ENOMEM;
}

int armed_add(struct armed *armed, const struct plan *plan, bool live, struct error *e)
{
	struct armed_fault *grown;
	size_t n = armed->n;
	int err = 0;

	if (plan->n > FAULT_PLAN_MAX - armed->n)
		return error_set(e, -E2BIG, "a run has %u faults at most", FAULT_PLAN_MAX);
	grown = realloc(armed->faults, (armed->n + plan->n + 1) * sizeof(*grown));
	if (!grown)
		return error_set(e, -ENOMEM, "out of memory");
	armed->faults = grown;
	for (size_t i = 0; i < plan->n && !err; i++)
		err = fault_init(armed, &grown[armed->n++], &plan->faults[i], live);
	while (err && armed->n > n)
		fault_free(armed, &armed->faults[--armed->n]);
	return err ? error_set(e, err, "out of memory") : 0;
}

void armed_remove(struct armed *armed, uint32_t from)
{
	while (armed->n && armed->n >= from)
		fault_free(armed, &armed->faults[--armed->n]);
}

uint32_t armed_next(const struct armed *armed)
{
	return (uint32_t)armed->n + 1;
}

struct armed_fault *armed_find(const struct armed *armed, uint32_t id)
{
	return id && id <= armed->n ? &armed->faults[id - 1] : NULL;
}

void armed_answered(struct armed *armed, uint32_t from, size_t n, int err, const char *why)
{
	for (size_t i = 0; i < n; i++) {
		struct armed_fault *fault = armed_find(armed, from + (uint32_t)i);

		if (!fault)
			continue;
		fault->state = err ? FAULT_STATE_REFUSED : FAULT_STATE_ARMED;
		if (err && armed->n_agents) {
			free(fault->receipts[0].why);
			fault->receipts[0].why = strdup(why);
		}
	}
}

void armed_take(struct armed *armed, size_t agent, struct fault_receipt *rows, size_t n)
{
	for (size_t i = 0; i < n && agent < armed->n_agents; i++) {
		struct armed_fault *fault = armed_find(armed, rows[i].id);

		if (!fault)
			continue;
		fault_receipt_fini(&fault->receipts[agent]);
		fault->receipts[agent] = rows[i];
		rows[i] = (struct fault_receipt){ .state = FAULT_STATE_NONE };
	}
}

static int text_copy(char **ret_text, const char *from)
{
	*ret_text = strdup(from ? from : "");
	return *ret_text ? 0 : -ENOMEM;
}

int armed_receipt(const struct armed *armed, const struct armed_fault *fault, struct fault_receipt *ret_receipt)
{
	struct fault_receipt all = { .id = (uint32_t)(fault - armed->faults) + 1, .state = FAULT_STATE_NONE }, one;
	int err = text_copy(&all.line, fault->line);

	for (size_t i = 0; i < armed->n_agents && !err; i++) {
		one = fault->receipts[i];
		err = text_copy(&one.why, one.why);
		one.line = NULL;
		fault_receipt_join(&all, &one);
	}
	if (all.state == FAULT_STATE_NONE)
		all.state = fault->state;
	if (!err && !all.why)
		err = text_copy(&all.why, "");
	if (err)
		fault_receipt_fini(&all);
	else
		*ret_receipt = all;
	return err;
}
