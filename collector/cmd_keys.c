/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop keys: makes pairs, and keeps the lists of agents and controllers that `bop serve` lets in over TCP. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/allowed.h"
#include "collector/cmd.h"
#include "collector/json.h"

enum { PAIRS_MAX = 1000 };

struct keys {
	char folder[PATH_MAX];
	struct allowed agents, controllers;
	struct allowed *changed; /* the one that is meant */
	char *pairs[PAIRS_MAX]; /* names */
	size_t n_pairs;
};

static int keys_make(struct keys *keys, const char *name, struct error *e)
{
	char path[PATH_MAX + ALLOWED_NAME_MAX], public[KEY_SIZE];
	int err = allowed_name_check(name, e);

	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/%s", keys->folder, name);
	err = key_make(path, public, e);
	if (!err)
		printf("%s\n", public);
	return err;
}

static int keys_allow(struct keys *keys, const char *name, const char *where, struct error *e)
{
	char public[KEY_SIZE];
	int err = key_read_public(where, public, e);

	return err ? err : allowed_add(keys->changed, name, public, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void pairs_find(struct keys *keys)
{
	DIR *dir = opendir(keys->folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) && keys->n_pairs < PAIRS_MAX) {
		char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ".secret"))
			continue;
		*dot = '\0';
		keys->pairs[keys->n_pairs] = strdup(entry->d_name);
		keys->n_pairs += keys->pairs[keys->n_pairs] != NULL;
	}
	if (dir)
		closedir(dir);
	qsort(keys->pairs, keys->n_pairs, sizeof(*keys->pairs), by_name);
}

/* The public key of a pair, or why there is none. */
static int pair_read(const struct keys *keys, const char *name, char public[KEY_SIZE], struct error *e)
{
	char path[PATH_MAX + 300], secret[KEY_SIZE];
	int err;

	snprintf(path, sizeof(path), "%s/%s.secret", keys->folder, name);
	err = key_read_secret(path, secret, public, e);
	explicit_bzero(secret, sizeof(secret));
	return err;
}

static void allowed_text(const char *title, const char *how, const struct allowed *list)
{
	printf("%s\n", title);
	for (size_t i = 0; i < list->n; i++)
		printf("  %-20s %s\n", list->agents[i].name, list->agents[i].key);
	if (!list->n)
		printf("  none (%s lets one in)\n", how);
}

static int list_text(struct keys *keys)
{
	char public[KEY_SIZE];
	struct error e;
	int status = 0;

	printf("keys in %s\n", keys->folder);
	for (size_t i = 0; i < keys->n_pairs; i++) {
		if (pair_read(keys, keys->pairs[i], public, &e) < 0)
			status = cmd_fail(&e);
		else
			printf("  %-20s %s\n", keys->pairs[i], public);
	}
	if (!keys->n_pairs)
		printf("  none (`bop keys make server` makes the server's)\n");
	allowed_text("agents that may connect", "`bop keys allow NAME KEY`", &keys->agents);
	allowed_text("controllers that may connect", "`bop keys --controller allow NAME KEY`", &keys->controllers);
	return status;
}

static json_t *row(const char *name, const char *key)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_text(name));
	json_object_set_new(object, "key", json_text(key));
	return object;
}

static json_t *allowed_rows(const struct allowed *list)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(rows, row(list->agents[i].name, list->agents[i].key));
	return rows;
}

static int list_json(struct keys *keys)
{
	json_t *all = json_object(), *pairs = json_array();
	char public[KEY_SIZE];
	struct error e;
	int status = 0;

	for (size_t i = 0; i < keys->n_pairs; i++) {
		if (pair_read(keys, keys->pairs[i], public, &e) < 0)
			status = cmd_fail(&e);
		else
			json_array_append_new(pairs, row(keys->pairs[i], public));
	}
	json_object_set_new(all, "folder", json_text(keys->folder));
	json_object_set_new(all, "pairs", pairs);
	json_object_set_new(all, "allowed", allowed_rows(&keys->agents));
	json_object_set_new(all, "controllers", allowed_rows(&keys->controllers));
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
	return status;
}

