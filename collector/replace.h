/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files that are whole or not there: written beside their place, and renamed. A link stays one: what it points to is replaced. What is no
 * plain file (a device, a pipe) is written to as it is.
 */
#ifndef COLLECTOR_REPLACE_H
#define COLLECTOR_REPLACE_H

#include <stdio.h>

#include "lib/error.h"

/* write: 0 or a negative errno, with e; a write that fails may be left in ferror(out). On failure a plain file is as it was. */
int replace_file(const char *file, int (*write)(FILE *out, void *arg, struct error *e), void *arg, struct error *e);

#endif
