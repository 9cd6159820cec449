/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop run: an experiment from its file to a stored run, and a line or two about it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector/catch_up.h"
#include "collector/cmd.h"
#include "collector/cmd_many.h"
#include "collector/cmd_plan.h"
#include "collector/cmd_remote.h"
#include "collector/labels.h"
#include "collector/private_server.h"
#include "collector/reading.h"
#include "collector/session.h"
#include "lib/place.h"

/* A seed that was not given is another one each time. */
static int run_once(struct session *session, struct store *store, const struct experiment *x, struct plan *plan,
		    const struct cmd_args *args, struct cmd_many *many)
{
	struct course_result run;
	struct error e;
	unsigned keep;

	if (cmd_keep(args, &keep))
		return CMD_EXIT_ERROR;
	plan->seed = args->seed ? plan->seed : 0;
	if (plan_number(plan, 1, &e) < 0 || session_run(session, store, x, plan, keep, &run, &e) < 0)
		return cmd_fail(&e);
	cmd_many_run(many, &run);
	return cmd_run_print(&run, args->store, args);
}

/* A store that is asked, page by page. */
struct asked_store {
	struct store *store;
	struct reading *reading;
};

static int ask_store(void *arg, struct api_request *request, enum api_answer_kind kind, struct api_answer *ret_answer, struct error *e)
{
	struct asked_store *asked = arg;

	return reading_answer(asked->store, request, &asked->reading, ret_answer, e);
}

/* Ends with the first run that could not be made at all: made does not grow then. */
static int run_all(struct session *session, struct store *store, const struct experiment *x, struct plan *plan,
		   const struct cmd_args *args, struct cmd_many *many)
{
	struct asked_store asked = { .store = store };
	uint64_t made = UINT64_MAX;
	struct error e;
	int err = args->until_stable ? history_catch_up(store, &e) : 0, status = 0;

	if (err >= 0)
		err = cmd_many_know(many, x->name, plan, ask_store, &asked, &e);
	reading_free(asked.reading);
	if (err < 0)
		return cmd_fail(&e);
	while (cmd_many_more(many) && made != many->made && !session_interrupted(session) && !session_agent_lost(session)) {
		made = many->made;
		status = outcome_worse_status(status, run_once(session, store, x, plan, args, many));
	}
	if (session_interrupted(session))
		status = outcome_worse_status(status, outcome_status(OUTCOME_INTERRUPTED));
	return status;
}

static int ask_remote(void *remote, struct api_request *request, enum api_answer_kind kind, struct api_answer *ret_answer, struct error *e)
{
	return remote_ask(remote, request, kind, ret_answer, e);
}

/* The server reads the file, and says what the experiment is called. */
static int know_remote(struct remote *remote, const struct plan *plan, struct cmd_many *many, struct error *e)
{
	Bop__Api__DescribeExperiment describe = BOP__API__DESCRIBE_EXPERIMENT__INIT;
	struct api_request request = { .kind = API_DESCRIBE_EXPERIMENT, .describe_experiment = &describe };
	struct api_answer answer;
	int err;

	if (!many->args->until_stable)
		return 0;
	remote_file(remote, &describe.name, &describe.path, &describe.text);
	err = remote_ask(remote, &request, API_EXPERIMENT, &answer, e);
	if (err)
		return err;
	err = cmd_many_know(many, answer.experiment->name, plan, ask_remote, remote, e);
	api_answer_fini(&answer);
	return err;
}

/* On the boxes of a server's agents. */
static int run_remote(const struct cmd_args *args, const char *url, const struct plan *plan, struct cmd_many *many)
{
	struct remote *remote = NULL;
	struct course_result run;
	struct error e;
	int err, status = 0;
	unsigned keep;

	if (cmd_keep(args, &keep))
		return CMD_EXIT_ERROR;
	err = remote_open(url, args->rest[0], &remote, &e);
	if (!err)
		err = know_remote(remote, plan, many, &e);
	while (!err && cmd_many_more(many) && !remote_interrupted(remote)) {
		err = remote_run(remote, plan, keep, args->send, &run, &e);
		if (err)
			break;
		cmd_many_run(many, &run);
		status = outcome_worse_status(status, cmd_run_print(&run, remote_store(remote), args));
	}
	if (err < 0)
		status = err == -EINTR ? outcome_status(OUTCOME_INTERRUPTED) : cmd_fail(&e);
	else if (remote_interrupted(remote))
		status = outcome_worse_status(status, outcome_status(OUTCOME_INTERRUPTED));
	remote_close(remote);
	return status;
}

