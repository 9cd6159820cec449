/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See container.h. Processes come and go while they are looked at: one that is gone is in no container. */
#include "tfj/container.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tfj/container_state.h"
#include "tfj/procfs.h"

enum { PREFIX_MIN = 6, LIST_SHOWN = 4, ID_SHOWN = 12 };

struct reader {
	struct containers *containers;
	size_t room;
	struct proc *procs;
	size_t n;
	bool *taken; /* by process: it is in a container */
};

const char *containers_root(void)
{
	const char *root = getenv("BOP_CONTAINERS_ROOT");

	return root ? root : "";
}

static struct container *container_add(struct reader *r, enum container_runtime runtime, const char *id)
{
	struct containers *all = r->containers;
	struct container *c;

	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->one[i].id, id))
			return &all->one[i];
	if (all->n == r->room) {
		size_t room = r->room * 2 + 16;
		struct container *grown = realloc(all->one, room * sizeof(*grown));

		if (!grown)
			return NULL;
		all->one = grown;
		r->room = room;
	}
	c = &all->one[all->n++];
	*c = (struct container){ .runtime = runtime };
	memcpy(c->id, id, strlen(id) + 1);
	return c;
}

static int member_add(struct reader *r, struct container *c, size_t at)
{
	if (!(c->n_pids & (c->n_pids - 1))) { /* full: 0, 1, 2, 4, ... */
		pid_t *grown = realloc(c->pids, (c->n_pids ? 2 * c->n_pids : 1) * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		c->pids = grown;
	}
	c->pids[c->n_pids++] = r->procs[at].pid;
	r->taken[at] = true;
	return 0;
}

static int on_cgroup(void *arg, const char *path)
{
	return container_path_parse(path, arg);
}

/* By their cgroups. */
static int told_by_cgroups(struct reader *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct container_path path;
		struct container *c;

		if (r->procs[i].state == 'Z' || proc_cgroups(r->procs[i].pid, on_cgroup, &path) != 1)
			continue;
		c = container_add(r, path.runtime, path.id);
		if (!c || member_add(r, c, i) < 0)
			return -ENOMEM;
		memcpy(c->pod_uid, path.pod, sizeof(path.pod));
	}
	return 0;
}

/* Is the cgroup (of version 2) that of a container of this id, and of nobody else? */
static bool cgroup_of(const char *cgroup, const char *id)
{
	const char *last = cgroup ? strrchr(cgroup, '/') : NULL;

	return last && !strcmp(last + 1, id);
}

/* Its first process, what descends from that, and what is in its cgroup, or below, whoever put it there. */
static int on_plain(void *arg, const struct container_plain *plain)
{
	struct reader *r = arg;
	const struct proc *first = procs_find(r->procs, r->n, plain->pid);
	struct container *c;
	char *cgroup;
	size_t length;
	int err = 0;

	if (!first || first->start != plain->start || first->state == 'Z' || r->taken[first - r->procs])
		return 0;
	c = container_add(r, plain->runtime, plain->id);
	if (!c)
		return -ENOMEM;
	cgroup = proc_cgroup(plain->pid);
	length = cgroup_of(cgroup, plain->id) ? strlen(cgroup) : 0;
	for (size_t i = 0; i < r->n && !err; i++) {
		char *other = length ? proc_cgroup(r->procs[i].pid) : NULL;

		if (r->procs[i].state != 'Z' && !r->taken[i] &&
		    (r->procs[i].pid == plain->pid || procs_descends(r->procs, r->n, r->procs[i].pid, plain->pid) ||
		     (other && !strncmp(other, cgroup, length) && (!other[length] || other[length] == '/'))))
			err = member_add(r, c, i);
		free(other);
	}
	free(cgroup);
	return err;
}

static bool has(const struct container *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_pids; i++)
		if (c->pids[i] == pid)
			return true;
	return false;
}

static void first_find(const struct reader *r, struct container *c)
{
	const struct proc *first = NULL;
	struct stat st;
	char path[64];

	for (size_t i = 0; i < c->n_pids; i++) {
		const struct proc *proc = procs_find(r->procs, r->n, c->pids[i]);

		if (proc && !has(c, proc->parent) && (!first || proc->start < first->start))
			first = proc;
	}
	if (!first)
		return;
	c->first = first->pid;
	c->first_start = first->start;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", c->first);
	c->netns = stat(path, &st) == 0 ? st.st_ino : 0;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct container *)a)->id, ((const struct container *)b)->id);
}

int containers_read(struct containers *ret_containers, struct error *e)
{
	struct containers containers = { 0 };
	struct reader r = { .containers = &containers };
	int err = procs_read(&r.procs, &r.n);

	if (err)
		return error_set(e, err, "/proc cannot be read: %s", strerror(-err));
	r.taken = calloc(r.n + 1, sizeof(*r.taken));
	err = r.taken ? told_by_cgroups(&r) : -ENOMEM;
	if (!err)
		err = container_state_each(on_plain, &r);
	for (size_t i = 0; i < containers.n && !err; i++) {
		first_find(&r, &containers.one[i]);
		container_state_read(&containers.one[i]);
	}
	free(r.procs);
	free(r.taken);
	if (err) {
		containers_free(&containers);
		return error_set(e, err, "out of memory");
	}
	if (containers.n)
		qsort(containers.one, containers.n, sizeof(*containers.one), by_id);
	*ret_containers = containers;
	return 0;
}

