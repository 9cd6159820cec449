/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The faults on a command line: --fault, --plan, --seed, --racy, --dry-run, for the commands that take them. */
#ifndef COLLECTOR_CMD_PLAN_H
#define COLLECTOR_CMD_PLAN_H

#include "collector/cmd.h"
#include "collector/plan.h"

#define CMD_OPTION_PLAN                                                                          \
	{ "plan", 'p', CMD_TEXTS, CMD_OPTION(plans), "FILE",                                     \
	  "a file with faults, one a line; as often as wanted" }
#define CMD_OPTION_SEED                                                                  \
	{ "seed", 0, CMD_TEXT, CMD_OPTION(seed), "N",                                    \
	  "of what random faults decide; drawn and kept with the run if it is not given" }
#define CMD_OPTION_RACY                                                                          \
	{ "racy", 0, CMD_FLAG, CMD_OPTION(racy), NULL,                                           \
	  "take labels that the next run may give to something else, or that no run has shown" }
#define CMD_OPTION_DRY                                                                   \
	{ "dry-run", 0, CMD_FLAG, CMD_OPTION(dry), NULL,                                 \
	  "decide everything as with faults, but let nothing happen: say what would fire" }

/* All lines of args, read but not checked against an experiment. plan is empty before, and may hold some after a failure. */
int cmd_plan_read(const struct cmd_args *args, struct plan *plan, struct error *e);

#endif
