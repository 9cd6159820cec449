/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loads, attaches and reads the programs in bpf/. Knows kernel ids only: names are somebody else's
 * business. Fails with one line that names what the kernel or the user lacks; nothing stays behind,
 * because links, events and maps are held by descriptors.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tfj/tracer_content.h"
#include "tfj/tracer_inside.h"

#define RING_DEFAULT (16u << 20)
#define SOCKS_MAX 65536 /* sockets at once, where programs need a table of them */

const void *tracer_object(size_t *ret_size)
{
	return tracer_bpf__elf_bytes(ret_size);
}

struct bpf_object *tracer_programs(const struct tracer *tracer)
{
	return tracer->bpf->obj;
}

int tracer_maps_share(const struct tracer *tracer, struct bpf_object *object)
{
	struct bpf_map *map, *ours;
	int err = 0;

	bpf_object__for_each_map(map, object)
	{
		ours = bpf_map__is_internal(map) ? NULL : bpf_object__find_map_by_name(tracer->bpf->obj, bpf_map__name(map));
		if (ours && !err)
			err = bpf_map__reuse_fd(map, bpf_map__fd(ours));
	}
	return err;
}

bool tracer_fault_able(const struct tracer *tracer)
{
	return tracer->fault_able;
}

void tracer_faulting(struct tracer *tracer, bool on)
{
	if (!++tracer->fault_changes)
		tracer->fault_changes = 1;
	if (on && !tracer->bpf->bss->faulting)
		__atomic_store_n(&tracer->bpf->bss->fault_since, tracer->fault_changes, __ATOMIC_SEQ_CST);
	__atomic_store_n(&tracer->bpf->bss->faulting, on ? tracer->fault_changes : 0, __ATOMIC_SEQ_CST);
}

void tracer_syn_tells(struct tracer *tracer, bool on)
{
	tracer->bpf->bss->syn_tells = on;
}

/* Lanes only beside the tracepoints: probes at functions can be interrupted by other tasks for long. */
static void rings_set(struct tracer *tracer, size_t ring_bytes)
{
	struct bpf_map *lanes = tracer->bpf->maps.lanes;

	bpf_map__set_max_entries(tracer->bpf->maps.records, (uint32_t)ring_bytes);
	tracer->bpf->rodata->ring_mask = ring_wake_mask(ring_bytes);
	tracer->slots = tracer->backend == BACKEND_TRACEPOINT ? ring_lane_slots(ring_bytes) : 0;
	tracer->bpf->rodata->lane_mask = tracer->slots ? tracer->slots - 1 : 0;
	if (!tracer->slots)
		return;
	bpf_map__set_value_size(lanes, (uint32_t)(sizeof(struct lane) + tracer->slots * sizeof(struct lane_slot)));
	bpf_map__set_max_entries(lanes, (uint32_t)tracer->n_cpus);
}

static struct bpf_link *program_attach(struct bpf_program *program, struct kretprobe *ret_probe)
{
	const char *section = bpf_program__section_name(program);
	int err;

	if (strncmp(section, "kretprobe/", 10))
		return bpf_program__attach(program);
	err = kretprobe_attach(ret_probe, program, section + 10);
	errno = -err;
	return ret_probe->link;
}

/* Room for the links of all programs; the same for every backend. */
static int links_make(struct tracer *tracer)
{
	struct bpf_program *program;
	size_t n = 0;

	if (tracer->links && tracer->kretprobes)
		return 0;
	bpf_object__for_each_program(program, tracer->bpf->obj)
		n++;
	if (!tracer->links)
		tracer->links = calloc(n, sizeof(*tracer->links));
	if (!tracer->kretprobes)
		tracer->kretprobes = calloc(n, sizeof(*tracer->kretprobes));
	return tracer->links && tracer->kretprobes ? 0 : -ENOMEM;
}

