/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop: finds the command. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "collector/cmd.h"
#include "lib/standard.h"

static const struct cmd *const commands[] = {
#define X(name) &cmd_##name,
	CMDS(X)
#undef X
};

enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

static void help_print(FILE *out)
{
	fprintf(out, "usage: bop COMMAND [OPTION]... [ARGUMENT]...\n\n"
		     "Runs a distributed system in boxes, on this machine or on several, records every message that its\n"
		     "processes exchange, and shows what happened before what. No proxy, no library, no change to the\n"
		     "programs.\n\n"
		     "commands:\n");
	for (int i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-8s %-8s %s\n", commands[i]->name,
			strlen(commands[i]->arguments) <= 8 ? commands[i]->arguments : "...", commands[i]->summary);
	fprintf(out, "\n`bop COMMAND --help` tells more, `bop --version` says which this is.\n"
		     "exit status: 0 good, 1 violated, 2 vacuous, timeout or inconclusive, 3 could not run, 130 interrupted.\n");
}

int main(int argc, char **argv)
{
	standard_fill();
	setlocale(LC_CTYPE, "C.UTF-8");
	if (argc < 2) {
		help_print(stderr);
		return CMD_EXIT_ERROR;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help_print(stdout);
		return cmd_flush(0);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("bop %s\n", BOP_VERSION);
		return cmd_flush(0);
	}
	for (int i = 0; i < N_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i]->name))
			return cmd_main(commands[i], argc - 1, argv + 1);
	return cmd_failf("unknown command '%s' (see `bop --help`)", argv[1]);
}
