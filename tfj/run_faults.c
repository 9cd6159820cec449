/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults of a run: what they are made on (inject.h), orders about them, and what is told of them. See run.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "tfj/run_inside.h"

static void on_fault_settle(void *arg)
{
	struct run *run = arg;

	tracer_drain(run->place.tracer);
	run_catch_up(run);
}

static void on_fault_event(enum event_kind kind, uint32_t id, uint32_t process, uint64_t now_ns, void *arg)
{
	run_note(arg, &(struct kept_note){ .kind = kind, .process = process, .value = id, .now_ns = now_ns });
}

static void on_fault_receipts(const struct fault_receipt *rows, size_t n, void *arg)
{
	struct run *run = arg;

	run->place.on_receipts(rows, n, run->place.arg);
}

static void on_fault_no_restart(const char *name, uint32_t status, uint32_t fault, void *arg)
{
	struct run *run = arg;

	run->place.on_exited(name, status, "", 0, fault, false, run->place.arg);
}

static void on_fault_missed(uint64_t packets, const char *why, void *arg)
{
	struct run *run = arg;
	struct kept_note missed = { .kind = EVENT_LOST, .value = (int64_t)packets, .now_ns = clock_monotonic_ns() };

	if (!*why)
		why = "they passed a device without Ethernet headers (a tunnel), or a new one before its first look";
	snprintf(missed.text, sizeof(missed.text), "packets that no fault could look at: %.200s", why);
	run->lost += packets;
	run_note(run, &missed);
}

static bool on_fault_is_attached(const char *label, void *arg)
{
	const struct run *run = arg;

	return attached_has(run->attached, label);
}

static int on_fault_link_peer(uint8_t ret_ip[16], uint16_t *ret_port, void *arg)
{
	const struct run *run = arg;

	return link_peer(run->place.link, ret_ip, ret_port);
}

int run_arm(struct run *run, const struct message_order *order, struct error *e)
{
	struct inject_place place = {
		.tracer = run->place.tracer,
		.faults = run->place.faults,
		.guardian = run->place.guardian,
		.boxes = run->boxes,
		.cgroup = &run->cgroup,
		.stream = &run->stream,
		.names = run->names,
		.crew = run->crew,
		.epoll = run->place.epoll,
		.box_base = run->place.box_base,
		.no_syn = run->syn ? NULL : run->no_syn.text,
		.link_peer = on_fault_link_peer,
		.is_attached = on_fault_is_attached,
		.settle = on_fault_settle,
		.on_event = on_fault_event,
		.on_receipts = on_fault_receipts,
		.on_missed = on_fault_missed,
		.on_no_restart = on_fault_no_restart,
		.arg = run,
	};

	run_drain(run);
	if (!run->inject)
		run->inject = inject_new(&place);
	if (!run->inject)
		return error_set(e, -ENOMEM, "out of memory");
	return inject_arm(run->inject, order->arm.faults, order->arm.n, order->arm.armed_ns, clock_monotonic_ns(), e);
}

int run_lift(struct run *run, uint32_t fault, struct error *e)
{
	if (!run->inject)
		return fault ? error_set(e, -ENOENT, "there is no fault %u", fault) : 0;
	run_drain(run);
	return inject_lift(run->inject, fault, clock_monotonic_ns(), e);
}

void run_inject(struct run *run)
{
	if (run->inject)
		inject_tick(run->inject, clock_monotonic_ns());
}

uint64_t run_inject_next(const struct run *run)
{
	return run->inject ? inject_next(run->inject) : UINT64_MAX;
}

void run_receipts_keep(struct run *run)
{
	struct fault_receipt *rows = NULL, *to;
	size_t n = 0;

	if (!run->inject || inject_receipts(run->inject, &rows, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		to = trace_receipt_add(&run->stream.part);
		if (to)
			*to = rows[i];
		else
			fault_receipt_fini(&rows[i]);
	}
	free(rows);
}
