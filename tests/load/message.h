/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What client and server agree upon. How much passes on connection k (1, 2, ...: the order of the connects) follows from
 * k alone, so that a test knows each connection's bytes without being told: tests/net/test_load.py has the same formula.
 */
#ifndef TESTS_LOAD_MESSAGE_H
#define TESTS_LOAD_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define MESSAGE_MAX 512 /* bytes, with the head */

/* A message is its head and then bytes of no meaning. The server echoes it; after the last one it closes. */
struct head {
	uint16_t size; /* of the whole message, in the byte order of this machine */
	uint16_t last;
};

static inline unsigned messages_of(uint32_t k)
{
	return 1 + k % 3;
}

static inline unsigned size_of(uint32_t k, unsigned number)
{
	return sizeof(struct head) + (k * 37 + number * 101) % (MESSAGE_MAX - sizeof(struct head) + 1);
}

static inline void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

#endif
