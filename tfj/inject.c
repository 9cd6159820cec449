/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See inject.h. What happens to faults that are armed: by records, by time, by a lift, by the end of the run. */
#include "tfj/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "lib/clock.h"
#include "tfj/inject_inside.h"

#define ENDS_NS (CLOCK_SECOND_NS / 1000) /* after the kernel should have ended an effect, we look whether it has */

struct inject *inject_new(const struct inject_place *place)
{
	struct inject *inject = calloc(1, sizeof(*inject));

	if (!inject)
		return NULL;
	inject->place = *place;
	inject->next_ns = NEVER;
	return inject;
}

void inject_free(struct inject *inject)
{
	struct error ignored;

	if (!inject)
		return;
	for (size_t i = 0; i < inject->n; i++) {
		inject_undo(inject, inject->list[i], &ignored);
		injected_free(inject->list[i]);
	}
	if (inject->place.guardian)
		guardian_rest(inject->place.guardian);
	if (inject->opened)
		faults_clear(*inject->place.faults);
	inject_shapes_close(inject);
	inject_filter_free(inject);
	free(inject->list);
	free(inject);
}

static bool hurries(const struct injected *it)
{
	enum fault_kind kind = it->fault.kind;

	return !it->over && (it->waits_port || kind == FAULT_PAUSE || kind == FAULT_CRASH_BOX || kind == FAULT_RESTART ||
			     kind == FAULT_RATE || kind == FAULT_REORDER);
}

void inject_hurries_count(struct inject *inject)
{
	inject->hurries = 0;
	for (size_t i = 0; i < inject->n; i++)
		inject->hurries += hurries(inject->list[i]);
}

/* ---- what happens ---- */

void inject_record(struct inject *inject, const struct rec_fault *record, size_t size, uint64_t now_ns)
{
	struct injected *it = size >= sizeof(*record) && record->id < RULE_MAX ? inject->by_id[record->id] : NULL;
	struct error why = { "" };

	if (!it || it->over || inject->closed)
		return;
	it->told_fired = true;
	if (record->state == RULE_WOULD_FIRE) {
		inject_state(it, FAULT_STATE_WOULD_FIRE);
		inject_restart_would(inject, it);
	} else {
		bool act = it->receipt.state == FAULT_STATE_ARMED;

		inject_fired(inject, it, 0, record->head.return_ns, record->head.return_ns);
		if (act && inject_act(inject, it, record->head.tgid, record->head.return_ns, now_ns, &why) < 0)
			inject_why(it, "%s", why.text);
	}
	inject_look(inject, it, now_ns);
	inject_hurries_count(inject);
	inject_tell(inject);
}

/* ---- time ---- */

/* The port that its connection goes to is known now? */
static void port_look(struct inject *inject, struct injected *it, uint64_t now_ns)
{
	struct resolved resolved = { .kernel = false };
	struct error why = { "" };
	int err;

	inject->by_id[it->fault.id] = NULL; /* it is no other one with the same number */
	err = inject_resolve(inject, &it->fault, &resolved, &why);
	inject->by_id[it->fault.id] = it;
	if (!err && !resolved.waits_port) {
		it->waits_port = false;
		err = faults_arm(*inject->place.faults, &resolved.rule, 1, now_ns + INJECT_LEASE_NS, &why);
	}
	if (!err || err == -ENOMEM)
		inject_why(it, "%s", it->waits_port ? "" : "armed when the kernel had chosen that port");
	else
		inject_why(it, "%s", why.text);
	if (err && !it->waits_port) {
		inject_state(it, FAULT_STATE_REFUSED);
		it->over = true;
	}
	resolved_fini(&resolved);
}

static void arming_over(struct inject *inject, struct injected *it, uint64_t now_ns)
{
	struct kernel_receipt from = { .fired = 0 };

	if (inject_has_rule(it)) {
		faults_lift(*inject->place.faults, it->fault.id);
		faults_receipt(*inject->place.faults, it->fault.id, &from);
	}
	if (from.fired)
		inject_look(inject, it, now_ns); /* just before: it had begun, and is over now */
	else
		inject_ended(inject, it, FAULT_STATE_EXPIRED, now_ns);
}

