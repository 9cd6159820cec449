/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a command's answers about runs come from: a server, or this process and a store. Which one it is shows nowhere
 * else: the requests are those of the API, and the same code answers them (query.h).
 */
#ifndef COLLECTOR_SOURCE_H
#define COLLECTOR_SOURCE_H

#include <stdio.h>

#include "collector/cmd.h"
#include "collector/show.h"
#include "proto/api.h"

#define SOURCE_OPTION_SERVER                                                                                           \
	{                                                                                                              \
		"server", 0, CMD_MAYBE_TEXT, CMD_OPTION(server), "URL",                                                \
			"ask `bop serve`, not a store (default: this user's server)"                                   \
	}

struct source;

/* As the options say. mode: of the store. Says what is wrong itself, and returns NULL. */
struct source *source_open(const struct cmd_args *args, enum store_mode mode);
void source_close(struct source *source);

/* Expects an answer of that kind, which api_answer_fini() frees; the request's id does not matter. */
int source_ask(struct source *source, const struct api_request *request, enum api_answer_kind kind,
	       struct api_answer *ret_answer, struct error *e);

/* The number of a run that is called "7" or "last". -EINVAL, -ENOENT. */
int source_run(struct source *source, const char *name, uint64_t *ret_run, struct error *e);

/* All of what Render gives. A write that fails is left in ferror(out). */
int source_render(struct source *source, Bop__Api__Render *ask, FILE *out, struct error *e);

/* All of what Diff gives, and whether something differs. As above. */
int source_diff(struct source *source, Bop__Api__Diff *ask, FILE *out, bool *ret_differs, struct error *e);

/* All runs of a source, oldest first. */
show_each_run source_each_run;

#endif
