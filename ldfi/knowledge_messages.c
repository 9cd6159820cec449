/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See knowledge.h: messages by label, the order in which each process sends them, and what they are in the other
 * places. Fails only without memory.
 */
#define HASH_NONFATAL_OOM 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ldfi/knowledge_inside.h"
#include "lib/grow.h"

/* Added to a hash or not, as HASH_NONFATAL_OOM says. */
#define HASHED(element) ((element)->hh.tbl != NULL)

/* s1.1 and s1'2 are s1's; names have dots, too. */
static bool belongs(const char *process, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(process, name, n) && (!process[n] || process[n] == '.' || process[n] == '\'');
}

static bool allowed(const struct budget *budget, const char *process)
{
	if (!budget->processes)
		return true;
	for (const char *const *name = budget->processes; *name; name++)
		if (belongs(process, *name))
			return true;
	return false;
}

static int process_intern(struct knowledge *k, const char *name, uint32_t *ret_process)
{
	struct process *p;

	HASH_FIND_STR(k->by_name, name, p);
	if (p) {
		*ret_process = p->index;
		return 0;
	}
	if (grow(&k->processes, &k->cap_processes, k->n_processes + 1, sizeof(struct process *)))
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (p)
		p->name = strdup(name);
	if (p && p->name) {
		p->index = (uint32_t)k->n_processes;
		p->allowed = allowed(k->budget, name);
		HASH_ADD_KEYPTR(hh, k->by_name, p->name, strlen(p->name), p);
		if (HASHED(p)) {
			k->processes[k->n_processes++] = p;
			*ret_process = p->index;
			return 0;
		}
	}
	if (p)
		free(p->name);
	free(p);
	return -ENOMEM;
}

static int failure_add(struct knowledge *k, bool crash, uint32_t message, uint32_t *place)
{
	if (grow(&k->failures, &k->cap_failures, k->n_failures + 1, sizeof(*k->failures)))
		return -ENOMEM;
	k->failures[k->n_failures] = (struct failure){ .crash = crash, .message = message };
	*place = (uint32_t)k->n_failures++;
	k->changed = true;
	return 0;
}

int knowledge_admit_loss(struct knowledge *k, uint32_t message)
{
	struct message *m = k->messages[message];

	if (m->loss != KNOWLEDGE_NONE || m->fixed || !k->budget->losses || m->time >= k->budget->losses_until ||
	    (!k->processes[m->from]->allowed && !k->processes[m->to]->allowed))
		return 0;
	return failure_add(k, false, message, &m->loss);
}

int knowledge_admit_crash(struct knowledge *k, uint32_t message)
{
	struct message *m = k->messages[message];

	if (m->crash != KNOWLEDGE_NONE || m->fixed || !k->budget->crashes || !k->processes[m->from]->allowed ||
	    !*k->processes[m->from]->name)
		return 0;
	k->processes[m->from]->can_crash = true;
	return failure_add(k, true, message, &m->crash);
}

static struct message *message_new(const struct trial_message *from)
{
	struct message *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->label = strdup(from->label);
	if (m->label) {
		m->time = from->time;
		m->fixed = from->fixed;
		m->loss = m->crash = KNOWLEDGE_NONE;
		return m;
	}
	free(m);
	return NULL;
}

static int message_add(struct knowledge *k, const struct trial_message *from, uint32_t *ret_message)
{
	uint32_t sender, receiver;
	struct message *m;

	if (process_intern(k, from->from, &sender) || process_intern(k, from->to, &receiver) ||
	    grow(&k->messages, &k->cap_messages, k->n_messages + 1, sizeof(struct message *)))
		return -ENOMEM;
	m = message_new(from);
	if (!m)
		return -ENOMEM;
	m->from = sender;
	m->to = receiver;
	m->index = (uint32_t)k->n_messages;
	HASH_ADD_KEYPTR(hh, k->by_label, m->label, strlen(m->label), m);
	if (!HASHED(m)) {
		free(m->label);
		free(m);
		return -ENOMEM;
	}
	k->messages[k->n_messages++] = m;
	*ret_message = m->index;
	return 0;
}

int knowledge_order(struct knowledge *k, uint32_t message, uint32_t behind)
{
	struct process *p = k->processes[k->messages[message]->from];
	size_t at = behind == KNOWLEDGE_NONE ? 0 : k->messages[behind]->rank + 1;

	if (grow(&p->order, &p->cap_order, p->n_order + 1, sizeof(*p->order)))
		return -ENOMEM;
	memmove(&p->order[at + 1], &p->order[at], (p->n_order++ - at) * sizeof(*p->order));
	p->order[at] = message;
	for (size_t i = at; i < p->n_order; i++)
		k->messages[p->order[i]]->rank = i;
	k->changed = true;
	return 0;
}

