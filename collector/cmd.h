/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Subcommands of bop as data: one row a command, one row an option; parsing and help are made from the rows. Each
 * command is in its own cmd_NAME.c and prints its one line of complaint itself, through cmd_fail().
 */
#ifndef COLLECTOR_CMD_H
#define COLLECTOR_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"
#include "lib/error.h"

/* Each is a cmd_NAME.c, in the order of the help. */
#define CMDS(X) X(run) X(replay) X(minimize) X(ldfi) X(runs) X(history) X(show) X(graph) X(diff) X(export) X(import) X(rm) X(gc) X(serve) X(boxes) X(events) X(inject) X(lift) X(faults) X(keys)

/* Of an option that can be given several times. */
struct cmd_texts {
	const char **texts;
	size_t n;
};

/* Values of all options of all commands; a command reads those that it has a row for. */
struct cmd_args {
	const char *store;
	const char *file;
	const char *order;
	const char *send;
	const char *keys, *listen, *listen_api, *directory;
	const char *server; /* "": the usual one; NULL: none */
	const char *api;    /* "": where the usual one would be; NULL: none */
	struct cmd_texts faults, plans;
	const char *seed, *run;
	uint64_t runs; /* 0: not given */
	const char *keep_runs;
	bool dry, racy;
	struct cmd_texts boxes, kinds;
	bool agent, private; /* of serve */
	bool controller;     /* of keys */
	const char *losses_until, *losses, *crashes, *strategy, *most, *confirm; /* of ldfi */
	struct cmd_texts processes;
	const char *otlp, *timeout; /* of export */
	const char *older_than, *max_size, *keep_last, *experiment; /* of gc */
	bool violated;
	bool workloads, thorough, no_symmetry;
	const char *level; /* of history, and with until_stable */
	bool symmetric, explain;
	uint64_t until_stable; /* 0: not given */
	bool json, keep, all, output, prints, help;
	char **rest; /* what is not an option; borrowed */
	int n_rest;
};

enum cmd_value { CMD_FLAG, CMD_TEXT, CMD_NUMBER, CMD_MAYBE_TEXT /* --name or --name=TEXT; "" without */, CMD_TEXTS };

struct cmd_option {
	const char *name; /* long; NULL ends the table */
	char letter;	  /* 0: none */
	enum cmd_value value;
	size_t offset;	  /* into struct cmd_args */
	const char *argument; /* what help calls the value */
	const char *help;
};

#define CMD_OPTION(field) offsetof(struct cmd_args, field)
#define CMD_OPTION_STORE                                                                           \
	{ "store", 0, CMD_TEXT, CMD_OPTION(store), "URL",                                          \
	  "where runs are kept: an SQLite file, or postgresql://... (default: $BOP_STORE, else bop.db)" }
#define CMD_OPTION_HELP { "help", 'h', CMD_FLAG, CMD_OPTION(help), NULL, "show this help" }

struct cmd {
	const char *name, *arguments, *summary;
	const char *text; /* help, printed below the options; ends with a newline */
	const struct cmd_option *options;
	int min_rest, max_rest; /* how many arguments; max -1: any number */
	int (*main)(const struct cmd *cmd, const struct cmd_args *args); /* returns the exit status */
};

#define X(name) extern const struct cmd cmd_##name;
CMDS(X)
#undef X

enum { CMD_EXIT_ERROR = 3 };

/* Parses options and calls the command. argv[0] is the command's name. Returns the exit status of bop. */
int cmd_main(const struct cmd *cmd, int argc, char **argv);

/* Says "bop: TEXT" on stderr and returns CMD_EXIT_ERROR. */
int cmd_fail(const struct error *e);
int cmd_failf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole number from 1 to max, and nothing behind it. */
bool cmd_number(const char *text, uint64_t max, uint64_t *ret_number);

/* The store the options name; with its runs of dead owners sealed as incomplete. Says what is wrong itself. */
struct store *cmd_store_open(const struct cmd_args *args, enum store_mode mode);
const char *cmd_store_url(const struct cmd_args *args);

/* Flushes stdout. Returns status, or complains and returns CMD_EXIT_ERROR when not everything could be written. */
int cmd_flush(int status);

#endif
