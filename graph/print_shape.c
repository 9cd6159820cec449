/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The shape: for each process the set of its letters, whatever thread they are of and in whatever order, with what those are like
 * who are at the other end, some steps far. Nothing is searched for, so it is never approximate. Fails only without memory.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "graph/print_fold.h"
#include "lib/large.h"

#define STEPS 3
#define MAGIC "bop print 1 shape\n"

/* What is hashed of a letter, little endian. */
struct shape_token {
	uint32_t kind, side;
	uint64_t plain, peer, box;
};

/* Something that stands in the set of a group: a letter of a process, a process of a box. */
struct element {
	uint32_t group;
	uint64_t hash;
};

struct shape {
	const struct print_run *run;
	const uint64_t *plain;
	uint64_t *colour, *next; /* by process, of those that have words */
	uint64_t *box_colour;	 /* by box */
	uint32_t *processes;	 /* those that have words, n */
	struct element *elements; /* room for all letters, and all processes */
	XXH3_state_t *state;
	size_t n;
};

static int element_compare(const void *a, const void *b)
{
	const struct element *p = a, *q = b;

	if (p->group != q->group)
		return p->group < q->group ? -1 : 1;
	return p->hash < q->hash ? -1 : p->hash > q->hash;
}

static void mix(struct shape *s, uint64_t number)
{
	number = htole64(number);
	XXH3_64bits_update(s->state, &number, sizeof(number));
}

/* How a box looks in which some of those live that have words; several that look alike count. */
static void colour_boxes(struct shape *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		uint32_t box = print_box(s->run, s->processes[i]);

		if (box)
			s->elements[n++] = (struct element){ box, s->colour[s->processes[i]] };
	}
	qsort(s->elements, n, sizeof(*s->elements), element_compare);
	for (size_t i = 0, k; i < n; i = k) {
		XXH3_64bits_reset(s->state);
		for (k = i; k < n && s->elements[k].group == s->elements[i].group; k++)
			mix(s, s->elements[k].hash);
		s->box_colour[s->elements[i].group] = XXH3_64bits_digest(s->state);
	}
}

static uint64_t letter_hash(const struct shape *s, uint32_t index)
{
	const struct print_item *letter = &s->run->items[index];
	struct shape_token token = {
		.kind = htole32(letter->kind),
		.side = htole32(letter->side),
		.plain = htole64(s->plain[index]),
		.peer = htole64(letter->peer ? s->colour[letter->peer] : 0),
		.box = htole64(letter->box ? s->box_colour[letter->box] : 0),
	};

	return XXH3_64bits(&token, sizeof(token));
}

/* One step further. */
static void colour_processes(struct shape *s)
{
	const struct print_run *run = s->run;
	size_t n = 0;

	colour_boxes(s);
	for (size_t i = 0; i < run->n_threads; i++)
		for (uint32_t k = run->threads[i].first; k < run->threads[i].first + run->threads[i].n; k++)
			s->elements[n++] = (struct element){ run->threads[i].process, letter_hash(s, k) };
	qsort(s->elements, n, sizeof(*s->elements), element_compare);
	for (size_t i = 0, k; i < n; i = k) {
		uint32_t process = s->elements[i].group;

		XXH3_64bits_reset(s->state);
		mix(s, s->colour[process]);
		for (k = i; k < n && s->elements[k].group == process; k++)
			if (k == i || s->elements[k].hash != s->elements[k - 1].hash)
				mix(s, s->elements[k].hash);
		s->next[process] = XXH3_64bits_digest(s->state);
	}
	for (size_t i = 0; i < s->n; i++)
		s->colour[s->processes[i]] = s->next[s->processes[i]];
}

static int shape_init(struct shape *s, const struct print_fold *fold)
{
	const struct trace *trace = fold->run.g->trace;
	size_t n = trace->n_processes + 1;

	*s = (struct shape){ .run = &fold->run, .plain = fold->plain };
	s->colour = calloc(n, sizeof(*s->colour));
	s->next = calloc(n, sizeof(*s->next));
	s->processes = malloc(n * sizeof(*s->processes));
	s->box_colour = calloc(trace->n_boxes + 1, sizeof(*s->box_colour));
	s->elements = large_malloc(fold->run.n_in + n, sizeof(*s->elements));
	s->state = XXH3_createState();
	if (!s->colour || !s->next || !s->processes || !s->box_colour || !s->elements || !s->state)
		return -ENOMEM;
	for (size_t i = 0; i < fold->run.n_threads; i++) {
		const struct print_thread *word = &fold->run.threads[i];

		if (!word->n || s->next[word->process])
			continue;
		s->next[word->process] = 1; /* it is in the list */
		s->colour[word->process] = word->text;
		s->processes[s->n++] = word->process;
	}
	return 0;
}

static int colour_compare(const void *a, const void *b)
{
	uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;

	return p < q ? -1 : p > q;
}

/* Uses up `next`. */
static struct print shape_write(struct shape *s)
{
	XXH128_hash_t hash;

	for (size_t i = 0; i < s->n; i++)
		s->next[i] = s->colour[s->processes[i]];
	qsort(s->next, s->n, sizeof(*s->next), colour_compare);
	XXH3_128bits_reset(s->state);
	XXH3_128bits_update(s->state, MAGIC, strlen(MAGIC));
	for (size_t i = 0; i < s->n; i++) {
		uint64_t one = htole64(s->next[i]);

		XXH3_128bits_update(s->state, &one, sizeof(one));
	}
	hash = XXH3_128bits_digest(s->state);
	return (struct print){ .high = hash.high64, .low = hash.low64 };
}

int print_shape(const struct print_fold *fold, struct print *ret_print)
{
	struct shape s;
	int err = shape_init(&s, fold);

	for (int i = 0; i < STEPS && !err; i++)
		colour_processes(&s);
	if (!err)
		*ret_print = shape_write(&s);
	free(s.colour);
	free(s.next);
	free(s.processes);
	free(s.box_colour);
	free(s.elements);
	XXH3_freeState(s.state);
	return err;
}
