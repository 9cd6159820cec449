/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The programs of one run, from their start to their last byte of output. Each is a member with a name of its own;
 * what they fork is not, but ends with the run's cgroup. Must not know the collector: what happens is told to the
 * caller through struct crew_events.
 */
#ifndef TFJ_CREW_H
#define TFJ_CREW_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/wire.h"
#include "tfj/batch.h"
#include "tfj/box.h"
#include "tfj/cgroup.h"
#include "tfj/name.h"
#include "tfj/tracer.h"

struct crew;
struct sock_fprog;

/* name: of the member; process: its index, 0 if it is untraced. */
struct crew_events {
	/* order 0: it was started again */
	void (*on_started)(const char *name, uint32_t process, uint64_t order, int err, const char *error, pid_t pid, void *arg);
	void (*on_exited)(const char *name, uint32_t process, uint32_t status, const char *output, size_t size, void *arg);
	/* What is put on a traced program with this label (tfj/failing.h), NULL: nothing. Borrowed. */
	const struct sock_fprog *(*failing)(const char *label, void *arg);
	void *arg;
};

/* What a crew works with; all borrowed. hosts, resolv: files to lie over those of the programs. */
struct crew_place {
	struct tracer *tracer;
	struct names *names;
	struct stream *stream;
	const struct boxes *boxes;
	const struct cgroup *cgroup;
	const char *hosts, *resolv;
	uint32_t box_base; /* the tracer knows box N as box_base + N */
	const char *directory; /* of the run; needed by crew_new() only */
	int epoll; /* where the crew's descriptors are watched; data.ptr is for crew_on_ready */
};

struct crew *crew_new(const struct crew_place *place, const struct crew_events *events);
/* Every member must have ended. */
void crew_free(struct crew *crew);

/* What is traced is part of labels. -EINVAL: not a name for it. */
int process_name_check(const char *name, struct error *e);

/* Begins to start a program; on_started tells the outcome, unless this returns an error. now_ns: CLOCK_MONOTONIC. */
int crew_start(struct crew *crew, uint64_t order, const struct message_start *start, uint64_t now_ns, struct error *e);

/* Starts one that has ended once more, as it was, under its next label. -ENOENT: none of this name has run. */
int crew_again(struct crew *crew, const char *name, uint64_t now_ns, struct error *e);

/* SIGKILL to all that were started in that box, and to what they made. What is started there later is not met. */
int crew_kill_box(struct crew *crew, uint32_t box);

/* -ESRCH: there is no such member, or it has ended. */
int crew_signal(struct crew *crew, const char *name, int signal, struct error *e);

/* A descriptor in the epoll set is ready. */
void crew_on_ready(struct crew *crew, void *data);

/* A child of ours ended; one that is no member is ignored. */
void crew_on_exit(struct crew *crew, pid_t pid, int status);

/* The member of this process index, if it waits for a listener on port; else NULL. Each is told once. */
const char *crew_ready(struct crew *crew, uint32_t process, uint16_t port);

/* Does a living member still wait for its listener? */
bool crew_waits(const struct crew *crew);

/* Reads what is left in the pipes and puts all outputs into the stream; calls on_due when a batch is full. */
void crew_flush(struct crew *crew, void (*on_due)(void *arg), void *arg);

#endif
