/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Colours of threads. At first a thread's colour is its name; those that share one are coloured anew by what they did and by
 * the colours of those with whom they did it, until that tells no more of them apart. Cannot fail.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print_canon.h"

/* What is hashed of a thread, little endian. */
struct colour_token {
	uint32_t kind, side, connection, place;
	uint64_t text, link_colour, box_colour;
};

/* Of one colour, the lower number first: which of them is tried first has no influence on the least hash. */
static int colour_compare(const void *a, const void *b, void *arg)
{
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const uint64_t *colour = arg;

	if (colour[i] != colour[k])
		return colour[i] < colour[k] ? -1 : 1;
	return i < k ? -1 : i > k;
}

/* Threads by colour; how many colours there are. */
size_t canon_sort(struct canon *c, const uint64_t *colour)
{
	size_t n = c->n > 0;

	memcpy(c->order, c->threads, c->n * sizeof(*c->order));
	qsort_r(c->order, c->n, sizeof(*c->order), colour_compare, (void *)colour);
	for (size_t i = 1; i < c->n; i++)
		n += colour[c->order[i]] != colour[c->order[i - 1]];
	return n;
}

bool canon_is_alone(const struct canon *c, const uint64_t *colour, size_t i)
{
	uint64_t own = colour[c->order[i]];

	return (!i || colour[c->order[i - 1]] != own) && (i + 1 == c->n || colour[c->order[i + 1]] != own);
}

static int member_compare(const void *a, const void *b)
{
	const struct member *p = a, *q = b;

	if (p->group != q->group)
		return p->group < q->group ? -1 : 1;
	return p->colour < q->colour ? -1 : p->colour > q->colour;
}

static uint32_t box_of(const struct print_thread *thread)
{
	return thread->box;
}

static uint32_t process_of(const struct print_thread *thread)
{
	return thread->process;
}

/* What threads share, as a box that can be renamed, looks like all of them. */
static void colour_groups(struct canon *c, const uint64_t *colour, uint32_t (*group_of)(const struct print_thread *),
			  uint64_t *ret_colour)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		uint32_t group = group_of(&c->run->threads[c->threads[i]]);

		if (group)
			c->members[n++] = (struct member){ group, colour[c->threads[i]] };
	}
	qsort(c->members, n, sizeof(*c->members), member_compare);
	for (size_t i = 0, k; i < n; i = k) {
		XXH3_64bits_reset(c->state);
		for (k = i; k < n && c->members[k].group == c->members[i].group; k++) {
			uint64_t one = htole64(c->members[k].colour);

			XXH3_64bits_update(c->state, &one, sizeof(one));
		}
		ret_colour[c->members[i].group] = XXH3_64bits_digest(c->state);
	}
}

static struct colour_token colour_token(const struct canon *c, const uint64_t *colour, uint32_t kind, uint64_t text,
					uint32_t box, uint32_t link)
{
	const struct print_item *to = link ? &c->run->items[link - 1] : NULL;

	return (struct colour_token){
		.kind = htole32(kind),
		.place = htole32(to ? to->place + 1 : 0),
		.text = htole64(text),
		.link_colour = htole64(to ? colour[to->thread] : 0),
		.box_colour = htole64(box ? c->box_colour[box] : 0),
	};
}

static uint64_t colour_thread(struct canon *c, const uint64_t *colour, uint32_t index)
{
	const struct print_run *run = c->run;
	const struct print_thread *thread = &run->threads[index];
	uint64_t old = htole64(colour[index]);
	struct colour_token token;

	XXH3_64bits_reset(c->state);
	XXH3_64bits_update(c->state, &old, sizeof(old));
	token = colour_token(c, colour, PRINT_THREAD, thread->text, thread->box, thread->origin);
	XXH3_64bits_update(c->state, &token, sizeof(token));
	for (uint32_t i = thread->first; i < thread->first + thread->n; i++) {
		const struct print_item *item = &run->items[i];

		if (!item->in)
			continue;
		token = colour_token(c, colour, item->kind, item->text, item->box, item->link);
		token.side = htole32(item->side);
		if (run->folded)
			token.link_colour = htole64(item->peer ? c->peer_colour[item->peer] : 0);
		else
			token.connection = htole32(number_of(&c->connections, item->connection));
		XXH3_64bits_update(c->state, &token, sizeof(token));
	}
	numbering_forget(&c->connections);
	return XXH3_64bits_digest(c->state);
}

/* Colours those that are not alone (all: everybody), everybody by the old colours. */
void canon_round(struct canon *c, uint64_t *colour, bool all)
{
	if (c->run->n_boxes)
		colour_groups(c, colour, box_of, c->box_colour);
	if (c->run->folded)
		colour_groups(c, colour, process_of, c->peer_colour);
	for (size_t i = 0; i < c->n; i++) {
		bool alone = !all && canon_is_alone(c, colour, i);

		c->fresh[i] = alone ? colour[c->order[i]] : colour_thread(c, colour, c->order[i]);
	}
	for (size_t i = 0; i < c->n; i++)
		colour[c->order[i]] = c->fresh[i];
}

/* Until nothing more is told apart. Leaves `order` sorted. True: every thread has a colour of its own. */
bool canon_refine(struct canon *c, uint64_t *colour)
{
	size_t found = canon_sort(c, colour), before = 0;

	while (found < c->n && found > before) {
		if (c->rounds == c->rounds_max) {
			c->overflow = true;
			break;
		}
		c->rounds++;
		before = found;
		canon_round(c, colour, false);
		found = canon_sort(c, colour);
	}
	return found == c->n;
}
