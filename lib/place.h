/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where things of this user are without being told, for who serves them and who looks for them. Makes nothing. */
#ifndef LIB_PLACE_H
#define LIB_PLACE_H

#include <limits.h>

#include "lib/error.h"

/* The directory of a server: $BOP_SERVER_DIR, else /run/bop for root, else bop in $XDG_RUNTIME_DIR, else /tmp/bop.server.UID. Absolute. */
int place_server(char ret_directory[PATH_MAX], struct error *e);

/* The folder of keys: given, else $BOP_KEYS, else /etc/bop/keys for root and .config/bop/keys in the home of others. */
int place_keys(const char *given, char ret_folder[PATH_MAX], struct error *e);

#endif
