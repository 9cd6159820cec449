/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Option parsing and help from tables. See cmd.h. */
#include "collector/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/run.h"

enum { MAX_OPTIONS = 24 };

int cmd_fail(const struct error *e)
{
	fprintf(stderr, "bop: %s\n", e->text);
	return CMD_EXIT_ERROR;
}

int cmd_failf(const char *format, ...)
{
	struct error e;
	char text[sizeof(e.text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	error_set(&e, 0, "%s", text);
	return cmd_fail(&e);
}

static void help_print(const struct cmd *cmd)
{
	char left[64];

	printf("usage: bop %s [OPTION]...%s%s\n\n%s.\n\noptions:\n", cmd->name, *cmd->arguments ? " " : "",
	       cmd->arguments, cmd->summary);
	for (const struct cmd_option *o = cmd->options; o->name; o++) {
		snprintf(left, sizeof(left), "%c%c%c --%s%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			 o->letter ? ',' : ' ', o->name, !o->argument ? "" : o->value == CMD_MAYBE_TEXT ? "[=" : " ",
			 o->argument ? o->argument : "", o->value == CMD_MAYBE_TEXT ? "]" : "");
		printf("  %-24s %s\n", left, o->help);
	}
	if (cmd->text)
		printf("\n%s", cmd->text);
}

bool cmd_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text >= '0' && *text <= '9' && *ret_number && *ret_number <= max;
}

static int number_parse(const char *option, const char *text, uint64_t *ret_number)
{
	if (!cmd_number(text, 1000000, ret_number))
		return cmd_failf("--%s %s: give a whole number from 1 to 1000000", option, text);
	return 0;
}

static int texts_add(struct cmd_texts *texts, const char *text)
{
	const char **grown = realloc(texts->texts, (texts->n + 1) * sizeof(*grown));

	if (!grown)
		return cmd_failf("out of memory");
	texts->texts = grown;
	grown[texts->n++] = text;
	return 0;
}

static int value_set(const struct cmd_option *option, struct cmd_args *args, const char *value)
{
	char *at = (char *)args + option->offset;

	switch (option->value) {
	case CMD_FLAG:
		*(bool *)at = true;
		break;
	case CMD_TEXT:
		*(const char **)at = value;
		break;
	case CMD_MAYBE_TEXT:
		*(const char **)at = value ? value : "";
		break;
	case CMD_TEXTS:
		return texts_add((struct cmd_texts *)at, value);
	case CMD_NUMBER:
		return number_parse(option->name, value, (uint64_t *)at);
	}
	return 0;
}

/* What getopt did not like, in our words. */
static int option_complain(const struct cmd *cmd, char **argv, int why)
{
	const char *word = argv[optind - 1];

	if (optopt && why == ':')
		return cmd_failf("%s: %s needs a value (see `bop %s --help`)", cmd->name, word, cmd->name);
	if (optopt > 0 && optopt < 128)
		return cmd_failf("%s: unknown option -%c (see `bop %s --help`)", cmd->name, optopt, cmd->name);
	if (optopt)
		return cmd_failf("%s: %s takes no value (see `bop %s --help`)", cmd->name, word, cmd->name);
	return cmd_failf("%s: unknown option %s (see `bop %s --help`)", cmd->name, word, cmd->name);
}

static int options_parse(const struct cmd *cmd, int argc, char **argv, struct cmd_args *args)
{
	struct option longs[MAX_OPTIONS + 1] = { { 0 } };
	char letters[2 * MAX_OPTIONS + 2] = ":";
	size_t n_letters = 1;
	int c, at, status;

	for (size_t i = 0; cmd->options[i].name && i < MAX_OPTIONS; i++) {
		const struct cmd_option *o = &cmd->options[i];
		bool value = o->value != CMD_FLAG;

		longs[i] = (struct option){ o->name,
					    o->value == CMD_MAYBE_TEXT ? optional_argument :
					    value		       ? required_argument :
									 no_argument,
					    NULL, 256 + (int)i };
		if (o->letter) {
			letters[n_letters++] = o->letter;
			if (value)
				letters[n_letters++] = ':';
		}
	}
	opterr = 0;
	optind = 0; /* start over */
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return option_complain(cmd, argv, c);
		for (at = c < 256 ? 0 : c - 256; c < 256 && cmd->options[at].letter != c; at++)
			;
		status = value_set(&cmd->options[at], args, optarg);
		if (status)
			return status;
	}
	args->rest = argv + optind;
	args->n_rest = argc - optind;
	return 0;
}

static int parsed_main(const struct cmd *cmd, const struct cmd_args *args)
{
	if (args->help) {
		help_print(cmd);
		return cmd_flush(0);
	}
	if (args->n_rest < cmd->min_rest)
		return cmd_failf("%s: %s is missing (see `bop %s --help`)", cmd->name, cmd->arguments, cmd->name);
	if (cmd->max_rest >= 0 && args->n_rest > cmd->max_rest)
		return cmd_failf("%s: '%s' is one argument too many (see `bop %s --help`)", cmd->name,
				 args->rest[cmd->max_rest], cmd->name);
	return cmd->main(cmd, args);
}

int cmd_main(const struct cmd *cmd, int argc, char **argv)
{
	struct cmd_args args = { .json = false };
	int status = options_parse(cmd, argc, argv, &args);

	if (!status)
		status = parsed_main(cmd, &args);
	free(args.faults.texts);
	free(args.plans.texts);
	free(args.boxes.texts);
	free(args.kinds.texts);
	free(args.processes.texts);
	return status;
}

const char *cmd_store_url(const struct cmd_args *args)
{
	const char *url = args->store ? args->store : getenv("BOP_STORE");

	return url && (args->store || *url) ? url : "bop.db";
}

/* Readers seal as well, if they may write; else what they show is the same, only not written down. */
static void orphans_seal(const char *url, struct store *store, bool readonly)
{
	struct store *writer = NULL;

	if (run_has_orphans(store, NULL) <= 0)
		return;
	if (!readonly)
		run_seal_orphans(store, NULL);
	else if (store_open(url, STORE_WRITE, &writer, NULL) == 0)
		run_seal_orphans(writer, NULL);
	store_close(writer);
}

struct store *cmd_store_open(const struct cmd_args *args, enum store_mode mode)
{
	const char *url = cmd_store_url(args);
	struct store *store = NULL;
	struct error e;

	if (store_open(url, mode, &store, &e) < 0) {
		cmd_fail(&e);
		return NULL;
	}
	orphans_seal(url, store, mode == STORE_READ);
	return store;
}

int cmd_flush(int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return cmd_failf("standard output: %s", strerror(errno ? errno : EIO));
}
