/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For commands that have a server run something: one that is named, or one of their own, on the store that the options name. */
#ifndef COLLECTOR_CMD_REMOTE_H
#define COLLECTOR_CMD_REMOTE_H

#include "collector/cmd.h"
#include "collector/remote.h"

#define CMD_OPTION_ELSEWHERE                                                                                           \
	{                                                                                                              \
		"server", 0, CMD_MAYBE_TEXT, CMD_OPTION(server), "URL",                                                \
			"ask `bop serve`, on the boxes of its agents and from its store (default: this user's server)"  \
	}

struct private_server;

struct cmd_remote {
	struct private_server *server; /* NULL: not ours */
	struct remote *remote;
};

/* 0; else it has said what is wrong, and this is the exit status. */
int cmd_remote_open(const struct cmd_args *args, struct cmd_remote *ret);
void cmd_remote_close(struct cmd_remote *remote);

/* Says what there is to say of a run that has ended, and frees it. store: where it is kept; NULL: not known. Returns the exit status for it. */
int cmd_run_print(struct course_result *run, const char *store, const struct cmd_args *args);

/* What err and e are worth to who called remote_*(): said, unless the user stopped it. Returns the exit status. */
int cmd_remote_fail(const struct cmd_remote *remote, int err, const struct error *e);

/* What the options want kept: course_keep. 0; else it has said what is wrong, and this is the exit status. */
int cmd_keep(const struct cmd_args *args, unsigned *ret_keep);

#define CMD_OPTION_KEEP                                                                                                \
	{                                                                                                              \
		"keep", 0, CMD_TEXT, CMD_OPTION(keep_runs), "WHICH",                                                   \
			"new: of runs that did the same, one keeps its events (default); all: each keeps them"          \
	}

/* "7", or "last", which is 0. 0; else it has said what is wrong, and this is the exit status. */
int cmd_run_named(const struct cmd *cmd, const char *text, uint64_t *ret_run);

#endif
