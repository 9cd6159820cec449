/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loads the programs at packets with the tracer's maps, and has the rules in memory that they share with us: a rule
 * is lifted, and a lease renewed, by writing a word.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/fault.skel.h"
#include "tfj/faults_inside.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

static size_t rules_size(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (RULE_MAX * sizeof(struct rule) + page - 1) / page * page;
}

static int map_find(struct faults *faults, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(tracer_programs(faults->tracer), name);

	return fd >= 0 ? fd : bpf_object__find_map_fd_by_name(faults->bpf->obj, name);
}

static void *map_share(int map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int maps_find(struct faults *faults)
{
	int gates = map_find(faults, "rule_gates"), rules = map_find(faults, "rules");

#define X(name)                                   \
	faults->name = map_find(faults, #name);   \
	if (faults->name < 0)                     \
		return -ENOENT;
	FAULTS_MAPS(X)
#undef X
	if (gates < 0 || rules < 0)
		return -ENOENT;
	faults->gate = map_share(gates, (size_t)sysconf(_SC_PAGESIZE));
	faults->rules = map_share(rules, rules_size());
	return faults->gate && faults->rules ? 0 : -errno;
}

static int programs_load(struct faults *faults)
{
	struct bpf_program *const programs[] = { faults->bpf->progs.fault_arrives, faults->bpf->progs.fault_leaves };
	int err = tracer_maps_share(faults->tracer, faults->bpf->obj);

	err = err ? err : fault_bpf__load(faults->bpf);
	if (err)
		return err;
	faults->programs = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "fault_programs", sizeof(uint32_t),
					  sizeof(uint32_t), 2, NULL);
	if (faults->programs < 0)
		return -errno;
	for (uint32_t i = 0; i < 2; i++) {
		int program = bpf_program__fd(programs[i]);

		if (bpf_map_update_elem(faults->programs, &i, &program, BPF_ANY))
			return -errno;
	}
	return maps_find(faults);
}

int faults_open(struct tracer *tracer, struct faults **ret_faults, struct error *e)
{
	struct faults *faults;
	int err;

	if (!tracer_fault_able(tracer))
		return error_set(e, -ENOTSUP, "this agent was started with --no-faults: start it without");
	faults = calloc(1, sizeof(*faults));
	if (!faults)
		return error_set(e, -ENOMEM, "faults: out of memory");
	faults->tracer = tracer;
	faults->programs = faults->watch = -1;
	faults->armed = calloc(RULE_MAX, sizeof(*faults->armed));
	faults->watch = epoll_create1(EPOLL_CLOEXEC);
	tracer_quiet();
	faults->bpf = fault_bpf__open();
	err = !faults->armed ? -ENOMEM : faults->bpf && faults->watch >= 0 ? programs_load(faults) : -errno;
	if (err) {
		error_set(e, err, "this kernel refused the programs for faults: %s",
			  tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
		faults_close(faults);
		return err;
	}
	tracer_faulting(tracer, true);
	*ret_faults = faults;
	return 0;
}

void faults_close(struct faults *faults)
{
	if (!faults)
		return;
	if (faults->gate && faults->rules)
		faults_clear(faults);
	if (faults->gate)
		munmap(faults->gate, (size_t)sysconf(_SC_PAGESIZE));
	if (faults->rules)
		munmap(faults->rules, rules_size());
	if (faults->programs >= 0)
		close(faults->programs);
	if (faults->watch >= 0)
		close(faults->watch);
	fault_bpf__destroy(faults->bpf);
	free(faults->places);
	free(faults->armed);
	free(faults);
}
