/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See start.h. */
#include "tfj/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char **list_copy(char *const *from)
{
	char **list;
	size_t n = 0;

	while (from[n])
		n++;
	list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++) {
		list[i] = strdup(from[i]);
		if (list[i])
			continue;
		while (i > 0)
			free(list[--i]);
		free(list);
		return NULL;
	}
	return list;
}

static void list_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

int start_copy(const struct message_start *from, struct message_start *ret_start)
{
	struct message_start start = *from;

	start.name = strdup(from->name);
	start.box = strdup(from->box);
	start.user = strdup(from->user);
	start.directory = strdup(from->directory);
	start.argv = list_copy(from->argv);
	start.environment = list_copy(from->environment);
	if (!start.name || !start.box || !start.user || !start.directory || !start.argv || !start.environment) {
		start_fini(&start);
		return -ENOMEM;
	}
	*ret_start = start;
	return 0;
}

void start_fini(struct message_start *start)
{
	free(start->name);
	free(start->box);
	free(start->user);
	free(start->directory);
	list_free(start->argv);
	list_free(start->environment);
	*start = (struct message_start){ 0 };
}