/* Attaches all programs but those of system calls, or those of the backend only. */
static int programs_attach(struct tracer *tracer, int all, struct error *e)
{
	struct bpf_program *program;
	struct kretprobe probe = {NULL};
	struct bpf_link *link;

	if (links_make(tracer))
		return error_set(e, -ENOMEM, "out of memory");
	bpf_object__for_each_program(program, tracer->bpf->obj)
	{
		if (!bpf_program__autoload(program) || program == tracer->bpf->progs.on_call_exit ||
		    program == tracer->bpf->progs.on_any_exit || program == tracer->bpf->progs.on_follow || (!all && program_is_shared(program)))
			continue;
		probe.link = NULL;
		link = program_attach(program, &probe);
		if (!link)
			return error_set(e, -errno, "%s cannot be attached: %s", bpf_program__section_name(program),
					 strerror(errno));
		if (probe.link)
			tracer->kretprobes[tracer->n_kretprobes++] = probe;
		else
			tracer->links[tracer->n_links++] = link;
	}
	return 0;
}

/* Sizes and settings of what is about to be loaded. */
static void programs_set(struct tracer *tracer, size_t ring_bytes, struct btf *btf)
{
	int events = calls_watchable(), table = tracer->backend == BACKEND_KPROBE;
	int completed = btf ? tracer_arguments(btf, "io_uring_complete") : 3;
	struct tracer_bpf *bpf = tracer->bpf;

	rings_set(tracer, ring_bytes);
	bpf->rodata->socks_in_table = table;
	bpf->rodata->fault_able = tracer->fault_able;
	bpf_map__set_max_entries(bpf->maps.sock_table, table ? SOCKS_MAX : 1);
	if (btf)
		bpf->rodata->recv_flags_at = backend_recv_flags(btf);
	bpf_program__set_autoload(bpf->progs.on_call_exit, events);
	bpf_program__set_autoload(bpf->progs.on_any_exit, !events);
	bpf_program__set_autoload(bpf->progs.on_completed, completed == 3);
	bpf_program__set_autoload(bpf->progs.on_completed_older, completed > 3);
}

/*
 * Loads one backend. Its own programs are attached for a moment: a kernel may take them and still have no way to run them.
 * btf NULL: a kernel that is expected to have everything.
 */
static int backend_try(struct tracer *tracer, enum backend backend, size_t ring_bytes, struct btf *btf,
		       struct error *e)
{
	int err;

	tracer->backend = backend;
	tracer->bpf = tracer_bpf__open();
	if (!tracer->bpf)
		return error_set(e, -errno, "the programs cannot be prepared: %s", strerror(errno));
	err = backend_choose(backend, tracer->bpf->obj, btf, e);
	if (!err) {
		programs_set(tracer, ring_bytes, btf);
		tracer_quiet();
		err = tracer_bpf__load(tracer->bpf);
		if (err)
			error_set(e, err, "this kernel refused the programs: %s",
				  tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
	}
	if (!err && (backend == BACKEND_FENTRY || backend == BACKEND_KPROBE)) {
		kretprobes_clean();
		err = programs_attach(tracer, 0, e);
		tracer_detach(tracer);
	}
	if (err) {
		tracer_bpf__destroy(tracer->bpf);
		tracer->bpf = NULL;
	}
	return err;
}

static int ring_is_too_big(int err)
{
	return err == -ENOMEM || err == -E2BIG;
}

/*
 * The best backend that works, or the one that was asked for. A usual kernel has all that the first needs: the kernel's BTF is
 * looked at only when that failed.
 */
static int backend_find_working(struct tracer *tracer, int asked, size_t ring_bytes, struct error *e)
{
	struct error why[BACKEND_COUNT] = {{""}};
	struct btf *btf;
	int err = 0, reason;

	if (asked < 0) {
		err = backend_try(tracer, BACKEND_TRACEPOINT, ring_bytes, NULL, &why[0]);
		if (!err || ring_is_too_big(err))
			return err;
	}
	reason = tracer_explain(err, e);
	if (reason)
		return reason;
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return error_set(e, -ENOENT, "cannot trace: the kernel's BTF cannot be read: %s", strerror(errno));
	err = -ENOTSUP;
	for (int i = 0; i < BACKEND_COUNT && err && !ring_is_too_big(err); i++)
		if (asked < 0 || i == asked)
			err = backend_try(tracer, (enum backend)i, ring_bytes, btf, &why[i]);
	btf__free(btf);
	if (!err || ring_is_too_big(err))
		return err;
	if (asked >= 0)
		return error_set(e, -ENOTSUP, "cannot trace: backend %s does not work here: %s", backend_names[asked],
				 why[asked].text);
	return error_set(e, -ENOTSUP, "cannot trace: no backend works here: tracepoint: %s; fentry: %s; kprobe: %s",
			 why[BACKEND_LATE].text, why[BACKEND_FENTRY].text, why[BACKEND_KPROBE].text);
}

/* What backend kprobe would have to remember of a unix-domain socket stands where it cannot look. */
static uint32_t transports_default(const struct tracer *tracer)
{
	return tracer->backend == BACKEND_KPROBE ? TRACE_DEFAULT & ~TRACE_UNIX : TRACE_DEFAULT;
}

int tracer_open(const char *backend, size_t ring_bytes, bool faults, tracer_on_record *on_record, void *arg,
		struct tracer **ret_tracer, struct error *e)
{
	int asked = backend && backend[0] ? backend_find(backend) : -1, err;
	struct tracer *tracer;

