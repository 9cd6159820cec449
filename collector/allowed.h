/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The folder of keys, and in it the lists of agents and of controllers that may connect: the files `allowed` and `controllers`, a line
 * `NAME KEY` each. A list is read again when its file changes. Who could change it could let anybody in: it must belong to us or root and
 * be writable by its owner alone.
 */
#ifndef COLLECTOR_ALLOWED_H
#define COLLECTOR_ALLOWED_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "lib/error.h"
#include "lib/key.h"

#define ALLOWED_NAME_MAX 64 /* with the end of the string */
#define ALLOWED_SERVER "server" /* name of the collector's own pair */
#define ALLOWED_AGENTS "allowed" /* names of the lists */
#define ALLOWED_CONTROLLERS "controllers"

struct allowed_agent {
	char name[ALLOWED_NAME_MAX];
	char key[KEY_SIZE];
};

struct allowed {
	char path[PATH_MAX];
	struct allowed_agent *agents;
	size_t n;
	struct stat seen; /* of the file when it was read; st_ino 0: there was none */
};

/*
 * The folder: given, else $BOP_KEYS, else /etc/bop/keys for root and .config/bop/keys in the home of others. Made (0700)
 * with `make`.
 */
int allowed_folder(const char *given, bool make, char ret_folder[PATH_MAX], struct error *e);

/* Reads a list in folder; one that is not there is empty. -EINVAL with file and line, -EPERM. */
int allowed_open(struct allowed *allowed, const char *folder, const char *name, struct error *e);
void allowed_fini(struct allowed *allowed);

/* Reads it again if the file changed: 1, else 0. After a failure the list is as it was. */
int allowed_refresh(struct allowed *allowed, struct error *e);

const struct allowed_agent *allowed_by_key(const struct allowed *allowed, const char *key);
const struct allowed_agent *allowed_by_name(const struct allowed *allowed, const char *name);
/* Whether the name still is that key's: it can have been given to another one. */
bool allowed_pair(const struct allowed *allowed, const char *name, const char *key);

/*
 * Changes the file, as it is now, and the list. One at a time: others wait for a lock of the folder.
 * -EINVAL: not a name, -EEXIST: the name has another key, or the key another name.
 */
int allowed_add(struct allowed *allowed, const char *name, const char *key, struct error *e);
/* -ENOENT. */
int allowed_remove(struct allowed *allowed, const char *name, struct error *e);

/* 1 to 63 letters, digits, '-', '_' and '.', the first a letter or digit. */
int allowed_name_check(const char *name, struct error *e);

#endif
