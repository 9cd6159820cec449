/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See cmd_plan.h. */
#include "collector/cmd_plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int seed_read(const char *text, uint64_t *ret_seed, struct error *e)
{
	if (!cmd_number(text, PLAN_SEED_MAX, ret_seed))
		return error_set(e, -EINVAL, "--seed %s: give a whole number from 1 to %llu", text,
				 (unsigned long long)PLAN_SEED_MAX);
	return 0;
}

int cmd_plan_read(const struct cmd_args *args, struct plan *plan, struct error *e)
{
	char origin[32];
	int err = 0;

	plan->dry = args->dry;
	plan->racy = args->racy;
	if (args->seed)
		err = seed_read(args->seed, &plan->seed, e);
	for (size_t i = 0; i < args->faults.n && !err; i++) {
		snprintf(origin, sizeof(origin), "--fault:%zu", i + 1);
		err = plan_add(plan, origin, args->faults.texts[i], strlen(args->faults.texts[i]), e);
	}
	for (size_t i = 0; i < args->plans.n && !err; i++)
		err = plan_add_file(plan, args->plans.texts[i], e);
	if (!err && !plan->n && (args->faults.n || args->plans.n))
		err = error_set(e, -EINVAL, "%s: there is no fault in it", args->plans.n ? args->plans.texts[0] : "--fault");
	return err;
}
