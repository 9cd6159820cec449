/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a program writes, in bounded memory: the first bytes, the last bytes, and how many there were. A program is
 * never held up by a full pipe for long and never fills our memory.
 */
#ifndef TFJ_OUTPUT_H
#define TFJ_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#define OUTPUT_KEEP (256u << 10) /* bytes kept of the beginning, and as many of the end */
#define OUTPUT_QUIET (64u << 10) /* of a quiet process: the beginning only */

struct output {
	char *head, *tail;
	size_t head_size, head_cap, head_max;
	size_t tail_max; /* 0: the end is not kept */
	uint64_t total;
	int fd; /* reading end of the pipe, non-blocking; -1: none */
};

#define OUTPUT_NONE { .fd = -1 }

/* Takes fd. */
void output_init(struct output *output, int fd, size_t head_max, size_t tail_max);
void output_fini(struct output *output);

/*
 * Reads what is there, but not endlessly. Returns 0 (more may come) or 1: the pipe has ended, close it. Without memory
 * the bytes count as written, but are not kept.
 */
int output_read(struct output *output);

/* Closes the pipe; what was read stays. */
void output_close(struct output *output);

struct output_piece {
	uint64_t offset;
	const char *bytes;
	size_t size;
};

/*
 * What is kept, in order, as up to three pieces (the beginning; the end, which can wrap in its ring). Bytes that were
 * left out show as a jump of offset. Returns how many. Borrowed until the next read.
 */
int output_pieces(const struct output *output, struct output_piece ret_pieces[3]);

#endif
