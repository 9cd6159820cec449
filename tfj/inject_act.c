/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the agent does for a fault itself, and how it is undone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tfj/forget.h"
#include "tfj/inject_inside.h"

#define DEVICE 2 /* eth0 of a box that we made */
#define GUARDIAN_LATE_NS (CLOCK_SECOND_NS / 10) /* we wake first, and it only if we do not */

/* ---- a process ---- */

/* Of one that lives: by its label, or by the number that the kernel side told. */
static int process_open(struct inject *inject, const struct injected *it, uint32_t tgid, uint32_t *ret_process, struct error *e)
{
	int fd = -1;

	*ret_process = 0;
	if (tgid)
		fd = (int)syscall(SYS_pidfd_open, tgid, 0);
	else
		*ret_process = inject_process(inject, it->fault.process, &fd);
	return fd >= 0 ? fd : error_set(e, -ESRCH, "%s has ended", it->fault.process);
}

static int crash(struct inject *inject, struct injected *it, uint64_t fired_ns, struct error *e)
{
	uint32_t process;
	int fd = process_open(inject, it, 0, &process, e), err = 0;

	if (fd < 0)
		return fd;
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
		err = error_set(e, -errno, "%s cannot be killed: %s", it->fault.process, strerror(errno));
	close(fd);
	if (!err)
		inject_fired(inject, it, process, fired_ns, clock_monotonic_ns());
	return err;
}

/* tgid 0: it is not stopped yet. The guardian knows of it first. */
static int pause_process(struct inject *inject, struct injected *it, uint32_t tgid, uint64_t fired_ns, struct error *e)
{
	uint64_t until = fired_ns + it->fault.duration_ns;
	uint32_t process;
	int fd = process_open(inject, it, tgid, &process, e), err;

	if (fd < 0)
		return fd;
	err = guardian_wake(inject->place.guardian, it->fault.id, fd, until + GUARDIAN_LATE_NS);
	if (!err && !tgid && syscall(SYS_pidfd_send_signal, fd, SIGSTOP, NULL, 0) < 0) {
		err = -errno;
		guardian_forget(inject->place.guardian, it->fault.id);
	}
	if (err && !tgid) {
		close(fd);
		return error_set(e, err, "%s cannot be stopped: %s", it->fault.process, strerror(-err));
	}
	it->pidfd = fd; /* without the guardian: we wake it all the same */
	it->guarded = !err;
	if (!tgid)
		inject_fired(inject, it, process, fired_ns, clock_monotonic_ns());
	it->due_ns = until;
	inject_wants(inject, until);
	return 0;
}

static void wake(struct inject *inject, struct injected *it)
{
	if (it->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, it->pidfd, SIGCONT, NULL, 0);
	close(it->pidfd);
	it->pidfd = -1;
	if (it->guarded)
		guardian_forget(inject->place.guardian, it->fault.id);
}

/* ---- a box ---- */

void inject_box_power(struct inject *inject, struct injected *it)
{
	const struct box *box = inject_box(inject, it->fault.from[0]);
	int err;

	if (it->powered)
		return;
	it->powered = it->over = true;
	inject_look(inject, it, clock_monotonic_ns());
	/* behind the wall nobody hears of it; later they hear that nobody knows them */
	err = box->guest ? -EPERM : connections_forget(box->netns);
	if (it->kernel)
		faults_lift(*inject->place.faults, it->fault.id);
	it->receipt.ended_ns = clock_monotonic_ns();
	inject_why(it, "the power came back with a restart%s%s", err ? "; its kernel still knew its connections: " : "",
		   err == -EPERM ? "they are not all ours" : err ? strerror(-err) : "");
}

/* ---- queues ---- */

enum { ADDRESSES_MAX = 2 * BOX_MAX };

/* names NULL: all of this agent but those in `but`. */
static bool is_meant(const struct box *box, char *const *names, char *const *but)
{
	bool meant = !names;

	for (; names && *names && !meant; names++)
		meant = !strcasecmp(*names, box->name);
	for (; but && *but && meant; but++)
		meant = strcasecmp(*but, box->name);
	return meant;
}

static size_t addresses(const struct inject *inject, char *const *names, uint8_t (*ret_to)[16])
{
	const struct boxes *boxes = inject->place.boxes;
	size_t n = 0;

	for (size_t i = 0; names && i < boxes->n_known; i++) {
		if (!is_meant(&boxes->box[i], names, NULL))
			continue;
		memcpy(ret_to[n++], boxes->box[i].ip4, 16);
		if (boxes->box[i].address6[0])
			memcpy(ret_to[n++], boxes->box[i].ip6, 16);
	}
	return n;
}

