/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the end of a file's name says of what is to be in it: x.svg, x.otlp.json. */
#ifndef COLLECTOR_SUFFIX_H
#define COLLECTOR_SUFFIX_H

#include "lib/error.h"

/* The format that Render is asked for; static. -EINVAL: it ends in none; e lists those that there are. */
int suffix_format(const char *file, char **ret_format, struct error *e);

#endif