void containers_free(struct containers *containers)
{
	for (size_t i = 0; i < containers->n; i++)
		free(containers->one[i].pids);
	free(containers->one);
	*containers = (struct containers){ 0 };
}

/* NAME, POD/NAME, NAMESPACE/POD/NAME */
static bool is_called(const struct container *c, const char *text)
{
	const char *slash = strchr(text, '/');
	char full[3 * (CONTAINER_NAME_MAX + 1) + 1];

	if (!*c->name)
		return false;
	if (!slash)
		return !strcmp(c->name, text);
	if (strchr(slash + 1, '/'))
		snprintf(full, sizeof(full), "%s/%s/%s", c->space, c->pod, c->name);
	else
		snprintf(full, sizeof(full), "%s/%s", c->pod, c->name);
	return *c->pod && !strcmp(full, text);
}

/* How well text says it: 3 by its id, 2 by its name, 1 by the beginning of its id. */
static int match(const struct container *c, const char *text)
{
	size_t n = strlen(text);

	if (!strcmp(c->id, text))
		return 3;
	if (is_called(c, text))
		return 2;
	return n >= PREFIX_MIN && !strncmp(c->id, text, n);
}

int containers_find(const struct containers *containers, const char *text, const struct container **ret, struct error *e)
{
	char list[LIST_SHOWN * (ID_SHOWN + 4) + 8] = "";
	int best = 0, n = 0;

	if (!*text || strlen(text) > 3 * CONTAINER_NAME_MAX)
		return error_set(e, -EINVAL, "'%.60s' is neither the id nor the name of a container; `tfj containers` lists them", text);
	for (size_t i = 0; i < containers->n; i++) {
		int how = match(&containers->one[i], text);

		if (how > best) {
			best = how;
			n = 0;
			*list = '\0';
		}
		if (!how || how < best)
			continue;
		if (!n++)
			*ret = &containers->one[i];
		if (n <= LIST_SHOWN)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%.*s", n > 1 ? ", " : "", ID_SHOWN, containers->one[i].id);
	}
	if (!n)
		return error_set(e, -ENOENT, "there is no running container '%.100s'; `tfj containers` lists them", text);
	if (n > 1)
		return error_set(e, -ENOTUNIQ, "'%.100s' is %d containers (%s%s): say which by more of its id, or by NAMESPACE/POD/NAME", text,
				 n, list, n > LIST_SHOWN ? ", ..." : "");
	return 0;
}

static void json_one(const struct container *c, bool first, FILE *out)
{
	/* nothing in these texts needs escaping */
	fprintf(out, "%s\n  {\"runtime\": \"%s\", \"id\": \"%s\", \"name\": \"%s\", \"namespace\": \"%s\", \"pod\": \"%s\", \"pod_uid\": \"%s\", ",
		first ? "" : ",", container_runtime_text(c->runtime), c->id, c->name, c->space, c->pod, c->pod_uid);
	fprintf(out, "\"netns\": %llu, \"first\": %d, \"pids\": [", (unsigned long long)c->netns, c->first);
	for (size_t i = 0; i < c->n_pids; i++)
		fprintf(out, "%s%d", i ? ", " : "", c->pids[i]);
	fputs("]}", out);
}

void containers_print(const struct containers *containers, FILE *out, int json)
{
	if (json)
		fputs("{\"containers\": [", out);
	else if (containers->n)
		fprintf(out, "%-10s  %-12s  %-24s  %-32s  %-10s  %s\n", "RUNTIME", "ID", "NAME", "POD", "NETNS", "PROCESSES");
	else
		fputs("no container runs here\n", out);
	for (size_t i = 0; i < containers->n; i++) {
		const struct container *c = &containers->one[i];
		char pod[2 * CONTAINER_NAME_MAX + 4];

		if (json) {
			json_one(c, i == 0, out);
			continue;
		}
		snprintf(pod, sizeof(pod), "%s%s%s", c->space, *c->space ? "/" : "", *c->pod ? c->pod : *c->pod_uid ? c->pod_uid : "-");
		fprintf(out, "%-10s  %-12.*s  %-24s  %-32s  %-10llu  %zu, first %d\n", container_runtime_text(c->runtime),
			c->runtime == CONTAINER_CRUN || c->runtime == CONTAINER_RUNC ? (int)CONTAINER_ID_MAX : ID_SHOWN, c->id,
			*c->name ? c->name : "-", pod, (unsigned long long)c->netns, c->n_pids, c->first);
	}
	if (json)
		fputs("\n]}\n", out);
}
