/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bounded capture of a stream. Must not know whose it is. Fails only by keeping less; the count is always right. */
#include "tfj/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 65536, CHUNKS_A_TURN = 16, HEAD_FIRST = 4096 };

void output_init(struct output *output, int fd, size_t head_max, size_t tail_max)
{
	*output = (struct output){ .fd = fd, .head_max = head_max, .tail_max = tail_max };
}

void output_close(struct output *output)
{
	if (output->fd >= 0)
		close(output->fd);
	output->fd = -1;
}

void output_fini(struct output *output)
{
	output_close(output);
	free(output->head);
	free(output->tail);
	*output = (struct output)OUTPUT_NONE;
}

/* Returns how many of the bytes belong to the head. What does not fit for want of memory ends the head there. */
static size_t head_add(struct output *output, const char *bytes, size_t size)
{
	size_t want = output->head_max - output->head_size, cap = output->head_cap;
	char *head;

	if (size < want)
		want = size;
	if (output->head_size + want > cap) {
		cap = cap ? cap : HEAD_FIRST;
		while (cap < output->head_size + want)
			cap *= 2;
		head = realloc(output->head, cap);
		if (!head) {
			output->head_max = output->head_size;
			return 0;
		}
		output->head = head;
		output->head_cap = cap;
	}
	if (want)
		memcpy(output->head + output->head_size, bytes, want);
	output->head_size += want;
	return want;
}

/* The byte with stream offset x is at (x - head_size) % tail_max. */
static void tail_add(struct output *output, uint64_t offset, const char *bytes, size_t size)
{
	size_t at, n;

	if (!output->tail && output->tail_max)
		output->tail = malloc(output->tail_max);
	if (!output->tail)
		output->tail_max = 0;
	if (size > output->tail_max) {
		offset += size - output->tail_max;
		bytes += size - output->tail_max;
		size = output->tail_max;
	}
	while (size) {
		at = (offset - output->head_size) % output->tail_max;
		n = output->tail_max - at < size ? output->tail_max - at : size;
		memcpy(output->tail + at, bytes, n);
		bytes += n;
		offset += n;
		size -= n;
	}
}

int output_read(struct output *output)
{
	char chunk[CHUNK];
	ssize_t size;
	size_t n;

	for (int i = 0; i < CHUNKS_A_TURN && output->fd >= 0; i++) {
		size = read(output->fd, chunk, sizeof(chunk));
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return 0;
		if (size <= 0)
			return 1;
		n = output->total == output->head_size ? head_add(output, chunk, size) : 0;
		if (n < (size_t)size)
			tail_add(output, output->total + n, chunk + n, size - n);
		output->total += size;
	}
	return output->fd < 0;
}

int output_pieces(const struct output *output, struct output_piece ret_pieces[3])
{
	uint64_t from = output->head_size;
	size_t at, size;
	int n = 0;

	if (output->head_size)
		ret_pieces[n++] = (struct output_piece){ 0, output->head, output->head_size };
	if (!output->tail_max)
		return n;
	if (output->total - from > output->tail_max)
		from = output->total - output->tail_max;
	while (from < output->total) {
		at = (from - output->head_size) % output->tail_max;
		size = output->tail_max - at;
		if (size > output->total - from)
			size = output->total - from;
		ret_pieces[n++] = (struct output_piece){ from, output->tail + at, size };
		from += size;
	}
	return n;
}
