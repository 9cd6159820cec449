/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which of several processes lets go of a shared socket last is luck, and so is when a server finds the time to reap a child. Such
 * closes and waits are dropped: a close by a process on an end that another one used; a wait after which its thread neither
 * made nor ended a process. Fails only without memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "graph/print_inside.h"

#define SEVERAL UINT32_MAX

static size_t end_of(const struct print_item *item)
{
	return 2 * (size_t)item->connection + (item->side == SIDE_ACCEPTOR);
}

static bool is_use(const struct print_item *item)
{
	return item->connection && item->kind >= PRINT_SEND && item->kind <= PRINT_ERROR;
}

/* user, by end: the process that used it, SEVERAL. */
static void find_users(const struct print_run *run, uint32_t *user)
{
	for (size_t i = 0; i < run->n_items; i++) {
		const struct print_item *item = &run->items[i];
		uint32_t process = run->threads[item->thread].process, *own = &user[end_of(item)];

		if (is_use(item))
			*own = *own && *own != process ? SEVERAL : process;
	}
}

static void drop_waits(struct print_run *run, const struct print_thread *thread)
{
	enum print_kind next = PRINT_THREAD;

	for (uint32_t i = thread->first + thread->n; i-- > thread->first;) {
		struct print_item *item = &run->items[i];

		if (item->kind != PRINT_WAIT)
			next = item->kind;
		else
			item->dropped = next != PRINT_SPAWN && next != PRINT_EXIT;
	}
}

int print_drop(struct print_run *run)
{
	uint32_t *user;
	bool needed = false;

	for (size_t i = 0; i < run->n_threads && !needed; i++)
		needed = run->threads[i].kinds & (1u << PRINT_CLOSE | 1u << PRINT_WAIT);
	if (!needed)
		return 0;
	user = calloc(2 * (run->g->n_connections + 1), sizeof(*user));
	if (!user)
		return -ENOMEM;
	find_users(run, user);
	for (size_t i = 0; i < run->n_items; i++) {
		struct print_item *item = &run->items[i];
		uint32_t other = item->kind == PRINT_CLOSE ? user[end_of(item)] : 0;

		item->dropped = other && other != run->threads[item->thread].process;
	}
	for (size_t i = 0; i < run->n_threads; i++)
		drop_waits(run, &run->threads[i]);
	for (size_t i = 0; i < run->n_items; i++)
		if (run->items[i].link && run->items[run->items[i].link - 1].dropped)
			run->items[i].link = 0;
	free(user);
	return 0;
}