	if (backend && backend[0] && asked < 0)
		return error_set(e, -EINVAL, "unknown backend '%.40s'; there are tracepoint, fentry, kprobe and tracepoint-late", backend);
	if (!ring_bytes)
		ring_bytes = RING_DEFAULT;
	err = ring_size_check(ring_bytes, e);
	if (err)
		return err;
	tracer = calloc(1, sizeof(*tracer));
	if (!tracer)
		return error_set(e, -ENOMEM, "cannot trace: out of memory");
	tracer->fault_able = faults;
	tracer->on_record = on_record;
	tracer->arg = arg;
	tracer->n_cpus = libbpf_num_possible_cpus();
	tracer->cpus = calloc((size_t)tracer->n_cpus, sizeof(*tracer->cpus));
	if (!tracer->cpus) {
		free(tracer);
		return error_set(e, -ENOMEM, "cannot trace: out of memory");
	}
	tracer_quiet();
	err = backend_find_working(tracer, asked, ring_bytes, e);
	if (ring_is_too_big(err))
		error_set(e, err,
			  "cannot trace: no memory for a ring buffer of %zu bytes; ask for "
			  "a smaller one",
			  ring_bytes);
	if (err)
		goto out;
	tracer->bpf->data->transports = transports_default(tracer);
	err = tracer_rings_open(&tracer->rings, tracer->bpf->maps.records, tracer->bpf->maps.lanes, tracer->slots);
	if (err)
		error_set(e, err, "cannot trace: the ring buffer cannot be mapped: %s", strerror(-err));
out:
	if (err) {
		tracer_close(tracer);
		return err;
	}
	*ret_tracer = tracer;
	return 0;
}

static void pipes_rest(struct tracer *tracer)
{
	call_exits_release(tracer->pipe_links, tracer->n_pipe_links);
	tracer->n_pipe_links = 0;
}

void tracer_close(struct tracer *tracer)
{
	if (!tracer)
		return;
	tracer_content_close(tracer->content);
	tracer_detach(tracer);
	pipes_rest(tracer);
	tracer_rest(tracer);
	tracer_rings_close(&tracer->rings);
	tracer_bpf__destroy(tracer->bpf);
	free(tracer->links);
	free(tracer->kretprobes);
	free(tracer->cpus);
	free(tracer);
}

const char *tracer_backend(const struct tracer *tracer)
{
	return backend_names[tracer->backend];
}

/* Perf events on the returns of these calls. */
static int exits_attach(struct tracer *tracer, const char *const *names, size_t n, struct bpf_link **links, size_t *n_links,
			struct error *e)
{
	int tracefs = tracefs_open("events/syscalls"), err = 0;

