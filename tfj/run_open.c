/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a run is made of, and who tells it what happens: see run.h. On failure run_close() lets go of what is there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tfj/run_inside.h"
#include "tfj/tracer_kernel.h"

static int file_write(const char *path, const char *text, struct error *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), err = 0;
	size_t size = strlen(text);

	if (fd < 0 || write(fd, text, size) != (ssize_t)size || fchmod(fd, 0644) < 0)
		err = error_set(e, errno ? -errno : -EIO, "cannot write %s: %s", path, strerror(errno ? errno : EIO));
	if (fd >= 0)
		close(fd);
	return err;
}

static int files_make(struct run *run, struct error *e)
{
	char *hosts = boxes_hosts(run->boxes);
	int err;

	if (!hosts)
		return error_set(e, -ENOMEM, "out of memory");
	err = claim_open(&run->files, claim_base(), "run", NULL, 0755, e);
	if (!err) {
		snprintf(run->hosts, sizeof(run->hosts), "%s/hosts", run->files.path);
		snprintf(run->resolv, sizeof(run->resolv), "%s/resolv.conf", run->files.path);
		err = file_write(run->hosts, hosts, e);
	}
	if (!err)
		err = file_write(run->resolv, "", e);
	free(hosts);
	return err;
}

/* Tells the kernel side which boxes there are. */
static int boxes_announce(struct run *run, struct error *e)
{
	for (size_t i = 0; i < run->boxes->n_known; i++) {
		const struct box *box = &run->boxes->box[i];
		uint32_t number = run->place.box_base + box->index;
		int err = 0;

		if (i < run->boxes->n)
			err = box->guest ? tracer_add_guest(run->place.tracer, box->cookie, number, e) :
					   tracer_add_box(run->place.tracer, box->cookie, number, e);
		if (!err)
			err = tracer_add_address(run->place.tracer, number, box->ip4, e);
		if (!err && box->address6[0])
			err = tracer_add_address(run->place.tracer, number, box->ip6, e);
		if (err)
			return err;
	}
	return 0;
}

/* A process that is waited for listens. */
static void on_listen(void *arg, uint32_t root, uint16_t port)
{
	struct run *run = arg;
	const char *name = crew_ready(run->crew, root, port);

	if (name)
		run->place.on_ready(name, run->place.arg);
}

static void on_member_started(const char *name, uint32_t process, uint64_t order, int err, const char *error, pid_t pid, void *arg)
{
	struct run *run = arg;

	if (run->inject)
		inject_on_started(run->inject, name, process, !order, err, error, clock_monotonic_ns());
	if (order)
		run->place.on_started(order, err, error, pid, run->place.arg);
}

static void on_member_exited(const char *name, uint32_t process, uint32_t status, const char *output, size_t size, void *arg)
{
	struct run *run = arg;
	uint32_t fault = 0;
	bool restarts = false;

	if (run->inject) {
		run_drain(run); /* what ended it was recorded before */
		inject_on_exited(run->inject, name, process, status, clock_monotonic_ns(), &fault, &restarts);
	}
	run->place.on_exited(name, status, output, size, fault, restarts, run->place.arg);
}

static void on_attached_exited(const char *name, uint32_t status, void *arg)
{
	struct run *run = arg;

	run->place.on_exited(name, status, "", 0, 0, false, run->place.arg);
}

static const struct sock_fprog *on_failing(const char *label, void *arg)
{
	struct run *run = arg;

	return run->inject ? inject_failing(run->inject, label) : NULL;
}

/* Those that are there, if we serve such; else they are made. Then the others of the run. */
static int boxes_find_or_make(struct run *run, const struct message_order *order, struct error *e)
{
	const struct served *served = run->place.served;
	int err = 0;

	for (char **name = order->begin.boxes; served->n && *name && !err; name++)
		if (!served_find(served, *name))
			err = error_set(e, -ENOENT, "this agent serves no box '%s'", *name);
	if (err)
		return err;
	err = served->n && served->box[0].guest ? boxes_guests(order->begin.boxes, served, &run->boxes, e) :
						  boxes_open(order->begin.boxes, &run->boxes, e);
	for (size_t i = 0; !err && order->begin.n_peers && run->boxes->box[0].guest && i < run->boxes->n; i++) {
		const struct box *box = &run->boxes->box[i];

		err = served_moved(box, served_find(served, box->name), e);
	}
	if (!err && order->begin.n_peers)
		err = boxes_peers(run->boxes, order->begin.peers, order->begin.n_peers, e);
	return err;
}

