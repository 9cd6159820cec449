/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See cmd_remote.h. */
#include "collector/cmd_remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/private_server.h"
#include "collector/show.h"

int cmd_run_print(struct course_result *run, const char *store, const struct cmd_args *args)
{
	const struct prints *prints = run->has_prints ? &run->prints : NULL;
	int status = outcome_status(run->outcome);

	if (run->outcome == OUTCOME_ERROR)
		fprintf(stderr, "bop: run %llu: %s\n", (unsigned long long)run->id, run->reason);
	if (run->run && args->json)
		show_run_line_json(run->run, prints, &run->timing, run->directory, stdout);
	else if (run->run)
		show_run_line(run->run, prints, args->prints, store, stdout);
	if (*run->directory && !args->json)
		printf("  directory: %s\n", run->directory);
	course_result_fini(run);
	return cmd_flush(status);
}

int cmd_remote_open(const struct cmd_args *args, struct cmd_remote *ret)
{
	char name[STORE_NAME_MAX];
	struct error e;
	int err = 0;

	*ret = (struct cmd_remote){ .server = NULL };
	if (args->server && args->store)
		return cmd_failf("--store is the server's to say (bop serve --store); it does not go together with --server");
	if (!args->server)
		err = store_exists(cmd_store_url(args), &e);
	if (!args->server && !err)
		err = error_set(&e, -ENOENT, "there is no store %s, so no run in it", store_name(cmd_store_url(args), name));
	if (!args->server && err > 0)
		err = private_server_open(cmd_store_url(args), NULL, &ret->server, &e);
	if (!err)
		err = remote_open(args->server ? args->server : private_server_url(ret->server), NULL, &ret->remote, &e);
	if (!err)
		return 0;
	cmd_remote_close(ret);
	return cmd_fail(&e);
}

void cmd_remote_close(struct cmd_remote *remote)
{
	remote_close(remote->remote);
	private_server_close(remote->server);
	*remote = (struct cmd_remote){ .server = NULL };
}

int cmd_remote_fail(const struct cmd_remote *remote, int err, const struct error *e)
{
	if (err == -EINTR || remote_interrupted(remote->remote))
		return outcome_status(OUTCOME_INTERRUPTED);
	return cmd_fail(e);
}

int cmd_keep(const struct cmd_args *args, unsigned *ret_keep)
{
	struct error e;

	*ret_keep = args->keep ? COURSE_KEEP_DIRECTORY : 0;
	return course_keep_parse(args->keep_runs, ret_keep, &e) ? cmd_failf("--%s", e.text) : 0;
}

int cmd_run_named(const struct cmd *cmd, const char *text, uint64_t *ret_run)
{
	*ret_run = 0;
	if (!strcmp(text, "last") || cmd_number(text, INT64_MAX, ret_run))
		return 0;
	return cmd_failf("%s: '%s' is no run: give a number that `bop runs` lists, or last", cmd->name, text);
}
