/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See inject.h. Orders and time. An order is resolved whole, then what can fail is done, then it is kept: what fails on the
 * way is undone. What happens later (a process that has gone meanwhile) is not the order's failure, but the receipt's matter.
 */
#include "tfj/inject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tfj/inject_inside.h"

#define RENEW_NS CLOCK_SECOND_NS
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

static void injected_free(struct injected *it)
{
	if (!it)
		return;
	fault_fini(&it->fault);
	fault_receipt_fini(&it->receipt);
	free(it->name);
	free(it);
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

/* ---- orders ---- */

/* The kernel side knows our boxes, and what it must leave alone. */
static int kernel_open(struct inject *inject, struct error *e)
{
	const struct inject_place *place = &inject->place;
	uint8_t ip[16];
	uint16_t port;
	int err = *place->faults ? 0 : faults_open(place->tracer, place->faults, e);

	if (err || inject->opened)
		return err;
	inject->opened = true; /* something may be there to be cleared from here on */
	for (size_t i = 0; i < place->boxes->n && !err; i++) {
		const struct box *box = &place->boxes->box[i];

		err = faults_box(*place->faults, box->netns, place->box_base + box->index, box->guest, e);
	}
	if (!err && place->link_peer(ip, &port, place->arg) == 0)
		err = faults_spare(*place->faults, ip, port, e);
	if (err) {
		faults_clear(*place->faults);
		inject->opened = false;
	}
	return err;
}

static int resolve_all(struct inject *inject, const struct fault *faults, size_t n, struct resolved *resolved, struct error *e)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = inject_resolve(inject, &faults[i], &resolved[i], e);
		for (size_t k = 0; k < i && !err; k++)
			if (faults[k].id == faults[i].id)
				err = error_set(e, -EEXIST, "two have that number");
		if (err)
			return error_prefix(e, err, "fault %u (%.100s)", faults[i].id, faults[i].text ? faults[i].text : "?");
	}
	return 0;
}

/* Takes the fault. NULL: no memory. */
static struct injected *injected_new(struct fault *fault, const struct resolved *resolved, uint64_t armed_until)
{
	struct injected *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->receipt = (struct fault_receipt){ .id = fault->id, .state = FAULT_STATE_ARMED };
	it->receipt.line = fault->text ? strdup(fault->text) : fault_print(fault);
	it->receipt.why = strdup("");
	if (!it->receipt.line || !it->receipt.why) {
		fault_receipt_fini(&it->receipt);
		free(it);
		return NULL;
	}
	it->fault = *fault;
	it->kernel = resolved->kernel;
	it->waits_port = resolved->waits_port;
	it->armed_until = it->due_ns = armed_until;
	it->pidfd = -1;
	it->changed = true;
	*fault = (struct fault){ 0 };
	return it;
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

/* Rules for those that the kernel side is to have now. */
static int kernel_arm(struct inject *inject, const struct resolved *resolved, size_t n, uint64_t now_ns, struct error *e)
{
	struct kernel_fault *rules = calloc(n + 1, sizeof(*rules));
	bool wanted = false;
	size_t n_rules = 0;
	int err = 0;

	if (!rules)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		wanted |= resolved[i].kernel;
		if (resolved[i].kernel && !resolved[i].waits_port)
			rules[n_rules++] = resolved[i].rule;
	}
	if (wanted)
		err = kernel_open(inject, e);
	if (!err && n_rules)
		err = faults_arm(*inject->place.faults, rules, n_rules, now_ns + INJECT_LEASE_NS, e);
	free(rules);
	return err;
}

static int guard(struct inject *inject, const struct injected *const *list, size_t n, uint64_t now_ns, struct error *e)
{
	int err;

	for (size_t i = 0; i < n; i++) {
		if (list[i]->fault.kind != FAULT_PAUSE)
			continue;
		err = guardian_watch(inject->place.guardian, inject->place.cgroup->claim.fd, now_ns + INJECT_LEASE_NS);
		return err ? error_set(e, err, "nobody would wake a paused process if the agent died: the guardian is gone") : 0;
	}
	return 0;
}