static uint32_t order_last(const struct knowledge *k, uint32_t process)
{
	const struct process *p = k->processes[process];

	return p->n_order ? p->order[p->n_order - 1] : KNOWLEDGE_NONE;
}

int knowledge_intern(struct knowledge *k, const struct trial_message *from, uint32_t *ret_message, bool *ret_new)
{
	struct message *m;

	HASH_FIND_STR(k->by_label, from->label, m);
	*ret_new = !m;
	if (!m)
		return message_add(k, from, ret_message);
	*ret_message = m->index;
	if (from->time < m->time) {
		m->time = from->time;
		k->changed = true;
	}
	return 0;
}

int knowledge_message_learn(struct knowledge *k, const struct trial_message *from, uint32_t *ret_message)
{
	bool new;
	int err = knowledge_intern(k, from, ret_message, &new);

	if (!err && new)
		err = knowledge_order(k, *ret_message, order_last(k, k->messages[*ret_message]->from));
	return err ? err : knowledge_admit_loss(k, *ret_message);
}

int knowledge_messages_learn(struct knowledge *k, const struct trial_message *messages, size_t n)
{
	uint32_t *last = NULL;
	size_t cap = 0, n_known = 0;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		uint32_t m, from;
		bool new;

		err = knowledge_intern(k, &messages[i], &m, &new);
		if (!err)
			err = grow(&last, &cap, k->n_processes, sizeof(*last));
		for (; !err && n_known < k->n_processes; n_known++)
			last[n_known] = KNOWLEDGE_NONE;
		if (err)
			break;
		from = k->messages[m]->from;
		if (new)
			err = knowledge_order(k, m, last[from]);
		last[from] = m;
	}
	free(last);
	return err;
}

/* Behind the image of the message before it, if that is known. */
static int image_order(struct knowledge *k, size_t way, uint32_t message, uint32_t image)
{
	const struct message *m = k->messages[message];
	uint32_t from = k->messages[image]->from,
		 before = m->rank ? k->processes[m->from]->order[m->rank - 1] : KNOWLEDGE_NONE;

	if (before != KNOWLEDGE_NONE)
		before = k->messages[before]->images ? k->messages[before]->images[way] : KNOWLEDGE_NONE;
	if (before == KNOWLEDGE_NONE || k->messages[before]->from != from)
		before = order_last(k, from);
	return knowledge_order(k, image, before);
}

/* An image of a message that has never been seen is like it in all but its names. */
static int image_make(struct knowledge *k, size_t way, uint32_t message, uint32_t *ret_image)
{
	const struct message *m = k->messages[message];
	struct trial_message image = { .time = m->time, .fixed = m->fixed };
	char *label = symmetry_label(k->symmetry, way, m->label);
	char *from = symmetry_process(k->symmetry, way, k->processes[m->from]->name);
	char *to = symmetry_process(k->symmetry, way, k->processes[m->to]->name);
	bool crashes = m->crash != KNOWLEDGE_NONE, new = false;
	int err = label && from && to ? 0 : -ENOMEM;

	image.label = label;
	image.from = from;
	image.to = to;
	if (!err)
		err = knowledge_intern(k, &image, ret_image, &new);
	if (!err && new)
		err = image_order(k, way, message, *ret_image);
	if (!err)
		err = knowledge_admit_loss(k, *ret_image);
	if (!err && crashes)
		err = knowledge_admit_crash(k, *ret_image);
	free(label);
	free(from);
	free(to);
	return err;
}

int knowledge_image(struct knowledge *k, size_t way, uint32_t message, uint32_t *ret_image)
{
	size_t ways = symmetry_ways(k->symmetry);
	struct message *m = k->messages[message];
	int err = 0;

	if (!m->images) {
		m->images = malloc(ways * sizeof(*m->images));
		if (!m->images)
			return -ENOMEM;
		for (size_t i = 0; i < ways; i++)
			m->images[i] = KNOWLEDGE_NONE;
		m->images[0] = message;
	}
	if (way && m->images[way] == KNOWLEDGE_NONE)
		err = image_make(k, way, message, &m->images[way]);
	*ret_image = m->images[way];
	return err;
}
