/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See cmd_server.h. */
#include "collector/cmd_server.h"

#include "collector/client.h"

int cmd_server_ask(const struct cmd_args *args, const struct api_request *request, enum api_answer_kind kind,
		   struct api_answer *ret_answer)
{
	struct client *client = NULL;
	struct api_answer answer;
	struct error e;
	int err = client_open(args->server ? args->server : "", &client, &e);

	if (!err)
		err = client_ask(client, request, &answer, &e);
	client_close(client);
	if (err < 0)
		return cmd_fail(&e);
	if (answer.kind == kind) {
		*ret_answer = answer;
		return 0;
	}
	api_answer_fini(&answer);
	return cmd_failf("the server answered something else");
}

int cmd_run_number(const struct cmd_args *args, uint64_t *ret_run)
{
	if (args->run && !cmd_number(args->run, UINT64_MAX, ret_run))
		return cmd_failf("--run %s: give the number of a run that goes on (see `bop boxes`)", args->run);
	return 0;
}