static int shape_get(struct inject *inject, const struct box *box, struct shape **ret_shape, struct error *e)
{
	int err = 0;

	if (!inject->shapes)
		inject->shapes = calloc(inject->place.boxes->n, sizeof(struct shape *));
	if (!inject->shapes)
		return error_set(e, -ENOMEM, "out of memory");
	if (!inject->shapes[box->index - 1])
		err = shape_open(box->netns, DEVICE, &inject->shapes[box->index - 1], e);
	*ret_shape = inject->shapes[box->index - 1];
	return err;
}

/* What boxes with these names send to those with others. */
static int shape_way(struct inject *inject, const struct injected *it, char *const *from, char *const *but, char *const *to,
		     struct error *e)
{
	const struct boxes *boxes = inject->place.boxes;
	uint8_t (*receivers)[16] = calloc(ADDRESSES_MAX, 16);
	struct shape_fault fault = { .id = it->fault.id, .rate = it->fault.rate, .ppm = it->fault.ppm, .seed = it->fault.seed };
	struct shape *shape = NULL;
	int err = receivers ? 0 : error_set(e, -ENOMEM, "out of memory");

	if (!err) {
		fault.to = (const uint8_t (*)[16])receivers;
		fault.n_to = addresses(inject, to, receivers);
	}
	for (size_t i = 0; i < boxes->n && !err; i++) {
		if (!is_meant(&boxes->box[i], from, but))
			continue;
		err = shape_get(inject, &boxes->box[i], &shape, e);
		if (!err)
			err = shape_add(shape, &fault, e);
	}
	free(receivers);
	return err;
}

static void unshape(struct inject *inject, struct injected *it)
{
	for (size_t i = 0; inject->shapes && it->shaped && i < inject->place.boxes->n; i++)
		if (inject->shapes[i])
			shape_remove(inject->shapes[i], it->fault.id);
	it->shaped = false;
}

static int shape(struct inject *inject, struct injected *it, uint64_t fired_ns, struct error *e)
{
	const struct fault *fault = &it->fault;
	int err;

	it->shaped = true;
	err = shape_way(inject, it, fault->from, NULL, fault->to, e);
	if (!err && !(fault->flags & FAULT_F_ONEWAY))
		err = shape_way(inject, it, fault->to, fault->from, fault->from, e);
	if (err) {
		unshape(inject, it);
		return err;
	}
	if (fault->kind == FAULT_REORDER)
		inject_why(it, "late packets come %u ms later; which ones, the kernel chooses (netem)", SHAPE_DELAY_NS / 1000000);
	inject_fired(inject, it, 0, fired_ns, clock_monotonic_ns());
	return 0;
}

void inject_shapes_close(struct inject *inject)
{
	for (size_t i = 0; inject->shapes && i < inject->place.boxes->n; i++)
		shape_close(inject->shapes[i]);
	free(inject->shapes);
	inject->shapes = NULL;
}

/* ---- all ---- */

int inject_act(struct inject *inject, struct injected *it, uint32_t tgid, uint64_t fired_ns, uint64_t now_ns, struct error *e)
{
	switch (it->fault.kind) {
	case FAULT_CRASH:
		return tgid ? 0 : crash(inject, it, fired_ns, e); /* else the kernel did */
	case FAULT_PAUSE:
		return pause_process(inject, it, tgid, fired_ns, e);
	case FAULT_CRASH_BOX:
		return crew_kill_box(inject->place.crew, inject_box(inject, it->fault.from[0])->index);
	case FAULT_RATE:
	case FAULT_REORDER:
		return shape(inject, it, fired_ns, e);
	case FAULT_NONE:
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
	case FAULT_REFUSE:
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_RESTART:
	case FAULT_LOSS:
	case FAULT_CORRUPT:
	case FAULT_DUPLICATE:
	case FAULT_FAIL:
	case FAULT_KIND_COUNT:
		break;
	}
	return 0;
}

int inject_undo(struct inject *inject, struct injected *it, struct error *e)
{
	if (it->fault.kind == FAULT_FAIL && it->receipt.state == FAULT_STATE_FIRED)
		return error_set(e, -ENOTSUP, "fault %u cannot be taken away: %s of %s fails as long as that lives", it->fault.id,
				 it->fault.call, it->fault.process);
	wake(inject, it);
	unshape(inject, it);
	return 0;
}
