/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the programs of an experiment are: the folders that its file names, then the file's own folder, then the
 * system's. Looks at the file system, starts nothing.
 */
#ifndef COLLECTOR_PROGRAM_H
#define COLLECTOR_PROGRAM_H

#include <stddef.h>

#include "lib/error.h"

#define PROGRAM_SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Absolute and without links, as malloc'ed text: path, seen from folder if relative. The last part need not exist. */
int program_absolute(const char *folder, const char *path, char **ret_path);

/*
 * Finds name: with a slash it is relative to folder, else it is looked up in search_path, a list like $PATH. Returns 0
 * and the malloc'ed absolute path; -ENOENT, -EACCES (found, but no program) or -ENOMEM.
 */
int program_find(const char *name, const char *search_path, const char *folder, char **ret_path);

#endif
