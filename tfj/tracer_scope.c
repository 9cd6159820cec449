/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See tracer.h. Who is traced, and what of theirs: boxes, their addresses, processes, listeners, pipes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tfj/tracer_follow.h"
#include "tfj/tracer_inside.h"

int tracer_add_box(struct tracer *tracer, uint64_t netns_cookie, uint32_t box, struct error *e)
{
	if (bpf_map__update_elem(tracer->bpf->maps.boxes, &netns_cookie, sizeof(netns_cookie), &box,
				 sizeof(box), BPF_ANY))
		return error_set(e, -errno, "box %u: its network namespace cannot be traced: %s",
				 box & ~BOX_GUEST, errno == E2BIG ? "too many boxes" : strerror(errno));
	return 0;
}

int tracer_add_guest(struct tracer *tracer, uint64_t netns_cookie, uint32_t box, struct error *e)
{
	return tracer_add_box(tracer, netns_cookie, box | BOX_GUEST, e);
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

int tracer_add_process(struct tracer *tracer, int pidfd, uint32_t box, uint64_t label, struct error *e)
{
	struct task_seed seed = {.epoch = tracer->bpf->data->epoch, .box = box, .label = label};

	return task_seed(tracer, pidfd, &seed, e);
}

int tracer_add_running(struct tracer *tracer, int pidfd, uint32_t box, uint64_t label, struct error *e)
{
	struct task_seed seed = {.epoch = tracer->bpf->data->epoch, .box = box, .older = 1, .label = label};

	return task_seed(tracer, pidfd, &seed, e);
}

int tracer_ignore_task(struct tracer *tracer, int pidfd, struct error *e)
{
	struct task_seed seed = {.epoch = tracer->bpf->data->epoch, .ignored = 1};

	tracer->bpf->bss->ignoring = 1;
	return task_seed(tracer, pidfd, &seed, e);
}

bool tracer_has_task(const struct tracer *tracer, int pidfd)
{
	size_t size = bpf_map__value_size(tracer->bpf->maps.tasks);
	struct task_seed *state = calloc(1, size);
	bool has = state && !bpf_map__lookup_elem(tracer->bpf->maps.tasks, &pidfd, sizeof(pidfd), state, size, 0) &&
		   state->epoch == tracer->bpf->data->epoch;

	free(state);
	return has;
}

int tracer_follow(struct tracer *tracer, struct followed **ret_followed, size_t *ret_n, struct error *e)
{
	return tracer_follow_all(tracer->bpf->progs.on_follow, ret_followed, ret_n, e);
}

void tracer_add_taken(struct tracer *tracer, uint64_t cookie, uint64_t taken)
{
	bpf_map__update_elem(tracer->bpf->maps.older_taken, &cookie, sizeof(cookie), &taken, sizeof(taken), BPF_ANY);
}

int tracer_add_listener(struct tracer *tracer, uint32_t box, uint16_t port, struct error *e)
{
	struct {
		uint32_t box, port;
	} key = {box | BOX_GUEST, port};
	uint32_t one = 1;

	if (bpf_map__update_elem(tracer->bpf->maps.listeners, &key, sizeof(key), &one, sizeof(one), BPF_ANY))
		return error_set(e, -errno, "box %u: who connects to port %u cannot be traced: %s", box, port,
				 errno == E2BIG ? "too many ports" : strerror(errno));
	return 0;
}

void tracer_ignore_pipe(struct tracer *tracer, int fd)
{
	size_t size = bpf_map__value_size(tracer->bpf->maps.pipes);
	struct {
		uint64_t inode, device;
	} key = {0};
	void *nothing = calloc(1, size);
	struct stat st;

	if (nothing && !fstat(fd, &st) && S_ISFIFO(st.st_mode)) {
		key.inode = st.st_ino;
		bpf_map__update_elem(tracer->bpf->maps.pipes, &key, sizeof(key), nothing, size, BPF_ANY);
	}
	free(nothing);
}

void tracer_adopt(struct tracer *tracer)
{
	tracer->bpf->bss->adopting = 1;
}

void tracer_stop(struct tracer *tracer)
{
	map_clear(bpf_map__fd(tracer->bpf->maps.boxes)); /* first: nothing new comes in after this */
	tracer->bpf->data->epoch++;
}