static void due(struct inject *inject, struct injected *it, uint64_t now_ns)
{
	struct error ignored;

	if (it->fault.kind == FAULT_RESTART && it->pending) {
		inject_restart(inject, it, now_ns);
	} else if (it->receipt.state == FAULT_STATE_ARMED) {
		it->due_ns = NEVER;
		arming_over(inject, it, now_ns);
	} else if (it->fault.kind == FAULT_PAUSE || it->shaped) {
		inject_undo(inject, it, &ignored);
		if (it->kernel)
			inject_look(inject, it, now_ns);
		inject_ended(inject, it, FAULT_STATE_EXPIRED, now_ns);
	} else if (it->kernel && now_ns < it->due_ns + ENDS_NS) {
		inject_wants(inject, it->due_ns + ENDS_NS);
	} else {
		it->due_ns = NEVER; /* the kernel ends it by itself; each second it is looked at */
		inject_look(inject, it, now_ns);
	}
}

/* What no program of ours could look at. */
static void missed_tell(struct inject *inject)
{
	struct error why;
	uint64_t missed;

	faults_watch(*inject->place.faults);
	missed = faults_missed(*inject->place.faults, &why);
	if (missed)
		inject->place.on_missed(missed, why.text, inject->place.arg);
}

static void renew(struct inject *inject, uint64_t now_ns)
{
	inject->renew_ns = now_ns + INJECT_RENEW_NS;
	if (inject->opened) {
		faults_renew(*inject->place.faults, now_ns + INJECT_LEASE_NS);
		missed_tell(inject);
	}
	if (inject->place.guardian)
		guardian_renew(inject->place.guardian, now_ns + INJECT_LEASE_NS);
	for (size_t i = 0; i < inject->n; i++)
		if (!inject->list[i]->over)
			inject_look(inject, inject->list[i], now_ns);
}

void inject_tick(struct inject *inject, uint64_t now_ns)
{
	if (inject->opened)
		faults_watch(*inject->place.faults);
	for (size_t i = 0; i < inject->n && inject->hurries; i++)
		if (inject->list[i]->waits_port && !inject->list[i]->over)
			port_look(inject, inject->list[i], now_ns);
	if (now_ns < inject->next_ns)
		return;
	if (now_ns >= inject->renew_ns)
		renew(inject, now_ns);
	inject->next_ns = inject->n ? inject->renew_ns : NEVER;
	for (size_t i = 0; i < inject->n; i++) {
		if (inject->list[i]->due_ns <= now_ns)
			due(inject, inject->list[i], now_ns);
		if (inject->list[i]->due_ns > now_ns)
			inject_wants(inject, inject->list[i]->due_ns);
	}
	inject_hurries_count(inject);
	inject_tell(inject);
}

uint64_t inject_next(const struct inject *inject)
{
	return inject->next_ns;
}

bool inject_hurries(const struct inject *inject)
{
	return inject->hurries;
}

/* ---- the end of one, and of all ---- */

static int lift(struct inject *inject, struct injected *it, uint64_t now_ns, struct error *e)
{
	int err = inject_undo(inject, it, e);

	if (err || it->over)
		return err;
	inject_restart_cancel(inject, it);
	inject_look(inject, it, now_ns);
	if (inject_has_rule(it))
		faults_lift(*inject->place.faults, it->fault.id);
	inject_ended(inject, it, FAULT_STATE_LIFTED, now_ns);
	return 0;
}

int inject_lift(struct inject *inject, uint32_t id, uint64_t now_ns, struct error *e)
{
	struct injected *it = id && id < RULE_MAX ? inject->by_id[id] : NULL;
	struct error ignored;
	int err = 0;

	if (id && !it)
		return error_set(e, -ENOENT, "there is no fault %u", id);
	if (it)
		err = lift(inject, it, now_ns, e);
	for (size_t i = 0; i < inject->n && !id; i++)
		lift(inject, inject->list[i], now_ns, &ignored);
	inject_hurries_count(inject);
	inject_tell(inject);
	return err;
}

void inject_disarm(struct inject *inject, uint64_t now_ns)
{
	inject_no_restarts(inject);
	if (inject->opened) {
		missed_tell(inject);
		/* nobody looks at news any more: those of devices that go with the run would wake us until it is closed */
		epoll_ctl(inject->place.epoll, EPOLL_CTL_DEL, faults_watch_fd(*inject->place.faults), NULL);
	}
	for (size_t i = 0; i < inject->n; i++) {
		struct injected *it = inject->list[i];

		if (!inject_has_rule(it) || it->over || it->receipt.state != FAULT_STATE_ARMED)
			continue;
		inject_look(inject, it, now_ns);
		if (it->receipt.state != FAULT_STATE_ARMED)
			continue;
		faults_lift(*inject->place.faults, it->fault.id);
		inject_state(it, FAULT_STATE_NEVER_FIRED);
		it->over = true;
	}
}
