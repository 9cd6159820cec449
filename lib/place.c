/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See place.h. */
#include "lib/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int place_server(char ret_directory[PATH_MAX], struct error *e)
{
	const char *given = getenv("BOP_SERVER_DIR"), *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (given && *given)
		n = snprintf(ret_directory, PATH_MAX, "%s", given);
	else if (geteuid() == 0)
		n = snprintf(ret_directory, PATH_MAX, "/run/bop");
	else if (runtime && *runtime == '/')
		n = snprintf(ret_directory, PATH_MAX, "%s/bop", runtime);
	else
		n = snprintf(ret_directory, PATH_MAX, "/tmp/bop.server.%u", geteuid());
	if (n >= PATH_MAX || *ret_directory != '/')
		return error_set(e, -EINVAL, "%s: the directory of a server is an absolute path", ret_directory);
	return 0;
}

int place_keys(const char *given, char ret_folder[PATH_MAX], struct error *e)
{
	const char *folder = given ? given : getenv("BOP_KEYS"), *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (folder && *folder)
		n = snprintf(ret_folder, PATH_MAX, "%s", folder);
	else if (geteuid() == 0)
		n = snprintf(ret_folder, PATH_MAX, "/etc/bop/keys");
	else if (config && *config == '/')
		n = snprintf(ret_folder, PATH_MAX, "%s/bop/keys", config);
	else
		n = snprintf(ret_folder, PATH_MAX, "%s/.config/bop/keys", home && *home ? home : "");
	if (n >= PATH_MAX - 64)
		return error_set(e, -ENAMETOOLONG, "the path of the folder of keys is too long");
	return 0;
}
