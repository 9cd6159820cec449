/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sweeping stale claims. Processes first: they may still write into the directories. */
#include "tfj/clean.h"
#include "tfj/kretprobe.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/claim.h"
#include "tfj/cgroup.h"

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
