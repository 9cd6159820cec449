/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For commands that ask a server one thing. */
#ifndef COLLECTOR_CMD_SERVER_H
#define COLLECTOR_CMD_SERVER_H

#include "collector/cmd.h"
#include "proto/api.h"

#define CMD_OPTION_SERVER                                                                                              \
	{                                                                                                              \
		"server", 0, CMD_TEXT, CMD_OPTION(server), "URL",                                                      \
			"the server (default: ipc://DIR/api, DIR as in `bop serve --help`)"                            \
	}
#define CMD_OPTION_RUN                                                                                                 \
	{                                                                                                              \
		"run", 0, CMD_TEXT, CMD_OPTION(run), "RUN", "which run, if several go on"                              \
	}

/*
 * Asks, and expects an answer of that kind, to be freed with api_answer_fini(). Else says what is wrong, and returns
 * the exit status.
 */
int cmd_server_ask(const struct cmd_args *args, const struct api_request *request, enum api_answer_kind kind,
		   struct api_answer *ret_answer);

/* --run; 0: not given. Else as above. */
int cmd_run_number(const struct cmd_args *args, uint64_t *ret_run);

#endif
