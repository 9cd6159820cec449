/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repetition collapsed. Items become letters, which say what sort of item one is: what happened, with whom, on what sort of
 * connection, and whether it was answered, but not on which connection nor for which time. Of a thread's letters each is left
 * where it first stands; of a root's threads that spell the same word one is left. Fails only without memory.
 */
#include "graph/print_fold.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "lib/large.h"

#define SEVERAL UINT32_MAX

/* Whether what opens an exchange is answered, and whether it is the first answer: two iterations of a loop have the same. */
enum mark { MARK_NONE, MARK_ANSWERED, MARK_ANSWER, MARK_MORE };

/* A connection, for all who share in it. */
struct channel {
	uint64_t service; /* hash of what it leads to, 0 unknown */
	uint64_t kinds;	  /* of letters that its sides have: bit kind, and 32 + kind for the acceptor's */
	uint32_t box;	  /* that it leads to and that can be renamed, 0 none */
	uint32_t root[2]; /* by side - 1; 0 none */
	bool accepted;	  /* `service` and `box` are the accept's */
	/* for the thread that is being read */
	uint32_t thread, last; /* its index + 1; its last message here */
	bool opens_out;	       /* what its first message here was */
};

struct slot {
	uint32_t thread; /* index + 1 of the one whose word is made; any other: empty */
	uint32_t letter;
};

struct folding {
	const struct print_run *from;
	struct print_fold *fold;
	struct channel *channels; /* by connection */
	uint8_t *marks;		  /* by item */
	struct slot *slots;	  /* hash table of letters, n_slots: a power of 2 */
	size_t n_slots;
};

static bool is_letter(const struct print_run *run, const struct print_item *item)
{
	return item->in && print_is_core(run, item);
}

static bool is_message(const struct print_item *item)
{
	return item->connection && item->kind >= PRINT_SEND && item->kind <= PRINT_DATA;
}

static uint32_t root_of(const struct print_run *run, const struct print_thread *thread)
{
	return run->root[thread->process];
}

/* What both sides do on a connection, and who they are. */
static void note_channel(struct channel *channel, const struct print_item *item, uint32_t root)
{
	uint32_t *side = &channel->root[item->side - 1];

	channel->kinds |= 1ull << (item->kind + (item->side == SIDE_ACCEPTOR ? 32 : 0));
	*side = *side && *side != root ? SEVERAL : root;
	if (item->kind == PRINT_ACCEPT || (item->kind == PRINT_CONNECT && !channel->accepted)) {
		channel->service = item->text;
		channel->box = item->box;
		channel->accepted = item->kind == PRINT_ACCEPT;
	}
}

/* A message of a thread, after those before it on this connection. */
static void mark_message(struct folding *f, uint32_t thread, uint32_t index)
{
	const struct print_item *items = f->from->items;
	struct channel *channel = &f->channels[items[index].connection];
	bool out = items[index].kind == PRINT_SEND, before;

	if (channel->thread != thread + 1) {
		channel->thread = thread + 1;
		channel->opens_out = out;
	} else if (out != channel->opens_out) {
		before = items[channel->last].kind == PRINT_SEND;
		f->marks[index] = before == channel->opens_out ? MARK_ANSWER : MARK_MORE;
		if (before == channel->opens_out)
			f->marks[channel->last] = MARK_ANSWERED;
	}
	channel->last = index;
}

static void survey(struct folding *f)
{
	const struct print_run *run = f->from;

	for (uint32_t i = 0; i < run->n_threads; i++) {
		const struct print_thread *thread = &run->threads[i];

		for (uint32_t k = thread->first; k < thread->first + thread->n; k++) {
			const struct print_item *item = &run->items[k];

			if (!is_letter(run, item) || !item->connection)
				continue;
			note_channel(&f->channels[item->connection], item, root_of(run, thread));
			if (is_message(item))
				mark_message(f, i, k);
		}
	}
}

static uint64_t hash_of(const uint64_t *numbers, size_t n)
{
	uint64_t data[3];

	for (size_t i = 0; i < n; i++)
		data[i] = htole64(numbers[i]);
	return XXH3_64bits(data, n * sizeof(*data));
}

/* *ret_plain: its text without its mark. */
static struct print_item letter_of(const struct folding *f, uint32_t index, uint64_t *ret_plain)
{
	const struct print_item *item = &f->from->items[index];
	const struct channel *channel = &f->channels[item->connection]; /* [0]: of none */
	uint32_t peer = item->connection ? channel->root[item->side == SIDE_CONNECTOR] : 0;
	struct print_item letter = { .kind = item->kind, .side = item->side, .in = true };

	*ret_plain = hash_of((uint64_t[]){ item->text, channel->service, channel->kinds }, 3);
	letter.text = hash_of((uint64_t[]){ *ret_plain, f->marks[index] }, 2);
	letter.peer = peer == SEVERAL ? 0 : peer;
	if (!letter.peer)
		letter.box = item->box ? item->box : channel->box;
	return letter;
}

static bool is_same(const struct print_item *a, const struct print_item *b)
{
	return a->text == b->text && a->kind == b->kind && a->side == b->side && a->peer == b->peer && a->box == b->box;
}

