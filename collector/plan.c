/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See plan.h: collecting the lines. What they mean for an experiment: plan_check.c. */
#include "collector/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		fault_fini(&plan->faults[i]);
		free(plan->origins[i]);
		free(plan->lines[i]);
	}
	free(plan->faults);
	free(plan->origins);
	free(plan->lines);
	*plan = (struct plan){ .n = 0 };
}

static int grow(struct plan *plan)
{
	size_t cap = plan->cap ? plan->cap * 2 : 16;
	struct fault *faults;
	char **texts;

	if (plan->n < plan->cap)
		return 0;
	faults = realloc(plan->faults, cap * sizeof(*faults));
	if (faults)
		plan->faults = faults;
	texts = faults ? realloc(plan->origins, cap * sizeof(*texts)) : NULL;
	if (texts)
		plan->origins = texts;
	texts = texts ? realloc(plan->lines, cap * sizeof(*texts)) : NULL;
	if (!texts)
		return -ENOMEM;
	plan->lines = texts;
	plan->cap = cap;
	return 0;
}

static bool is_nothing(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (line[i] != ' ' && line[i] != '\t')
			return line[i] == '#';
	return true;
}

int plan_add(struct plan *plan, const char *origin, const char *line, size_t size, struct error *e)
{
	char *origin_copy, *line_copy;
	struct fault fault;
	int column = 1, err;

	if (size && line[size - 1] == '\r')
		size--;
	if (is_nothing(line, size))
		return 0;
	if (plan->n == FAULT_PLAN_MAX)
		return error_set(e, -E2BIG, "%s: more than %u faults in one plan", origin, FAULT_PLAN_MAX);
	err = fault_parse(line, size, &fault, &column, e);
	if (err)
		return error_prefix(e, err, "%s:%d", origin, column);
	origin_copy = strdup(origin);
	line_copy = strndup(line, size);
	if (!origin_copy || !line_copy || grow(plan) < 0) {
		free(origin_copy);
		free(line_copy);
		fault_fini(&fault);
		return error_set(e, -ENOMEM, "out of memory");
	}
	plan->origins[plan->n] = origin_copy;
	plan->lines[plan->n] = line_copy;
	plan->faults[plan->n++] = fault;
	return 0;
}

int plan_add_text(struct plan *plan, const char *name, const char *text, size_t size, struct error *e)
{
	const char *end = text + size, *line_end;
	char origin[512];
	int err = 0;

	for (unsigned line = 1; text < end && !err; line++) {
		line_end = memchr(text, '\n', (size_t)(end - text));
		line_end = line_end ? line_end : end;
		snprintf(origin, sizeof(origin), "%.480s:%u", name, line);
		err = plan_add(plan, origin, text, (size_t)(line_end - text), e);
		text = line_end + 1;
	}
	return err;
}

int plan_add_file(struct plan *plan, const char *path, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err = 0;
	char *text = malloc(PLAN_MAX_FILE + 1);
	size_t size = 0;
	ssize_t n = 1;

	if (fd < 0)
		err = error_set(e, -errno, "%s: cannot open the plan: %s", path, strerror(errno));
	else if (!text)
		err = error_set(e, -ENOMEM, "out of memory");
	else if (fcntl(fd, F_SETFL, 0) < 0) /* a FIFO that nobody writes is empty; one that somebody does is waited for */
		err = error_set(e, -errno, "%s: %s", path, strerror(errno));
	while (!err && n && size <= PLAN_MAX_FILE) {
		n = read(fd, text + size, PLAN_MAX_FILE + 1 - size);
		if (n < 0)
			err = error_set(e, -errno, "%s: cannot read the plan: %s", path, strerror(errno));
		else
			size += (size_t)n;
	}
	if (!err && size > PLAN_MAX_FILE)
		err = error_set(e, -EINVAL, "%s: larger than %u MiB; this is not a plan", path, PLAN_MAX_FILE >> 20);
	if (!err)
		err = plan_add_text(plan, path, text, size, e);
	if (fd >= 0)
		close(fd);
	free(text);
	return err;
}

/* SplitMix64: what one seed gives the fault with that id. Never 0. */
static uint64_t seed_of(uint64_t seed, uint32_t id)
{
	uint64_t x = seed + id * 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	x ^= x >> 31;
	return x ? x : 1;
}

int plan_number(struct plan *plan, uint32_t first_id, struct error *e)
{
	bool random = false;

	for (size_t i = 0; i < plan->n; i++)
		random |= fault_is_random(plan->faults[i].kind) && !plan->faults[i].seed_given;
	while (random && !plan->seed) {
		if (getrandom(&plan->seed, sizeof(plan->seed), 0) != sizeof(plan->seed))
			return error_set(e, -EIO, "cannot draw a seed: %s", strerror(errno));
		plan->seed &= PLAN_SEED_MAX;
	}
	for (size_t i = 0; i < plan->n; i++) {
		struct fault *fault = &plan->faults[i];

		fault->id = first_id + (uint32_t)i;
		if (fault_is_random(fault->kind) && !fault->seed_given)
			fault->seed = seed_of(plan->seed, fault->id);
		fault->flags |= (plan->dry ? FAULT_F_DRY : 0) | (plan->racy ? FAULT_F_RACY : 0);
	}
	return 0;
}

int plan_live(struct plan *plan, struct error *e)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct fault *fault = &plan->faults[i];
		char *text;

		/* a call that fails is part of a program: it ends with that */
		if (!fault_has_lease(fault->kind) || fault->kind == FAULT_FAIL || fault->lease_ns || fault->duration_ns)
			continue;
		fault->lease_ns = PLAN_LIVE_NS;
		text = fault_print(fault);
		if (!text)
			return error_set(e, -ENOMEM, "out of memory");
		free(fault->text);
		fault->text = text;
	}
	return 0;
}

char *plan_text(const struct plan *plan)
{
	size_t size = 1;
	char *text, *to;

	for (size_t i = 0; i < plan->n; i++)
		size += strlen(plan->faults[i].text) + 1;
	text = to = malloc(size);
	if (!text)
		return NULL;
	for (size_t i = 0; i < plan->n; i++) {
		to = stpcpy(to, plan->faults[i].text);
		*to++ = '\n';
	}
	*to = '\0';
	return text;
}
