/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sweeping stale claims. Processes first: they may still write into the directories. Filters at packets are no claims: those
 * whose lease is over have no living owner.
 */
#include "tfj/clean.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/claim.h"
#include "tfj/cgroup.h"
#include "tfj/faults.h"
#include "tfj/kretprobe.h"
#include "tfj/container.h"
#include "tfj/enter.h"
#include "tfj/netns.h"

#define NETNS_FOLDER "/run/netns" /* ip-netns(8) */
#define NETNS_MOST 4096

static int on_cgroup(struct claim *claim, void *arg)
{
	unsigned killed;
	FILE *out = arg;
	int err = cgroup_reclaim(claim, &killed);

	if (!err && out)
		fprintf(out, "removed cgroup %s (%u process%s killed)\n", claim->path, killed, killed == 1 ? "" : "es");
	return err;
}

static int on_directory(struct claim *claim, void *arg)
{
	FILE *out = arg;
	int err = claim_remove_tree(claim->path);

	if (!err && out)
		fprintf(out, "removed directory %s\n", claim->path);
	return err;
}

int clean(const char *cgroup_root, FILE *out, struct error *e)
{
	/* of runs, of collectors, and of agents */
	static const char *const directories[] = { "run", "bop", "tfj" };
	struct error ignored;
	int total = 0, first = 0, n;

	n = claim_sweep(cgroup_root, CGROUP_KIND, on_cgroup, out, e);
	first = n < 0 ? n : 0;
	total = n < 0 ? 0 : n;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		n = claim_sweep(claim_base(), directories[i], on_directory, out, first ? &ignored : e);
		first = first ? first : n < 0 ? n : 0;
		total += n < 0 ? 0 : n;
	}
	n = kretprobes_clean();
	if (n > 0 && out)
		fprintf(out, "removed %d probe%s of dead agents from tracefs\n", n, n == 1 ? "" : "s");
	total += n < 0 ? 0 : n; /* no tracefs: there can be none */
	return first ? first : total;
}

int clean_netns(const char *name, int netns, FILE *out)
{
	int home = netns_enter(netns), n, back;

	if (home < 0)
		return home;
	n = faults_clean();
	back = netns_leave(home);
	n = back && n >= 0 ? back : n;
	if (n > 0 && out)
		fprintf(out, "removed %d filter%s of dead agents from %s%s\n", n, n == 1 ? "" : "s",
			name ? "network namespace " : "this network namespace", name ? name : "");
	return n;
}

/* A namespace that has been seen is clean now; again is no harm. */
static int clean_containers(FILE *out)
{
	struct containers containers;
	int total = 0, n;

	if (containers_read(&containers, NULL) < 0)
		return 0;
	for (size_t i = 0; i < containers.n; i++) {
		const struct container *c = &containers.one[i];
		struct enter enter;

		if (enter_open(c, &enter, NULL) < 0)
			continue;
		n = clean_netns(*c->name ? c->name : c->id, enter.netns, out);
		total += n > 0 ? n : 0;
		enter_close(&enter);
	}
	containers_free(&containers);
	return total;
}

int clean_network(FILE *out)
{
	int own = netns_own(), total = 0, n, fd;
	DIR *dir = opendir(NETNS_FOLDER);
	struct dirent *entry;

	n = own < 0 ? own : clean_netns(NULL, own, out);
	total = n > 0 ? n : 0;
	if (own >= 0)
		close(own);
	for (int i = 0; dir && i < NETNS_MOST && (entry = readdir(dir)); i++) {
		fd = entry->d_name[0] == '.' ? -1 : openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		n = fd < 0 ? 0 : clean_netns(entry->d_name, fd, out); /* what is no namespace cannot be entered */
		total += n > 0 ? n : 0;
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	return total + clean_containers(out);
}