	if (tracefs < 0)
		return error_set(e, tracefs, "cannot trace: tracefs cannot be opened: %s", strerror(-tracefs));
	for (size_t i = 0; !err && i < n; i++) {
		struct bpf_link *link = call_exit_attach(tracer->bpf->progs.on_call_exit, tracefs, names[i]);

		if (link)
			links[(*n_links)++] = link;
		else
			err = error_set(e, -errno, "cannot trace: %s cannot be watched: %s", names[i], strerror(errno));
	}
	close(tracefs);
	return err;
}

/*
 * Watches returns by perf events, or where there are none by the raw tracepoint, which is dearer
 * for everybody.
 */
static int calls_attach(struct tracer *tracer, struct error *e)
{
	struct bpf_link *link;

	if (tracer->n_call_links)
		return 0; /* kept from the last time */
	if (!bpf_program__autoload(tracer->bpf->progs.on_call_exit)) {
		link = bpf_program__attach(tracer->bpf->progs.on_any_exit);
		if (!link)
			return error_set(
				e, -errno,
				"cannot trace: the returns of system calls cannot be watched: %s",
				strerror(errno));
		tracer->links[tracer->n_links++] = link;
		return 0;
	}
	return exits_attach(tracer, tracer_call_exits, CALL_EXITS, tracer->call_links, &tracer->n_call_links, e);
}

int tracer_attach(struct tracer *tracer, struct error *e)
{
	struct error why = {""};
	int err;

	if (tracer->n_links)
		return 0;
	tracer_quiet();
	err = programs_attach(tracer, 1, &why);
	if (err)
		error_set(e, err, "cannot trace: %s", why.text);
	else
		err = calls_attach(tracer, e);
	if (err)
		tracer_detach(tracer);
	return err;
}

void tracer_detach(struct tracer *tracer)
{
	while (tracer->n_links)
		bpf_link__destroy(tracer->links[--tracer->n_links]);
	while (tracer->n_kretprobes) {
		tracer->missed += kretprobes_missed(&tracer->kretprobes[tracer->n_kretprobes - 1], 1);
		kretprobe_detach(&tracer->kretprobes[--tracer->n_kretprobes]);
	}
}

void tracer_rest(struct tracer *tracer)
{
	call_exits_release(tracer->call_links, tracer->n_call_links);
	tracer->n_call_links = 0;
}

int tracer_content(struct tracer *tracer, uint32_t bytes, struct error *e)
{
	struct tracer_content_place place = {
		.tracer = tracer,
		.backend = tracer->backend,
		.epoch = tracer->bpf->data->epoch,
		.bytes = bytes,
		.ring_bytes = bpf_map__max_entries(tracer->bpf->maps.records),
	};

	return tracer_content_open(&place, &tracer->content, e);
}

int tracer_transports(struct tracer *tracer, uint32_t transports, struct error *e)
{
	int err = 0;

	if (transports & TRACE_UNIX && tracer->backend == BACKEND_KPROBE)
		return error_set(e, -ENOTSUP, "backend kprobe cannot trace unix-domain sockets: leave 'unix' out of 'trace'");
	/* without perf events every call is looked at anyway */
	if (transports & TRACE_PIPE && !tracer->n_pipe_links && bpf_program__autoload(tracer->bpf->progs.on_call_exit))
		err = exits_attach(tracer, tracer_pipe_exits, PIPE_EXITS, tracer->pipe_links, &tracer->n_pipe_links, e);
	if (err) {
		pipes_rest(tracer);
		return err;
	}
	tracer->bpf->data->transports = transports;
	return 0;
}

void tracer_clear(struct tracer *tracer)
{
	tracer_content_close(tracer->content);
	tracer->content = NULL;
	tracer_stop(tracer);
	tracer->bpf->data->transports = transports_default(tracer);
	pipes_rest(tracer);
	tracer->bpf->bss->ignoring = 0;
	map_clear(bpf_map__fd(tracer->bpf->maps.sock_table));
	map_clear(bpf_map__fd(tracer->bpf->maps.listeners));
	tracer->bpf->bss->adopting = 0;
	map_clear(bpf_map__fd(tracer->bpf->maps.addresses));
	map_clear(bpf_map__fd(tracer->bpf->maps.ordinals));
	map_clear(bpf_map__fd(tracer->bpf->maps.port_users));
	map_clear(bpf_map__fd(tracer->bpf->maps.pipes));
	map_clear(bpf_map__fd(tracer->bpf->maps.local_begun));
	map_clear(bpf_map__fd(tracer->bpf->maps.pending));
	map_clear(bpf_map__fd(tracer->bpf->maps.unaccepted));
	map_clear(bpf_map__fd(tracer->bpf->maps.older_taken));
	map_clear(bpf_map__fd(tracer->bpf->maps.ignored_keys));
	map_clear(bpf_map__fd(tracer->bpf->maps.ignored_cookies));
}
