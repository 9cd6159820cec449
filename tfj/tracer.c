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

#include "bpf/state.h"
#include "bpf/tracer.skel.h"
#include "tfj/tracer.h"
#include "tfj/tracer_content.h"
#include "tfj/tracer_kernel.h"

#define RING_DEFAULT (16u << 20)
#define RECORD_MAX 144 /* the longest record with its header in the ring */

struct tracer {
	struct tracer_bpf *bpf;
	struct ring_buffer *ring;
	tracer_on_record *on_record;
	void *arg;
	struct bpf_link *links[32]; /* of tracepoints */
	size_t n_links;
	struct bpf_link *call_links[CALL_EXITS]; /* of perf events: slow to let go of */
	size_t n_call_links;
	struct tracer_content *content; /* NULL: nobody asks for it */
	int n_cpus;
};

const void *tracer_object(size_t *ret_size)
{
	return tracer_bpf__elf_bytes(ret_size);
}

static int record_arrived(void *arg, void *data, size_t size)
{
	struct tracer *tracer = arg;

	if (size >= sizeof(struct rec_head))
		tracer->on_record(data, size, tracer->arg);
	return 0;
}

static int ring_size_check(size_t ring_bytes, struct error *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (ring_bytes < page || ring_bytes & (ring_bytes - 1))
		return error_set(
			e, -EINVAL,
			"ring buffer of %zu bytes: the size must be a power of two, at least %zu",
			ring_bytes, page);
	if (ring_bytes > 1u << 30)
		return error_set(e, -E2BIG,
				 "ring buffer of %zu bytes: the kernel allows at most 1 GiB",
				 ring_bytes);
	return 0;
}

/* Programs that only some kernels have a place for. */
static int programs_choose(struct tracer_bpf *bpf, struct error *e)
{
	static const char *const needed[] = {"inet_sock_set_state", "sock_send_length",
					     "sock_recv_length",    "tcp_rcv_space_adjust",
					     "tcp_destroy_sock",    "tcp_receive_reset"};
	struct btf *btf = btf__load_vmlinux_btf();
	int err = 0;

	if (!btf)
		return error_set(e, -ENOENT, "cannot trace: the kernel's BTF cannot be read: %s",
				 strerror(errno));
	for (size_t i = 0; !err && i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!tracer_has(btf, needed[i]))
			err = error_set(e, -ENOTSUP,
					"cannot trace: this kernel has no tracepoint %s; use Linux "
					"6.3 or newer",
					needed[i]);
	bpf_program__set_autoload(bpf->progs.on_send, tracer_has(btf, "tcp_sendmsg_locked"));
	bpf_program__set_autoload(bpf->progs.on_prepare_exec,
				  tracer_has(btf, "sched_prepare_exec"));
	btf__free(btf);
	return err;
}

/*
 * Numbers are drawn for each CPU: if all CPUs are silent for just not so many records, half of the
 * buffer has room.
 */
static uint64_t wake_mask(size_t ring_bytes)
{
	uint64_t records = ring_bytes / 2 / RECORD_MAX / (uint64_t)libbpf_num_possible_cpus(),
		 every = 1;

	while (every * 2 <= records)
		every *= 2;
	return every - 1;
}

/* The usual kernel has everything: look at what is missing only when loading failed. */
static int programs_load(struct tracer_bpf **bpf, size_t ring_bytes, int choose, struct error *e)
{
	int err, events;

	*bpf = tracer_bpf__open();
	if (!*bpf)
		return error_set(e, -errno, "cannot trace: the programs cannot be prepared: %s",
				 strerror(errno));
	bpf_map__set_max_entries((*bpf)->maps.records, ring_bytes);
	(*bpf)->rodata->ring_mask = wake_mask(ring_bytes);
	events = calls_watchable();
	bpf_program__set_autoload((*bpf)->progs.on_call_exit, events);
	bpf_program__set_autoload((*bpf)->progs.on_any_exit, !events);
	err = choose ? programs_choose(*bpf, e) : 0;
	if (!err)
		err = tracer_bpf__load(*bpf);
	if (err) {
		tracer_bpf__destroy(*bpf);
		*bpf = NULL;
	}
	return err;
}

int tracer_open(size_t ring_bytes, tracer_on_record *on_record, void *arg,
		struct tracer **ret_tracer, struct error *e)
{
	struct tracer *tracer;
	struct error why = {""};
	int err;

