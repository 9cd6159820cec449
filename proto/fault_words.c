/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See fault_inside.h. Cannot fail. */
#include "proto/fault_inside.h"

#include <string.h>

enum { ERRNO_END = 256 }; /* Linux has none as high */

uint32_t fault_options(enum fault_kind kind)
{
	const uint32_t effect = FAULT_OPTION(FOR) | FAULT_OPTION(LEASE);
	const uint32_t between = FAULT_OPTION(ONEWAY) | FAULT_OPTION(FROM) | effect;

	switch (kind) {
	case FAULT_CUT:
		return FAULT_OPTION(ONEWAY) | effect;
	case FAULT_DROP:
		return FAULT_OPTION(TIMES);
	case FAULT_HOLD:
		return FAULT_OPTION(FOR);
	case FAULT_REFUSE:
		return FAULT_OPTION(TIMEOUT);
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_RATE:
		return between;
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
	case FAULT_REORDER:
		return between | FAULT_OPTION(SEED);
	case FAULT_CRASH:
		return FAULT_OPTION(AT) | FAULT_OPTION(SILENT);
	case FAULT_CRASH_BOX:
		return FAULT_OPTION(AT);
	case FAULT_RESTART:
		return FAULT_OPTION(AFTER);
	case FAULT_PAUSE:
		return FAULT_OPTION(AT) | FAULT_OPTION(FOR);
	case FAULT_FAIL:
		return FAULT_OPTION(FROM) | FAULT_OPTION(TIMES) | effect;
	case FAULT_RESET:
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return 0;
}

bool fault_has_lease(enum fault_kind kind)
{
	return fault_options(kind) & FAULT_OPTION(LEASE);
}

bool fault_is_random(enum fault_kind kind)
{
	return fault_options(kind) & FAULT_OPTION(SEED);
}

const char *fault_moment_word(enum fault_moment_kind kind)
{
	static const char *const words[MOMENT_KIND_COUNT] = {
		[MOMENT_NONE] = "?",	      [MOMENT_SEND] = "send",	[MOMENT_RECV] = "recv",	  [MOMENT_CONNECT] = "connect",
		[MOMENT_ACCEPT] = "accept", [MOMENT_EXIT] = "exit", [MOMENT_START] = "start",
	};

	return kind < MOMENT_KIND_COUNT ? words[kind] : "?";
}

bool fault_moment_is_connectors(const struct fault_moment *moment)
{
	return moment->kind == MOMENT_CONNECT || (moment->kind == MOMENT_SEND && !moment->reply) ||
	       (moment->kind == MOMENT_RECV && moment->reply);
}

const char *fault_errno_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "?";
}

int fault_errno_number(const char *name)
{
	for (int error = 1; error < ERRNO_END; error++) {
		const char *known = strerrorname_np(error);

		if (known && !strcmp(known, name))
			return error;
	}
	return -1;
}
