/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See random.h. Fails only without memory. */
#include "ldfi/random.h"

#include <errno.h>
#include <stdlib.h>

/* splitmix64 */
static uint64_t draw(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 to n - 1; n is small beside 2^64. */
static uint64_t below(struct random *random, uint64_t n)
{
	return draw(random) % n;
}

/* The first k of n become a random k of them. */
static void shuffle(struct random *random, uint32_t *rows, size_t n, size_t k)
{
	for (size_t i = 0; i < k; i++) {
		size_t other = i + below(random, n - i);
		uint32_t row = rows[i];

		rows[i] = rows[other];
		rows[other] = row;
	}
}

static size_t list(const struct knowledge *knowledge, bool crashes, uint32_t *rows)
{
	size_t n = 0;

	for (uint32_t f = 0; f < knowledge_n_failures(knowledge); f++)
		if (knowledge_failure(knowledge, f)->crash == crashes)
			rows[n++] = f;
	return n;
}

static int losses_draw(struct random *random, const struct budget *budget, uint32_t *rows, size_t n,
		       struct failures *ret)
{
	size_t k = 0;
	int err = 0;

	if (budget->losses < n) {
		k = below(random, budget->losses + 1u);
		shuffle(random, rows, n, k);
	} else {
		for (size_t i = 0; i < n; i++)
			if (draw(random) >> 63)
				rows[k++] = rows[i];
	}
	for (size_t i = 0; i < k && !err; i++)
		err = failures_add(ret, rows[i]);
	return err;
}

static int crashes_draw(struct random *random, const struct knowledge *knowledge, const struct budget *budget,
			uint32_t *rows, size_t n, struct failures *ret)
{
	size_t k = budget->crashes < n ? below(random, budget->crashes + 1u) : below(random, n + 1);
	int err = 0;

	shuffle(random, rows, n, n);
	for (size_t i = 0; i < n && k && !err; i++) {
		bool again = false; /* a process crashes once */

		for (size_t j = 0; j < i && !again; j++)
			again = knowledge_process(knowledge, rows[j]) == knowledge_process(knowledge, rows[i]);
		if (again)
			continue;
		err = failures_add(ret, rows[i]);
		k--;
	}
	return err;
}

int random_plan(struct random *random, const struct knowledge *knowledge, const struct budget *budget, struct failures *ret)
{
	uint32_t *rows = malloc((knowledge_n_failures(knowledge) + 1) * sizeof(*rows));
	int err;

	ret->n = 0;
	if (!rows)
		return -ENOMEM;
	err = losses_draw(random, budget, rows, list(knowledge, false, rows), ret);
	if (!err)
		err = crashes_draw(random, knowledge, budget, rows, list(knowledge, true, rows), ret);
	free(rows);
	if (!err)
		knowledge_reduce(knowledge, ret);
	return err;
}