/* What the agent itself does at once. `fallible`: queues, which are undone if something else fails; or the rest, which is not. */
static int act_at_once(struct inject *inject, struct injected *const *list, const struct resolved *resolved, size_t n, bool fallible,
		       uint64_t now_ns, struct error *e)
{
	for (size_t i = 0; i < n; i++) {
		bool queue = list[i]->fault.kind == FAULT_RATE || list[i]->fault.kind == FAULT_REORDER;
		struct error why = { "" };
		int err;

		if (!resolved[i].at_once || queue != fallible)
			continue;
		if (list[i]->fault.flags & FAULT_F_DRY) {
			inject_state(list[i], FAULT_STATE_WOULD_FIRE);
			continue;
		}
		err = inject_act(inject, list[i], 0, now_ns, now_ns, &why);
		if (err && fallible)
			return error_prefix(e, error_set(e, err, "%s", why.text), "fault %u (%.100s)", list[i]->fault.id,
					    list[i]->receipt.line);
		if (err)
			inject_why(list[i], "%s", why.text);
	}
	return 0;
}

/* They are ours from now on. There is room. */
static void keep_all(struct inject *inject, struct injected **list, size_t n, uint64_t now_ns)
{
	for (size_t i = 0; i < n; i++) {
		struct injected *it = list[i];

		inject->list[inject->n++] = it;
		inject->by_id[it->fault.id] = it;
		names_fault(inject->place.names, it->fault.id, it->receipt.line);
		inject->place.on_event(EVENT_ARMED, it->fault.id, 0, now_ns, inject->place.arg);
		inject_wants(inject, it->due_ns);
	}
}

static int list_grow(struct inject *inject, size_t n)
{
	struct injected **grown;

	if (inject->n + n <= inject->cap)
		return 0;
	grown = realloc(inject->list, (inject->n + n) * sizeof(struct injected *));
	if (!grown)
		return -ENOMEM;
	inject->list = grown;
	inject->cap = inject->n + n;
	return 0;
}

/* What was resolved is armed. On failure the faults are where they were. */
static int arm_all(struct inject *inject, struct fault *faults, struct resolved *resolved, size_t n, struct injected **list,
		   uint64_t armed_until, uint64_t now_ns, struct error *e)
{
	struct error ignored;
	int err = list_grow(inject, n);
	size_t made = 0;

	while (made < n && !err) {
		list[made] = injected_new(&faults[made], &resolved[made], armed_until);
		err = list[made] ? 0 : -ENOMEM;
		made += !err;
	}
	if (err)
		error_set(e, err, "out of memory");
	if (!err)
		err = guard(inject, (const struct injected *const *)list, n, now_ns, e);
	if (!err)
		err = act_at_once(inject, list, resolved, n, true, now_ns, e);
	if (!err)
		err = kernel_arm(inject, resolved, n, now_ns, e);
	if (!err) {
		keep_all(inject, list, n, now_ns);
		act_at_once(inject, list, resolved, n, false, now_ns, &ignored);
		return 0;
	}
	for (size_t i = 0; i < made; i++) {
		inject_undo(inject, list[i], &ignored);
		faults[i] = list[i]->fault;
		list[i]->fault = (struct fault){ 0 };
		injected_free(list[i]);
	}
	return err;
}

int inject_arm(struct inject *inject, struct fault *faults, size_t n, uint64_t armed_ns, uint64_t now_ns, struct error *e)
{
	struct resolved *resolved = calloc(n + 1, sizeof(*resolved));
	struct injected **list = calloc(n + 1, sizeof(struct injected *));
	uint64_t armed_until = armed_ns && armed_ns < NEVER - now_ns ? now_ns + armed_ns : NEVER;
	int err = resolved && list ? 0 : error_set(e, -ENOMEM, "out of memory");

	if (!err)
		err = resolve_all(inject, faults, n, resolved, e);
	if (!err)
		err = arm_all(inject, faults, resolved, n, list, armed_until, now_ns, e);
	for (size_t i = 0; i < n && !err; i++)
		inject_look(inject, list[i], now_ns); /* those at once have fired */
	for (size_t i = 0; resolved && i < n; i++)
		resolved_fini(&resolved[i]);
	free(resolved);
	free(list);
	if (err)
		return err;
	inject_hurries_count(inject);
	inject->renew_ns = now_ns + RENEW_NS;
	inject_wants(inject, inject->renew_ns);
	inject_tell(inject);
	return 0;
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

static void renew(struct inject *inject, uint64_t now_ns)
{
	inject->renew_ns = now_ns + RENEW_NS;
	if (inject->opened)
		faults_renew(*inject->place.faults, now_ns + INJECT_LEASE_NS);
	if (inject->place.guardian)
		guardian_renew(inject->place.guardian, now_ns + INJECT_LEASE_NS);
	for (size_t i = 0; i < inject->n; i++)
		if (!inject->list[i]->over)
			inject_look(inject, inject->list[i], now_ns);
}

void inject_tick(struct inject *inject, uint64_t now_ns)
{
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
