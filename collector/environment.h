/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The environment of a program of an experiment: made whole, nothing is inherited. docs/experiment.md tells users. */
#ifndef COLLECTOR_ENVIRONMENT_H
#define COLLECTOR_ENVIRONMENT_H

#include <stddef.h>

#include "proto/event.h"

/* All borrowed. */
struct environment {
	const char *search_path, *run_directory, *directory, *user, *box;
	const struct trace_box *boxes; /* [0] is the first */
	size_t n_boxes;
	char *const *more; /* NAME=value, NULL-terminated; wins over ours. NULL: none */
};

/* Returns 0 or -ENOMEM. *ret_list is NULL-terminated, freed by environment_free(). */
int environment_make(const struct environment *environment, char ***ret_list);
void environment_free(char **list);

/* "BOP_ADDR_" and "my-box" give "BOP_ADDR_MY_BOX": upper case, what is no letter or digit becomes '_'. */
void environment_name(const char *prefix, const char *name, char *buf, size_t size);

#endif
