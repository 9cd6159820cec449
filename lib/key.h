/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * CURVE keys (Curve25519) as text: 40 characters of Z85 (ZeroMQ RFC 32). A file of keys has one a line; what follows it
 * after a blank, and lines that begin with "# ", are comments. A secret is read only from a file that nobody else can
 * read. Must not know who uses a key for what.
 */
#ifndef LIB_KEY_H
#define LIB_KEY_H

#include <stdbool.h>

#include "lib/error.h"

#define KEY_SIZE 41 /* with the end of the string */

bool key_valid(const char *text);

/* where: the path of a plain file with a key or, if there is none, a key. -EINVAL, -ENOENT, ... Never waits. */
int key_read_public(const char *where, char ret_public[KEY_SIZE], struct error *e);

/*
 * The secret in a file, and the public key that belongs to it. -EPERM: it is not a plain file of ours (or root's) that
 * only its owner can read; e says what to do.
 */
int key_read_secret(const char *path, char ret_secret[KEY_SIZE], char ret_public[KEY_SIZE], struct error *e);

/*
 * Makes a pair: PATH.secret (mode 0600) and PATH.public. -EEXIST: one of the two is there already, and is left as it is (a
 * public key alone is another machine's). On failure nothing is left.
 */
int key_make(const char *path, char ret_public[KEY_SIZE], struct error *e);

#endif