/* Adds a letter to the word that is made of a thread, unless it has it. */
static void add(struct folding *f, uint32_t thread, struct print_thread *word, struct print_item letter, uint64_t plain)
{
	struct print_run *to = &f->fold->run;
	size_t slot = (letter.text + letter.kind + letter.peer + letter.box) & (f->n_slots - 1);

	for (; f->slots[slot].thread == thread + 1; slot = (slot + 1) & (f->n_slots - 1))
		if (is_same(&to->items[f->slots[slot].letter], &letter))
			return;
	f->slots[slot] = (struct slot){ thread + 1, to->n_items };
	letter.place = word->n++;
	letter.thread = to->n_threads;
	f->fold->plain[to->n_items] = plain;
	to->items[to->n_items++] = letter;
}

static void spell(struct folding *f, uint32_t index)
{
	const struct print_thread *thread = &f->from->threads[index];
	struct print_run *to = &f->fold->run;
	struct print_thread word = { .text = thread->text, .process = root_of(f->from, thread), .first = to->n_items };

	word.box = print_box(f->from, word.process);
	for (uint32_t k = thread->first; k < thread->first + thread->n; k++) {
		struct print_item letter;
		uint64_t plain;

		if (!is_letter(f->from, &f->from->items[k]))
			continue;
		letter = letter_of(f, k, &plain);
		add(f, index, &word, letter, plain);
	}
	if (word.n)
		to->threads[to->n_threads++] = word;
}

/* A word, to find others that are spelled like it. */
struct spelling {
	uint32_t root, word;
	XXH128_hash_t hash;
};

static int spelling_compare(const void *a, const void *b)
{
	const struct spelling *p = a, *q = b;

	if (p->root != q->root)
		return p->root < q->root ? -1 : 1;
	if (!XXH128_isEqual(p->hash, q->hash))
		return XXH128_cmp(&p->hash, &q->hash);
	return p->word < q->word ? -1 : p->word > q->word;
}

/* By identity: processes and boxes by number, whatever roles they have. */
static XXH128_hash_t spelling_hash(XXH3_state_t *state, const struct print_run *run, const struct print_thread *word)
{
	XXH3_128bits_reset(state);
	for (uint32_t i = word->first; i < word->first + word->n; i++) {
		const struct print_item *letter = &run->items[i];
		uint64_t data[] = { letter->text, (uint64_t)letter->peer << 32 | letter->box, letter->kind << 8 | letter->side };

		XXH3_128bits_update(state, data, sizeof(data));
	}
	return XXH3_128bits_digest(state);
}

/* Of the words of a root that are spelled alike only the first is kept. The others have no letters any more. */
static int merge(struct print_run *run)
{
	struct spelling *spellings = malloc((run->n_threads + 1) * sizeof(*spellings));
	XXH3_state_t *state = XXH3_createState();
	int err = spellings && state ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < run->n_threads && !err; i++)
		spellings[i] = (struct spelling){ run->threads[i].process, i, spelling_hash(state, run, &run->threads[i]) };
	if (!err)
		qsort(spellings, run->n_threads, sizeof(*spellings), spelling_compare);
	for (size_t i = 0; i < run->n_threads && !err; i++) {
		struct print_thread *word = &run->threads[spellings[i].word];

		if (i && spellings[i].root == spellings[i - 1].root && XXH128_isEqual(spellings[i].hash, spellings[i - 1].hash)) {
			for (uint32_t k = word->first; k < word->first + word->n; k++)
				run->items[k].in = false;
			word->n = 0;
		}
		word->n_in = word->kept_to = word->n;
		run->n_in += word->n;
	}
	XXH3_freeState(state);
	free(spellings);
	return err;
}

static int folding_init(struct folding *f, struct print_fold *fold, const struct print_run *from)
{
	size_t longest = 0;

	*f = (struct folding){ .from = from, .fold = fold, .n_slots = 2 };
	for (size_t i = 0; i < from->n_threads; i++)
		longest = longest < from->threads[i].n_in ? from->threads[i].n_in : longest;
	while (f->n_slots < 2 * longest)
		f->n_slots *= 2;
	f->channels = calloc(from->g->n_connections + 1, sizeof(*f->channels));
	f->marks = large_calloc(from->n_items + 1, sizeof(*f->marks));
	f->slots = large_calloc(f->n_slots, sizeof(*f->slots));
	fold->run.items = large_malloc(from->n_in + 1, sizeof(*fold->run.items));
	fold->run.threads = calloc(from->n_threads + 1, sizeof(*fold->run.threads));
	fold->plain = large_malloc(from->n_in + 1, sizeof(*fold->plain));
	return f->channels && f->marks && f->slots && fold->run.items && fold->run.threads && fold->plain ? 0 : -ENOMEM;
}

int print_fold_init(struct print_fold *fold, const struct print_run *from)
{
	struct folding f;
	int err;

	*fold = (struct print_fold){ .run = *from };
	fold->run.folded = true;
	fold->run.items = NULL;
	fold->run.threads = NULL;
	fold->run.n_items = fold->run.n_threads = fold->run.n_in = 0;
	err = folding_init(&f, fold, from);
	if (!err)
		survey(&f);
	for (uint32_t i = 0; i < from->n_threads && !err; i++)
		spell(&f, i);
	if (!err)
		err = merge(&fold->run);
	free(f.channels);
	free(f.marks);
	free(f.slots);
	return err;
}

void print_fold_fini(struct print_fold *fold)
{
	free(fold->run.items);
	free(fold->run.threads);
	free(fold->plain);
}
