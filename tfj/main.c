/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tfj: arguments in, one line of error out. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/standard.h"
#include "tfj/agent.h"
#include "tfj/cgroup.h"
#include "tfj/clean.h"
#include "tfj/container.h"
#include "tfj/tracer.h"

#define EXIT_TROUBLE 3

static const char usage[] =
	"Usage: tfj --collector URL [--server-key KEY --key FILE] [--box NAME[=NETNS]]...\n"
	"           [--memory SIZE] [--spool SIZE] [--backend NAME] [--no-faults]\n"
	"           [--no-syn-option]\n"
	"       tfj probe [--json]\n"
	"       tfj clean\n"
	"       tfj containers [--json]\n"
	"\n"
	"The agent of Box of Pain: makes boxes (network namespaces), runs programs in them, records in the kernel\n"
	"what they say to each other, and sends it to a collector. `bop run` starts it by itself.\n"
	"\n"
	"  tfj --collector URL   serve the collector at URL until it says quit; needs root\n"
	"  tfj probe             say what this kernel can trace, by what, and why not, which faults can be injected, and\n"
	"                        which of root's rights (capabilities) the agent keeps and what for; needs root\n"
	"  tfj clean             remove what killed agents and collectors of this user left behind: processes,\n"
	"                        cgroups, directories, filters at packets; say what it was. What has a living owner stays.\n"
	"  tfj containers        list the containers of docker, podman, containerd, CRI-O, Kubernetes, crun and runc in which\n"
	"                        something runs, with names where the runtime's files tell them; needs root. A box can be one\n"
	"\n"
	"      --collector URL   ipc://PATH, or tcp://HOST:PORT with both keys\n"
	"      --server-key KEY  public key of the only server to talk to, or a file with it\n"
	"      --key FILE        our secret key, as `bop keys make` wrote it; nobody else may be able to read it\n"
	"      --box NAME[=NETNS]\n"
	"                        serve a box of this name: made for each run, or the network namespace NETNS that is there\n"
	"                        (one of `ip netns`, a path, host, or container:ID or NAME; with a ? behind\n"
	"                        that a container is left out that does not run here). NETNS@ADDRESS: of several\n"
	"                        networks that it is in, the one where it has this IPv4 address. In such a one only processes that were started for\n"
	"                        the run or attached, and their children, are traced. Without --box any box that a run\n"
	"                        needs is made\n"
	"      --memory SIZE     what may wait for the collector in memory (default 256M), and\n"
	"      --spool SIZE      in a file without a name in $BOP_TMPDIR, else /tmp, when that is full (default 512M);\n"
	"                        SIZE is in bytes or has a K, M or G; 0: no file. Beyond that, events are lost and counted\n"
	"      --backend NAME    with --collector: how to trace (see tfj probe) instead of the best way that works\n"
	"                        here; BOP_BACKEND in the environment says the same\n"
	"      --no-faults       refuse every fault: its programs then never look for one\n"
	"      --no-syn-option   in runs with boxes on several machines, put no TCP option on SYNs that says which connection\n"
	"                        it is; faults on what the accepting side sends, receives or accepts are refused then\n"
	"      --json            with probe and containers: as JSON\n"
	"  -h, --help            show this\n"
	"  -V, --version         show the version\n"
	"\n"
	"Exit status: 0 done, 1 tracing is not possible here (probe), 3 trouble.\n";

enum {
	OPTION_COLLECTOR = 256,
	OPTION_SERVER_KEY,
	OPTION_KEY,
	OPTION_BOX,
	OPTION_PARENT_DEATH,
	OPTION_NO_FAULTS,
	OPTION_NO_SYN_OPTION,
	OPTION_MEMORY,
	OPTION_SPOOL,
	OPTION_BACKEND,
	OPTION_JSON,
};

static const struct option long_options[] = {
	{ "collector", required_argument, NULL, OPTION_COLLECTOR },
	{ "server-key", required_argument, NULL, OPTION_SERVER_KEY },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "box", required_argument, NULL, OPTION_BOX },
	{ "parent-death", no_argument, NULL, OPTION_PARENT_DEATH }, /* for bop: end when it ends */
	{ "no-faults", no_argument, NULL, OPTION_NO_FAULTS },
	{ "no-syn-option", no_argument, NULL, OPTION_NO_SYN_OPTION },
	{ "memory", required_argument, NULL, OPTION_MEMORY },
	{ "spool", required_argument, NULL, OPTION_SPOOL },
	{ "backend", required_argument, NULL, OPTION_BACKEND },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static int fail(const struct error *e)
{
	fprintf(stderr, "tfj: %s\n", e->text);
	return EXIT_TROUBLE;
}

static int main_probe(int json)
{
	struct error e = { "" };
	int err;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* it starts nothing */
	err = tracer_probe(stdout, json, &e);
	return err < 0 ? fail(&e) : err;
}

