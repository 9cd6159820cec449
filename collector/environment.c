/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See environment.h. Fails only without memory. */
#include "collector/environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds NAME=value, in the place of an earlier one of that name. Takes text, which may be NULL: out of memory. */
static int put(char **list, size_t *n, char *text)
{
	size_t name;

	if (!text)
		return -ENOMEM;
	name = strcspn(text, "=") + 1;
	for (size_t i = 0; i < *n; i++)
		if (!strncmp(list[i], text, name)) {
			free(list[i]);
			list[i] = text;
			return 0;
		}
	list[(*n)++] = text;
	return 0;
}

static char *pair(const char *name, const char *value)
{
	char *text;

	return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

int environment_make(const struct environment *environment, char ***ret_list)
{
	const char *const fixed[][2] = {
		{ "PATH", environment->search_path },
		{ "LANG", "C.UTF-8" },
		{ "HOME", environment->directory },
		{ "PWD", environment->directory },
		{ "USER", environment->user },
		{ "BOP_RUN_DIR", environment->run_directory },
		{ "BOP_BOX", environment->box },
	};
	const size_t n_fixed = sizeof(fixed) / sizeof(*fixed);
	size_t n = 0, n_more = 0;
	char name[128], **list;
	int err = 0;

	while (environment->more && environment->more[n_more])
		n_more++;
	list = calloc(n_fixed + environment->n_boxes + n_more + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n_fixed && !err; i++)
		err = put(list, &n, pair(fixed[i][0], fixed[i][1]));
	for (size_t i = 0; i < environment->n_boxes && !err; i++) {
		environment_name("BOP_ADDR_", environment->boxes[i].name, name, sizeof(name));
		err = put(list, &n, pair(name, environment->boxes[i].address));
	}
	for (size_t i = 0; i < n_more && !err; i++)
		err = put(list, &n, strdup(environment->more[i]));
	if (err < 0)
		environment_free(list);
	else
		*ret_list = list;
	return err;
}

void environment_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void environment_name(const char *prefix, const char *name, char *buf, size_t size)
{
	size_t start = strlen(prefix);

	snprintf(buf, size, "%s%s", prefix, name);
	for (size_t i = start; i < size && buf[i]; i++)
		buf[i] = isalnum((unsigned char)buf[i]) ? (char)toupper((unsigned char)buf[i]) : '_';
}