/* A server of our own, which others can ask as well while it runs. */
static int run_served(const struct cmd_args *args, const struct plan *plan, struct cmd_many *many)
{
	char directory[PATH_MAX];
	struct private_server *server = NULL;
	size_t size = strlen(args->api);
	struct error e;
	int err = 0, status;

	if (!*args->api)
		err = place_server(directory, &e);
	else if (strncmp(args->api, "ipc:///", 7) || size < 12 || size >= PATH_MAX || strcmp(args->api + size - 4, "/api"))
		return cmd_failf("run: '%s' is no address for the API of this run; it looks like ipc:///run/bop/api", args->api);
	else
		snprintf(directory, sizeof(directory), "%.*s", (int)size - 10, args->api + 6);
	if (!err)
		err = private_server_open(cmd_store_url(args), directory, &server, &e);
	status = err ? cmd_fail(&e) : run_remote(args, private_server_url(server), plan, many);
	private_server_close(server);
	return status;
}

static int run_elsewhere(const struct cmd_args *args, const struct plan *plan, struct cmd_many *many)
{
	if (args->server && (args->store || args->api))
		return cmd_failf("run: --%s is the server's to say (bop serve --%s); it does not go together with --server",
				 args->store ? "store" : "api", args->store ? "store" : "dir");
	return args->server ? run_remote(args, args->server, plan, many) : run_served(args, plan, many);
}

/* Without a server there is one agent, our own. Sets how x sends. */
static int here_check(struct experiment *x, const struct cmd_args *args)
{
	for (size_t i = 0; i < x->n_boxes; i++)
		if (x->agents[i])
			return cmd_failf("box '%s' is on agent '%s': run it with --server", x->boxes[i], x->agents[i]);
	if (args->send && experiment_send(args->send, &x->deferred) < 0)
		return cmd_failf("run: --send %s: it is live or deferred (see `bop run --help`)", args->send);
	if (geteuid() != 0)
		return cmd_failf("run needs root: it makes network namespaces and loads BPF programs (try sudo)");
	return 0;
}

/* Against the experiment, and what its last run without faults called things. store NULL: there is no such run. */
static int plan_verify(const struct plan *plan, const struct experiment *x, struct store *store)
{
	struct labels *labels = NULL;
	struct error e;
	int err = plan->n && store && !plan->racy ? labels_load(store, x->name, &labels, &e) : 0;

	if (!err)
		err = plan_check(plan, x, labels, false, &e);
	labels_free(labels);
	return err ? cmd_fail(&e) : 0;
}

static int run_main(const struct cmd *cmd, const struct cmd_args *args)
{
	const char *url = cmd_store_url(args);
	struct experiment *x = NULL;
	struct session *session = NULL;
	struct store *store = NULL;
	struct plan plan = { .n = 0 };
	struct cmd_many many;
	int err, status = CMD_EXIT_ERROR;
	struct error e;
	unsigned keep;

	if (cmd_keep(args, &keep) || cmd_many_begin(&many, args))
		return CMD_EXIT_ERROR;
	err = cmd_plan_read(args, &plan, &e);
	if (err < 0) {
		cmd_fail(&e);
		goto out;
	}
	if (!plan.n && (args->dry || args->racy)) {
		cmd_failf("%s is about faults: give some with --fault or --plan", args->dry ? "--dry-run" : "--racy");
		goto out;
	}
	if (args->server || args->api) {
		status = run_elsewhere(args, &plan, &many);
		goto out;
	}
	err = experiment_read(args->rest[0], &x, &e);
	if (err < 0) {
		cmd_fail(&e);
		goto out;
	}
	if (here_check(x, args))
		goto out;
	/* A bad store shows before anything is started; a new one is made only once there is something to keep. */
	err = store_exists(url, &e);
	if (err < 0) {
		cmd_fail(&e);
		goto out;
	}
	if (err > 0) {
		store = cmd_store_open(args, STORE_CREATE);
		if (!store)
			goto out;
	}
	if (plan_verify(&plan, x, store))
		goto out;
	err = session_open(x, plan.n != 0, &session, &e);
	if (err < 0) {
		status = err == -EINTR ? outcome_status(OUTCOME_INTERRUPTED) : cmd_fail(&e);
		goto out;
	}
	if (!store)
		store = cmd_store_open(args, STORE_CREATE);
	if (store)
		status = run_all(session, store, x, &plan, args, &many);
out:
	status = cmd_many_end(&many, status);
	session_close(session);
	store_close(store);
	experiment_free(x);
	plan_fini(&plan);
	return status;
}