/*
 * The run's directory is named by the collector, bop.run.TAG with a tag that nobody else has. On the collector's machine it
 * is there; elsewhere it is ours to make, and to remove.
 */
static int directory_make(struct run *run, const char *path, struct error *e)
{
	const char *slash = strrchr(path, '/'), *tag = strrchr(path, '.');
	char base[RUN_PATH_MAX];

	if (access(path, F_OK) == 0 || !slash || strncmp(slash, "/bop.run.", 9) || !tag)
		return 0;
	snprintf(base, sizeof(base), "%.*s", (int)(slash - path), path);
	if (claim_open(&run->directory, base, "run", tag + 1, 0711, e) == 0 || access(path, F_OK) == 0)
		return 0; /* another agent of this machine may have been quicker */
	return -EIO;
}

/* Boxes are on several kernels: SYNs say who connects, if they can. Only faults need it, and are told why they cannot have it. */
static void syn_try(struct run *run)
{
	if (run->boxes->n_known == run->boxes->n)
		return;
	if (run->place.no_syn_option || !tracer_fault_able(run->place.tracer))
		error_set(&run->no_syn, -ENOTSUP, "this agent was started with %s", run->place.no_syn_option ? "--no-syn-option" : "--no-faults");
	else
		syn_open(run->place.tracer, run->cgroup.claim.fd, &run->syn, &run->no_syn);
}

int run_open(const struct run_place *place, const struct message_order *order, struct run **ret_run, struct error *e)
{
	struct run *run = calloc(1, sizeof(*run));
	struct crew_events events = { on_member_started, on_member_exited, on_failing, run };
	struct crew_place crew = { .tracer = place->tracer, .epoll = place->epoll };
	struct attached_place attached;
	int err;

	if (!run)
		return error_set(e, -ENOMEM, "out of memory");
	run->place = *place;
	run->cgroup = (struct cgroup)CGROUP_NONE;
	run->files = run->directory = (struct claim)CLAIM_NONE;
	stream_init(&run->stream, order->begin.run);
	tracer_drain(place->tracer); /* what is left of others is not ours */
	tracer_counters(place->tracer, run->before);
	err = boxes_find_or_make(run, order, e);
	if (!err)
		err = directory_make(run, order->begin.directory, e);
	if (!err)
		err = files_make(run, e);
	if (!err)
		err = cgroup_open(&run->cgroup, place->cgroup_root, e);
	if (!err)
		err = boxes_announce(run, e);
	if (err)
		goto out;
	syn_try(run);
	if (order->begin.deferred) {
		run->hoard = hoard_new(place->room);
		if (!run->hoard) {
			err = error_set(e, -ENOMEM, "out of memory");
			goto out;
		}
	}
	if (order->begin.content_bytes)
		err = contents_new(order->begin.content_bytes, order->begin.redact, &run->contents, e);
	if (run->contents)
		err = tracer_content(place->tracer, order->begin.content_bytes, e);
	if (!err && order->begin.transports)
		err = tracer_transports(place->tracer, order->begin.transports, e);
	if (err)
		goto out;
	run->names = names_new(&run->stream, run->boxes, place->box_base, on_listen, run);
	crew.names = run->names;
	crew.stream = &run->stream;
	crew.boxes = run->boxes;
	crew.cgroup = &run->cgroup;
	crew.hosts = run->hosts;
	crew.resolv = run->boxes->box[0].guest ? NULL : run->resolv; /* a guest has its own way to names outside */
	crew.box_base = place->box_base;
	crew.directory = order->begin.directory;
	attached = (struct attached_place){ place->tracer, run->names, run->boxes, place->box_base, on_attached_exited, run };
	run->attached = run->names ? attached_new(&attached) : NULL;
	run->crew = run->attached ? crew_new(&crew, &events) : NULL;
	if (!run->crew)
		err = error_set(e, -ENOMEM, "out of memory");
out:
	if (err)
		boxes_close(run_close(run));
	else
		*ret_run = run;
	return err;
}
