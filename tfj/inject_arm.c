/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Orders. One is resolved whole, then what can fail is done, then it is kept: what fails on the way is undone. What happens
 * later (a process that has gone meanwhile) is not the order's failure, but the receipt's matter. See inject.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tfj/inject_inside.h"

/* The kernel side knows our boxes, and what it must leave alone. */
static int kernel_open(struct inject *inject, struct error *e)
{
	const struct inject_place *place = &inject->place;
	struct epoll_event event = { .events = EPOLLIN };
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
	if (!err && epoll_ctl(place->epoll, EPOLL_CTL_ADD, faults_watch_fd(*place->faults), &event) < 0 && errno != EEXIST)
		err = error_set(e, -errno, "new devices of boxes cannot be watched for: %s", strerror(errno));
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

void injected_free(struct injected *it)
{
	if (!it)
		return;
	fault_fini(&it->fault);
	fault_receipt_fini(&it->receipt);
	free(it->name);
	free(it);
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
	inject->renew_ns = now_ns + INJECT_RENEW_NS;
	inject_wants(inject, inject->renew_ns);
	inject_tell(inject);
	return 0;
}
