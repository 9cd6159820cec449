/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between fault.c and fault_*.c: the words of a plan, and where its reading is. */
#ifndef PROTO_FAULT_INSIDE_H
#define PROTO_FAULT_INSIDE_H

#include <stdint.h>

#include "proto/fault.h"

/* X(NAME, "word", "what follows it"): what may stand behind a fault's own words, in any order, each once. */
#define FAULT_OPTION_WORDS(X)              \
	X(ONEWAY, "oneway", "")            \
	X(TIMEOUT, "timeout", "")          \
	X(AT, "at", " MOMENT")             \
	X(FROM, "from", " MOMENT")         \
	X(SILENT, "silent", "")            \
	X(FOR, "for", " TIME")             \
	X(AFTER, "after", " TIME")         \
	X(LEASE, "lease", " TIME")         \
	X(TIMES, "times", " N")            \
	X(SEED, "seed", " N")

enum fault_option {
#define X(NAME, word, follows) FAULT_OPTION_##NAME,
	FAULT_OPTION_WORDS(X)
#undef X
	FAULT_OPTION_COUNT,
};

#define FAULT_OPTION(NAME) (1u << FAULT_OPTION_##NAME)

/* Those that the kind can have, a bit each. */
uint32_t fault_options(enum fault_kind kind);

/* "send"; static. */
const char *fault_moment_word(enum fault_moment_kind kind);

/* "EIO" for the errno; a number that has no name: "?". Static. -1: no errno is called that. */
const char *fault_errno_name(int error);
int fault_errno_number(const char *name);

/* A line as far as it has been read. */
struct parse {
	const char *start, *at, *end;
	struct fault *fault;
	int column;    /* of what was wrong */
	uint32_t seen; /* options */
	struct error *e;
};

struct word {
	const char *at;
	size_t n; /* 0: the line has ended */
	int column;
};

/* For "%.*s": what is wrong need not be short. */
#define WORD(word) (int)((word).n < 60 ? (word).n : 60), (word).at

/* -EINVAL, with the column and the text. */
int fault_wrong(struct parse *p, int column, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One word each. 0, -EINVAL as fault_wrong(), -ENOMEM. What is filled belongs to the caller, also after a failure. */
int fault_message_parse(struct parse *p, const struct word *word, struct fault_moment *moment);
int fault_connection_parse(struct parse *p, const struct word *word, struct fault_moment *moment);
int fault_process_parse(struct parse *p, const struct word *word, char **ret_name);
int fault_box_parse(struct parse *p, const struct word *word, char **ret_name);
int fault_duration_parse(struct parse *p, const struct word *word, bool may_be_zero, uint64_t *ret_ns);
int fault_percent_parse(struct parse *p, const struct word *word, uint32_t *ret_ppm);
int fault_rate_parse(struct parse *p, const struct word *word, uint64_t *ret_rate);
int fault_number_parse(struct parse *p, const struct word *word, uint64_t max, uint64_t *ret_value); /* from 1 */

#endif
