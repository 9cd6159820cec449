/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A print is the hash of what is written here, when the threads have an order. Fails only without memory. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/print_canon.h"

/* Which print it is, and whether it is by colours alone. */
static const char *const magic[2][2] = {
	{ "bop print 1 exact\n", "bop print 1 approximate\n" },
	{ "bop print 1 folded\n", "bop print 1 folded approximate\n" },
};

/* Little endian. */
struct token {
	uint32_t kind, side, connection, link, box, zero;
	uint64_t text;
};

int numbering_init(struct numbering *numbering, size_t n)
{
	numbering->number = calloc(n + 1, sizeof(*numbering->number));
	numbering->mentioned = malloc((n + 1) * sizeof(*numbering->mentioned));
	return numbering->number && numbering->mentioned ? 0 : -ENOMEM;
}

void numbering_fini(struct numbering *numbering)
{
	free(numbering->number);
	free(numbering->mentioned);
}

uint32_t number_of(struct numbering *numbering, uint32_t thing)
{
	if (!thing)
		return 0;
	if (!numbering->number[thing]) {
		numbering->mentioned[numbering->n++] = thing;
		numbering->number[thing] = numbering->n;
	}
	return numbering->number[thing];
}

void numbering_forget(struct numbering *numbering)
{
	for (uint32_t i = 0; i < numbering->n; i++)
		numbering->number[numbering->mentioned[i]] = 0;
	numbering->n = 0;
}

static void write_token(struct canon *c, struct token token)
{
	token = (struct token){
		.kind = htole32(token.kind), .side = htole32(token.side), .connection = htole32(token.connection),
		.link = htole32(token.link), .box = htole32(token.box), .text = htole64(token.text),
	};
	XXH3_128bits_update(c->state, &token, sizeof(token));
}

static void begin(struct canon *c, bool approximate)
{
	const char *text = magic[c->run->folded][approximate];

	XXH3_128bits_reset(c->state);
	XXH3_128bits_update(c->state, text, strlen(text));
}

static uint32_t link_of(const struct canon *c, uint32_t link)
{
	const struct print_item *to = link ? &c->run->items[link - 1] : NULL;

	return to ? c->start[to->thread] + to->place + 1 : 0;
}

static struct print digest(struct canon *c)
{
	XXH128_hash_t hash = XXH3_128bits_digest(c->state);

	return (struct print){ .high = hash.high64, .low = hash.low64 };
}

/* A word has no connections, only who is at their other end. */
static uint32_t with(struct canon *c, const struct print_item *item)
{
	return c->run->folded ? number_of(&c->processes, item->peer) : number_of(&c->connections, item->connection);
}

/* All threads in the order of their colours. */
struct print canon_write(struct canon *c)
{
	const struct print_run *run = c->run;
	uint32_t start = 0;

	for (size_t i = 0; i < c->n; i++) {
		c->start[c->order[i]] = start;
		start += run->threads[c->order[i]].n_in;
	}
	begin(c, false);
	for (size_t i = 0; i < c->n; i++) {
		const struct print_thread *thread = &run->threads[c->order[i]];

		write_token(c, (struct token){
			.kind = PRINT_THREAD, .connection = number_of(&c->processes, thread->process),
			.link = link_of(c, thread->origin), .box = number_of(&c->boxes, thread->box), .text = thread->text,
		});
		for (uint32_t k = thread->first; k < thread->first + thread->n; k++) {
			const struct print_item *item = &run->items[k];

			if (item->in)
				write_token(c, (struct token){
					.kind = item->kind, .side = item->side, .link = link_of(c, item->link),
					.connection = with(c, item),
					.box = number_of(&c->boxes, item->box), .text = item->text,
				});
		}
	}
	numbering_forget(&c->connections);
	numbering_forget(&c->processes);
	numbering_forget(&c->boxes);
	return digest(c);
}

/* Everything once more, by the colours that were found before the search began. */
struct print canon_write_approximate(struct canon *c, uint64_t *colour)
{
	struct print print;

	canon_sort(c, colour);
	canon_round(c, colour, true);
	canon_sort(c, colour);
	begin(c, true);
	for (size_t i = 0; i < c->n; i++) {
		uint64_t one = htole64(colour[c->order[i]]);

		XXH3_128bits_update(c->state, &one, sizeof(one));
	}
	print = digest(c);
	print.approximate = true;
	return print;
}