	if (!ring_bytes)
		ring_bytes = RING_DEFAULT;
	err = ring_size_check(ring_bytes, e);
	if (err)
		return err;
	tracer = calloc(1, sizeof(*tracer));
	if (!tracer)
		return error_set(e, -ENOMEM, "cannot trace: out of memory");
	tracer->on_record = on_record;
	tracer->arg = arg;
	tracer->n_cpus = libbpf_num_possible_cpus();
	tracer_quiet();
	err = programs_load(&tracer->bpf, ring_bytes, 0, &why);
	if (err) {
		int reason = tracer_explain(err, e);

		if (reason) {
			err = reason;
			goto out;
		}
		if (err != -ENOMEM && err != -E2BIG)
			err = programs_load(&tracer->bpf, ring_bytes, 1, &why);
	}
	if (err) {
		if (why.text[0])
			error_set(e, err, "%s", why.text);
		else if (err == -ENOMEM || err == -E2BIG)
			error_set(e, err,
				  "cannot trace: no memory for a ring buffer of %zu bytes; ask for "
				  "a smaller one",
				  ring_bytes);
		else
			err = error_set(
				e, -ENOTSUP, "cannot trace: this kernel refused the programs: %s",
				tracer_complaint()[0] ? tracer_complaint() : strerror(-err));
		goto out;
	}
	tracer->ring = ring_buffer__new(bpf_map__fd(tracer->bpf->maps.records), record_arrived,
					tracer, NULL);
	if (!tracer->ring)
		err = error_set(e, -errno, "cannot trace: the ring buffer cannot be mapped: %s",
				strerror(errno));
out:
	if (err) {
		tracer_close(tracer);
		return err;
	}
	*ret_tracer = tracer;
	return 0;
}

void tracer_close(struct tracer *tracer)
{
	if (!tracer)
		return;
	tracer_content_close(tracer->content);
	tracer_detach(tracer);
	tracer_rest(tracer);
	ring_buffer__free(tracer->ring);
	tracer_bpf__destroy(tracer->bpf);
	free(tracer);
}

const char *tracer_backend(const struct tracer *tracer)
{
	return "tracepoint";
}

/*
 * Watches returns by perf events, or where there are none by the raw tracepoint, which is dearer
 * for everybody.
 */
static int calls_attach(struct tracer *tracer, struct error *e)
{
	struct bpf_link *link;
	int tracefs, err = 0;

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
	tracefs = tracefs_open();
	if (tracefs < 0)
		return error_set(e, tracefs, "cannot trace: tracefs cannot be opened: %s",
				 strerror(-tracefs));
	for (size_t i = 0; !err && i < CALL_EXITS; i++) {
		link = call_exit_attach(tracer->bpf->progs.on_call_exit, tracefs,
					tracer_call_exits[i]);
		if (link)
			tracer->call_links[tracer->n_call_links++] = link;
		else
			err = error_set(e, -errno, "cannot trace: %s cannot be watched: %s",
					tracer_call_exits[i], strerror(errno));
	}
	close(tracefs);
	return err;
}

int tracer_attach(struct tracer *tracer, struct error *e)
{
	struct bpf_program *program;
	struct bpf_link *link;
	int err;

	if (tracer->n_links)
		return 0;
	tracer_quiet();
	bpf_object__for_each_program(program, tracer->bpf->obj)
	{
		if (!bpf_program__autoload(program) || program == tracer->bpf->progs.on_call_exit ||
		    program == tracer->bpf->progs.on_any_exit)
			continue;
		link = bpf_program__attach(program);
		if (!link) {
			err = error_set(e, -errno, "cannot trace: %s cannot be attached: %s",
					bpf_program__section_name(program), strerror(errno));
			tracer_detach(tracer);
			return err;
		}
		tracer->links[tracer->n_links++] = link;
	}
	err = calls_attach(tracer, e);
	if (err)
		tracer_detach(tracer);
	return err;
}

void tracer_detach(struct tracer *tracer)
{
	while (tracer->n_links)
		bpf_link__destroy(tracer->links[--tracer->n_links]);
}

void tracer_rest(struct tracer *tracer)
{
	call_exits_release(tracer->call_links, tracer->n_call_links);
	tracer->n_call_links = 0;
}

int tracer_add_box(struct tracer *tracer, uint64_t netns_cookie, uint32_t box, struct error *e)
{
	if (bpf_map__update_elem(tracer->bpf->maps.boxes, &netns_cookie, sizeof(netns_cookie), &box,
				 sizeof(box), BPF_ANY))
		return error_set(e, -errno, "box %u: its network namespace cannot be traced: %s",
				 box, errno == E2BIG ? "too many boxes" : strerror(errno));
	return 0;
}

