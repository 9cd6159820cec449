/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the programs of an experiment are, see program.h. Fails with -ENOENT or -EACCES; the caller
 * knows in which line of which file the name stands, and says so.
 */
#include "collector/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int program_absolute(const char *folder, const char *path, char **ret_path)
{
	char *joined = NULL, *real;

	if (asprintf(&joined, "%s%s%s", *path == '/' ? "" : folder, *path == '/' ? "" : "/", path) <
	    0)
		return -ENOMEM;
	real = realpath(joined, NULL);
	if (real) {
		free(joined);
		joined = real;
	}
	*ret_path = joined;
	return 0;
}

/* 0: a program that may be run; -EACCES: something else has this name. */
static int program_check(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	return 0;
}

static int candidate_take(char *candidate, int *err, char **ret_path)
{
	int result = program_check(candidate);

	if (!result) {
		*ret_path = candidate;
		return 1;
	}
	if (result == -EACCES)
		*err = -EACCES;
	free(candidate);
	return 0;
}

int program_find(const char *name, const char *search_path, const char *folder, char **ret_path)
{
	char *candidate = NULL;
	int err = -ENOENT;

	if (strchr(name, '/')) {
		if (asprintf(&candidate, "%s%s%s", *name == '/' ? "" : folder,
			     *name == '/' ? "" : "/", name) < 0)
			return -ENOMEM;
		return candidate_take(candidate, &err, ret_path) ? 0 : err;
	}
	for (const char *part = search_path; *name && part;) {
		const char *colon = strchrnul(part, ':');

		if (colon > part) {
			if (asprintf(&candidate, "%.*s/%s", (int)(colon - part), part, name) < 0)
				return -ENOMEM;
			if (candidate_take(candidate, &err, ret_path))
				return 0;
		}
		part = *colon ? colon + 1 : NULL;
	}
	return err;
}