static const struct cmd_option options[] = {
	{ "runs", 'n', CMD_NUMBER, CMD_OPTION(runs), "N", "run it N times, each in fresh boxes (default 1)" },
	CMD_OPTIONS_STABLE,
	{ "fault", 'f', CMD_TEXTS, CMD_OPTION(faults), "LINE",
	  "a fault, as 'cut client>s1:7000#1/3' (docs/faults.md); as often as wanted" },
	CMD_OPTION_PLAN,
	CMD_OPTION_DRY,
	CMD_OPTION_RACY,
	CMD_OPTION_SEED,
	CMD_OPTION_STORE,
	{ "server", 0, CMD_MAYBE_TEXT, CMD_OPTION(server), "URL",
	  "run it on boxes of the agents of `bop serve`, which also keeps it (default: this user's server)" },
	{ "api", 0, CMD_MAYBE_TEXT, CMD_OPTION(api), "URL",
	  "while it runs, controllers can ask about it and inject faults, as with a server (default: where that would be)" },
	{ "prints", 0, CMD_FLAG, CMD_OPTION(prints), NULL, "also the folded print and the shape (docs/print.md); --json has them anyway" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print one JSON object a run, a line each (docs/json.md)" },
	{ "send", 0, CMD_TEXT, CMD_OPTION(send), "WHEN",
	  "live: what is recorded is sent and stored while the run goes on; deferred: after it (default: as FILE says)" },
	CMD_OPTION_KEEP,
	{ "keep-dir", 0, CMD_FLAG, CMD_OPTION(keep), NULL, "keep the run's directory and say where it is" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_run = {
	.name = "run",
	.arguments = "FILE",
	.summary = "Runs the experiment that FILE (YAML, docs/experiment.md) describes, and keeps the run",
	.text = "It makes the boxes, starts the processes one after the other, each when the one before is ready,\n"
		"starts the workload, waits for it, runs the check, stops everything and removes the boxes. Every\n"
		"message in between is recorded (TCP, UDP, unix-domain streams; FILE can say otherwise). Needs root,\n"
		"with --server only whose server it is.\n\n"
		"The outcome: good (the check exits with 0), violated (1), vacuous (2), timeout, interrupted, error,\n"
		"inconclusive (a fault ended before the outcome, unasked). Without a check the workload's exit statuses\n"
		"decide. Faults are checked before anything starts (docs/faults.md).\n\n"
		"Ctrl-C once ends the run in order and keeps it, twice ends it at once.\n\n"
		"exit status: 0 good, 1 violated, 2 vacuous, timeout or inconclusive, 3 could not run, 130 interrupted;\n"
		"             with several runs the worst of them (3, 130, 1, 2, 0)\n\n"
		"  bop run examples/quorum/experiment.yaml\n"
		"  bop run examples/quorum/experiment.yaml --fault 'cut client>s1:7000#1/1'\n"
		"  bop show last\n"
		"  bop graph last -o quorum.svg\n",
	.options = options,
	.min_rest = 1,
	.max_rest = 1,
	.main = run_main,
};
