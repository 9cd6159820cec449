/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Roles whose members can change places: every way in which they can, and what labels and names become then. Number 0
 * changes nothing. Pure.
 */
#ifndef LDFI_SYMMETRY_H
#define LDFI_SYMMETRY_H

#include <stddef.h>

#include "lib/error.h"

#define SYMMETRY_MAX 720u /* ways; a role that would make more is left out */

struct symmetry_member {
	const char *process, *box; /* the box has nobody else in it */
};

struct symmetry_role {
	const struct symmetry_member *members;
	size_t n;
};

struct symmetry;

/*
 * roles are borrowed until symmetry_free(). *ret_left_out (may be NULL): roles that would have made too many.
 * -ENOMEM.
 */
int symmetry_new(const struct symmetry_role *roles, size_t n_roles, struct symmetry **ret_symmetry, size_t *ret_left_out);
void symmetry_free(struct symmetry *symmetry);

/* How many ways there are: 1 at least. */
size_t symmetry_ways(const struct symmetry *symmetry);

/* malloc'ed; NULL: no memory. s1.1 becomes s2.1 where s1 becomes s2. What is no process or box stays. */
char *symmetry_process(const struct symmetry *symmetry, size_t way, const char *process);
/* Of a message: the process stands left, the box right. What no fault can name (c~s1:53/4) is taken for words. */
char *symmetry_label(const struct symmetry *symmetry, size_t way, const char *label);
/* Every word of a text that is the name of a member, or of its box. */
char *symmetry_words(const struct symmetry *symmetry, size_t way, const char *text);

#endif