int tracer_add_address(struct tracer *tracer, uint32_t box, const uint8_t ip[16], struct error *e)
{
	if (bpf_map__update_elem(tracer->bpf->maps.addresses, ip, 16, &box, sizeof(box), BPF_ANY))
		return error_set(e, -errno, "box %u: its address cannot be told to the kernel: %s",
				 box, errno == E2BIG ? "too many addresses" : strerror(errno));
	return 0;
}

static int task_seed(struct tracer *tracer, int pidfd, const struct task_seed *seed,
		     struct error *e)
{
	size_t size = bpf_map__value_size(tracer->bpf->maps.tasks);
	struct task_seed *state = calloc(1, size);
	int err = 0;

	if (!state)
		return error_set(e, -ENOMEM, "a process cannot be traced: out of memory");
	*state = *seed;
	if (bpf_map__update_elem(tracer->bpf->maps.tasks, &pidfd, sizeof(pidfd), state, size,
				 BPF_ANY))
		err = error_set(e, -errno, "a process cannot be traced: %s", strerror(errno));
	free(state);
	return err;
}

int tracer_add_task(struct tracer *tracer, int pidfd, uint32_t box, struct error *e)
{
	struct task_seed seed = {.epoch = tracer->bpf->data->epoch, .box = box};

	return task_seed(tracer, pidfd, &seed, e);
}

int tracer_ignore_task(struct tracer *tracer, int pidfd, struct error *e)
{
	struct task_seed seed = {.epoch = tracer->bpf->data->epoch, .ignored = 1};

	tracer->bpf->bss->ignoring = 1;
	return task_seed(tracer, pidfd, &seed, e);
}

int tracer_content(struct tracer *tracer, uint32_t bytes, struct error *e)
{
	return tracer_content_open(tracer->bpf->obj, tracer->bpf->data->epoch, bytes,
				   bpf_map__max_entries(tracer->bpf->maps.records), &tracer->content, e);
}

static void map_clear(const struct bpf_map *map)
{
	size_t size = bpf_map__key_size(map);
	char key[64];

	while (size <= sizeof(key) && !bpf_map__get_next_key(map, NULL, key, size))
		if (bpf_map__delete_elem(map, key, size, 0))
			break;
}

void tracer_clear(struct tracer *tracer)
{
	tracer_content_close(tracer->content);
	tracer->content = NULL;
	map_clear(tracer->bpf->maps.boxes); /* first: nothing new comes in after this */
	tracer->bpf->data->epoch++;
	tracer->bpf->bss->ignoring = 0;
	map_clear(tracer->bpf->maps.addresses);
	map_clear(tracer->bpf->maps.ordinals);
	map_clear(tracer->bpf->maps.pending);
	map_clear(tracer->bpf->maps.ignored_keys);
	map_clear(tracer->bpf->maps.ignored_cookies);
}

int tracer_fd(const struct tracer *tracer)
{
	return ring_buffer__epoll_fd(tracer->ring);
}

int tracer_drain(struct tracer *tracer)
{
	return ring_buffer__consume(tracer->ring);
}

/*
 * Runs that were skipped because the program, or another perf program, was running on that CPU
 * already. Of the two for changes of state one always runs.
 */
static uint64_t runs_missed(const struct tracer *tracer)
{
	struct bpf_program *program;
	uint64_t missed = 0;

	bpf_object__for_each_program(program, tracer->bpf->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);

		if (program == tracer->bpf->progs.on_state ||
		    program == tracer->bpf->progs.on_state_nested)
			continue;
		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			missed += info.recursion_misses;
	}
	return missed;
}

void tracer_counters(const struct tracer *tracer, uint64_t ret_counters[COUNTER_COUNT])
{
	struct {
		uint64_t seq, counters[COUNTER_COUNT];
	} * cpus;
	uint32_t zero = 0;

	memset(ret_counters, 0, COUNTER_COUNT * sizeof(*ret_counters));
	ret_counters[COUNTER_LOST_NESTED] = runs_missed(tracer);
	cpus = calloc((size_t)tracer->n_cpus, sizeof(*cpus));
	if (!cpus || bpf_map__lookup_elem(tracer->bpf->maps.cpus, &zero, sizeof(zero), cpus,
					  (size_t)tracer->n_cpus * sizeof(*cpus), 0))
		goto out;
	for (int cpu = 0; cpu < tracer->n_cpus; cpu++)
		for (int i = 0; i < COUNTER_COUNT; i++)
			ret_counters[i] += cpus[cpu].counters[i];
out:
	free(cpus);
}
