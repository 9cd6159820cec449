/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bop export: runs as a store of their own; a run for other programs, as a file or to a collector. Files are written beside
 * their place and renamed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/copy.h"
#include "collector/json.h"
#include "collector/otlp_send.h"
#include "collector/replace.h"
#include "collector/run.h"
#include "collector/source.h"
#include "collector/suffix.h"

enum { TIMEOUT_S = 10, TIMEOUT_MAX_S = 3600 };

/* What is asked for, and where it goes. */
struct export {
	struct source *source;
	Bop__Api__Render ask;
};

static int render(FILE *out, void *arg, struct error *e)
{
	struct export *export = arg;

	return source_render(export->source, &export->ask, out, e);
}

static void file_print(uint64_t run, const char *path)
{
	json_t *object = json_pack("{s:o,s:[{s:o}]}", "file", json_text(path), "runs", "run", json_number(run));

	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static int file_export(struct export *export, const struct cmd_args *args, struct error *e)
{
	int err = suffix_format(args->file, &export->ask.format, e);

	if (!err)
		err = source_run(export->source, args->rest[0], &export->ask.run, e);
	if (!err)
		err = replace_file(args->file, render, export, e);
	if (!err && args->json)
		file_print(export->ask.run, args->file);
	return err;
}

static void sent_print(uint64_t run, const char *url, const struct otlp_sent *sent, bool json)
{
	json_t *object;

	if (json) {
		object = json_pack("{s:o,s:s,s:o,s:o,s:o}", "run", json_number(run), "url", url, "spans",
				   json_number(sent->spans), "rejected", json_number(sent->rejected), "message",
				   json_text(sent->message));
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(object);
		return;
	}
	printf("run %" PRIu64 ": %" PRIu64 " spans sent to %s", run, sent->spans, url);
	if (sent->rejected)
		printf("; it rejected %" PRIu64, sent->rejected);
	printf("%s%s\n", sent->message ? ": " : "", sent->message ? sent->message : "");
}

/* url: args->otlp, whole; what args have is for showing. *ret_status: 2 if the collector did not want all of it. */
static int send_export(struct export *export, const struct cmd_args *args, const char *url, int *ret_status, struct error *e)
{
	struct otlp_sent sent = { .spans = 0 };
	uint64_t timeout = TIMEOUT_S;
	FILE *lines = NULL;
	int err;

	if (strncasecmp(args->otlp, "http://", 7) && strncasecmp(args->otlp, "https://", 8))
		return error_set(e, -EINVAL, "--otlp %s: that is no URL of a collector (http://HOST:4318/v1/traces)",
				 args->otlp);
	if (args->timeout && !cmd_number(args->timeout, TIMEOUT_MAX_S, &timeout))
		return error_set(e, -EINVAL, "--timeout %s: give whole seconds, 1 to %d", args->timeout, TIMEOUT_MAX_S);
	export->ask.format = "otlp";
	err = source_run(export->source, args->rest[0], &export->ask.run, e);
	if (!err && !(lines = tmpfile()))
		err = error_set(e, -errno, "no room for what is to be sent in $TMPDIR: %s", strerror(errno));
	if (!err)
		err = render(lines, export, e);
	if (!err && (fflush(lines) || ferror(lines)))
		err = error_set(e, -ENOSPC, "no room for what is to be sent in $TMPDIR");
	if (!err) {
		rewind(lines);
		err = otlp_send(url, args->otlp, lines, (unsigned)timeout, &sent, e);
	}
	if (!err)
		sent_print(export->ask.run, args->otlp, &sent, args->json);
	*ret_status = sent.rejected ? 2 : 0;
	free(sent.message);
	if (lines)
		fclose(lines);
	return err;
}

static void files_print(const struct copied *copied, size_t n, const char *path)
{
	json_t *rows = json_array(), *object;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, json_pack("{s:o,s:i}", "run", json_number(copied[i].from), "exported",
						      json_number(copied[i].to)));
	object = json_pack("{s:o,s:o}", "file", json_text(path), "runs", rows);
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

/* It reads the store itself: all of a run is more than a server tells. */
static int store_export(const struct cmd_args *args, struct error *e)
{
	struct store *store = NULL;
	struct copied *copied = calloc((size_t)args->n_rest, sizeof(*copied));
	char name[64];
	const char *path = args->file;
	int err = copied ? 0 : error_set(e, -ENOMEM, "out of memory");

	if (!err && args->server)
		err = error_set(e, -EINVAL, "--server: whole runs are read from the store itself: name it with --store");
	if (!err && !(store = cmd_store_open(args, STORE_READ)))
		err = 1; /* it said why */
	for (int i = 0; i < args->n_rest && !err; i++)
		err = run_find(store, args->rest[i], &copied[i].from, e);
	if (!err && !path) {
		snprintf(name, sizeof(name), "run-%" PRIu64 ".bop", copied[0].from);
		path = name;
	}
	if (!err)
		err = copy_export(store, copied, (size_t)args->n_rest, path, e);
	for (int i = 0; i < args->n_rest && !err && !args->json; i++)
		printf("run %" PRIu64 ": in %s as run %" PRIu64 "\n", copied[i].from, path, copied[i].to);
	if (!err && args->json)
		files_print(copied, (size_t)args->n_rest, path);
	store_close(store);
	free(copied);
	return err;
}

static bool is_store(const char *file)
{
	const char *suffix = file ? strrchr(file, '.') : ".bop";

	return suffix && (!strcmp(suffix, ".bop") || !strcmp(suffix, ".db"));
}

static int export_do(const struct cmd_args *args, const char *url)
{
	struct export export = { .ask = BOP__API__RENDER__INIT };
	struct error e;
	int err, status = 0;

	if (args->file && args->otlp)
		return cmd_failf("export: either to a file with -o, or to a collector with --otlp");
	if (args->n_rest > 1 && (args->otlp || !is_store(args->file) || !args->file))
		return cmd_failf("export: several runs go into one file only with -o FILE.bop");
	if (!args->otlp && is_store(args->file)) {
		err = store_export(args, &e);
		return err > 0 ? CMD_EXIT_ERROR : err < 0 ? cmd_fail(&e) : cmd_flush(0);
	}
	export.source = source_open(args, STORE_READ);
	if (!export.source)
		return CMD_EXIT_ERROR;
	export.ask.all = args->all;
	err = args->otlp ? send_export(&export, args, url, &status, &e) : file_export(&export, args, &e);
	source_close(export.source);
	return err < 0 ? cmd_fail(&e) : cmd_flush(status);
}

static int export_main(const struct cmd *cmd, const struct cmd_args *args)
{
	char *url = NULL;
	int status;

	if (args->otlp && !(url = otlp_url_take((char *)args->otlp))) /* of our own arguments, which can be written to */
		return cmd_failf("out of memory");
	status = export_do(args, url);
	free(url);
	return status;
}

static const struct cmd_option options[] = {
	{ "out", 'o', CMD_TEXT, CMD_OPTION(file), "FILE", "where to; the end of its name says what it is to be" },
	{ "otlp", 0, CMD_TEXT, CMD_OPTION(otlp), "URL", "to an OpenTelemetry collector: http://HOST:4318/v1/traces" },
	{ "timeout", 0, CMD_TEXT, CMD_OPTION(timeout), "SECONDS", "of each try to reach the collector (default 10)" },
	{ "all", 'a', CMD_FLAG, CMD_OPTION(all), NULL, "also what happened while the run was stopped" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "say as JSON what was written or sent" },
	CMD_OPTION_STORE,
	SOURCE_OPTION_SERVER,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_export = {
	.name = "export",
	.arguments = "RUN...",
	.summary = "Writes runs as one file, or for other programs: Perfetto, OpenTelemetry, ShiViz, Molly, SQL",
	.text = "FILE.bop (without -o run-N.bop) is a store that has these runs and no others: bop import takes it, --store reads it.\n"
		"It must not be there yet. The other formats are of one run, and say less or other things of it:\n"
		"FILE.perfetto-trace is a trace for ui.perfetto.dev, FILE.otlp.json are OpenTelemetry's spans, a request a\n"
		"line; .molly is Molly's runs.json, .sql a table of messages in logical time, .shiviz a log for ShiViz\n"
		"(docs/exports.md).\n"
		"Exit status of --otlp: 0 the collector took it, 2 it rejected spans, 3 it could not be reached or refused.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = -1,
	.main = export_main,
};
