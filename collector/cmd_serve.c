/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop serve: the server in the foreground. */
#include "collector/cmd.h"
#include "collector/serve.h"

static int serve_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct serve_options options = {
		.directory = args->directory, .listen = args->listen, .listen_api = args->listen_api, .keys = args->keys, .store = cmd_store_url(args),
		.agent = args->agent, .boxes = args->boxes.texts, .n_boxes = args->boxes.n, .private = args->private,
	};
	struct serve *serve = NULL;
	struct error e;
	int err;

	if (args->boxes.n && !args->agent)
		return cmd_failf("serve: --box is about the agent of --agent");
	err = serve_open(&options, &serve, &e);
	if (!err)
		err = serve_loop(serve, &e);
	serve_close(serve);
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "agent", 0, CMD_FLAG, CMD_OPTION(agent), NULL, "start an agent (tfj) as well, and end it at the end; needs root" },
	{ "box", 0, CMD_TEXTS, CMD_OPTION(boxes), "NAME[=NETNS]", "a box of that agent, as for `tfj --box`; as often as wanted" },
	{ "listen", 0, CMD_TEXT, CMD_OPTION(listen), "URL",
	  "let agents of other machines in at tcp://ADDRESS:PORT; needs keys (bop keys)" },
	{ "listen-api", 0, CMD_TEXT, CMD_OPTION(listen_api), "URL",
	  "let controllers of other machines (--server tcp://...) in at tcp://ADDRESS:PORT; needs keys as well" },
	CMD_OPTION_STORE,
	{ "dir", 0, CMD_TEXT, CMD_OPTION(directory), "DIR",
	  "private directory of the sockets (default: $BOP_SERVER_DIR, else /run/bop for root)" },
	{ "keys", 0, CMD_TEXT, CMD_OPTION(keys), "DIR",
	  "the folder of keys (default: $BOP_KEYS, else /etc/bop/keys for root, ~/.config/bop/keys)" },
	{ "parent-death", 0, CMD_FLAG, CMD_OPTION(private), NULL,
	  "for programs that start it: end when they end, and remove DIR then" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_serve = {
	.name = "serve",
	.arguments = "",
	.summary = "Takes agents (tfj) of this and other machines, and runs experiments on their boxes",
	.text = "It stays in the foreground and tells on stderr who comes, who is refused and what runs; SIGTERM or Ctrl-C\n"
		"ends it: runs in order first, at once with a second one. Agents of this machine connect to\n"
		"ipc://DIR/agents, `bop run --server` and `bop boxes` to ipc://DIR/api; only its user can open these.\n"
		"Without $BOP_SERVER_DIR, and not as root, DIR is bop in $XDG_RUNTIME_DIR, else /tmp/bop.server.UID.\n\n"
		"Over TCP, also on this machine, both sides show keys; only agents on the list get in, and controllers on theirs:\n\n"
		"  bop keys make server\n"
		"  bop keys allow web1 'AGENTKEY'\n"
		"  bop serve --listen tcp://0.0.0.0:7100 --store runs.db\n\n"
		"The list is read again when it changes. docs/agents.md tells all of it.\n",
	.options = options,
	.max_rest = 0,
	.main = serve_main,
};
