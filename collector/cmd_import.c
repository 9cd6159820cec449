/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop import: runs of another store, as `bop export` makes them, into this one. All are looked at before one is taken. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cmd.h"
#include "collector/copy.h"
#include "collector/json.h"
#include "collector/run.h"
#include "lib/grow.h"

struct import {
	struct store *from, *to;
	const char *file;
	uint64_t *ids;
	size_t n, cap;
	json_t *rows; /* NULL: text */
};

static int id_add(struct import *import, uint64_t id, struct error *e)
{
	if (grow(&import->ids, &import->cap, import->n + 1, sizeof(*import->ids)))
		return error_set(e, -ENOMEM, "out of memory");
	import->ids[import->n++] = id;
	return 0;
}

static int on_run(const struct store_run *row, void *arg, struct error *e)
{
	return id_add(arg, row->id, e);
}

/* Those that are named, or all. */
static int runs_find(struct import *import, const struct cmd_args *args, struct error *e)
{
	uint64_t id;
	int err = 0;

	if (args->n_rest == 1)
		err = store_each_run(import->from, NULL, on_run, import, e);
	for (int i = 1; i < args->n_rest && !err; i++) {
		err = run_find(import->from, args->rest[i], &id, e);
		if (!err)
			err = id_add(import, id, e);
	}
	if (!err && !import->n)
		err = error_set(e, -ENOENT, "there is no run in it");
	for (size_t i = 0; i < import->n && !err; i++)
		err = copy_check(import->from, import->ids[i], e);
	return err;
}

static void copied_print(struct import *import, const struct copied *copied)
{
	if (import->rows)
		json_array_append_new(import->rows, json_pack("{s:o,s:o,s:b}", "run", json_number(copied->from), "imported",
							      json_number(copied->to), "there", copied->there));
	else if (copied->there)
		printf("run %" PRIu64 " of %s is here already, as run %" PRIu64 "\n", copied->from, import->file, copied->to);
	else
		printf("run %" PRIu64 " of %s: now run %" PRIu64 "\n", copied->from, import->file, copied->to);
}

static int runs_copy(struct import *import, struct error *e)
{
	struct copy_index *index = copy_index_new(import->to);
	int err = index ? 0 : error_set(e, -ENOMEM, "out of memory");
	struct copied copied;

	for (size_t i = 0; i < import->n && !err; i++) {
		err = copy_run(import->from, import->ids[i], import->to, index, &copied, e);
		if (!err)
			copied_print(import, &copied);
	}
	copy_index_free(index);
	return err;
}

static int import_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct import import = { .file = args->rest[0], .rows = args->json ? json_array() : NULL };
	struct error e, why = { "" };
	int err = store_open(import.file, STORE_READ, &import.from, &e);

	if (!err) {
		err = runs_find(&import, args, &why);
		if (err < 0)
			error_set(&e, err, "%s: %s", import.file, why.text);
	}
	if (!err) {
		import.to = cmd_store_open(args, STORE_CREATE);
		err = import.to ? runs_copy(&import, &e) : 1; /* it said why */
	}
	if (import.rows && !err) {
		json_dumpf(import.rows, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(import.rows);
	store_close(import.from);
	store_close(import.to);
	free(import.ids);
	if (err > 0)
		return CMD_EXIT_ERROR;
	return err < 0 ? cmd_fail(&e) : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "say as JSON which run became which" },
	CMD_OPTION_STORE,
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_import = {
	.name = "import",
	.arguments = "FILE [RUN]...",
	.summary = "Takes runs from a file that `bop export` made, or from another store",
	.text = "All runs of FILE, or those that are named. They get new numbers; one that is here already is not taken again.\n"
		"If one of them is damaged or not whole, none is taken.\n",
	.options = options,
	.min_rest = 1,
	.max_rest = -1,
	.main = import_main,
};