static int change(struct keys *keys, int n, char **words, struct error *e)
{
	if (!strcmp(words[0], "make") && n == 2)
		return keys_make(keys, words[1], e);
	if (!strcmp(words[0], "allow") && n == 3)
		return keys_allow(keys, words[1], words[2], e);
	if (!strcmp(words[0], "remove") && n == 2)
		return allowed_remove(keys->changed, words[1], e);
	return error_set(e, -EINVAL, "keys: give nothing, make NAME, allow NAME KEY, or remove NAME (see `bop keys --help`)");
}

static int keys_main(const struct cmd *cmd, const struct cmd_args *args)
{
	struct keys *keys = calloc(1, sizeof(*keys));
	int err, status = CMD_EXIT_ERROR;
	struct error e;

	if (!keys)
		return cmd_failf("out of memory");
	err = allowed_folder(args->keys, args->n_rest && strcmp(args->rest[0], "remove"), keys->folder, &e);
	if (!err)
		err = allowed_open(&keys->agents, keys->folder, ALLOWED_AGENTS, &e);
	if (!err)
		err = allowed_open(&keys->controllers, keys->folder, ALLOWED_CONTROLLERS, &e);
	keys->changed = args->controller ? &keys->controllers : &keys->agents;
	if (!err && args->n_rest) {
		err = change(keys, args->n_rest, args->rest, &e);
		status = 0;
	} else if (!err) {
		pairs_find(keys);
		status = args->json ? list_json(keys) : list_text(keys);
	}
	if (err)
		status = cmd_fail(&e);
	for (size_t i = 0; i < keys->n_pairs; i++)
		free(keys->pairs[i]);
	allowed_fini(&keys->agents);
	allowed_fini(&keys->controllers);
	free(keys);
	return status ? status : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "controller", 0, CMD_FLAG, CMD_OPTION(controller), NULL, "allow and remove are about controllers, not agents" },
	{ "keys", 0, CMD_TEXT, CMD_OPTION(keys), "DIR",
	  "the folder of keys (default: $BOP_KEYS, else /etc/bop/keys for root, ~/.config/bop/keys)" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON, for the list (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_keys = {
	.name = "keys",
	.arguments = "[make NAME | allow NAME KEY | remove NAME]",
	.summary = "Lists and makes keys, and keeps the lists of agents and controllers that may connect to `bop serve` over TCP",
	.text = "  make NAME       make a pair, NAME.secret and NAME.public, and print the public key\n"
		"  allow NAME KEY  let the agent (or controller) with this public key in; KEY is the key or a file with it\n"
		"  remove NAME     do not let it in any more; if it is connected it is cut off\n\n"
		"Public keys are 40 characters of which some mean something to a shell: put them in single quotes. A\n"
		"secret never leaves its file, which only its owner may read.\n\n"
		"A server, and an agent on another machine (docs/agents.md):\n\n"
		"  server$ bop keys make server                      prints SERVERKEY\n"
		"  agent#  bop keys make web1                        prints AGENTKEY\n"
		"  server$ bop keys allow web1 'AGENTKEY'\n"
		"  server$ bop serve --listen tcp://0.0.0.0:7100\n"
		"  agent#  tfj --collector tcp://SERVER:7100 --server-key 'SERVERKEY' --key /etc/bop/keys/web1.secret\n\n"
		"A controller shows the pair `controller` of its folder, and expects the server's key in server.public there:\n\n"
		"  mine$   bop keys make controller                  prints KEY; copy the server's server.public into the folder\n"
		"  server$ bop keys --controller allow me 'KEY'\n"
		"  server$ bop serve --listen-api tcp://0.0.0.0:7101\n"
		"  mine$   bop boxes --server tcp://SERVER:7101\n",
	.options = options,
	.max_rest = 3,
	.main = keys_main,
};
