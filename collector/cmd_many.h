/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * For commands that make several runs: how many more, and what came of them. With --until-stable it ends when that many runs in a
 * row brought no class that history has not (docs/history.md).
 */
#ifndef COLLECTOR_CMD_MANY_H
#define COLLECTOR_CMD_MANY_H

#include "collector/cmd.h"
#include "collector/course.h"
#include "collector/plan.h"
#include "collector/tally.h"
#include "proto/api.h"

#define CMD_OPTIONS_STABLE                                                                                              \
	{ "until-stable", 0, CMD_NUMBER, CMD_OPTION(until_stable), "N",                                                \
	  "until N runs in a row brought nothing new; with --runs at most so many" },                                 \
	{ "level", 0, CMD_TEXT, CMD_OPTION(level), "LEVEL",                                                            \
	  "with --until-stable, what counts as the same: exact (default), folded, shape (docs/print.md)" },           \
	{ "symmetric", 0, CMD_FLAG, CMD_OPTION(symmetric), NULL, "... also when processes of one role stand for each other" }

struct cmd_many {
	const struct cmd_args *args;
	struct tally tally;
	uint64_t made, new_classes; /* runs; exact classes that no run of the store's had before */
	char why_not[128]; /* why the last run does not count */
	/* of a replay: the run that is repeated, and how many did the same */
	uint64_t of, as_before;
	struct print before; /* exact */
	bool has_before;
	bool failed; /* no memory: said */
};

/* 0; else it has said what is wrong, and this is the exit status. */
int cmd_many_begin(struct cmd_many *many, const struct cmd_args *args);

/*
 * What history has of an experiment, with that plan. ask: asks a server, or a store, and expects an answer of that kind. An experiment
 * that has no run is none. 0, or as ask fails.
 */
typedef int cmd_many_ask(void *from, struct api_request *request, enum api_answer_kind kind, struct api_answer *ret_answer,
			 struct error *e);
int cmd_many_know(struct cmd_many *many, const char *experiment, const struct plan *plan, cmd_many_ask *ask, void *from, struct error *e);

/* Whether to make another one. */
bool cmd_many_more(const struct cmd_many *many);
/* One that ended. */
void cmd_many_run(struct cmd_many *many, const struct course_result *run);
/* Sums up, if there were several, and lets go. status: of the runs. Returns the exit status of the command. */
int cmd_many_end(struct cmd_many *many, int status);

#endif