static int main_clean(void)
{
	struct claim mount = CLAIM_NONE;
	struct error e = { "" };
	char root[256];
	int n;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	n = cgroup_find_root(root, sizeof(root), &mount, &e);
	if (n < 0)
		return fail(&e);
	n = clean(root, stdout, &e);
	cgroup_leave_root(&mount);
	if (n < 0)
		return fail(&e);
	n += clean_network(stdout);
	if (!n)
		puts("nothing of ours was left");
	return 0;
}

static int main_containers(int json)
{
	struct containers containers;
	struct error e = { "" };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (geteuid() != 0) {
		error_set(&e, -EPERM, "listing containers needs root: processes and files of others are looked at; run it with sudo");
		return fail(&e);
	}
	if (containers_read(&containers, &e) < 0)
		return fail(&e);
	containers_print(&containers, stdout, json);
	containers_free(&containers);
	return 0;
}

/* 4096, 64K, 512M, 2G: bytes. -1: it is no such thing. */
static int size_parse(const char *text, uint64_t *ret_size)
{
	static const char units[] = "KMG";
	const char *unit;
	unsigned long long size;
	unsigned shift;
	char *end;

	errno = 0;
	size = strtoull(text, &end, 10);
	if (errno || end == text || !isdigit((unsigned char)*text))
		return -1;
	unit = *end ? strchr(units, *end) : NULL;
	if ((*end && !unit) || (unit && end[1]))
		return -1;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (size > UINT64_MAX >> 1 >> shift)
		return -1;
	*ret_size = size << shift;
	return 0;
}

static int main_agent(struct agent_options *options)
{
	struct error e = { "" };

	if (geteuid() != 0) {
		error_set(&e, -EPERM, "the agent needs root: it loads BPF programs and makes network namespaces; run it with sudo");
		return fail(&e);
	}
	if (!options->backend)
		options->backend = getenv("BOP_BACKEND");
	return agent_run(options, &e) < 0 ? fail(&e) : 0;
}

int main(int argc, char **argv)
{
	struct agent_options options = { .memory = AGENT_MEMORY, .spool = AGENT_SPOOL };
	struct error e = { "" };
	const char *command;
	int c, json = 0, sized = 0;

	standard_fill();
	while ((c = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		switch (c) {
		case OPTION_COLLECTOR:
			options.collector = optarg;
			break;
		case OPTION_SERVER_KEY:
			options.server_key = optarg;
			break;
		case OPTION_KEY:
			options.key = optarg;
			break;
		case OPTION_BOX:
			if (options.n_boxes < BOX_MAX)
				options.boxes[options.n_boxes] = optarg;
			options.n_boxes++;
			break;
		case OPTION_PARENT_DEATH:
			options.parent_death = true;
			break;
		case OPTION_NO_FAULTS:
			options.no_faults = true;
			break;
		case OPTION_NO_SYN_OPTION:
			options.no_syn_option = true;
			break;
		case OPTION_MEMORY:
		case OPTION_SPOOL:
			if (size_parse(optarg, c == OPTION_MEMORY ? &options.memory : &options.spool) < 0) {
				error_set(&e, -EINVAL, "'%s' is no size; it looks like 64M", optarg);
				return fail(&e);
			}
			sized = 1;
			break;
		case OPTION_BACKEND:
			options.backend = optarg;
			break;
		case OPTION_JSON:
			json = 1;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("tfj " BOP_VERSION);
			return 0;
		default:
			return EXIT_TROUBLE;
		}
	}
	command = optind < argc ? argv[optind] : NULL;
	if (optind + 1 < argc)
		error_set(&e, -EINVAL, "'%s' is one word too many; see tfj --help", argv[optind + 1]);
	else if (command && strcmp(command, "probe") && strcmp(command, "clean") && strcmp(command, "containers"))
		error_set(&e, -EINVAL, "unknown command '%s'; see tfj --help", command);
	else if (!command && !options.collector)
		error_set(&e, -EINVAL, "say what to do: --collector URL, probe, clean or containers; see tfj --help");
	else if (command && (options.collector || options.key || options.server_key || sized))
		error_set(&e, -EINVAL, "%s takes no --collector, no keys and no sizes; see tfj --help", command);
	else if (command && (options.no_faults || options.no_syn_option))
		error_set(&e, -EINVAL, "%s takes no %s; see tfj --help", command, options.no_faults ? "--no-faults" : "--no-syn-option");
	else if (command && options.n_boxes)
		error_set(&e, -EINVAL, "%s takes no --box; see tfj --help", command);
	else if (options.n_boxes > BOX_MAX)
		error_set(&e, -E2BIG, "too many boxes: at most %d", BOX_MAX);
	else if (!options.key != !options.server_key)
		error_set(&e, -EINVAL, "--key and --server-key go together: each side proves who it is; see tfj --help");
	else if (command && options.backend)
		error_set(&e, -EINVAL, "%s takes no --backend; see tfj --help", command);
	else if (json && (!command || !strcmp(command, "clean")))
		error_set(&e, -EINVAL, "--json goes with probe and containers only; see tfj --help");
	else if (!command)
		return main_agent(&options);
	else if (!strcmp(command, "containers"))
		return main_containers(json);
	else
		return !strcmp(command, "probe") ? main_probe(json) : main_clean();
	return fail(&e);
}
