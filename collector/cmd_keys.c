/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bop keys: makes pairs, and keeps the list of agents that `bop serve` lets in over TCP. */
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
	struct allowed allowed;
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

	return err ? err : allowed_add(&keys->allowed, name, public, e);
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
	printf("agents that may connect\n");
	for (size_t i = 0; i < keys->allowed.n; i++)
		printf("  %-20s %s\n", keys->allowed.agents[i].name, keys->allowed.agents[i].key);
	if (!keys->allowed.n)
		printf("  none (`bop keys allow NAME KEY` lets one in)\n");
	return status;
}

static json_t *row(const char *name, const char *key)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_text(name));
	json_object_set_new(object, "key", json_text(key));
	return object;
}

static int list_json(struct keys *keys)
{
	json_t *all = json_object(), *pairs = json_array(), *allowed = json_array();
	char public[KEY_SIZE];
	struct error e;
	int status = 0;

	for (size_t i = 0; i < keys->n_pairs; i++) {
		if (pair_read(keys, keys->pairs[i], public, &e) < 0)
			status = cmd_fail(&e);
		else
			json_array_append_new(pairs, row(keys->pairs[i], public));
	}
	for (size_t i = 0; i < keys->allowed.n; i++)
		json_array_append_new(allowed, row(keys->allowed.agents[i].name, keys->allowed.agents[i].key));
	json_object_set_new(all, "folder", json_text(keys->folder));
	json_object_set_new(all, "pairs", pairs);
	json_object_set_new(all, "allowed", allowed);
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
		return allowed_remove(&keys->allowed, words[1], e);
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
		err = allowed_open(&keys->allowed, keys->folder, &e);
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
	allowed_fini(&keys->allowed);
	free(keys);
	return status ? status : cmd_flush(0);
}

static const struct cmd_option options[] = {
	{ "keys", 0, CMD_TEXT, CMD_OPTION(keys), "DIR",
	  "the folder of keys (default: $BOP_KEYS, else /etc/bop/keys for root, ~/.config/bop/keys)" },
	{ "json", 0, CMD_FLAG, CMD_OPTION(json), NULL, "print JSON, for the list (docs/json.md)" },
	CMD_OPTION_HELP,
	{ 0 },
};

const struct cmd cmd_keys = {
	.name = "keys",
	.arguments = "[make NAME | allow NAME KEY | remove NAME]",
	.summary = "Lists and makes keys, and keeps the list of agents that may connect to `bop serve` over TCP",
	.text = "  make NAME       make a pair, NAME.secret and NAME.public, and print the public key\n"
		"  allow NAME KEY  let the agent with this public key in; KEY is the key or a file with it\n"
		"  remove NAME     do not let it in any more; if it is connected it is cut off\n\n"
		"Public keys are 40 characters of which some mean something to a shell: put them in single quotes. A\n"
		"secret never leaves its file, which only its owner may read.\n\n"
		"A server, and an agent on another machine (docs/agents.md):\n\n"
		"  server$ bop keys make server                      prints SERVERKEY\n"
		"  agent#  bop keys make web1                        prints AGENTKEY\n"
		"  server$ bop keys allow web1 'AGENTKEY'\n"
		"  server$ bop serve --listen tcp://0.0.0.0:7100\n"
		"  agent#  tfj --collector tcp://SERVER:7100 --server-key 'SERVERKEY' --key /etc/bop/keys/web1.secret\n",
	.options = options,
	.max_rest = 3,
	.main = keys_main,
};
