/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Walks all tasks of the machine again and again, until a walk finds nobody who has to join: a task that somebody made
 * behind the walk's back, who had not joined yet, is found by the next one. On failure nothing is allocated; who joined stays.
 */
#include "tfj/tracer_follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define WALKS_MAX 100
#define FOLLOWED_MAX 100000
#define READ_MAX 16384 /* bytes at once: half of what the kernel has room for (8 pages); with less than a row to spare it would ask again */

struct list {
	struct followed *rows;
	size_t bytes, cap; /* cap: of rows */
};

static int list_grow(struct list *list)
{
	struct followed *grown;

	if (list->cap >= FOLLOWED_MAX)
		return -E2BIG;
	grown = realloc(list->rows, (list->cap * 2 + 256) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->rows = grown;
	list->cap = list->cap * 2 + 256;
	return 0;
}

/* One walk; the rows are behind those of the walks before. */
static int walk(const struct bpf_link *link, struct list *list)
{
	int fd = bpf_iter_create(bpf_link__fd(link)), err = 0;
	size_t room;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n > 0 && !err) {
		if (list->bytes == list->cap * sizeof(*list->rows))
			err = list_grow(list);
		if (err)
			break;
		room = list->cap * sizeof(*list->rows) - list->bytes;
		n = read(fd, (char *)list->rows + list->bytes, room < READ_MAX ? room : READ_MAX);
		if (n > 0)
			list->bytes += (size_t)n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			err = -errno;
		else if (n < 0)
			n = 1; /* so many tasks in one piece: the kernel wants to be asked again */
	}
	close(fd);
	return err;
}

int tracer_follow_all(struct bpf_program *program, struct followed **ret_followed, size_t *ret_n, struct error *e)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	struct list list = { NULL };
	size_t before = 0;
	int err = link ? 0 : -errno, walks = 0;

	do {
		before = list.bytes;
		if (!err)
			err = walks++ < WALKS_MAX ? walk(link, &list) : -EAGAIN;
	} while (!err && list.bytes != before);
	bpf_link__destroy(link);
	if (err) {
		free(list.rows);
		return err == -EAGAIN ? error_set(e, err, "it makes processes faster than they can be followed") :
					error_set(e, err, "its threads and children cannot be followed: %s", strerror(-err));
	}
	*ret_n = list.bytes / sizeof(*list.rows);
	*ret_followed = list.rows;
	return 0;
}
