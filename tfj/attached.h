/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processes of a run that it did not start. They are watched and left alone: never signalled, moved or waited for, and
 * they outlive the run, us, and whoever gave the order.
 */
#ifndef TFJ_ATTACHED_H
#define TFJ_ATTACHED_H

#include <stdbool.h>
#include <sys/types.h>

#include "bpf/record.h"
#include "proto/wire.h"
#include "tfj/box.h"
#include "tfj/name.h"
#include "tfj/tracer.h"

struct attached;

/* All borrowed. */
struct attached_place {
	struct tracer *tracer;
	struct names *names;
	const struct boxes *boxes;
	uint32_t box_base; /* the tracer knows box N as box_base + N */
	void (*on_exited)(const char *name, uint32_t status, void *arg);
	void *arg;
};

struct attached *attached_new(const struct attached_place *place);
void attached_free(struct attached *attached);

/*
 * From its return on, whatever the process, its threads and its descendants do makes records. On failure a part of them may be
 * traced: the run cannot go on. -EINVAL: the box is made for the run, or no such name; -EEXIST: traced already; and as seek.h.
 */
int attached_add(struct attached *attached, const struct message_attach *wish, uint64_t now_ns, pid_t *ret_pid,
		 struct error *e);

/* Of every record that may be an EXIT, as it comes: on_exited tells if it is one of ours. */
void attached_record(struct attached *attached, const struct rec_head *record, size_t size);

/* Is it one of them, or descends from one: s1.2 of s1? */
bool attached_has(const struct attached *attached, const char *label);

bool attached_any(const struct attached *attached);

#endif
