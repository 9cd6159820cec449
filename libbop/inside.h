/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a connection, for open.c (getting in) and talk.c (requests and answers). Nobody else includes this. */
#ifndef LIBBOP_INSIDE_H
#define LIBBOP_INSIDE_H

#include <limits.h>

#include "libbop/bop.h"

struct kept; /* an answer that came while bop_ask() waited for another one */

struct bop {
	void *context, *socket, *monitor;
	char url[PATH_MAX + 16];
	int epoll, ready; /* ready: an eventfd that says what the descriptors of ZeroMQ, which only tell of changes, do not */
	bool gone;
	uint64_t last_id;
	struct kept *kept;
};

int bop_fail(struct bop_error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* talk.c: after anything that was done with the sockets. */
void bop_ready_set(struct bop *bop);
void bop_kept_free(struct bop *bop);
/* Takes what the monitor says: the event, 0: none. */
int bop_event(struct bop *bop);

#endif
