/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See syn.h. An object of its own: runs on one kernel do not even open it. */
#include "tfj/syn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bpf/syn.skel.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

struct syn {
	struct tracer *tracer;
	struct syn_bpf *bpf;
	struct bpf_link *link; /* goes with this process */
};

int syn_open(struct tracer *tracer, int cgroup, struct syn **ret_syn, struct error *e)
{
	struct syn *syn = calloc(1, sizeof(*syn));
	int err;

	if (!syn)
		return error_set(e, -ENOMEM, "out of memory");
	syn->tracer = tracer;
	tracer_quiet();
	syn->bpf = syn_bpf__open();
	err = syn->bpf ? tracer_maps_share(tracer, syn->bpf->obj) : -errno;
	err = err ? err : syn_bpf__load(syn->bpf);
	if (!err) {
		syn->link = bpf_program__attach_cgroup(syn->bpf->progs.bop_syn, cgroup);
		err = syn->link ? 0 : -errno;
	}
	if (err) {
		error_set(e, err, "this kernel takes no option for SYNs: %s", tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
		syn_close(syn);
		return err;
	}
	tracer_syn_tells(tracer, true);
	*ret_syn = syn;
	return 0;
}

void syn_close(struct syn *syn)
{
	if (!syn)
		return;
	tracer_syn_tells(syn->tracer, false);
	bpf_link__destroy(syn->link);
	syn_bpf__destroy(syn->bpf);
	free(syn);
}
